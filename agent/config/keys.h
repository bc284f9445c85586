/* SPDX-License-Identifier: MIT */
/* The table of keys, made of the rows of settings.h, and the values of single keys as text. */
#ifndef AGENT_CONFIG_KEYS_H
#define AGENT_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/err.h>

struct config;

enum config_type {
	CONFIG_BOOL, /* bool */
	CONFIG_UINT, /* uint64_t */
	CONFIG_SIZE, /* uint64_t, in bytes or with K, M, G (powers of 1024) */
	CONFIG_ENUM, /* int, an index into `values` */
	CONFIG_TEXT, /* char *, never NULL */
	CONFIG_PATH, /* like CONFIG_TEXT, absolute, or "" where min is 0 */
	CONFIG_LIST, /* char **, NULL-terminated, never NULL */
};

struct config_key {
	const char *section;
	const char *name;
	enum config_type type;
	size_t offset;		   /* in struct config */
	uint64_t min, max;	   /* CONFIG_UINT and CONFIG_SIZE; `min` 1 forbids "" for texts */
	bool host_may_set;	   /* SetConfig may change it: harmless for any host with that permission */
	bool zero;		   /* 0 is allowed besides min to max */
	bool at_start;		   /* a change takes effect at the next start, not at a reload */
	const char *const *values; /* CONFIG_ENUM: names, NULL-terminated */
	const char *fallback;	   /* the default, in the form of the file */
	const char *help;	   /* one line; "|" begins a further line in the example file */
};

extern const struct config_key config_keys[]; /* ended by .section == NULL; keys of one section stand together */

/* Longest value, bytes; most items of a list. */
#define CONFIG_VALUE_MAX 4096
#define CONFIG_LIST_MAX	 128

/* The key's row; NULL when there is none. */
const struct config_key *config_key_find(const char *section, const char *name);

/* Parses `text` and stores it; on failure the old value stays. `append`: adds to a list. 0, -EINVAL, -ENOMEM. */
int config_key_parse(struct config *config, const struct config_key *key, const char *text, bool append,
		     struct err *err);

/* Writes the value in the form of the file (cut at CONFIG_VALUE_MAX). Returns the length. */
size_t config_key_format(const struct config *config, const struct config_key *key, char out[CONFIG_VALUE_MAX]);

/* Writes the permitted values, for messages and documents: "10 to 86400000", "yes or no". */
void config_key_range(const struct config_key *key, char *out, size_t size);

/* Frees the value if allocated, and zeroes it. */
void config_key_clear(struct config *config, const struct config_key *key);

/* ------------------------------------------------------- suggestions for misspelt names: the known name within two
 * edits */

#define LIKELY_EDITS 2

/*
 * The fewest letters to insert, delete, replace or swap with a neighbour that turn one name into the other (the optimal
 * string alignment distance), ignoring case; LIKELY_EDITS + 1 for more, or for names over 63 bytes.
 */
unsigned likely_distance(const char *a, const char *b);

/* The nearest of `names` (NULL at the end) within LIKELY_EDITS, or NULL. */
const char *likely_name(const char *const *names, const char *name);

/* The nearest section, or NULL. */
const char *likely_section(const char *section);

/*
 * The nearest key: of that section (or of the section nearest to it), else of another section. NULL when there is none.
 */
const struct config_key *likely_key(const char *section, const char *name);

#endif
