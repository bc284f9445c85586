/* SPDX-License-Identifier: MIT */
/*
 * Package runs that 0.1.0 began and that this version finds at the upgrade: their files have another name and none for
 * the end, which PID 1 remembers instead. PID 1 is asked until it is over, and what it says is written where the end of
 * a detached run is looked for. To be removed with the version after this one.
 */
#ifndef AGENT_ACTIONS_LEGACY_RUN_H
#define AGENT_ACTIONS_LEGACY_RUN_H

#include <stdint.h>

struct detached;
struct legacy_run;

/*
 * If the run of this unit was begun by 0.1.0: makes its files those of a detached run, and looks after its end.
 * `term_ns` is its deadline.
 */
void legacy_run_adopt(struct detached *detached, const char *unit, uint64_t term_ns);

/* At the end: the next agent adopts them again. */
void legacy_runs_done(struct detached *detached);

#endif
