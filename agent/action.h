/* SPDX-License-Identifier: MIT */
/*
 * The table of what a host may ask for. A new action is a function in an action_*.c and a row in action.c: its name on the
 * wire, its policy group, whether it holds a slot, and how long it may take when the host does not say.
 */
#ifndef AGENT_ACTION_H
#define AGENT_ACTION_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy.h"

struct command;
struct message;

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
	enum policy_group group;
	/* Optional: the group depends on the parameters. What only observes takes no slot then. */
	enum policy_group (*group_of)(const struct message *message);
	bool slot; /* runs something: takes a slot; else it is answered from the cache or in the loop */
	enum slot_kind slots; /* SLOTS_ANY: those of its group */
	uint32_t timeout_s; /* 0: commands.default_timeout_s */
	/*
	 * Starts (or, for a waiting loop action, continues) the work. Either it reaches command_answer, then or later, or it
	 * returns ACTION_WAIT to be called again when the prober has answered, or ACTION_ASYNC when it goes on by itself (a
	 * call on the bus): the command's deadline is kept for it, work_free has to stop what it waits for.
	 */
	enum action_result { ACTION_TAKEN, ACTION_WAIT, ACTION_ASYNC } (*run)(struct command *command);
};

enum action_kind {
	ACTION_KNOWN,
	ACTION_UNKNOWN,
	ACTION_FOREIGN, /* Windows or its domains: never on this platform */
};

/* Looks `name` up; *ret is set for ACTION_KNOWN. */
enum action_kind action_find(const char *name, const struct action **ret);

/* The rows behind the message types that are commands of their own. */
extern const struct action action_unsafe, action_status;

/* action_host.c, action_process.c, action_disk.c, action_unsafe.c, action_status.c */
enum action_result action_run_system_info(struct command *command);
enum action_result action_run_os_info(struct command *command);
enum action_result action_run_process_list(struct command *command);
enum action_result action_run_process_top(struct command *command);
enum action_result action_run_check_disk_space(struct command *command);
enum action_result action_run_unsafe(struct command *command);
enum action_result action_run_status(struct command *command);

#endif
