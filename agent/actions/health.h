/* SPDX-License-Identifier: MIT */
/*
 * The health of the guest, as named checks. Each check judges one subject from cached values or from the facts, and
 * gives passed, warning or failed, with numbers. A check that could not read its subject says so and does not pass;
 * what the guest does not have (a package manager, a measurement, a day of history) is no fault.
 *
 * The facts that the agent has no cached value of are gathered first, one after the other: the trend of the metric log
 * (a helper), failed units (D-Bus), the clock (the kernel, or D-Bus where the sandbox forbids asking the kernel), the
 * reboot flag and the state of the packages (programs: the loop touches no disk).
 */
#ifndef AGENT_ACTIONS_HEALTH_H
#define AGENT_ACTIONS_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/metrics/trend.h"

struct action_env;
struct bus_call;
struct command;
struct sink;

enum health_status {
	HEALTH_PASSED,
	HEALTH_WARNING,
	HEALTH_FAILED,
};

/* "passed", "warning", "failed" */
const char *health_status_name(enum health_status status);

/* ------------------------------------------------------------------------------------------------------- the facts */

/* The kinds of facts, as a set of bits; those that a program of the package manager knows come last. */
enum {
	HEALTH_TREND = 1,
	HEALTH_UNITS = 2,
	HEALTH_CLOCK = 4,
	HEALTH_REBOOT = 8,
	HEALTH_PACKAGES = 16,
	HEALTH_FACTS = 31,
};

/* A list of names as text, as many as fit: "a, b and 3 more". */
struct health_names {
	unsigned count, told;
	char text[256];
};

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

/* What the checks judge: the values that the agent holds, and the facts that have to be gathered before. */
struct health_facts {
	struct action_env *env;
	const struct trend *trend; /* NULL: not available */
	unsigned window_days;
	bool units_known, units_absent; /* absent: there is no service manager */
	struct health_names failed;
	bool reboot_asked; /* the distribution marks a required reboot somewhere */
	bool reboot_known, reboot_required;
	struct health_packages packages;
	enum health_clock clock;
};

/* The window of the trend, except where a host asks for another one. */
#define HEALTH_WINDOW_DAYS 7

/* The work of a command that gathers facts. */
struct health_work {
	struct command *command;
	const struct health_check *one; /* for which the facts are gathered; NULL: no single one */
	unsigned wanted;		/* facts that are still to be gathered */
	unsigned program;		/* index of the package manager's next program */
	void (*finish)(struct command *command, struct health_work *work);

	struct trend_job *job;
	struct bus_call *call;
	struct trend trend;
	struct health_facts facts;
};

/*
 * Gives the command its work, gathers the wanted facts (0: those that `one` needs), then calls `finish`, which answers.
 * Facts that are not available are left unknown.
 */
void health_gather(struct command *command, unsigned wanted, const struct health_check *one, unsigned window_days,
		   void (*finish)(struct command *command, struct health_work *work));

/* ------------------------------------------------------------------------------------------------------ the checks */

#define HEALTH_DETAILS_MAX 10

struct health_detail {
	const char *key; /* static */
	bool is_text;
	double number;
	char text[256];
};

struct health_result {
	const char *name; /* of the check; static */
	enum health_status status;
	char message[256];
	struct health_detail details[HEALTH_DETAILS_MAX];
	size_t detail_count;
};

struct health_check {
	const char *name, *alias; /* the alias, or NULL, is another name that hosts use */
	unsigned needs;		  /* facts */
	void (*run)(const struct health_facts *facts, struct health_result *result);
};

/* In the order they are shown. */
#define HEALTH_CHECKS 12
extern const struct health_check health_checks[HEALTH_CHECKS];
/* Finds a check by its name or its alias, in upper or lower case. NULL: there is none. */
const struct health_check *health_check_find(const char *name);

/* {status, message, details} under `key`; `named`: the name of the check goes into the details. */
void health_emit(struct sink *out, const char *key, const struct health_result *result, bool named);

/* The results of all checks, made at one time; to be freed with free(). NULL: out of memory. */
struct health_results {
	struct health_result list[HEALTH_CHECKS]; /* in the order of health_checks */
	const struct health_result *worst;	  /* the first of them, if several are */
};
struct health_results *health_results_new(const struct health_facts *facts);
/*
 * Writes overall_health and one object under the name of each check into an open object. Hosts take every key there for
 * a check and would show any other value as a fault of the guest, so nothing else is written.
 */
void health_results_emit(struct sink *out, const struct health_results *results);

#endif
