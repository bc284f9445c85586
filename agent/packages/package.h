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

#endif
