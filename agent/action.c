/* SPDX-License-Identifier: MIT */
/* The table of actions; see action.h. */
#include "agent/action.h"

#include <string.h>

#include <infiniservice/cleanup.h>

static const struct action actions[] = {
	{ .name = "SystemInfo", .group = GROUP_OBSERVE, .run = action_run_system_info },
	{ .name = "OsInfo", .group = GROUP_OBSERVE, .run = action_run_os_info },
	{ .name = "ProcessList", .group = GROUP_OBSERVE, .run = action_run_process_list },
	{ .name = "ProcessTop", .group = GROUP_OBSERVE, .run = action_run_process_top },
	{ .name = "CheckDiskSpace", .group = GROUP_OBSERVE, .run = action_run_check_disk_space },
	{ .name = "DiskCleanup", .group = GROUP_CONTROL, .slot = true, .timeout_s = 300, .run = action_run_disk_cleanup },
	{ .name = "CleanTemporaryFiles", .group = GROUP_CONTROL, .slot = true, .timeout_s = 300,
	  .run = action_run_clean_temporary_files },
	{ .name = "PrepareGoldenImage", .group = GROUP_POWER, .slot = true, .timeout_s = 600, .run = action_run_prepare_golden_image },
	{ .name = "JoinDomain", .group = GROUP_POWER, .slot = true, .timeout_s = 300, .run = action_run_join_domain },
	{ .name = "RunHealthCheck", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300, .run = action_run_health_check },
	{ .name = "RunAllHealthChecks", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300, .run = action_run_all_health_checks },
	{ .name = "ValidateSystemHealth", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_validate_system_health },
	{ .name = "CheckResourceOptimization", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 240,
	  .run = action_run_check_resource_optimization },
	{ .name = "CheckSystemIntegrity", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 600,
	  .run = action_run_check_system_integrity },
	{ .name = "RunMaintenanceTask", .group = GROUP_CONTROL, .group_of = action_group_of_maintenance, .slot = true,
	  .timeout_s = 1800, .run = action_run_maintenance_task },
	{ .name = "PackageList", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 45, .run = action_run_package_list },
	{ .name = "PackageSearch", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 45, .run = action_run_package_search },
	{ .name = "PackageInstall", .group = GROUP_PACKAGES, .slot = true, .timeout_s = 300, .run = action_run_package_install },
	{ .name = "PackageRemove", .group = GROUP_PACKAGES, .slot = true, .timeout_s = 300, .run = action_run_package_remove },
	{ .name = "PackageUpdate", .group = GROUP_PACKAGES, .slot = true, .timeout_s = 300, .run = action_run_package_update },
	{ .name = "UpdateSystemSoftware", .group = GROUP_PACKAGES, .slot = true, .timeout_s = 1800,
	  .run = action_run_update_system_software },
	{ .name = "CheckLinuxUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300, .run = action_run_check_linux_updates },
	{ .name = "GetLinuxSecurityUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_linux_security_updates },
	{ .name = "GetLinuxUpdateHistory", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_linux_update_history },
	{ .name = "GetPendingLinuxUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_check_linux_updates },
	{ .name = "GetAvailableUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300, .run = action_run_available_updates },
	{ .name = "GetPendingUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300, .run = action_run_available_updates },
	{ .name = "GetSecurityUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300, .run = action_run_security_updates },
	{ .name = "GetUpdateHistory", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300, .run = action_run_update_history },
	{ .name = "CheckApplicationUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_application_updates },
	{ .name = "GetInstalledApplicationsWMI", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_applications },
	{ .name = "GetApplicationDetails", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 120,
	  .run = action_run_application_details },
	{ .name = "CheckSpecificAppUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 120,
	  .run = action_run_specific_app_updates },
	{ .name = "EstimateUpdateSize", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 120,
	  .run = action_run_estimate_update_size },
	{ .name = "ServiceList", .group = GROUP_OBSERVE, .run = action_run_service_list },
	{ .name = "ServiceControl", .group = GROUP_CONTROL, .group_of = action_group_of_service_control, .slot = true,
	  .run = action_run_service_control },
	{ .name = "RestartServices", .group = GROUP_CONTROL, .slot = true, .timeout_s = 300, .run = action_run_restart_services },
	{ .name = "UserList", .group = GROUP_OBSERVE, .run = action_run_user_list },
	{ .name = "ProcessKill", .group = GROUP_CONTROL, .run = action_run_process_kill },
	{ .name = "RebootSystem", .group = GROUP_POWER, .slot = true, .run = action_run_reboot },
	{ .name = "ShutdownSystem", .group = GROUP_POWER, .slot = true, .run = action_run_shutdown },
	{ .name = "CheckLinuxSecurity", .group = GROUP_OBSERVE, .slot = true, .run = action_run_check_security },
	{ .name = "GetLinuxSecurityStatus", .group = GROUP_OBSERVE, .slot = true, .run = action_run_check_security },
	{ .name = "GetLinuxFirewallStatus", .group = GROUP_OBSERVE, .slot = true, .run = action_run_check_firewall },
	{ .name = "CheckFirewallStatus", .group = GROUP_OBSERVE, .slot = true, .run = action_run_check_firewall },
	{ .name = "CheckSecurityModules", .group = GROUP_OBSERVE, .slot = true, .run = action_run_check_security_modules },
	{ .name = "Status", .group = GROUP_OBSERVE, .run = action_run_status },
};

const struct action action_unsafe = {
	.name = "unsafe", .group = GROUP_EXEC, .slot = true, .run = action_run_unsafe
};
const struct action action_status = { .name = "Status", .group = GROUP_OBSERVE, .run = action_run_status };

/* What names of actions that only Windows has contain. GetInstalledApplicationsWMI is asked of Linux guests too. */
static const char *const foreign[] = { "Windows", "Defender", "PowerShell", "GetThreatHistory", "AutoOptimizeDisk" };

enum action_kind action_find(const char *name, const struct action **ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].name, name) == 0) {
			*ret = &actions[i];
			return ACTION_KNOWN;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (strstr(name, foreign[i]))
			return ACTION_FOREIGN;
	return ACTION_UNKNOWN;
}
