/* SPDX-License-Identifier: MIT */
/* infiniservice-exec: started by the agent with its socket as fd 3; not meant to be started by hand. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/executor/executor.h"

int main(int argc, char **argv)
{
	struct executor_options options = { .no_cgroup = argc > 1 && strcmp(argv[1], "--no-cgroup") == 0 };
	int type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(3, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		fputs("infiniservice-exec: started by infiniservice, with a socket as fd 3\n", stderr);
		return 2;
	}
	return executor_serve(3, &options);
}
