/* SPDX-License-Identifier: MIT */
/*
 * Between the prober and its child, one SOCK_SEQPACKET message each: the head, then the argument or the data.
 */
#ifndef AGENT_METRICS_PROBER_WIRE_H
#define AGENT_METRICS_PROBER_WIRE_H

#include <stdint.h>

#include <infiniservice/collector.h>

struct prober_wire {
	uint64_t id; /* of the request; the answer repeats it */
	int32_t kind;
	int32_t error; /* of the answer: 0 or -errno */
};

struct prober_wire_request {
	struct prober_wire head;
	unsigned char arg[PROBE_ARG_MAX];
};

struct prober_wire_answer {
	struct prober_wire head;
	unsigned char data[PROBE_DATA_MAX];
};

#endif
