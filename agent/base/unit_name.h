/* SPDX-License-Identifier: MIT */
/*
 * Names of units as a host may give them: the grammar that lets them through, and what they stand for. Narrower than
 * systemd's own (unit_name_is_valid): nothing that could be read as an option or a path in any escaping, and only units
 * that do something.
 */
#ifndef AGENT_BASE_UNIT_NAME_H
#define AGENT_BASE_UNIT_NAME_H

#include <stdbool.h>
#include <stddef.h>

#define UNIT_NAME_MAX  255
#define UNIT_NAME_SIZE (UNIT_NAME_MAX + 1)

/*
 * `name`, with ".service" added when it has no unit's suffix, in `out`. True if it is a service, socket, timer or path:
 * of letters, digits and ":_.@-", beginning with a letter, digit or '_', '\' only in an escape \xHH, and no template
 * without its instance.
 */
bool unit_name_make(const char *name, char out[UNIT_NAME_SIZE]);

/* True if to start it, a service or target, turns the machine off, or round, or asleep: `name` is complete. */
bool unit_name_is_power(const char *name);

/* The last '.' and what follows; "" when there is none. */
const char *unit_name_suffix(const char *name);

#endif
