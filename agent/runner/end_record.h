/* SPDX-License-Identifier: MIT */
/*
 * How a detached run ended: one line of text in a file of the agent, written in one call by the launcher, the run's
 * parent (agent/executor/launch.h), and read by the agent, also after a restart.
 */
#ifndef AGENT_RUNNER_END_RECORD_H
#define AGENT_RUNNER_END_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define END_RECORD_MAX 128 /* bytes */

struct end_record {
	uint32_t flags;	 /* RUNNER_TIMED_OUT, _KILLED, _CANCELLED, _STUCK, _OOM */
	int32_t status;	 /* as of waitpid; undefined with RUNNER_STUCK */
	int32_t error;	 /* positive errno: the program was not started; 0 otherwise */
	int32_t stage;	 /* with error: enum runner_stage, the step that failed; 0 otherwise */
	uint64_t end_ns; /* CLOCK_MONOTONIC */
};

/* Writes the line, newline included, without NUL; its length. */
size_t end_record_format(const struct end_record *record, char out[END_RECORD_MAX]);

/* 0, or -EBADMSG for anything but exactly one line as end_record_format writes it. */
int end_record_parse(const char *text, size_t len, struct end_record *ret);

#endif
