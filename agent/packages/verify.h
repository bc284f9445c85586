/* SPDX-License-Identifier: MIT */
/*
 * What dpkg --verify and rpm -Va find, and which of it is as somebody wanted it: configuration, files that dpkg was
 * told to leave out, what rpm marks as documentation or as a ghost. Pure functions of bytes and length, as in parse.h.
 */
#ifndef AGENT_PACKAGES_VERIFY_H
#define AGENT_PACKAGES_VERIFY_H

#include <stdbool.h>
#include <stddef.h>

/* One file that is not as its package brought it. */
struct verify_line {
	const char *flags; /* nine characters of which "5" says the content differs, or "missing" */
	size_t flags_len;
	char mark; /* of rpm, and 'c' of dpkg, too: what the package says the file is; ' ': nothing */
	const char *path;
	size_t path_len;
	bool missing, config;
	bool unreadable; /* it could not be looked at: of which nothing else is known */
};

/* Takes the next such line from *text (moved on). False when there is none left. */
bool verify_next(const char **text, size_t *len, struct verify_line *ret);

enum verify_kind {
	VERIFY_DAMAGE,	      /* nothing says that it should be so */
	VERIFY_CONFIG,	      /* configuration is there to be changed, or removed */
	VERIFY_EXCLUDED,      /* dpkg was told not to install it */
	VERIFY_DOCUMENTATION, /* missing, and marked as documentation, licence or readme: images are made small so */
	VERIFY_GHOST,	      /* the package claims it, but does not bring it, or may be without it */
	VERIFY_TIME,	      /* of another time, with the same content */
	VERIFY_UNREADABLE,
	VERIFY_KINDS,
};

/* "damage", "config", … */
const char *verify_kind_name(enum verify_kind kind);

/* More than any guest has; each is held against each missing file. */
#define VERIFY_RULES_MAX 256

struct verify_rule {
	bool exclude; /* else it takes an exclusion back */
	const char *glob;
	size_t literal; /* how many bytes of the glob stand for themselves */
};

struct verify_rules {
	struct verify_rule rules[VERIFY_RULES_MAX];
	size_t count;
	bool truncated; /* there were more */
	char *texts;	/* owns the globs */
};

/*
 * Reads lines "FILE:path-exclude=GLOB" and "FILE:path-include=GLOB" in the order in which dpkg reads them, as grep -H
 * prints them. 0 or -ENOMEM (*ret is then as it was).
 */
int verify_rules_read(const char *text, size_t len, struct verify_rules *ret);

/* Accepts zeroed ones. */
void verify_rules_done(struct verify_rules *rules);

/* Of the rules that fit a path the last counts, dpkg(1). */
enum verify_kind verify_judge(const struct verify_line *line, const struct verify_rules *rules);

#endif
