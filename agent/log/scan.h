/* SPDX-License-Identifier: MIT */
/*
 * Extracts the three fields the log needs from a line without parsing JSON as a whole: type, timestamp and seq among
 * the keys of the outermost object. Pure and without allocation; it stops as soon as it has all three.
 */
#ifndef AGENT_LOG_SCAN_H
#define AGENT_LOG_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scan {
	char type[32];	 /* "" when missing or longer */
	int64_t wall_ms; /* -1 when missing or malformed */
	uint64_t seq;	 /* 0 when missing */
};

/*
 * `text` is one line without its newline. False when it cannot be a line of this log: not {...}, a NUL inside, no type
 * or no timestamp. Other values are not validated.
 */
bool scan_line(const char *text, size_t len, struct scan *ret);

#endif
