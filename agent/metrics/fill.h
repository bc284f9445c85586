/* SPDX-License-Identifier: MIT */
/*
 * Puts back into a sample of the past what only whole samples have (PROTOCOL.md), from the whole one before it: of each
 * collector what it names in collector.h, in objects of lists by their `name` or `mount_point`.
 */
#ifndef AGENT_METRICS_FILL_H
#define AGENT_METRICS_FILL_H

#include <stdbool.h>

struct json_object;

/* True for a sample that has all there is. */
bool fill_is_whole(struct json_object *sample);

/*
 * Fills `sample` (a metrics message) from `whole`, one before it, and marks it `filled`; what it has itself stays.
 * Values are shared by reference. 0, or -ENOMEM: it may be filled in part.
 */
int fill_sample(struct json_object *sample, struct json_object *whole);

#endif
