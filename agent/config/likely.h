/* SPDX-License-Identifier: MIT */
/* Suggestions for misspelt names: the known name within two edits. */
#ifndef AGENT_CONFIG_LIKELY_H
#define AGENT_CONFIG_LIKELY_H

#include <stddef.h>

struct config_key;

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
