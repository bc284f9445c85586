/* SPDX-License-Identifier: MIT */
/*
 * infiniservice-exec: started by the agent with its socket as fd 3 (the runner), or by systemd with a listening socket
 * (the privileged executor, executor.h); not meant to be started by hand. With a verb it is a separate program for one
 * privileged task of the agent.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/base/notify.h"

#include "agent/executor/executor.h"
#include "agent/cleaner/cleaner.h"
#include "agent/freeze/freezer.h"
#include "agent/runner/runner.h"
#include "agent/executor/freeze.h"
#include "agent/executor/guest_verbs.h"
#include "agent/executor/launch.h"
#include "agent/executor/verbs.h"

static const struct {
	const char *name;
	int (*main)(int argc, char *argv[]);
} verbs[] = {
	{ "clean", cleaner_main },     { "golden", golden_main },   { "join", join_main },
	{ "kill", kill_main },	       { "launch", launch_main },   { "port", port_main },
	{ "prepare", prepare_main },   { "settime", settime_main }, { "vcpus", vcpus_main },
	{ "password", password_main }, { "keys", keys_main },	    { "become", become_main },
	{ "hooks", hooks_main },       { "freeze", freeze_main },   { "thaw", thaw_main },
	{ "trim", trim_main },
};

bool executor_has_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(name, verbs[i].name) == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	static char program[4096] = LIBEXECDIR "/infiniservice-exec";
	struct executor_options options = { .listen_fd = -1, .program = program };
	socklen_t len = sizeof(int);
	int type = 0, count;

	for (size_t i = 0; i < ARRAY_SIZE(verbs) && argc > 1; i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].main(argc - 1, argv + 1);
	count = passed_take();
	/* An installation: systemd passes the listening socket. */
	if (count > 0) {
		ssize_t own = readlink("/proc/self/exe", program, sizeof(program) - 1);

		if (own >= 0)
			program[own] = '\0';
		for (int fd = PASSED_FIRST; fd < PASSED_FIRST + count; fd++)
			if (passed_is_listener(fd, SOCK_SEQPACKET))
				options.listen_fd = fd;
		return options.listen_fd < 0 ? 2 : executor_serve(&options);
	}
	if (getsockopt(3, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		fputs("infiniservice-exec: started by infiniservice, with a socket as fd 3\n", stderr);
		return 2;
	}
	return runner_serve(3);
}
