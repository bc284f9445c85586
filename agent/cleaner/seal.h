/* SPDX-License-Identifier: MIT */
/*
 * The part of making a golden image that closes it: a clone has no name, no secret and no rights but to be looked at
 * until its own owner or host gives them. What a host's installer wrote goes whole. In files of the owner's the lines
 * that grant something or name this one machine are taken out and the rest stays, since intervals and limits are meant
 * for the clones.
 */
#ifndef AGENT_CLEANER_SEAL_H
#define AGENT_CLEANER_SEAL_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/cleaner/cleaner.h"

/*
 * Seals the tree at cleaner->root_fd. Each right taken is told by `taken` (may be NULL): the file from the root, and
 * what it gave, such as "commands.allow". What cannot be done is counted in cleaner->errors. 0, or -ENOSYS as
 * cleaner_run.
 */
int seal(struct cleaner *cleaner, void (*taken)(void *data, const char *path, const char *what), void *data);

/* ------------------------------------------------------------------------------------------- for tests and fuzzers */

#define SEAL_SECTION_MAX 64

/* Carried from line to line of a configuration file; zeroed at its beginning. */
struct seal_reader {
	char section[SEAL_SECTION_MAX];
	int row;   /* of the key above, with which an indented line goes on, counted from 1; 0: it gives nothing */
	bool gave; /* the line above went */
	const char *value; /* of this line, in it */
};

/* What a line of a configuration file gives, as "section.key", or NULL: nothing. `line` has no newline. */
const char *seal_judge_config(struct seal_reader *reader, const char *line);

/* Whether a line of a unit's drop-in gives nothing: a comment, a section, a limit. `line` ends with a NUL. */
bool seal_unit_line_gives_nothing(const char *line);

#endif
