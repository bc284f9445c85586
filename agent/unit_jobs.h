/* SPDX-License-Identifier: MIT */
/*
 * Jobs of the service manager: one verb for some units, and the wait until each job has ended. Each unit is judged
 * first (unit_judge.h): one that may not be controlled is refused with UNIT_ERROR_DENIED, and nothing is asked for. The
 * end of a job is a signal (JobRemoved) that everybody who subscribed gets; the reply to the verb names the job, and
 * comes before the signal.
 */
#ifndef AGENT_UNIT_JOBS_H
#define AGENT_UNIT_JOBS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/bus/bus.h"
#include "agent/unit_judge.h"
#include "agent/base/unit_name.h"
#include "agent/rules/unit_rules.h"

struct command;
struct config;
struct privilege_operation;

#define UNIT_JOBS_MAX 64

struct unit_job {
	struct unit_jobs *jobs;
	char unit[UNIT_NAME_SIZE];
	char path[64];		 /* of the job while it runs; "" before and after */
	struct unit_judge judge; /* before anything is asked for */
	struct bus_call *call;
	struct privilege_operation *operation; /* instead of the call: the executor does it */
	bool ended;
	bool refused;	 /* there was no job: `error` and `name` are the peer's words */
	char result[32]; /* of a job: "done", "failed", "canceled", "timeout", "dependency", "skipped" */
	char name[128];
	char error[UNIT_RULES_WORDS_SIZE];
};

/* All jobs have ended, or (error < 0) the bus has gone. Called once, never from within unit_jobs_start. */
typedef void (*unit_jobs_fn)(void *data, int error);

struct unit_jobs {
	struct bus *bus;
	struct bus_watch *watch;
	struct bus_call *subscription;
	struct unit_job *list;
	size_t count, running;
	const char *verb;
	struct command *command; /* the executor does it for; NULL: the bus does */
	char sender[32];	 /* who answered; only its signals count */
	bool heard;		 /* the manager has answered */
	unit_jobs_fn done;
	void *data;
};

/*
 * `verb` (static): StartUnit, StopUnit, RestartUnit …, on at most UNIT_JOBS_MAX units. 0, or -errno with `jobs` as
 * after unit_jobs_done. `jobs` has to stay where it is until then.
 */
int unit_jobs_start(struct unit_jobs *jobs, struct bus *bus, const struct config *config, const char *verb,
		    char (*units)[UNIT_NAME_SIZE], size_t count, unit_jobs_fn done, void *data);

/* The same on behalf of a command: by ourselves, or by the executor when it takes rights that we have not. */
int unit_jobs_start_for(struct unit_jobs *jobs, struct command *command, const char *verb,
			char (*units)[UNIT_NAME_SIZE], size_t count, unit_jobs_fn done, void *data);

/* Stops waiting; the jobs go on. Accepts a zeroed one. */
void unit_jobs_done(struct unit_jobs *jobs);

/* True if the job ended as it should. */
bool unit_job_succeeded(const struct unit_job *job);

/* True if it was not done because the unit is not to be controlled. */
bool unit_job_denied(const struct unit_job *job);

#endif
