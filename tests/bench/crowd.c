/* SPDX-License-Identifier: MIT */
/*
 * A guest with many of something: `crowd processes|sockets|mounts COUNT COMMAND…` makes them and then runs the command
 * beside them until it ends. In name spaces of their own (unshare(1): PIDs, network, mounts) nobody else sees them, and
 * they end with this process. Interfaces are made by ip(8), see tests/bench/scale.py.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "measure.h"

#define CROWD_MAX 100000

static void make_processes(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0)
			give_up("fork");
		if (pid > 0)
			continue;
		signal(SIGTERM, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
}

/* Both ends of each connection are here, so `count` sockets are half as many connections, to 16 listeners. */
static void make_sockets(unsigned count)
{
	struct rlimit files = { count + 100, count + 100 };
	int listeners[16];
	struct sockaddr_in to[16];

	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		give_up("setrlimit");
	for (unsigned i = 0; i < 16; i++) {
		socklen_t len = sizeof(to[i]);

		to[i] = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i) };
		listeners[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (listeners[i] < 0 || bind(listeners[i], (struct sockaddr *)&to[i], len) < 0 ||
		    listen(listeners[i], 128) < 0 || getsockname(listeners[i], (struct sockaddr *)&to[i], &len) < 0)
			give_up("listen");
	}
	for (unsigned i = 0; i < count / 2; i++) {
		int client = socket(AF_INET, SOCK_STREAM, 0);

		if (client < 0 || connect(client, (struct sockaddr *)&to[i % 16], sizeof(to[0])) < 0)
			give_up("connect");
		if (accept(listeners[i % 16], NULL, NULL) < 0)
			give_up("accept");
	}
}

static void make_mounts(unsigned count)
{
	char path[PATH_MAX];

	if (mount("crowd", "/mnt", "tmpfs", 0, "size=8M,mode=755") < 0)
		give_up("mount /mnt");
	for (unsigned i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/mnt/%u", i);
		if (mkdir(path, 0755) < 0 || mount("crowd", path, "tmpfs", 0, "size=4k") < 0)
			give_up(path);
	}
}

/* The first process of a name space has no other end by a signal. */
static void end(int number)
{
	(void)number;
	_exit(EXIT_FAILURE);
}

/* One of the mounts goes and comes back every second: a table that never changes is never read again. */
static void change_mounts(void)
{
	if (fork() != 0)
		return;
	signal(SIGTERM, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		sleep(1);
		if (umount2("/mnt/0", MNT_DETACH) < 0 || mount("crowd", "/mnt/0", "tmpfs", 0, "size=4k") < 0)
			give_up("/mnt/0");
	}
}

int main(int argc, char **argv)
{
	const char *kind = argc > 3 ? argv[1] : "";
	unsigned count = argument(argc, argv, 2, 1000, CROWD_MAX);
	pid_t command, ended;
	int status;

	signal(SIGTERM, end);
	signal(SIGINT, end);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (strcmp(kind, "processes") == 0)
		make_processes(count);
	else if (strcmp(kind, "sockets") == 0)
		make_sockets(count);
	else if (strcmp(kind, "mounts") == 0)
		make_mounts(count);
	else if (strcmp(kind, "nothing") != 0)
		give_up("usage: crowd processes|sockets|mounts|nothing COUNT COMMAND…");
	if (strcmp(kind, "mounts") == 0)
		change_mounts();
	command = fork();
	if (command < 0)
		give_up("fork");
	if (command == 0) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[3], argv + 3);
		give_up(argv[3]);
	}
	do
		ended = wait(&status);
	while (ended != command && (ended > 0 || errno == EINTR));
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
