/* SPDX-License-Identifier: MIT */
/*
 * The table of what a host may ask for. A new action is a function in an action_*.c and a row in action.c: its name on
 * the wire, its policy group, whether it holds a slot, and how long it may take when the host does not say.
 */
#ifndef AGENT_ACTION_H
#define AGENT_ACTION_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/rules/policy.h"

struct command;
struct message;
struct response;

/* Which of the slots an action may hold; how many there are of each is command.c's matter. */
enum slot_kind {
	SLOTS_ANY,
	SLOTS_PACKAGES,
	SLOTS_POWER,
	SLOTS_SCRIPTS,
	SLOT_KINDS,
};

enum action_result {
	ACTION_TAKEN,
	ACTION_WAIT,
	ACTION_ASYNC,
};

struct action {
	const char *name;
	enum policy_group group;
	/* Optional: the group depends on the parameters. What only observes takes no slot then. */
	enum policy_group (*group_of)(const struct message *message);
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
	 * Starts (or, for a waiting loop action, continues) the work. Either it reaches command_answer, then or later,
	 * or it returns ACTION_WAIT to be called again when the prober has answered or a scan is over, or ACTION_ASYNC
	 * when it goes on by itself (a call on the bus): the command's deadline is kept for it, work_free has to stop
	 * what it waits for.
	 */
	enum action_result (*run)(struct command *command);
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
extern const struct action action_batch, action_cancel, action_script; /* action_additions.c */

/* The row of a message type that is a command of its own; NULL for SafeCommand and for what is none. */
const struct action *action_of_type(unsigned message_type);

/* action_host.c, action_process.c, action_disk.c, action_unsafe.c, action_status.c */
enum action_result action_run_system_info(struct command *command);
enum action_result action_run_os_info(struct command *command);
enum action_result action_run_process_list(struct command *command);
enum action_result action_run_process_top(struct command *command);
enum action_result action_run_check_disk_space(struct command *command);
enum action_result action_run_subscribe(struct command *command);
enum action_result action_run_unsubscribe(struct command *command);
enum action_result action_run_set_config(struct command *command);
enum action_result action_run_get_history(struct command *command);
enum action_result action_run_unsafe(struct command *command);
enum action_result action_run_status(struct command *command);

/*
 * action_service.c, action_restart.c, action_services.c, action_user.c, action_kill.c, action_power.c,
 * action_security.c
 */
enum policy_group action_group_of_service_control(const struct message *message);
/*
 * True if a unit of this name is not to be controlled, whatever it is: then the command has been answered
 * POLICY_DENIED.
 */
bool action_unit_denied(struct command *command, const char *unit);
enum action_result action_run_service_control(struct command *command);
enum action_result action_run_restart_services(struct command *command);
enum action_result action_run_service_list(struct command *command);
enum action_result action_run_user_list(struct command *command);
enum action_result action_run_process_kill(struct command *command);
enum action_result action_run_reboot(struct command *command);
enum action_result action_run_shutdown(struct command *command);
enum action_result action_run_check_security(struct command *command);
enum action_result action_run_check_firewall(struct command *command);
enum action_result action_run_check_security_modules(struct command *command);

/* action_package.c, action_updates.c */
enum action_result action_run_package_list(struct command *command);
enum action_result action_run_package_search(struct command *command);
enum action_result action_run_package_install(struct command *command);
enum action_result action_run_package_remove(struct command *command);
enum action_result action_run_package_update(struct command *command);
enum action_result action_run_update_system_software(struct command *command);
enum action_result action_run_check_linux_updates(struct command *command);
enum action_result action_run_linux_security_updates(struct command *command);
enum action_result action_run_linux_update_history(struct command *command);
enum action_result action_run_available_updates(struct command *command);
enum action_result action_run_security_updates(struct command *command);
enum action_result action_run_update_history(struct command *command);
enum action_result action_run_application_updates(struct command *command);
enum action_result action_run_applications(struct command *command);
enum action_result action_run_application_details(struct command *command);
enum action_result action_run_specific_app_updates(struct command *command);
enum action_result action_run_estimate_update_size(struct command *command);

/* action_clean.c, action_health.c, action_optimize.c, action_maintenance.c */
enum action_result action_run_disk_cleanup(struct command *command);
enum action_result action_run_clean_temporary_files(struct command *command);
enum action_result action_run_prepare_golden_image(struct command *command);
enum action_result action_run_join_domain(struct command *command); /* action_join.c */
enum action_result action_run_health_check(struct command *command);
enum action_result action_run_all_health_checks(struct command *command);
enum action_result action_run_validate_system_health(struct command *command);
enum action_result action_run_check_resource_optimization(struct command *command);
enum action_result action_run_check_system_integrity(struct command *command);
enum policy_group action_group_of_maintenance(const struct message *message);
enum action_result action_run_maintenance_task(struct command *command);

#endif
