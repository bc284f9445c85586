/* SPDX-License-Identifier: MIT */
/*
 * Runs one verb of the service manager on several units, through the executor, and waits until every job has ended.
 * Each unit is judged first, by the properties that the manager reports for it (unit_rules.h): a unit that must not be
 * controlled is refused with UNIT_ERROR_DENIED, and no job is requested for it. Every verb that changes a unit goes
 * through here.
 *
 *	unit_jobs_start ─► per unit: LoadUnit ─► GetAll ─► judged ─► operation of the executor ─► ended
 *	                                                      └► refused
 */
#ifndef AGENT_ACTIONS_UNIT_JOBS_H
#define AGENT_ACTIONS_UNIT_JOBS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/rules/unit_rules.h"
#include "agent/runner/protocol.h"

struct bus_call;
struct command;
struct privilege_operation;

#define UNIT_JOBS_MAX 64

struct unit_job {
	struct unit_jobs *jobs;
	char unit[UNIT_NAME_SIZE];
	struct bus_call *call;		       /* outstanding, while the unit is judged, */
	struct privilege_operation *operation; /* and then the job itself */
	bool refused;	 /* there was no job; `name` and `error` are the name and text of the peer's error */
	char result[32]; /* "done", "failed", "canceled", "timeout", "dependency", "skipped" */
	char name[128];
	char error[UNIT_RULES_WORDS_SIZE];
};

/* All jobs have ended. Called once, never from within unit_jobs_start. */
typedef void (*unit_jobs_fn)(struct command *command);

struct unit_jobs {
	struct command *command;
	struct unit_job *list;
	size_t count, running;
	enum runner_operation verb;
	unit_jobs_fn done;
};

/*
 * `verb`: START, STOP, RESTART, ENABLE or DISABLE, on at most UNIT_JOBS_MAX units, on behalf of a command that has a
 * struct bus_work. 0, or -errno with `jobs` as after unit_jobs_done. `jobs` has to stay where it is until
 * unit_jobs_done.
 */
int unit_jobs_start(struct unit_jobs *jobs, struct command *command, enum runner_operation verb,
		    char (*units)[UNIT_NAME_SIZE], size_t count, unit_jobs_fn done);

/* Stops waiting; the jobs go on. Accepts zeroed memory. */
void unit_jobs_done(struct unit_jobs *jobs);

/* True if the job ended as it should. */
bool unit_job_succeeded(const struct unit_job *job);

/* True if the job was refused because the unit must not be controlled. */
bool unit_job_denied(const struct unit_job *job);

/*
 * Stores the full name of the unit that the parameter gives; "" when it is missing and not `required`. False: the
 * command has been answered.
 */
bool unit_jobs_parameter(struct command *command, const char *parameter, bool required, char unit[UNIT_NAME_SIZE]);

/* True if the name alone forbids controlling the unit: then the command has been answered POLICY_DENIED. */
bool unit_jobs_denied_by_name(struct command *command, const char *unit);

#endif
