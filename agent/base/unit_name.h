/* SPDX-License-Identifier: MIT */
/*
 * Grammar and meaning of the unit names that a host may send. Narrower than systemd's own grammar (unit_name_is_valid):
 * no name can be read as an option or, after unescaping, as a path, and only types of units that do something are
 * accepted.
 */
#ifndef AGENT_BASE_UNIT_NAME_H
#define AGENT_BASE_UNIT_NAME_H

#include <stdbool.h>
#include <stddef.h>

#define UNIT_NAME_MAX  255
#define UNIT_NAME_SIZE (UNIT_NAME_MAX + 1)

/*
 * Stores `name` in `out`, with ".service" appended when it has no unit suffix. True if it is a service, socket, timer
 * or path: letters, digits and ":_.@-", beginning with a letter, digit or '_', '\' only in an escape \xHH, and no
 * template without an instance.
 */
bool unit_name_make(const char *name, char out[UNIT_NAME_SIZE]);

/*
 * True if starting this unit, a service or target, turns the machine off, reboots or suspends it. `name` is complete.
 */
bool unit_name_is_power(const char *name);

/* The last '.' and the text behind it; "" when there is none. */
const char *unit_name_suffix(const char *name);

#endif
