/* SPDX-License-Identifier: MIT */
/*
 * Packages as facts: rows with borrowed texts, held by a list that owns them. The parsers of every package manager's
 * output write into it, the actions read from it; neither knows the other. What a manager does not say is NULL or -1,
 * never a guess.
 */
#ifndef AGENT_PACKAGES_PACKAGE_H
#define AGENT_PACKAGES_PACKAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More rows than any distribution has; what lies beyond is dropped and sets `truncated`. */
#define PACKAGES_MAX 200000

struct package {
	const char *name;
	const char *version;   /* installed; NULL: not installed */
	const char *candidate; /* what could be installed; NULL: nothing newer is known */
	const char *architecture, *summary, *publisher, *section, *source, *repository, *homepage, *depends;
	const char *state; /* what the manager calls its state: "installed", "half-configured", …; static. NULL: it is
			      not there */
	bool held;	   /* not to be changed */
	bool reinstall;	   /* broken: has to be installed once more */
	bool installed, security;
	int64_t installed_kb, download_bytes; /* -1: not known */
	int64_t installed_s;		      /* when it came, seconds since 1970; -1: not known */
};

struct package_chunk;

struct package_list {
	struct package *rows;
	size_t count, room;
	struct package_chunk *chunks;
	bool truncated;
};

/* Accepts a zeroed list. */
void package_list_done(struct package_list *list);

/*
 * A new row, all unknown; valid until the next addition. NULL when out of memory or over PACKAGES_MAX (then truncated).
 */
struct package *package_list_add(struct package_list *list);

/* A copy of the bytes that lives as long as the list; "" becomes NULL. NULL when out of memory. */
const char *package_list_text(struct package_list *list, const char *bytes, size_t len);

/* By name, then architecture. */
void package_list_sort(struct package_list *list);

/* In a sorted list; `architecture` NULL: the first of that name. NULL if there is none. */
struct package *package_list_find(const struct package_list *list, const char *name, const char *architecture);

/*
 * What `row` of the sorted list `of` is in another sorted list: the row of its name and architecture; else, where a
 * package that was for all architectures ("all", "noarch") is now for one, or the other way round, the row it has
 * become. Of several architectures that is the guest's own, so that no row is the counterpart of two. NULL if there is
 * none.
 */
struct package *package_list_counterpart(const struct package_list *list, const struct package_list *of,
					 const struct package *row);

/* What changed on this guest, and when. */
struct package_event {
	int64_t time_s;
	const char *action; /* "install", "upgrade", "remove", "purge": static */
	const char *name, *architecture;
	const char *before, *after; /* versions; NULL: none */
	bool done;		    /* it is on record that it came to its end */
};

struct package_history {
	struct package_event *events;
	size_t count, room;
	bool known;		   /* something was there to read, */
	int64_t oldest_s;	   /* from this time on */
	struct package_list texts; /* owns them */
};

void package_history_done(struct package_history *history);
struct package_event *package_history_add(struct package_history *history);
/* The log had a line of this time (negative: none that could be read). */
void package_history_reaches(struct package_history *history, int64_t time_s);

/*
 * A name that may be handed to a package manager: [A-Za-z0-9][A-Za-z0-9+.:~_-]{0,127} and no "-" at its end, which apt
 * would take for an order to remove.
 */
bool package_name_valid(const char *name);

#define PACKAGE_WORDS_MAX 8

/*
 * Cuts a search text into its words, each a valid name; they lie in `buffer`. The number of words, or 0 if it is none.
 */
size_t package_words(const char *query, char *buffer, size_t size, const char *words[PACKAGE_WORDS_MAX]);

#endif
