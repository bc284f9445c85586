/* SPDX-License-Identifier: MIT */
/*
 * What an action wants of the package manager, as a plan of steps: each step is one program of the manager's table, run
 * after the other; what they print is gathered in the job, and `finish` answers from it. A step that fails answers the
 * command.
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
	JOB_LIST,	/* all that is installed, into `installed` */
	JOB_LIST_ONE,	/* `name` alone, into `installed`; NOT_FOUND if it is not */
	JOB_LIST_AGAIN, /* into `after` */
	JOB_SEARCH,	/* `words`, into `found` */
	JOB_COUNT,	/* `total` of a search that found too much */
	JOB_EXISTS,	/* NOT_FOUND unless `name` could be installed */
	JOB_SHOW,	/* the record of `name`, into `found` */
	JOB_PENDING,	/* into `pending` */
	JOB_ADVISORIES,
	JOB_SIZES, /* of what is pending */
	JOB_FACTS,
	JOB_HISTORY,
	JOB_SOURCES, /* into `sources`, */
	JOB_LISTS,   /* likewise */
	JOB_JUDGE,   /* no program: fails, or warns, when not all that has to be known of them is */
	JOB_REFRESH, /* what it could not reach into `unreached` */
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
	int64_t since_s;    /* of JOB_HISTORY, */
	bool history_known; /* which has found something to read */
	unsigned days;
	bool security_only;

	struct package_list installed, after, found, pending; /* sorted, except `found` */
	struct package_history history;
	size_t priced;		   /* rows of `pending` whose size has been asked for */
	uint64_t total;		   /* matches of a search; 0: not counted */
	bool truncated;		   /* an output was too large */
	int64_t refreshed_s;	   /* when the manager's lists were; -1: not known */
	bool reboot_required;	   /* if the manager can tell */
	const char *distro;	   /* borrowed from the host collector during `finish`; NULL: not known */
	struct exec_output before; /* what JOB_LIST printed, when it is to be compared with JOB_LIST_AGAIN */
	bool incomparable;	   /* it is not known any more */
	struct package_sources sources, unreached;
	bool refreshed;	       /* JOB_REFRESH has been done by this job */
	bool refresh_failed;   /* the last one before this job, so that of when the lists are is not known */
	bool sources_unknown;  /* what is configured could not be asked */
	bool asks_for_updates; /* of no use without lists: else only warned of */
	char warning[768];     /* "": none */

	char said[128];		     /* a line for people in place of a program's output; "": none */
	struct exec_output out, err; /* of the last step that changed something: for the answer */
};

/* The package manager of this guest, or NULL with the command answered. */
const struct package_manager *package_manager_require(struct command *command);

/* Gives the command a zeroed job; NULL: it has been answered. */
struct package_job *package_job_new(struct command *command);

/* Runs the plan. */
void package_job_start(struct command *command, const enum job_step *plan,
		       void (*finish)(struct command *command, struct package_job *job));

/* package_sources.c: JOB_JUDGE. False with the command answered. */
bool package_job_judge(struct command *command, struct package_job *job);

/* Answers success with `data` (NULL: none) and the kept output. */
void package_job_succeed(struct command *command, void (*data)(struct sink *sink, const char *key, const void *arg),
			 const void *arg);

/*
 * The parameter `key` as the name of a package into *ret. True, also when it is absent and not `needed` (*ret
 * untouched); false with the command answered.
 */
bool package_parameter(struct command *command, const char *key, bool needed, const char **ret);

#endif
