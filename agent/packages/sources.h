/* SPDX-License-Identifier: MIT */
/*
 * What a package manager says of its repositories: which are configured, of which it has lists, which it could not
 * reach. Their exit codes do not carry it: an update of the lists that reached nothing ends with 0 in apt, in dnf with
 * skip_if_unavailable, and in apk. Pure functions of bytes and length, as in parse.h.
 */
#ifndef AGENT_PACKAGES_SOURCES_H
#define AGENT_PACKAGES_SOURCES_H

#include <stdbool.h>
#include <stddef.h>

#define PACKAGE_SOURCES_MAX 64
#define PACKAGE_SOURCE_SIZE 200

struct package_source {
	char name[PACKAGE_SOURCE_SIZE]; /* for people: without user and password */
	char key[PACKAGE_SOURCE_SIZE];	/* how names of its lists begin; "": not known */
	bool missing;			/* there is no list of it, or it could not be reached */
};

struct package_sources {
	struct package_source list[PACKAGE_SOURCES_MAX];
	size_t count;
	size_t left_out; /* beyond that many */
	bool none;	 /* the manager itself says that it knows no package */
	bool incomplete; /* the manager itself says that it did not get all it wanted */
};

size_t package_sources_missing(const struct package_sources *sources);

/* The names of those that are missing, as many as fit: "a, b and 3 more". */
void package_sources_name(const struct package_sources *sources, char *out, size_t size);

/*
 * Outputs of a refresh: adds the sources it speaks of, missing where it failed. A try that failed and was followed by
 * one that did not, of the same thing, is no failure.
 */
void apt_refresh_parse(const char *text, size_t len, struct package_sources *sources);
void dnf_refresh_parse(const char *text, size_t len, struct package_sources *sources);
void apk_refresh_parse(const char *text, size_t len, struct package_sources *sources);

/*
 * For a refresh that ended with 0: a source of which only a try has failed is not missing, unless the manager has said
 * that it did not get all. apt tells so of tries for what a repository may have and need not, such as a translation.
 */
void package_sources_succeeded(struct package_sources *sources);

/* The configured ones, all missing so far; then what there are lists of. */
void apt_sources_parse(const char *text, size_t len, struct package_sources *sources);
void apt_lists_parse(const char *text, size_t len, struct package_sources *sources);
void dnf_sources_parse(const char *text, size_t len, struct package_sources *sources);
void dnf_lists_parse(const char *text, size_t len, struct package_sources *sources);

#endif
