/* SPDX-License-Identifier: MIT */
/*
 * The table of all actions. A new action is a file that defines `const struct action action_NAME`, and a ROW(NAME) in
 * this list.
 */
#ifndef AGENT_ACTIONS_TABLE_H
#define AGENT_ACTIONS_TABLE_H

#include "agent/command/action.h"

/* clang-format off */
#define ACTIONS(ROW) \
	ROW(system_info) \
	ROW(os_info) \
	ROW(process_list) \
	ROW(process_top) \
	ROW(check_disk_space) \
	ROW(disk_cleanup) \
	ROW(clean_temporary_files) \
	ROW(prepare_golden_image) \
	ROW(join_domain) \
	ROW(run_health_check) \
	ROW(run_all_health_checks) \
	ROW(validate_system_health) \
	ROW(check_resource_optimization) \
	ROW(check_system_integrity) \
	ROW(run_maintenance_task) \
	ROW(package_list) \
	ROW(package_search) \
	ROW(package_install) \
	ROW(package_remove) \
	ROW(package_update) \
	ROW(update_system_software) \
	ROW(check_linux_updates) \
	ROW(get_linux_security_updates) \
	ROW(get_linux_update_history) \
	ROW(get_pending_linux_updates) \
	ROW(get_available_updates) \
	ROW(get_pending_updates) \
	ROW(get_security_updates) \
	ROW(get_update_history) \
	ROW(check_application_updates) \
	ROW(get_installed_applications_wmi) \
	ROW(get_application_details) \
	ROW(check_specific_app_updates) \
	ROW(estimate_update_size) \
	ROW(service_list) \
	ROW(service_control) \
	ROW(restart_services) \
	ROW(user_list) \
	ROW(process_kill) \
	ROW(reboot_system) \
	ROW(shutdown_system) \
	ROW(check_linux_security) \
	ROW(get_linux_security_status) \
	ROW(get_linux_firewall_status) \
	ROW(check_firewall_status) \
	ROW(check_security_modules) \
	ROW(status) \
	ROW(unsafe) \
	ROW(script) \
	ROW(status_message) \
	ROW(command_batch) \
	ROW(cancel_command) \
	ROW(subscribe) \
	ROW(unsubscribe) \
	ROW(set_config) \
	ROW(get_history)
/* clang-format on */

#define ACTION_DECLARED(name) extern const struct action action_##name;
ACTIONS(ACTION_DECLARED)

extern const struct action_table actions;

#endif
