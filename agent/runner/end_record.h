/* SPDX-License-Identifier: MIT */
/*
 * How a detached run ended: one line of text in a file of the agent's, written by the launcher that is its parent
 * (agent/executor/launch.h) in one call, read by the agent that is there then.
 */
#ifndef AGENT_RUNNER_END_RECORD_H
#define AGENT_RUNNER_END_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define END_RECORD_MAX 128 /* bytes */

struct end_record {
	uint32_t flags;	 /* RUNNER_TIMED_OUT, _KILLED, _CANCELLED, _STUCK, _OOM */
	int32_t status;	 /* as of waitpid; with STUCK it means nothing */
	int32_t error;	 /* positive errno: the program was not started, */
	int32_t stage;	 /* and what of that failed: enum runner_stage; 0 otherwise */
	uint64_t end_ns; /* CLOCK_MONOTONIC */
};

/* The line, newline included; its length. */
size_t end_record_format(const struct end_record *record, char out[END_RECORD_MAX]);

/* 0, or -EBADMSG for anything but exactly one line of ours. */
int end_record_parse(const char *text, size_t len, struct end_record *ret);

#endif
