/* SPDX-License-Identifier: MIT */
/*
 * Package runs that version 0.1.0 began and that are still there after the upgrade: their files have another name, and
 * no file holds their end, which PID 1 remembers instead. PID 1 is asked until the run has ended; then its end is
 * written to the end record of a detached run. To be removed with the version after this one.
 */
#ifndef AGENT_ACTIONS_LEGACY_RUN_H
#define AGENT_ACTIONS_LEGACY_RUN_H

#include <stdint.h>

struct detached;
struct legacy_run;

/*
 * If the run of this unit was begun by 0.1.0: renames its files to those of a detached run and watches for its end.
 * `term_ns` (CLOCK_MONOTONIC) is its deadline.
 */
void legacy_run_adopt(struct detached *detached, const char *unit, uint64_t term_ns);

/* At the end of the agent: stops watching; the next agent process adopts the runs again. */
void legacy_runs_done(struct detached *detached);

#endif
