/* SPDX-License-Identifier: MIT */
/* The actions of this agent, for their table: a new one is a function in an action_*.c and a row in action_table.c. */
#ifndef AGENT_ACTIONS_H
#define AGENT_ACTIONS_H

#include "agent/command/action.h"

/* action_table.c */
extern const struct action_table actions;

/* action_host.c, action_process.c, action_disk.c, action_unsafe.c, action_status.c, action_cancel.c */
void action_run_system_info(struct command *command);
void action_run_os_info(struct command *command);
void action_run_process_list(struct command *command);
void action_run_process_top(struct command *command);
void action_run_check_disk_space(struct command *command);
void action_run_set_config(struct command *command);
void action_run_unsafe(struct command *command);
void action_run_status(struct command *command);
void action_run_cancel(struct command *command);

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
void action_run_service_control(struct command *command);
void action_run_restart_services(struct command *command);
void action_run_service_list(struct command *command);
void action_run_user_list(struct command *command);
void action_run_process_kill(struct command *command);
void action_run_reboot(struct command *command);
void action_run_shutdown(struct command *command);
void action_run_check_security(struct command *command);
void action_run_check_firewall(struct command *command);
void action_run_check_security_modules(struct command *command);

/* action_package.c, action_updates.c */
void action_run_package_list(struct command *command);
void action_run_package_search(struct command *command);
void action_run_package_install(struct command *command);
void action_run_package_remove(struct command *command);
void action_run_package_update(struct command *command);
void action_run_update_system_software(struct command *command);
void action_run_check_linux_updates(struct command *command);
void action_run_linux_security_updates(struct command *command);
void action_run_linux_update_history(struct command *command);
void action_run_available_updates(struct command *command);
void action_run_security_updates(struct command *command);
void action_run_update_history(struct command *command);
void action_run_application_updates(struct command *command);
void action_run_applications(struct command *command);
void action_run_application_details(struct command *command);
void action_run_specific_app_updates(struct command *command);
void action_run_estimate_update_size(struct command *command);

/* action_clean.c, action_health.c, action_optimize.c, action_maintenance.c */
void action_run_disk_cleanup(struct command *command);
void action_run_clean_temporary_files(struct command *command);
void action_run_prepare_golden_image(struct command *command);
void action_run_join_domain(struct command *command); /* action_join.c */
void action_run_health_check(struct command *command);
void action_run_all_health_checks(struct command *command);
void action_run_validate_system_health(struct command *command);
void action_run_check_resource_optimization(struct command *command);
void action_run_check_system_integrity(struct command *command);
enum policy_group action_group_of_maintenance(const struct message *message);
void action_run_maintenance_task(struct command *command);

#endif
