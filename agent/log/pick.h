/* SPDX-License-Identifier: MIT */
/*
 * Picks values out of a line of the log by their paths, in one pass and without building a tree: what no path leads to
 * is stepped over, and what is behind the last value is not looked at. The line is not validated; where it is malformed
 * the values behind that place are not found. Pure, but for pick_new.
 */
#ifndef AGENT_LOG_PICK_H
#define AGENT_LOG_PICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/err.h>

#define PICK_MAX       64  /* paths */
#define PICK_STEPS_MAX 16  /* parts of a path */
#define PICK_TEXT_MAX  512 /* bytes of a path */

struct pick;

/* Text within the line: a value as it stands there, strings with their quotes. `text` NULL: there is none. */
struct pick_text {
	const char *text;
	size_t len;
};

struct pick *pick_new(void);

/* Accepts NULL; returns NULL. */
struct pick *pick_free(struct pick *pick);

/*
 * Adds a path as people write it: names joined by dots, looked for in `data` and then in the message itself; in [] the
 * position of an item, or its name, mount_point, device, pid or port. Returns its number (0, 1, …), -EINVAL with the
 * reason, or -ENOSPC after PICK_MAX.
 */
int pick_add(struct pick *pick, const char *path, struct err *err);

/*
 * Adds a path of the catalogue (catalog.h), where in [] stands the member that tells items apart, or "index": picks the
 * value of every item.
 */
int pick_add_each(struct pick *pick, const char *path);

/*
 * Told for each value found: the number of its path, the key of the item (of paths of pick_add_each: what its member
 * holds, or its position with `text` NULL and `len` the position), the value.
 */
typedef void (*pick_fn)(void *data, unsigned path, struct pick_text key, struct pick_text value);

/*
 * Finds the values in a line. For one path of pick_add `fn` may be called more than once: the last call holds.
 */
void pick_line(const struct pick *pick, const char *line, size_t len, pick_fn fn, void *data);

/* The value of a JSON number. False for anything else, and beyond a double. */
bool pick_number(struct pick_text value, double *ret);

/* The numbers of an array of `count` numbers, as the tiers have them. False for anything else. */
bool pick_numbers(struct pick_text value, double *ret, unsigned count);

#endif
