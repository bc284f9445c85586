/* SPDX-License-Identifier: MIT */
/*
 * A VM's last hour for who looks at it: asked from the guest's log, reduced to a few figures of at most 240 samples as
 * they come, and forgotten a minute later. What a guest answers costs at most one place of these, which are few.
 */
#ifndef HUB_HOUR_H
#define HUB_HOUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "tools/hub/vm.h"

#define HOUR_POINTS_MAX 240
#define HOUR_MS		(60 * 60 * 1000)
#define HOURS_MAX	16 /* VMs that are looked at within a minute; a further one waits for a place */

enum hour_value {
	HOUR_CPU,
	HOUR_STEAL,
	HOUR_MEMORY,
	HOUR_DISK,
	HOUR_PRESSURE,
	HOUR_RECEIVED,
	HOUR_SENT,
	HOUR_READ,
	HOUR_WRITTEN,
	HOUR_VALUES,
};

struct hour_point {
	int64_t at_ms;		   /* the guest's clock */
	float values[HOUR_VALUES]; /* percent, and bytes a second of all interfaces and disks; NAN: not known */
};

struct hour;
struct hours {
	struct hour *all[HOURS_MAX];
};

/* The figures of a sample. False: it has no time. */
bool hour_point_of(struct json_object *sample, struct hour_point *ret);

/*
 * The VM's last hour as far as it is known, to be put: `state` ("asking", "told", "failed", "busy"), `reason`,
 * `begin_ms` and `end_ms` of the guest's clock, `keys`, and `points`, each an array of its time and its values in the
 * order of `keys`. Asks the guest when that has not been done within the last minute.
 */
struct json_object *hours_tell(struct hours *hours, struct vm *vm, uint64_t now_ns);

/* Takes a message of the VM. False: it belongs to nothing that was asked here. */
bool hours_take(struct hours *hours, const struct vm *vm, struct json_object *message, const char *type);

/* Once a second: forgets what is old. */
void hours_tick(struct hours *hours, uint64_t now_ns);
void hours_free(struct hours *hours);

#endif
