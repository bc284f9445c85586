/* SPDX-License-Identifier: MIT */
/*
 * Which units of the guest are nobody's to start, stop or enable through us, whatever the policy grants: what would
 * give a shell, a login or the power over the machine is more than "control" means, and our own units are the wall
 * itself. One table for the agent and the executor; the owner adds to it by commands.deny_units and cannot shorten it.
 * What is judged is what the service manager calls the unit: its name may be another one's alias, and it may be the
 * trigger of another one.
 */
#ifndef AGENT_RULES_UNIT_RULES_H
#define AGENT_RULES_UNIT_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/bus/libsystemd.h"

#include "agent/base/unit_name.h"

#define UNIT_RULES_WORDS_SIZE 384

/* Names of errors that the judges give, for what PID 1 has no such names. */
#define UNIT_ERROR_DENIED     "org.infinibay.UnitDenied"
#define UNIT_ERROR_NOT_LOADED "org.infinibay.UnitNotLoaded"
#define UNIT_ERROR_NO_INSTALL "org.infinibay.NoInstallSection"

/* systemctl's words for a reply of EnableUnitFiles that carries no install info. */
#define UNIT_NO_INSTALL_WORDS                                                                                          \
	"The unit files have no installation config (WantedBy=, RequiredBy=, UpheldBy=, Also=, or Alias= "             \
	"settings in the [Install] section): it is not meant to be enabled."

/*
 * Why a unit of this name may not be controlled: words that follow "it" or "the unit"; NULL: its name does not speak
 * against it. `more`: commands.deny_units, patterns of systemd's kind (fnmatch, "x" for "x.service", "x@" for each
 * instance), NULL at the end; or NULL.
 */
const char *unit_rules_deny(const char *name, char *const *more);

/* The table, for documents and tests: pattern number `i` and what it stands for; false after the last. */
bool unit_rules_at(size_t i, const char **pattern, const char **words);

/* What PID 1 says of a unit, as far as the judge of it looks. */
struct unit_facts {
	char id[UNIT_NAME_SIZE];
	char load_state[32];
	char load_error[160]; /* systemd's words; "": none */
	bool denied;
	char words[UNIT_RULES_WORDS_SIZE]; /* why it is, with the name that was met */
};

/*
 * Judges the reply of GetAll of org.freedesktop.systemd1.Unit, a{sv}: Id and all Names, what it Triggers, and what it
 * pulls in or takes along. 0 or -errno (-EBADMSG: it has no Id).
 */
int unit_facts_read(sd_bus_message *reply, char *const *more, struct unit_facts *ret);

/*
 * The error of a unit that may not be touched as it is: its name and, in `words`, why; NULL: it may. To the table comes
 * that it has to be loaded: what PID 1 cannot read is not known.
 */
const char *unit_facts_error(const struct unit_facts *facts, const char *name, char words[UNIT_RULES_WORDS_SIZE]);

/* The same for what is known of the name alone. */
const char *unit_name_error(const char *name, char *const *more, char words[UNIT_RULES_WORDS_SIZE]);

#endif
