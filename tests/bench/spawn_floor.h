/* SPDX-License-Identifier: MIT */
/*
 * The floor of running commands: posix_spawn of `sh -c true` with two pipes, read to their end and waited for, several
 * in flight.
 */
#ifndef TESTS_BENCH_SPAWN_FLOOR_H
#define TESTS_BENCH_SPAWN_FLOOR_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "measure.h"

#define FLIGHT_MAX 64

static const char *const command[] = { "/bin/sh", "-c", "true", NULL };
static const char *const environment[] = { "PATH=/usr/bin:/bin", NULL };

struct flight {
	pid_t pid; /* 0: vacant */
	int fds[2];
};

static inline void floor_start(struct flight *f)
{
	posix_spawn_file_actions_t actions;
	int out[2], err[2];

	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		exit(EXIT_FAILURE);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	posix_spawn_file_actions_adddup2(&actions, err[1], 2);
	if (posix_spawn(&f->pid, command[0], &actions, NULL, (char *const *)(uintptr_t)command,
			(char *const *)(uintptr_t)environment) != 0)
		exit(EXIT_FAILURE);
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	close(err[1]);
	f->fds[0] = out[0];
	f->fds[1] = err[0];
}

/* Reads one pipe; at the end of both waits for the process. True when it is over. */
static inline bool floor_read(struct flight *f, int which)
{
	char buffer[4096];

	if (read(f->fds[which], buffer, sizeof(buffer)) > 0)
		return false;
	close_fd(&f->fds[which]);
	if (f->fds[!which] >= 0)
		return false;
	waitpid(f->pid, NULL, 0);
	f->pid = 0;
	return true;
}

/* Commands a second. */
static inline double floor_round(unsigned total, unsigned in_flight)
{
	struct flight flights[FLIGHT_MAX] = { 0 };
	struct pollfd fds[2 * FLIGHT_MAX];
	unsigned begun = 0, done = 0;
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);

	while (done < total) {
		for (unsigned i = 0; i < in_flight; i++) {
			if (!flights[i].pid && begun < total) {
				floor_start(&flights[i]);
				begun++;
			}
			for (int k = 0; k < 2; k++)
				fds[2 * i + k] = (struct pollfd){ flights[i].pid ? flights[i].fds[k] : -1, POLLIN, 0 };
		}
		poll(fds, 2 * in_flight, -1);
		for (unsigned i = 0; i < 2 * in_flight; i++)
			if (fds[i].revents)
				done += floor_read(&flights[i / 2], (int)(i % 2));
	}
	return total / ((double)(clock_ns(CLOCK_MONOTONIC) - begin) / 1e9);
}

#endif
