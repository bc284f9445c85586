/* SPDX-License-Identifier: MIT */
/*
 * Units of the guest that no host may start, stop or enable, independent of the policy: units that give a shell, a
 * login or power over the machine are more than "control", and the agent's own units enforce these rules. One table for
 * the agent and the executor; the owner can extend it by commands.deny_units and not shorten it. Judged are all names
 * and triggers that the service manager reports for a unit: a requested name may be an alias, or the unit may trigger a
 * denied one.
 */
#ifndef AGENT_RULES_UNIT_RULES_H
#define AGENT_RULES_UNIT_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/bus/libsystemd.h"

#define UNIT_NAME_MAX	      255
#define UNIT_NAME_SIZE	      (UNIT_NAME_MAX + 1)
#define UNIT_RULES_WORDS_SIZE 384

/*
 * Stores `name`, sent by a host, in `out`, with ".service" appended when it has no unit suffix. True if it is a
 * service, socket, timer or path: letters, digits and ":_.@-", beginning with a letter, digit or '_', '\' only in an
 * escape \xHH, and no template without an instance. Narrower than systemd's own grammar (unit_name_is_valid): no name
 * can be read as an option or, after unescaping, as a path, and only types of units that do something are accepted.
 */
bool unit_name_make(const char *name, char out[UNIT_NAME_SIZE]);

/*
 * True if starting this unit, a service or target, turns the machine off, reboots or suspends it. `name` is complete.
 */
bool unit_name_is_power(const char *name);

/* The last '.' and the text behind it; "" when there is none. */
const char *unit_name_suffix(const char *name);

/* Names of errors of these rules, where PID 1 has no error name. */
#define UNIT_ERROR_DENIED     "org.infinibay.UnitDenied"
#define UNIT_ERROR_NOT_LOADED "org.infinibay.UnitNotLoaded"
#define UNIT_ERROR_NO_INSTALL "org.infinibay.NoInstallSection"

/* systemctl's message for a reply of EnableUnitFiles without install info. */
#define UNIT_NO_INSTALL_WORDS                                                                                          \
	"The unit files have no installation config (WantedBy=, RequiredBy=, UpheldBy=, Also=, or Alias= "             \
	"settings in the [Install] section): it is not meant to be enabled."

/*
 * Why a unit of this name may not be controlled, as a phrase that follows "it" or "the unit"; NULL: the name is not
 * denied. `more`: commands.deny_units, patterns like systemd's (fnmatch, "x" for "x.service", "x@" for each instance),
 * NULL at the end; or NULL.
 */
const char *unit_rules_deny(const char *name, char *const *more);

/* The table, for documents and tests: pattern number `i` and the reason for denying it; false after the last. */
bool unit_rules_at(size_t i, const char **pattern, const char **words);

/* What the rules need of a unit's properties. */
struct unit_facts {
	char id[UNIT_NAME_SIZE];
	char load_state[32];
	char load_error[160]; /* systemd's text; "": none */
	bool denied;
	char words[UNIT_RULES_WORDS_SIZE]; /* why, with the name that is denied */
};

/*
 * Reads and judges the reply of GetAll of org.freedesktop.systemd1.Unit, a{sv}: Id and all Names, the units that it
 * Triggers, pulls in or stops. 0 or -errno (-EBADMSG: it has no Id or LoadState).
 */
int unit_facts_read(sd_bus_message *reply, char *const *more, struct unit_facts *ret);

/*
 * The error name of a unit that may not be controlled, with the reason in `words`; NULL: it may. A unit that is not
 * loaded is denied too: its relations are unknown.
 */
const char *unit_facts_error(const struct unit_facts *facts, const char *name, char words[UNIT_RULES_WORDS_SIZE]);

/* unit_facts_error for a unit of which only the name is known. */
const char *unit_name_error(const char *name, char *const *more, char words[UNIT_RULES_WORDS_SIZE]);

#endif
