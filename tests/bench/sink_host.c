/* SPDX-License-Identifier: MIT */
/* A host that only reads: `sink_host PATH` listens, takes one agent after the other and throws away what it says. */
#include "measure.h"

int main(int argc, char **argv)
{
	static char text[1 << 17];
	int listener;

	if (argc != 2)
		return EXIT_FAILURE;
	listener = socket_listen(argv[1]);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			give_up("accept");
		while (read(fd, text, sizeof(text)) > 0)
			;
		close(fd);
	}
}
