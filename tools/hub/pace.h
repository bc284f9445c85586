/* SPDX-License-Identifier: MIT */
/*
 * How often a VM's samples come, learned from those that came, so that silence can be told from a slow pace. And how
 * many bytes a guest may send. Pure: times are arguments, CLOCK_MONOTONIC.
 */
#ifndef HUB_PACE_H
#define HUB_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_GAPS 4

struct pace {
	uint64_t expected_ns; /* until two samples have come */
	uint64_t gaps_ns[PACE_GAPS];
	unsigned count;	  /* of gaps seen, the newest at (count - 1) % PACE_GAPS */
	uint64_t last_ns; /* when the last sample came; 0 before */
};

void pace_init(struct pace *pace, uint64_t expected_ns);
void pace_sample(struct pace *pace, uint64_t now_ns);
/* A new session: what passed before its first sample is no interval. */
void pace_break(struct pace *pace);
/* The longest of the last gaps, between 0.1 s and 10 minutes: one that was asked for in between makes no VM late. */
uint64_t pace_interval_ns(const struct pace *pace);
/* No sample for 3 intervals since the last one, or, before any, since `since_ns`. */
bool pace_silent(const struct pace *pace, uint64_t since_ns, uint64_t now_ns);

/* A token bucket of bytes. */
struct allowance {
	uint64_t per_s, burst;
	uint64_t tokens, at_ns;
};

void allowance_init(struct allowance *allowance, uint64_t per_s, uint64_t burst, uint64_t now_ns);
/*
 * Takes `bytes`, which may overdraw it. Returns 0, or the nanoseconds until anything may be taken again. The overdraft
 * is at most one burst.
 */
uint64_t allowance_take(struct allowance *allowance, uint64_t bytes, uint64_t now_ns);

#endif
