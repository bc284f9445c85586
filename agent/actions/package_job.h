/* SPDX-License-Identifier: MIT */
/*
 * A package action as a plan of steps. Each step runs one program of the package manager's table; the parsed output is
 * gathered in the job, and the answer is made from it. A step that fails answers the command.
 *
 *	package_job_start ─► program ─► parser ─► next step … ─► the answer, with `data` of the task
 */
#ifndef AGENT_ACTIONS_PACKAGE_JOB_H
#define AGENT_ACTIONS_PACKAGE_JOB_H

#include <infiniservice/sink.h>

#include "agent/actions/run.h"
#include "agent/command/action.h"
#include "agent/packages/package.h"
#include "agent/run/exec.h"

struct command;
struct package_job;

enum job_step {
	JOB_END,
	JOB_LIST,	/* the installed packages, into `installed` */
	JOB_LIST_ONE,	/* `name` alone, into `installed`; NOT_FOUND if it is not */
	JOB_LIST_AGAIN, /* the installed packages, into `after` */
	JOB_SEARCH,	/* `words`, into `found` */
	JOB_COUNT,	/* `total` of a search whose output was truncated */
	JOB_EXISTS,	/* NOT_FOUND unless `name` could be installed */
	JOB_SHOW,	/* the record of `name`, into `found` */
	JOB_PENDING,	/* the pending updates, into `pending` */
	JOB_ADVISORIES,
	JOB_SIZES, /* download sizes of the packages in `pending` */
	JOB_FACTS,
	JOB_HISTORY,
	JOB_SOURCES, /* the repositories, into `sources` */
	JOB_LISTS,   /* likewise */
	JOB_JUDGE,   /* no program: fails or warns when too little is known of the repositories */
	JOB_REFRESH, /* refreshes the lists; repositories not reached, into `unreached` */
	JOB_INSTALL,
	JOB_REMOVE,
	JOB_UPDATE,
	JOB_UPDATE_ALL,
	JOB_STEPS,
};

/* The parameter of a package action. */
enum package_parameter {
	PACKAGE_TAKES_NOTHING,
	PACKAGE_TAKES_NAME,	 /* "package" */
	PACKAGE_MAY_TAKE_NAME,	 /* likewise, optional */
	PACKAGE_TAKES_INSTALLED, /* "app_id": the data is null if that package is not installed */
	PACKAGE_TAKES_QUERY,
	PACKAGE_TAKES_DAYS,
};

/* What an action does with the package manager. */
struct package_task {
	enum policy_group group;
	enum package_parameter takes;
	const enum job_step *plan; /* ends with JOB_END */
	/*
	 * Writes the data of the answer into an open object; `row`: the installed package of PACKAGE_TAKES_INSTALLED.
	 * NULL: no data.
	 */
	void (*data)(struct sink *out, const struct package_job *job, const struct package *row);
	bool asks_for_updates;		  /* missing lists are an error; false: they are a warning */
	bool security_only;		  /* other updates are left out */
	bool counts_aloud;		  /* a line for people that counts the updates stands beside the data */
	const enum job_step *plan_of_one; /* the plan if an optional name was given; NULL: the same */
};

struct package_job {
	struct command *command;
	const struct package_task *task;
	const struct package_manager *manager;
	const enum job_step *plan; /* what is left of it; ends with JOB_END */

	const char *name; /* borrowed from the command's message; NULL: none */
	char query[1024];
	char escaped[PACKAGE_WORDS_MAX][264];
	const char *words[PACKAGE_WORDS_MAX];
	size_t word_count;
	int64_t days;	    /* that JOB_HISTORY reads; 0: none */
	bool history_known; /* JOB_HISTORY found a log to read */

	struct package_list installed, after, found, pending; /* sorted, except `found` */
	struct package_history history;
	size_t priced;		   /* number of rows of `pending` that JOB_SIZES has passed */
	uint64_t total;		   /* matches of a search; 0: not counted */
	bool truncated;		   /* an output was too large */
	int64_t refreshed_s;	   /* time of the last refresh of the lists, seconds since 1970; -1: not known */
	bool reboot_required;	   /* false also when the manager cannot tell */
	struct exec_output before; /* output of JOB_LIST, kept if JOB_LIST_AGAIN is compared with it */
	bool incomparable;	   /* `before` has been lost */
	struct package_sources sources, unreached;
	bool refreshed;	      /* JOB_REFRESH has been done by this job */
	bool refresh_failed;  /* the last refresh before this job failed: the age of the lists is not known */
	bool sources_unknown; /* the configured repositories could not be read */
	char warning[768];    /* "": none */

	struct exec_output out, err; /* of the last step that changed the system, for the answer */
};

/* The package manager of this guest, or NULL. */
const struct package_manager *package_manager_find(void);
/* The same, with the command answered when there is none. */
const struct package_manager *package_manager_require(struct command *command);

/*
 * Asks this program of the package manager, which takes no names, as run_program does with argv and `question` set by
 * it. False: the manager has no such program, or the guest has not; the command has not been answered.
 */
bool package_run(struct command *command, const struct package_manager *manager, enum package_step at, struct run run);

/* Gives the command a zeroed job. NULL: the guest has no manager, or no memory; the command has been answered. */
struct package_job *package_job_new(struct command *command, const struct package_task *task);

/* Runs the plan, and answers the command. */
void package_job_start(struct package_job *job, const enum job_step *plan);

/*
 * package_emit.c: functions for `data` of a task. In the order of their keys: {packages:[…]}, the installed packages,
 * or those that a search found.
 */
void package_emit_installed(struct sink *out, const struct package_job *job, const struct package *row);
void package_emit_found(struct sink *out, const struct package_job *job, const struct package *row);
/* {pending_updates:[…], …}, with `history` if the job has read it; the second one adds `applications`. */
void package_emit_updates(struct sink *out, const struct package_job *job, const struct package *row);
void package_emit_updates_and_applications(struct sink *out, const struct package_job *job, const struct package *row);
/* {applications:[…], summary}: all applications, or those that have an update. */
void package_emit_applications(struct sink *out, const struct package_job *job, const struct package *row);
void package_emit_updatable(struct sink *out, const struct package_job *job, const struct package *row);
/* {updates:[…], days, …}: the changes in the package log, newest first, a bounded number. */
void package_emit_history(struct sink *out, const struct package_job *job, const struct package *row);
/* The package `row` as an application, {application, metadata}, or {app_id, size_bytes, …}. */
void package_emit_application(struct sink *out, const struct package_job *job, const struct package *row);
void package_emit_details(struct sink *out, const struct package_job *job, const struct package *row);
void package_emit_size(struct sink *out, const struct package_job *job, const struct package *row);
/* {updated:[…], reboot_required}: the packages whose version differs from that before the update. */
void package_emit_updated(struct sink *out, const struct package_job *job, const struct package *row);

/* The number of updates in `pending`, or of those for security; with `security_only` of the task always the latter. */
uint64_t package_count_updates(const struct package_job *job, bool security);

#endif
