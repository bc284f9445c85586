/* SPDX-License-Identifier: MIT */
/*
 * How many commands a second the executor runs, against the floor of the machine: posix_spawn of the same argv with
 * two pipes, read to their end and waited for, as many in flight. Rounds alternate, medians are compared. `exec_rate
 * [COMMANDS [ROUNDS [IN_FLIGHT]]]`; the executor program is taken from beside the bench, LIBEXECDIR or
 * $INFINISERVICE_EXEC.
 */
#include <ev.h>

#include "agent/run/exec.h"
#include "spawn_floor.h"

#define ROUNDS_MAX 64

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
	struct exec_request request = { .argv = command,
					.envp = environment,
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

int main(int argc, char **argv)
{
	unsigned total = argument(argc, argv, 1, 1000, 1000000), rounds = argument(argc, argv, 2, 7, ROUNDS_MAX);
	unsigned in_flight = argument(argc, argv, 3, 5, FLIGHT_MAX);
	struct exec_config config = { .program = getenv("INFINISERVICE_EXEC") };
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
	printf("sh -c true, %u in flight, %u commands, median of %u rounds\n", in_flight, total, rounds);
	printf("floor (posix_spawn) %.0f/s   executor %.0f/s   ratio %.2f\n", median(floors, rounds),
	       median(execs, rounds), median(ratios, rounds));
	exec_free(exec);
	return EXIT_SUCCESS;
}
