/* SPDX-License-Identifier: MIT */
/*
 * How many commands a second the executor runs, against the floor of the machine: posix_spawn of the same argv with
 * two pipes, read to their end and waited for, as many in flight. Rounds alternate, medians are compared. `exec_rate
 * [COMMANDS [ROUNDS [IN_FLIGHT]]]`; the executor program is taken from beside the bench, LIBEXECDIR or
 * $INFINISERVICE_EXEC; $INFINISERVICE_NO_CGROUP forces the tree walk.
 */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/exec.h"

#define FLIGHT_MAX 64
#define ROUNDS_MAX 64

static const char *const command[] = { "/bin/sh", "-c", "true", NULL };
static const char *const environment[] = { "PATH=/usr/bin:/bin", NULL };

struct flight {
	pid_t pid; /* 0: vacant */
	int fds[2];
};

static void floor_start(struct flight *f)
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
static bool floor_read(struct flight *f, int which)
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

static double floor_round(unsigned total, unsigned in_flight)
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

struct run {
	struct exec *exec;
	struct ev_loop *loop;
	unsigned begun, done, total, failed;
};

static void run_next(struct run *run);

static void on_done(void *data, struct exec_outcome *outcome)
{
	struct run *run = data;

	run->failed += outcome->exit_code != 0;
	if (++run->done == run->total)
		ev_break(run->loop, EVBREAK_ALL);
	else
		run_next(run);
}

static void run_next(struct run *run)
{
	static const struct exec_callbacks callbacks = { .done = on_done };
	struct exec_request request = { .argv = command, .envp = environment,
					.term_ns = clock_ns(CLOCK_MONOTONIC) + 20 * NS_PER_S,
					.kill_ns = clock_ns(CLOCK_MONOTONIC) + 30 * NS_PER_S };
	struct exec_job *job;

	if (run->begun < run->total && exec_start(run->exec, &request, &callbacks, run, &job) == 0)
		run->begun++;
}

static double exec_round(struct ev_loop *loop, struct exec *exec, unsigned total, unsigned in_flight)
{
	struct run run = { .exec = exec, .loop = loop, .total = total };
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);

	for (unsigned i = 0; i < in_flight; i++)
		run_next(&run);
	ev_run(loop, 0);
	if (run.failed) {
		fprintf(stderr, "%u commands failed\n", run.failed);
		exit(EXIT_FAILURE);
	}
	return total / ((double)(clock_ns(CLOCK_MONOTONIC) - begin) / 1e9);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static unsigned argument(int argc, char **argv, int index, unsigned fallback, unsigned max)
{
	unsigned long value = argc > index ? strtoul(argv[index], NULL, 10) : fallback;

	return value < 1 ? 1 : value > max ? max : (unsigned)value;
}

int main(int argc, char **argv)
{
	unsigned total = argument(argc, argv, 1, 1000, 1000000), rounds = argument(argc, argv, 2, 7, ROUNDS_MAX);
	unsigned in_flight = argument(argc, argv, 3, 5, FLIGHT_MAX);
	struct exec_config config = { .program = getenv("INFINISERVICE_EXEC"),
				      .no_cgroup = getenv("INFINISERVICE_NO_CGROUP") };
	struct ev_loop *loop = ev_default_loop(0);
	struct exec *exec = exec_new(loop, &config);
	double floors[ROUNDS_MAX], execs[ROUNDS_MAX], ratios[ROUNDS_MAX];

	if (!exec || exec_warm(exec) < 0) {
		fputs("the executor cannot be started\n", stderr);
		return EXIT_FAILURE;
	}
	exec_round(loop, exec, 50, in_flight);
	signal(SIGCHLD, SIG_DFL); /* the floor waits by itself; the loop has nothing to reap meanwhile */
	for (unsigned i = 0; i < rounds; i++) {
		floors[i] = floor_round(total, in_flight);
		execs[i] = exec_round(loop, exec, total, in_flight);
		ratios[i] = execs[i] / floors[i];
	}
	qsort(floors, rounds, sizeof(*floors), compare);
	qsort(execs, rounds, sizeof(*execs), compare);
	qsort(ratios, rounds, sizeof(*ratios), compare);
	printf("sh -c true, %u in flight, %u commands, median of %u rounds\n", in_flight, total, rounds);
	printf("floor (posix_spawn) %.0f/s   executor %.0f/s   ratio %.2f\n", floors[rounds / 2], execs[rounds / 2],
	       ratios[rounds / 2]);
	exec_free(exec);
	return EXIT_SUCCESS;
}
