/* SPDX-License-Identifier: MIT */
/*
 * What a package manager reports about its repositories: which are configured, which have lists, which were
 * unreachable. Exit codes do not tell: a refresh that reached no repository ends with 0 in apt, in dnf with
 * skip_if_unavailable, and in apk. Pure functions of bytes and length, as in parse.h.
 */
#ifndef AGENT_PACKAGES_SOURCES_H
#define AGENT_PACKAGES_SOURCES_H

#include <stdbool.h>
#include <stddef.h>

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

#endif
