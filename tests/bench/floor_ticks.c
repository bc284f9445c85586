/* SPDX-License-Identifier: MIT */
/*
 * The floor as a process that ticks: `floor_ticks system|full INTERVAL_MS [PORT BYTES FILE]` reads its data at every
 * interval until it is killed. With output it also sends as many bytes as a sample has to the host that listens on the
 * unix socket PORT, and has a helper, woken once a tick, append them to FILE.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#include "floor.h"

#define BYTES_MAX (1 << 20)

struct output {
	int port, helper; /* -1: none */
	size_t len;
	char bytes[BYTES_MAX];
};

static void append_for_ever(int from, const char *path)
{
	static char bytes[BYTES_MAX];
	int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (file < 0)
		give_up(path);
	for (;;) {
		ssize_t n = recv(from, bytes, sizeof(bytes), 0);

		if (n <= 0)
			_exit(EXIT_SUCCESS);
		send_text(file, bytes, (size_t)n);
	}
}

static void output_open(struct output *output, const char *port, size_t len, const char *path)
{
	struct sockaddr_un address = socket_address(port);
	int pair[2], size = 1 << 20;

	output->len = len;
	memset(output->bytes, 'x', len);
	output->port = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (output->port < 0 || connect(output->port, (struct sockaddr *)&address, sizeof(address)) < 0)
		give_up(port);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		give_up("socketpair");
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	output->helper = pair[0];
	switch (fork()) {
	case -1:
		give_up("fork");
	case 0:
		close(pair[0]);
		append_for_ever(pair[1], path);
		break;
	default:
		close(pair[1]);
	}
}

int main(int argc, char **argv)
{
	static struct floor floor;
	static struct output output = { .port = -1, .helper = -1 };
	unsigned interval_ms = argument(argc, argv, 2, 1000, 3600000);
	bool full = argc > 1 && strcmp(argv[1], "full") == 0;
	struct timespec due;

	if (argc > 5)
		output_open(&output, argv[3], argument(argc, argv, 4, 1, BYTES_MAX), argv[5]);
	floor_open(&floor);
	clock_gettime(CLOCK_MONOTONIC, &due);
	for (;;) {
		due.tv_nsec += interval_ms % 1000 * 1000000L;
		due.tv_sec += interval_ms / 1000 + due.tv_nsec / 1000000000L;
		due.tv_nsec %= 1000000000L;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
		if (full)
			floor_read_full(&floor);
		else
			floor_read_system(&floor);
		if (output.port < 0)
			continue;
		send_text(output.port, output.bytes, output.len);
		send_text(output.helper, output.bytes, output.len);
	}
}
