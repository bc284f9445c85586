/* SPDX-License-Identifier: MIT */
/*
 * The package managers, behind one table: for each thing an action may want, the program, its arguments and the parser
 * of its output. What a manager does not have is absent, and the answer says so.
 */
#ifndef AGENT_PACKAGES_MANAGER_H
#define AGENT_PACKAGES_MANAGER_H

#include "agent/packages/parse.h"
#include "agent/packages/sources.h"

enum package_step {
	PACKAGE_LIST,	     /* what is installed; with names, those alone */
	PACKAGE_SEARCH,	     /* of words */
	PACKAGE_COUNT,	     /* the lines of a search, when its records are too many */
	PACKAGE_SHOW,	     /* records of names */
	PACKAGE_PENDING,     /* what an update of all would bring */
	PACKAGE_ADVISORIES,  /* which of those are for security, where their origin does not say it */
	PACKAGE_FACTS,	     /* times of files: lists and reboot flag */
	PACKAGE_HISTORY,     /* the log of changes */
	PACKAGE_INTERRUPTED, /* names of files that say that the manager was interrupted */
	PACKAGE_CHECK,	     /* whether all that is installed has what it needs: ends with another code than 0 if not */
	PACKAGE_EXCLUDES,    /* files that the manager was told to leave out: rules as verify.h reads them */
	PACKAGE_SOURCES,     /* the repositories that are configured, */
	PACKAGE_LISTS,	     /* and of which of them there are lists */
	PACKAGE_REFRESH,     /* from here on: changes the guest */
	PACKAGE_INSTALL,
	PACKAGE_REMOVE,
	PACKAGE_UPDATE,
	PACKAGE_UPDATE_ALL,
	PACKAGE_VERIFY, /* files against what their packages brought; needs rights, changes nothing */
	PACKAGE_STEPS,
};

/* How the words of a search are handed over. */
enum package_form {
	PACKAGE_FORM_PLAIN,
	PACKAGE_FORM_REGEX, /* "+" and "." are escaped; the manager looks for them in names and descriptions */
	PACKAGE_FORM_GLOB,  /* "*word*", of names alone and any of them: what does not match all words is left out
			       afterwards */
};

struct package_command {
	const char *const
		*argv; /* argv[0] is a name, to be found in the fixed directories; ends with NULL; names follow */
	int (*parse)(const char *text, size_t len, struct package_list *list);
	void (*sources)(const char *text, size_t len,
			struct package_sources *sources); /* what it says of repositories, in either stream */
	int also_ok;					  /* an exit code beside 0 that is no failure; 0: none */
	enum package_form form;
};

struct package_manager {
	const char *name;	 /* "apt", "dnf", "apk" */
	const char *probe;	 /* there when this program is */
	const char *lists_path;	 /* changed when the lists were refreshed; NULL: not known */
	const char *reboot_path; /* there when a reboot is due; NULL: not known */
	int (*history)(const char *text, size_t len, int64_t since_s,
		       struct package_history *history); /* of PACKAGE_HISTORY */
	bool lower_case;				 /* names have no capitals and no "_", */
	bool architectures;				 /* and may have ":amd64" behind them */
	struct package_command steps[PACKAGE_STEPS];	 /* argv NULL: not there */
};

/* The managers in the order of preference; NULL after the last. */
const struct package_manager *package_manager_at(size_t index);

/* A name this manager may be given, and takes for a name: no version, release, suffix or pattern. */
bool package_manager_takes(const struct package_manager *manager, const char *name);

#define PACKAGE_ARGS_MAX 960 /* a request to the executor holds 1024 */

/*
 * The argv of a step: `path` (the program's, found by the caller), the fixed arguments, then `names`. 0, or -E2BIG.
 * `argv` has PACKAGE_ARGS_MAX places.
 */
int package_argv(const struct package_command *step, const char *path, const char *const names[], size_t count,
		 const char *argv[PACKAGE_ARGS_MAX]);

/* The word of a search as this form has it. 0 or -E2BIG. */
int package_word_form(enum package_form form, const char *word, char *out, size_t size);

#endif
