/* SPDX-License-Identifier: MIT */
/*
 * An action, a row of the action table: its name on the wire, its policy group, whether it takes a slot, its default
 * time-out and its functions. The table is set in struct commands before commands_init (actions/table.c defines the
 * agent's).
 */
#ifndef AGENT_COMMAND_ACTION_H
#define AGENT_COMMAND_ACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/rules/policy.h"
#include "transport/message.h"

struct command;
struct response;

/* The kinds of slots that an action may take; admission.c knows how many there are of each. */
enum slot_kind {
	SLOTS_ANY,
	SLOTS_PACKAGES,
	SLOTS_POWER,
	SLOTS_SCRIPTS,
	SLOT_KINDS,
};

struct action {
	const char *name;
	enum message_type type; /* MESSAGE_SAFE_COMMAND, or the message type that stands for this command alone */
	enum policy_group group;
	/* Optional: the group depends on the parameters. A command of GROUP_OBSERVE takes no slot then. */
	enum policy_group (*group_of)(const struct message *message);
	bool bus;  /* uses D-Bus, which may have to become ready before the action begins */
	bool slot; /* takes a slot, as it runs a program; else it is answered from the cache or in the loop */
	enum slot_kind slots; /* SLOTS_ANY: chosen by its group */
	uint32_t timeout_s;   /* default; 0: commands.default_timeout_s */
	bool always;	      /* exempt from policy and rate limit: it touches only what its sender has started */
	/*
	 * Optional, both or neither: `encode` writes the answer as another message than a `response` into the agent's
	 * writer (0 or -errno), `deliver` sends it.
	 */
	int (*encode)(struct command *command, const struct response *response);
	void (*deliver)(struct command *command);
	/*
	 * Begins the work, which ends by command_answer, at once or later. Until then a program runs for the command,
	 * or the command waits for a callback (from D-Bus, say) up to its deadline; `work_free` has to cancel that
	 * callback. `run` is called again for each retry.
	 */
	void (*run)(struct command *command);
};

enum action_kind {
	ACTION_KNOWN,
	ACTION_UNKNOWN,
	ACTION_FOREIGN, /* an action of Windows, which this platform never has */
};

struct action_table {
	const struct action *const *rows;
	size_t count;
	const char *const *foreign; /* words in the names of other platforms' actions; NULL at the end */
};

/* Looks up the `name` of a SafeCommand; *ret is set for ACTION_KNOWN. */
enum action_kind action_find(const struct action_table *table, const char *name, const struct action **ret);

#endif
