/* SPDX-License-Identifier: MIT */
/*
 * Parses dpkg --verify and rpm -Va, and tells damage from intended differences: configuration, files that dpkg was told
 * to leave out, files marked as documentation or ghost by rpm. Pure functions of bytes and length, as in package.h.
 */
#ifndef AGENT_PACKAGES_VERIFY_H
#define AGENT_PACKAGES_VERIFY_H

#include <stdbool.h>
#include <stddef.h>

/* A file that differs from its package. */
struct verify_line {
	const char *flags; /* nine characters, among them "5" when the content differs, or "missing" */
	size_t flags_len;
	char mark; /* the package's mark of the file: those of rpm, and 'c' of dpkg; ' ': none */
	const char *path;
	size_t path_len;
	bool missing, config;
	bool unreadable; /* the file could not be read: nothing else is known of it */
};

/* Parses the next such line and advances *text. False when there is none left. */
bool verify_next(const char **text, size_t *len, struct verify_line *ret);

enum verify_kind {
	VERIFY_DAMAGE,	      /* not explained by any rule */
	VERIFY_CONFIG,	      /* configuration, which the owner may change or remove */
	VERIFY_EXCLUDED,      /* excluded by dpkg's configuration */
	VERIFY_DOCUMENTATION, /* missing, and marked as documentation, licence or readme: small images omit these */
	VERIFY_GHOST,	      /* the package claims the file without shipping it, or it is optional */
	VERIFY_TIME,	      /* another modification time, the same content */
	VERIFY_UNREADABLE,
	VERIFY_KINDS,
};

/* "damage", "config" … */
const char *verify_kind_name(enum verify_kind kind);

/* More rules than any guest has; each is matched against each missing file. */
#define VERIFY_RULES_MAX 256

struct verify_rule {
	bool exclude; /* false: an include, which revokes an exclusion */
	const char *glob;
	size_t literal; /* bytes of the glob before its first wildcard */
};

struct verify_rules {
	struct verify_rule rules[VERIFY_RULES_MAX];
	size_t count;
	bool truncated; /* there were more rules */
	char *texts;	/* owns the globs */
};

/*
 * Reads lines "FILE:path-exclude=GLOB" and "FILE:path-include=GLOB", as grep -H prints them, in the order in which dpkg
 * reads them. 0 or -ENOMEM (*ret unchanged).
 */
int verify_rules_read(const char *text, size_t len, struct verify_rules *ret);

/* Frees the rules. Accepts zeroed ones. */
void verify_rules_done(struct verify_rules *rules);

/* Judges the line; of the rules that match a path the last wins, dpkg(1). */
enum verify_kind verify_judge(const struct verify_line *line, const struct verify_rules *rules);

#endif
