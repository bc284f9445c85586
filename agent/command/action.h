/* SPDX-License-Identifier: MIT */
/*
 * What a host may ask for, as a row: its name on the wire, its policy group, whether it holds a slot, and how long it
 * may take when the host does not say. The table itself is handed to commands_init (action_table.c has the agent's).
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

/* Which of the slots an action may hold; how many there are of each is command.c's matter. */
enum slot_kind {
	SLOTS_ANY,
	SLOTS_PACKAGES,
	SLOTS_POWER,
	SLOTS_SCRIPTS,
	SLOT_KINDS,
};

struct action {
	const char *name;
	enum message_type type; /* MESSAGE_SAFE_COMMAND, or the type that is this command and no other */
	enum policy_group group;
	/* Optional: the group depends on the parameters. What only observes takes no slot then. */
	enum policy_group (*group_of)(const struct message *message);
	bool bus;	      /* asks over D-Bus, which may have to be made ready before it begins */
	bool slot;	      /* runs something: takes a slot; else it is answered from the cache or in the loop */
	enum slot_kind slots; /* SLOTS_ANY: those of its group */
	uint32_t timeout_s;   /* 0: commands.default_timeout_s */
	bool always;	      /* allowed whatever policy and rate say: it only touches what its sender has started */
	/*
	 * Both or neither: leaves another message than a `response` in the agent's writer (0 or -errno), and sends it.
	 */
	int (*encode)(struct command *command, const struct response *response);
	void (*deliver)(struct command *command);
	/*
	 * Begins the work, which ends by command_answer, then or later. Until then a program runs for the command, or
	 * it waits for a callback (from the bus, say) up to its deadline: `work_free` has to stop what it waits for. It
	 * is called once more for each further try, and after command_wait.
	 */
	void (*run)(struct command *command);
};

enum action_kind {
	ACTION_KNOWN,
	ACTION_UNKNOWN,
	ACTION_FOREIGN, /* Windows or its domains: never on this platform */
};

struct action_table {
	const struct action *const *rows;
	size_t count;
	const char *const *foreign; /* what names of actions contain that other platforms have; NULL at the end */
};

/* Looks up the `name` of a SafeCommand; *ret is set for ACTION_KNOWN. */
enum action_kind action_find(const struct action_table *table, const char *name, const struct action **ret);

/* The row of a message type that is a command of its own; NULL for SafeCommand and for what is none. */
const struct action *action_of_type(const struct action_table *table, enum message_type type);

#endif
