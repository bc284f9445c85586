/* SPDX-License-Identifier: MIT */
/*
 * The package managers, in one table: for each step of an action the program, its arguments and the parser of its
 * output. A step that a manager does not have is absent, and the action says so.
 */
#ifndef AGENT_PACKAGES_MANAGER_H
#define AGENT_PACKAGES_MANAGER_H

#include "agent/packages/package.h"

enum package_step {
	PACKAGE_LIST,	     /* installed packages; with names, only those */
	PACKAGE_SEARCH,	     /* by words */
	PACKAGE_COUNT,	     /* only the number of results, when their records are too many */
	PACKAGE_SHOW,	     /* records by name */
	PACKAGE_PENDING,     /* what an update of all packages would install */
	PACKAGE_ADVISORIES,  /* which of those are security updates, where their origin does not tell */
	PACKAGE_FACTS,	     /* modification times of files: lists and reboot flag */
	PACKAGE_HISTORY,     /* the log of changes */
	PACKAGE_INTERRUPTED, /* names of files that show an interrupted run of the manager */
	PACKAGE_CHECK,	     /* whether dependencies of all installed packages are met: exit code 0 if so */
	PACKAGE_EXCLUDES,    /* configured exclusions of files: rules for verify.h */
	PACKAGE_SOURCES,     /* configured repositories */
	PACKAGE_LISTS,	     /* repositories that have lists */
	PACKAGE_REFRESH,     /* this and the next steps change the guest */
	PACKAGE_INSTALL,
	PACKAGE_REMOVE,
	PACKAGE_UPDATE,
	PACKAGE_UPDATE_ALL,
	PACKAGE_VERIFY, /* compares files with their packages; needs privilege, changes nothing */
	PACKAGE_STEPS,
};

/* How the words of a search are passed to the manager. */
enum package_form {
	PACKAGE_FORM_PLAIN,
	PACKAGE_FORM_REGEX, /* "+" and "." are escaped; the manager searches names and descriptions */
	/*
	 * "*word*" matched against names, any of the words; results that do not match all words are dropped afterwards.
	 */
	PACKAGE_FORM_GLOB,
};

struct package_command {
	const char *const
		*argv; /* argv[0] is a name, searched in runner_directories; ends with NULL; names are appended */
	int (*parse)(const char *text, size_t len, struct package_list *list);
	void (*sources)(const char *text, size_t len,
			struct package_sources *sources); /* reads repositories in its output, both streams */
	int also_ok;					  /* an exit code besides 0 that means success; 0: none */
	enum package_form form;
};

struct package_manager {
	const char *name;	 /* "apt", "dnf", "apk" */
	const char *probe;	 /* the manager is present when this program is */
	const char *lists_path;	 /* its modification time is that of the lists' refresh; NULL: unknown */
	const char *reboot_path; /* exists when a reboot is due; NULL: unknown */
	int (*history)(const char *text, size_t len, int64_t since_s,
		       struct package_history *history); /* parser of PACKAGE_HISTORY */
	bool lower_case;				 /* names have no capitals and no "_" */
	bool architectures;				 /* names may have ":amd64" behind them */
	struct package_command steps[PACKAGE_STEPS];	 /* argv NULL: absent */
};

/* The managers in order of preference; NULL after the last. */
const struct package_manager *package_manager_at(size_t index);

/* Whether the manager takes `name` as a plain package name: no version, release, suffix or pattern. */
bool package_manager_takes(const struct package_manager *manager, const char *name);

#define PACKAGE_ARGS_MAX 960 /* below the limit of 1024 in a request to the executor */

/*
 * The argv of a step: `path` (the program's, found by the caller), the fixed arguments, then `names`. 0, or -E2BIG.
 * `argv` has PACKAGE_ARGS_MAX entries.
 */
int package_argv(const struct package_command *step, const char *path, const char *const names[], size_t count,
		 const char *argv[PACKAGE_ARGS_MAX]);

/* Writes a search word in this form. 0 or -E2BIG. */
int package_word_form(enum package_form form, const char *word, char *out, size_t size);

#endif
