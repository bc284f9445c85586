/* SPDX-License-Identifier: MIT */
/*
 * What the turns of the loop cost, by the work done in them: pure counting, in a table of fixed size. A turn has the
 * CPU that its thread took from one wait to the next, and counts for the work that took the longest part of it.
 */
#ifndef AGENT_BASE_TURNS_H
#define AGENT_BASE_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniservice/sink.h>

/* Works told apart; what comes later counts as the first of the table, which is "other". */
#define TURNS_WORKS_MAX 48
/* Four classes an octave, from 1 µs to 65 ms; the last one is open. */
#define TURNS_CLASSES 64
/* A turn should take no more than this. */
#define TURNS_BUDGET_NS 1000000U

struct turns_spread {
	uint32_t counts[TURNS_CLASSES];
	uint64_t count, sum_ns, max_ns;
};

/* Both texts are static: they are compared as pointers. `which` may be NULL. */
struct work {
	const char *what, *which;
};

struct turns_of_work {
	struct work work;
	struct turns_spread spread;
};

struct turns {
	struct turns_spread all;
	unsigned count; /* works in the table */
	struct turns_of_work works[TURNS_WORKS_MAX];

	struct work present, longest; /* of the turn under way */
	uint64_t began_ns, longest_ns;
	bool several;	      /* the turn has had more than one work */
	uint64_t cpu_ns;      /* of the thread, at the end of the turn before; 0: none yet */
	int watch_fd;	      /* a file that is told of turns over the budget; -1: none */
	unsigned watch_lines; /* written to it */
};

/* Zeroed, with no file watched. */
void turns_init(struct turns *turns);

/*
 * Turns over TURNS_BUDGET_NS are told to this file from now on, "MICROSECONDS NAME" a line and a bounded number of
 * them: for tests. Only a file that is there already is written to; another name is ignored, and so is NULL.
 */
void turns_watch(struct turns *turns, const char *path);

/* A turn begins: the time is CLOCK_MONOTONIC. */
void turns_begin(struct turns *turns, uint64_t now_ns);

/*
 * A work begins, which ends the one before it. With the first one of a turn the time is the turn's beginning, and no
 * clock is read. Returns the time.
 */
uint64_t turns_work(struct turns *turns, const char *what, const char *which);

/* The turn is over; `cpu_ns` is CLOCK_THREAD_CPUTIME_ID. The first call only sets the beginning. */
void turns_end(struct turns *turns, uint64_t cpu_ns);

/* Counts one turn. Part of turns_end, on its own for tests. */
void turns_count(struct turns *turns, struct work work, uint64_t ns);

/* The time that `permille` of 1000 turns did not exceed, as the upper end of its class, at most the longest. 0: none.
 */
uint64_t turns_quantile_ns(const struct turns_spread *spread, unsigned permille);

/* "turn_cpu", of all turns, and "work", a list of the works with the worst first, into an open object. */
void turns_report(const struct turns *turns, struct sink *out);

/* The indices of the works by their longest turn, the worst first. Returns how many. */
unsigned turns_by_worst(const struct turns *turns, unsigned order[static TURNS_WORKS_MAX]);

#endif
