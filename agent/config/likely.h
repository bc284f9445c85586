/* SPDX-License-Identifier: MIT */
/* What somebody meant who typed a name that is none: the known one within two edits of it. */
#ifndef AGENT_CONFIG_LIKELY_H
#define AGENT_CONFIG_LIKELY_H

#include <stddef.h>

struct config_key;

#define LIKELY_EDITS 2

/*
 * The fewest letters to insert, delete, replace or swap with a neighbour that make one of the other (the optimal string
 * alignment distance), without regard to case; LIKELY_EDITS + 1 for anything beyond that, or for names over 63 bytes.
 */
unsigned likely_distance(const char *a, const char *b);

/* The nearest of `names` (NULL at the end) within LIKELY_EDITS, or NULL. */
const char *likely_name(const char *const *names, const char *name);

/* The section that is meant, or NULL. */
const char *likely_section(const char *section);

/*
 * The key that is meant: one of that section (or of the one it is like), else one of another. NULL when there is none.
 */
const struct config_key *likely_key(const char *section, const char *name);

#endif
