/* SPDX-License-Identifier: MIT */
/*
 * The health of the guest, as named checks. Each check judges one subject from cached values or from the facts, and
 * gives passed, warning or failed, with numbers. A check that could not read its subject says so and does not pass;
 * what the guest does not have (a package manager, a measurement, a day of history) is no fault.
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

/* A list of names as text, as many as fit: "a, b and 3 more". */
#define HEALTH_NAMES_REST 24
struct health_names {
	unsigned count, told;
	char text[256];
};
void health_name(struct health_names *names, const char *name);
/* To be called after the last name. */
void health_names_end(struct health_names *names);

/* The state of the installed packages, as the package manager reports it. */
struct health_packages {
	bool managed;		       /* there is a package manager that can list packages */
	bool interruptible, checkable; /* it can be interrupted in an operation; it has a check of its own */
	bool list_known, interrupted_known, check_known;
	struct health_names incomplete; /* packages that are neither installed nor removed */
	bool interrupted;		/* the manager was interrupted in an operation */
	bool check_failed;
	unsigned unmet; /* packages with unmet dependencies */
	char unmet_first[64];
	bool broken; /* the manager's database cannot be read */
};

enum health_clock {
	CLOCK_UNKNOWN,
	CLOCK_FREE,
	CLOCK_SYNCHRONISED,
};

/* The facts that have to be gathered before the checks can run. */
struct health_facts {
	const struct trend *trend; /* NULL: not available */
	unsigned window_days;
	bool units_known, units_absent; /* absent: there is no service manager */
	struct health_names failed;
	bool reboot_asked; /* the distribution marks a required reboot somewhere */
	bool reboot_known, reboot_required;
	struct health_packages packages;
	enum health_clock clock;
};

struct health_check {
	const char *name;
	/* The facts that the check needs. */
	bool needs_trend, needs_units, needs_reboot, needs_packages, needs_clock;
	void (*run)(struct action_env *env, const struct health_facts *facts, struct health_result *result);
};

/* The checks in the order they are shown; NULL after the last. */
const struct health_check *health_check_at(size_t index);
/* Finds a check by its name or by an alias that hosts use, in upper or lower case. NULL: there is none. */
const struct health_check *health_check_find(const char *name);

/* "passed", "warning", "failed" */
const char *health_status_name(enum health_status status);

/* {status, message, details} under `key`. */
void health_emit(struct sink *out, const char *key, const struct health_result *result);

/*
 * Judges the pressure: the shares of a minute, in percent, in which some tasks waited for a CPU, memory, I/O; or -errno
 * (-ENOENT: the kernel does not measure it).
 */
#define HEALTH_PRESSURES 3
void health_judge_pressure(const double values[HEALTH_PRESSURES], struct health_result *result);

/* For the checks: sets the status and the message, unless the status so far is worse. */
__attribute__((format(printf, 3, 4))) void health_say(struct health_result *result, enum health_status status,
						      const char *format, ...);
void health_number(struct health_result *result, const char *key, double value);
void health_text(struct health_result *result, const char *key, const char *value);

#endif
