/* SPDX-License-Identifier: MIT */
/*
 * A package action as a plan of steps. Each step runs one program of the package manager's table; the parsed output is
 * gathered in the job, and `finish` answers from it. A step that fails answers the command.
 *
 *	package_job_start(plan) ─► program ─► parser ─► next step … ─► finish(command, job)
 */
#ifndef AGENT_ACTIONS_PACKAGE_JOB_H
#define AGENT_ACTIONS_PACKAGE_JOB_H

#include <infiniservice/sink.h>

#include "agent/command/action.h"
#include "agent/run/exec.h"
#include "agent/packages/manager.h"

struct command;

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

struct package_job {
	const struct package_manager *manager;
	const enum job_step *plan; /* ends with JOB_END; static */
	void (*finish)(struct command *command, struct package_job *job);

	const char *name; /* borrowed from the command's message; NULL: none */
	char query[1024];
	char escaped[PACKAGE_WORDS_MAX][264];
	const char *words[PACKAGE_WORDS_MAX];
	size_t word_count;
	int64_t since_s;    /* the time from which JOB_HISTORY reads */
	bool history_known; /* JOB_HISTORY found a log to read */
	unsigned days;
	bool security_only;

	struct package_list installed, after, found, pending; /* sorted, except `found` */
	struct package_history history;
	size_t priced;		   /* number of rows of `pending` that JOB_SIZES has passed */
	uint64_t total;		   /* matches of a search; 0: not counted */
	bool truncated;		   /* an output was too large */
	int64_t refreshed_s;	   /* time of the last refresh of the lists, seconds since 1970; -1: not known */
	bool reboot_required;	   /* false also when the manager cannot tell */
	const char *distro;	   /* borrowed from the host collector during `finish`; NULL: not known */
	struct exec_output before; /* output of JOB_LIST, kept if JOB_LIST_AGAIN is compared with it */
	bool incomparable;	   /* `before` has been lost */
	struct package_sources sources, unreached;
	bool refreshed;	       /* JOB_REFRESH has been done by this job */
	bool refresh_failed;   /* the last refresh before this job failed: the age of the lists is not known */
	bool sources_unknown;  /* the configured repositories could not be read */
	bool asks_for_updates; /* missing lists are an error; false: they are a warning */
	char warning[768];     /* "": none */

	char said[128];		     /* a line for people in place of a program's output; "": none */
	struct exec_output out, err; /* of the last step that changed the system, for the answer */
};

/* The package manager of this guest, or NULL with the command answered. */
const struct package_manager *package_manager_require(struct command *command);

/* Gives the command a zeroed job. NULL: out of memory, and the command has been answered. */
struct package_job *package_job_new(struct command *command);

/* Runs the plan. */
void package_job_start(struct command *command, const enum job_step *plan,
		       void (*finish)(struct command *command, struct package_job *job));

/* package_sources.c: JOB_JUDGE. False with the command answered. */
bool package_job_judge(struct command *command, struct package_job *job);

/* Answers success with `data` (NULL: none), `out` and `err`. */
void package_job_succeed(struct command *command, void (*data)(struct sink *sink, const char *key, const void *arg),
			 const void *arg);

/*
 * The parameter `key` as the name of a package into *ret. True, also when it is absent and not `needed` (*ret
 * untouched); false with the command answered.
 */
bool package_parameter(struct command *command, const char *key, bool needed, const char **ret);

#endif
