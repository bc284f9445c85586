/* SPDX-License-Identifier: MIT */
/*
 * Packages as data: rows whose texts are owned by their list. The parsers of each package manager write it and the
 * actions read it; they do not depend on each other. What a manager does not report is NULL or -1, never a guess.
 */
#ifndef AGENT_PACKAGES_PACKAGE_H
#define AGENT_PACKAGES_PACKAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows of a list; more than any distribution has. Further rows are dropped and set `truncated`. */
#define PACKAGES_MAX 200000

struct package {
	const char *name;
	const char *version;   /* installed; NULL: not installed */
	const char *candidate; /* version available for installation; NULL: nothing newer is known */
	const char *architecture, *summary, *publisher, *section, *source, *repository, *homepage, *depends;
	/* The manager's name of its state: "installed", "half-configured", …; static. NULL: not present. */
	const char *state;
	bool held;	/* excluded from changes */
	bool reinstall; /* broken: has to be installed again */
	bool installed, security;
	int64_t installed_kb, download_bytes; /* -1: unknown */
	int64_t installed_s;		      /* time of installation, seconds since 1970; -1: unknown */
};

struct package_chunk;

struct package_list {
	struct package *rows;
	size_t count, room;
	struct package_chunk *chunks;
	bool truncated;
};

/* Frees the list's memory. Accepts a zeroed list. */
void package_list_done(struct package_list *list);

/*
 * Adds a row with all fields unknown; valid until the next addition. NULL when out of memory or over PACKAGES_MAX (then
 * truncated).
 */
struct package *package_list_add(struct package_list *list);

/* Copies the bytes to memory owned by the list; "" becomes NULL. NULL when out of memory. */
const char *package_list_text(struct package_list *list, const char *bytes, size_t len);

/* Sorts by name, then architecture. */
void package_list_sort(struct package_list *list);

/* Searches a sorted list; `architecture` NULL: the first of that name. NULL if there is none. */
struct package *package_list_find(const struct package_list *list, const char *name, const char *architecture);

/*
 * The counterpart of `row`, of the sorted list `of`, in another sorted list: the row of its name and architecture;
 * else, where a package changed between all architectures ("all", "noarch") and one, the row it has become. Of several
 * architectures that is the guest's own, so that no row is the counterpart of two. NULL if there is none.
 */
struct package *package_list_counterpart(const struct package_list *list, const struct package_list *of,
					 const struct package *row);

/* A change of a package on this guest. */
struct package_event {
	int64_t time_s;
	const char *action; /* "install", "upgrade", "remove" or "purge"; static */
	const char *name, *architecture;
	const char *before, *after; /* versions; NULL: none */
	bool done;		    /* the log shows that it was completed */
};

struct package_history {
	struct package_event *events;
	size_t count, room;
	bool known;		   /* the log could be read */
	int64_t oldest_s;	   /* the log begins at this time */
	struct package_list texts; /* owns the texts of the events */
};

void package_history_done(struct package_history *history);
struct package_event *package_history_add(struct package_history *history);
/* Tells that the log has a line of this time (negative: no readable time). */
void package_history_reaches(struct package_history *history, int64_t time_s);

/*
 * Whether the name may be passed to a package manager: [A-Za-z0-9][A-Za-z0-9+.:~_-]{0,127} and no "-" at its end, which
 * apt would read as a removal.
 */
bool package_name_valid(const char *name);

#define PACKAGE_WORDS_MAX 8

/*
 * Cuts a search text into words, each a valid name, stored in `buffer`. Their number, or 0 if one is invalid or there
 * are too many.
 */
size_t package_words(const char *query, char *buffer, size_t size, const char *words[PACKAGE_WORDS_MAX]);

/* ---------------------------------------------------------------------------------------------------------- parsers */

/*
 * Parsers of the output of package managers: pure functions of bytes and length that fill a list. Lines that are not
 * understood are skipped; truncated output ends the list early. Each returns 0 or -ENOMEM.
 */

/* Formats for dpkg-query and rpm: one package a line, fields separated by tabs, free text last. */
#define DPKG_FORMAT                                                                                                    \
	("${Package}\\t${Version}\\t${Architecture}\\t${db:Status-Status} ${db:Status-Want} "                          \
	 "${db:Status-Eflag}\\t${Installed-Size}\\t"                                                                   \
	 "${db-fsys:Last-Modified}\\t${Section}\\t${source:Package}\\t${Maintainer}\\t${binary:Summary}\\n")
#define RPM_FORMAT                                                                                                     \
	("%{NAME}\\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SIZE}\\t%{INSTALLTIME}\\t"              \
	 "%{GROUP}\\t%{SOURCERPM}\\t%{VENDOR}\\t%{SUMMARY}\\n")
#define DNF_FORMAT "%{name}\\t%{evr}\\t%{arch}\\t%{repoid}\\t%{downloadsize}\\t%{installsize}\\t%{url}\\t%{summary}\\n"

/* dpkg-query -W -f DPKG_FORMAT: packages in any state, except removed or never installed ones. */
int dpkg_list_parse(const char *text, size_t len, struct package_list *list);

/* apt-get -s …: its Inst lines, as rows with `candidate` and, for an upgrade, `version`. */
int apt_simulation_parse(const char *text, size_t len, struct package_list *list);

/* Records of apt-cache show and search --full: rows with `candidate`, not installed. */
int apt_records_parse(const char *text, size_t len, struct package_list *list);

/* rpm -qa --qf RPM_FORMAT; dnf repoquery --qf DNF_FORMAT (rows with `candidate`). */
int rpm_list_parse(const char *text, size_t len, struct package_list *list);
int dnf_query_parse(const char *text, size_t len, struct package_list *list);

/* dnf updateinfo list --security: marks the rows of `list` that it names, with or without epoch. */
int dnf_security_parse(const char *text, size_t len, struct package_list *list);

/* apk list --installed, --upgradable or --available; apk search -v -d. */
int apk_list_parse(const char *text, size_t len, struct package_list *list);
int apk_search_parse(const char *text, size_t len, struct package_list *list);

/* /var/log/dpkg.log, events not before `since_s`. Its times are the guest's local time. */
int dpkg_log_parse(const char *text, size_t len, int64_t since_s, struct package_history *history);

/* /var/log/dnf.rpm.log of dnf 4, likewise; its times have a time zone. */
int dnf_log_parse(const char *text, size_t len, int64_t since_s, struct package_history *history);

/* Output of stat(1) with "%Y %n": the time of `path`, or -1 if it did not exist. */
int64_t stat_time(const char *text, size_t len, const char *path);

/* Why a package manager failed, as told by its output. */
enum package_fault {
	PACKAGE_FAULT_OTHER,
	PACKAGE_FAULT_LOCKED,	  /* another one is running: try again */
	PACKAGE_FAULT_PERMISSION, /* needs root */
	PACKAGE_FAULT_NOT_FOUND,
	PACKAGE_FAULT_NETWORK, /* repositories unreachable */
	PACKAGE_FAULT_SPACE,
	PACKAGE_FAULT_INTERRUPTED,  /* an interrupted dpkg has to be completed first */
	PACKAGE_FAULT_DEPENDENCIES, /* an installed or requested package has unmet dependencies */
	PACKAGE_FAULT_SCRIPT,	    /* a maintainer script failed */
	PACKAGE_FAULT_DATABASE,	    /* the manager's own data are unreadable */
	PACKAGE_FAULT_READ_ONLY,
	PACKAGE_FAULT_UNTRUSTED, /* signatures */
	PACKAGE_FAULT_PROTECTED, /* held, essential or protected packages would be changed */
	PACKAGE_FAULTS,
};
enum package_fault package_fault_of(const char *text, size_t len, int exit_code);

/*
 * Reads apt-get check and dnf check: the number of packages with unmet dependencies; the first of them in `first`, ""
 * if none. Lines of apt and dnf 4: "name : Depends: x but it is not installable" and "name-1-1.x has missing requires
 * of x".
 */
unsigned check_unmet_parse(const char *text, size_t len, char *first, size_t size);

/* ----------------------------------------------------------------------------------------------------- repositories */

/*
 * What a package manager reports about its repositories: which are configured, which have lists, which were
 * unreachable. Exit codes do not tell: a refresh that reached no repository ends with 0 in apt, in dnf with
 * skip_if_unavailable, and in apk.
 */
#define PACKAGE_SOURCES_MAX 64
#define PACKAGE_SOURCE_SIZE 200

struct package_source {
	char name[PACKAGE_SOURCE_SIZE]; /* for display: without user and password */
	char key[PACKAGE_SOURCE_SIZE];	/* common beginning of the names of its lists; "": unknown */
	bool missing;			/* it has no list, or was unreachable */
};

struct package_sources {
	struct package_source list[PACKAGE_SOURCES_MAX];
	size_t count;
	size_t left_out; /* number of sources beyond the list's size */
	bool none;	 /* the manager reports that it knows no package */
	bool incomplete; /* the manager reports that it did not fetch all lists */
};

size_t package_sources_missing(const struct package_sources *sources);

/* Writes the names of missing sources, as many as fit: "a, b and 3 more". */
void package_sources_name(const struct package_sources *sources, char *out, size_t size);

/*
 * Parse the output of a refresh: add the sources it mentions, missing where it failed. A failed attempt followed by a
 * successful one for the same item is no failure.
 */
void apt_refresh_parse(const char *text, size_t len, struct package_sources *sources);
void dnf_refresh_parse(const char *text, size_t len, struct package_sources *sources);
void apk_refresh_parse(const char *text, size_t len, struct package_sources *sources);

/*
 * Call after a refresh with exit code 0: sources with failed attempts are not missing, unless the manager reported that
 * it did not fetch all. apt reports attempts for optional lists, such as a translation.
 */
void package_sources_succeeded(struct package_sources *sources);

/* Parse the configured sources, all marked missing at first; then the lists that exist. */
void apt_sources_parse(const char *text, size_t len, struct package_sources *sources);
void apt_lists_parse(const char *text, size_t len, struct package_sources *sources);
void dnf_sources_parse(const char *text, size_t len, struct package_sources *sources);
void dnf_lists_parse(const char *text, size_t len, struct package_sources *sources);

/* --------------------------------------------------------------------------------------------------------- managers */

/*
 * The package managers, in one table: for each step of an action the program, its arguments and the parser of its
 * output. A step that a manager does not have is absent, and the action says so.
 */
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
