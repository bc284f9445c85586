/* SPDX-License-Identifier: MIT */
/*
 * The sealing part of making a golden image: a clone has no name, no secret and no permission but to be observed, until
 * its own owner or host grants more. Files that a host's installer wrote are removed. From files of the owner the lines
 * that grant something or identify this machine are removed; the rest stays, since intervals and limits are meant for
 * the clones.
 */
#ifndef AGENT_CLEANER_SEAL_H
#define AGENT_CLEANER_SEAL_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/cleaner/cleaner.h"

/*
 * Seals the tree at cleaner->root_fd. `taken` (may be NULL) is called for each revoked grant, with the file's path from
 * the root and the grant, such as "commands.allow". Failures are counted in cleaner->errors. 0, or -ENOSYS as
 * cleaner_run.
 */
int seal(struct cleaner *cleaner, void (*taken)(void *data, const char *path, const char *what), void *data);

/* ------------------------------------------------------------------------------------------- for tests and fuzzers */

#define SEAL_SECTION_MAX 64

/* State carried from line to line of a configuration file; zeroed at its beginning. */
struct seal_reader {
	char section[SEAL_SECTION_MAX];
	int row; /* grant (counted from 1) of the last key, which an indented line continues; 0: the key grants nothing
		  */
	bool gave;	   /* the last line granted something */
	const char *value; /* value in the current line, points into it */
};

/* The grant in a line of a configuration file, as "section.key", or NULL: none. `line` has no newline. */
const char *seal_judge_config(struct seal_reader *reader, const char *line);

/* Whether a line of a unit's drop-in grants nothing: a comment, a section, a limit. `line` ends with a NUL. */
bool seal_unit_line_gives_nothing(const char *line);

#endif
