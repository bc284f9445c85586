/* SPDX-License-Identifier: MIT */
/*
 * The health of the guest, as named checks: each looks at one thing the agent already knows (or was given in the facts)
 * and says passed, warning or failed, with numbers. What a check could not look at it says, and has not passed then;
 * what the guest has not got (no such manager, no such measurement, a history of a day) is no fault.
 */
#ifndef AGENT_ACTIONS_HEALTH_H
#define AGENT_ACTIONS_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/sink.h>

#include "agent/metrics/trend.h"

struct action_env;

enum health_status {
	HEALTH_PASSED,
	HEALTH_WARNING,
	HEALTH_FAILED,
};

#define HEALTH_DETAILS_MAX 10

struct health_detail {
	const char *key; /* static */
	bool is_text;
	double number;
	char text[256];
};

struct health_result {
	enum health_status status;
	char message[256];
	struct health_detail details[HEALTH_DETAILS_MAX];
	size_t detail_count;
};

/* Names in a text, as many as fit: "a, b and 3 more". */
#define HEALTH_NAMES_REST 24
struct health_names {
	unsigned count, told;
	char text[256];
};
void health_name(struct health_names *names, const char *name);
/* After the last. */
void health_names_end(struct health_names *names);

/* What the package manager says of what is installed. */
struct health_packages {
	bool managed;		       /* there is a manager that has a list to tell */
	bool interruptible, checkable; /* and can be in the middle of something; and has a check of its own */
	bool list_known, interrupted_known, check_known;
	struct health_names incomplete; /* packages that are neither installed nor gone */
	bool interrupted;		/* the manager itself, in the middle of something */
	bool check_failed;
	unsigned unmet; /* packages that lack what they need */
	char unmet_first[64];
	bool broken; /* its database cannot be read */
};

enum health_clock {
	CLOCK_UNKNOWN,
	CLOCK_FREE,
	CLOCK_SYNCHRONISED,
};

/* What had to be asked for before the checks can be made. */
struct health_facts {
	const struct trend *trend; /* NULL: could not be had */
	unsigned window_days;
	bool units_known, units_absent; /* absent: there is no service manager */
	struct health_names failed;
	bool reboot_asked; /* the distribution has a place where it says so */
	bool reboot_known, reboot_required;
	struct health_packages packages;
	enum health_clock clock;
};

struct health_check {
	const char *name;
	/* What of the facts it needs. */
	bool needs_trend, needs_units, needs_reboot, needs_packages, needs_clock;
	void (*run)(struct action_env *env, const struct health_facts *facts, struct health_result *result);
};

/* The checks in the order they are shown; NULL after the last. */
const struct health_check *health_check_at(size_t index);
/* By its name, or one that hosts use for it, in any case. NULL: there is none. */
const struct health_check *health_check_find(const char *name);

/* "passed", "warning", "failed" */
const char *health_status_name(enum health_status status);

/* {status, message, details} under `key`. */
void health_emit(struct sink *out, const char *key, const struct health_result *result);

/*
 * Shares of a minute, in percent, in which some tasks waited for a CPU, memory, I/O; or -errno: -ENOENT is a kernel
 * that does not measure.
 */
#define HEALTH_PRESSURES 3
void health_judge_pressure(const double values[HEALTH_PRESSURES], struct health_result *result);

/* For the checks: the worse status stays. */
__attribute__((format(printf, 3, 4))) void health_say(struct health_result *result, enum health_status status,
						      const char *format, ...);
void health_number(struct health_result *result, const char *key, double value);
void health_text(struct health_result *result, const char *key, const char *value);

#endif
