/* SPDX-License-Identifier: MIT */
/*
 * Advice on the size of the guest, by pure rules over the measured shares of a trend. There is no advice without
 * history, and none about resources that were not measured.
 */
#ifndef AGENT_METRICS_ADVICE_H
#define AGENT_METRICS_ADVICE_H

#include "agent/metrics/trend.h"

#define ADVICE_MAX (2 + TREND_MOUNTS)

struct advice {
	char resource[140]; /* "cpu", "memory", "disk:/var" */
	double current, recommended;
	const char *unit; /* "cores", "MB", "GB": static */
	char reason[200];
	double savings_percent; /* of the resource; 0 when more of it is recommended */
};

/* Fills at most ADVICE_MAX; returns how many. None when trend_enough is false. */
size_t advice_make(const struct trend *trend, struct advice out[ADVICE_MAX]);

#endif
