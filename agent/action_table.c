/* SPDX-License-Identifier: MIT */
/* The table of what a host may ask for. */
#include "agent/actions.h"

#include <infiniservice/cleanup.h>

#include "agent/command/batch.h"
#include "agent/history.h"
#include "agent/script.h"
#include "agent/subscribe.h"

/* Reading the log takes as long as the log is large. */
#define HISTORY_TIMEOUT_S 300
#define SCRIPT_TIMEOUT_S  600

/* clang-format off */
static const struct action rows[] = {
	{ .name = "SystemInfo", .group = GROUP_OBSERVE, .run = action_run_system_info },
	{ .name = "OsInfo", .group = GROUP_OBSERVE, .run = action_run_os_info },
	{ .name = "ProcessList", .group = GROUP_OBSERVE, .run = action_run_process_list },
	{ .name = "ProcessTop", .group = GROUP_OBSERVE, .run = action_run_process_top },
	{ .name = "CheckDiskSpace", .group = GROUP_OBSERVE, .run = action_run_check_disk_space },
	{ .name = "DiskCleanup", .group = GROUP_CONTROL, .slot = true, .timeout_s = 300,
	  .run = action_run_disk_cleanup },
	{ .name = "CleanTemporaryFiles", .group = GROUP_CONTROL, .slot = true, .timeout_s = 300,
	  .run = action_run_clean_temporary_files },
	{ .name = "PrepareGoldenImage", .group = GROUP_POWER, .slot = true, .timeout_s = 600,
	  .run = action_run_prepare_golden_image },
	{ .name = "JoinDomain", .group = GROUP_POWER, .slot = true, .timeout_s = 300, .run = action_run_join_domain },
	{ .name = "RunHealthCheck", .group = GROUP_OBSERVE, .bus = true, .slot = true, .timeout_s = 300,
	  .run = action_run_health_check },
	{ .name = "RunAllHealthChecks", .group = GROUP_OBSERVE, .bus = true, .slot = true, .timeout_s = 300,
	  .run = action_run_all_health_checks },
	{ .name = "ValidateSystemHealth", .group = GROUP_OBSERVE, .bus = true, .slot = true, .timeout_s = 300,
	  .run = action_run_validate_system_health },
	{ .name = "CheckResourceOptimization", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 240,
	  .run = action_run_check_resource_optimization },
	{ .name = "CheckSystemIntegrity", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 600,
	  .run = action_run_check_system_integrity },
	{ .name = "RunMaintenanceTask", .group = GROUP_CONTROL, .bus = true, .group_of = action_group_of_maintenance, .slot = true,
	  .timeout_s = 1800, .run = action_run_maintenance_task },
	{ .name = "PackageList", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 45,
	  .run = action_run_package_list },
	{ .name = "PackageSearch", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 45,
	  .run = action_run_package_search },
	{ .name = "PackageInstall", .group = GROUP_PACKAGES, .slot = true, .timeout_s = 300,
	  .run = action_run_package_install },
	{ .name = "PackageRemove", .group = GROUP_PACKAGES, .slot = true, .timeout_s = 300,
	  .run = action_run_package_remove },
	{ .name = "PackageUpdate", .group = GROUP_PACKAGES, .slot = true, .timeout_s = 300,
	  .run = action_run_package_update },
	{ .name = "UpdateSystemSoftware", .group = GROUP_PACKAGES, .slot = true, .timeout_s = 1800,
	  .run = action_run_update_system_software },
	{ .name = "CheckLinuxUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_check_linux_updates },
	{ .name = "GetLinuxSecurityUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_linux_security_updates },
	{ .name = "GetLinuxUpdateHistory", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_linux_update_history },
	{ .name = "GetPendingLinuxUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_check_linux_updates },
	{ .name = "GetAvailableUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_available_updates },
	{ .name = "GetPendingUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_available_updates },
	{ .name = "GetSecurityUpdates", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_security_updates },
	{ .name = "GetUpdateHistory", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300,
	  .run = action_run_update_history },
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
	{ .name = "ServiceList", .group = GROUP_OBSERVE, .bus = true, .run = action_run_service_list },
	{ .name = "ServiceControl", .group = GROUP_CONTROL, .bus = true, .group_of = action_group_of_service_control, .slot = true,
	  .run = action_run_service_control },
	{ .name = "RestartServices", .group = GROUP_CONTROL, .bus = true, .slot = true, .timeout_s = 300,
	  .run = action_run_restart_services },
	{ .name = "UserList", .group = GROUP_OBSERVE, .run = action_run_user_list },
	{ .name = "ProcessKill", .group = GROUP_CONTROL, .run = action_run_process_kill },
	{ .name = "RebootSystem", .group = GROUP_POWER, .bus = true, .slot = true, .run = action_run_reboot },
	{ .name = "ShutdownSystem", .group = GROUP_POWER, .bus = true, .slot = true, .run = action_run_shutdown },
	{ .name = "CheckLinuxSecurity", .group = GROUP_OBSERVE, .bus = true, .slot = true, .run = action_run_check_security },
	{ .name = "GetLinuxSecurityStatus", .group = GROUP_OBSERVE, .bus = true, .slot = true, .run = action_run_check_security },
	{ .name = "GetLinuxFirewallStatus", .group = GROUP_OBSERVE, .bus = true, .slot = true, .run = action_run_check_firewall },
	{ .name = "CheckFirewallStatus", .group = GROUP_OBSERVE, .bus = true, .slot = true, .run = action_run_check_firewall },
	{ .name = "CheckSecurityModules", .group = GROUP_OBSERVE, .bus = true, .slot = true,
	  .run = action_run_check_security_modules },
	{ .name = "Status", .group = GROUP_OBSERVE, .run = action_run_status },
	/* Messages that are commands of their own. */
	{ .name = "unsafe", .type = MESSAGE_UNSAFE_COMMAND, .group = GROUP_EXEC, .slot = true,
	  .run = action_run_unsafe },
	{ .name = "script", .type = MESSAGE_PENDING_SCRIPTS, .group = GROUP_EXEC, .slot = true, .slots = SLOTS_SCRIPTS,
	  .timeout_s = SCRIPT_TIMEOUT_S, .run = script_run, .encode = script_encode, .deliver = script_deliver },
	{ .name = "Status", .type = MESSAGE_STATUS, .group = GROUP_OBSERVE, .run = action_run_status },
	{ .name = "CommandBatch", .type = MESSAGE_COMMAND_BATCH, .group = GROUP_OBSERVE, .always = true,
	  .run = action_run_batch },
	{ .name = "CancelCommand", .type = MESSAGE_CANCEL_COMMAND, .group = GROUP_OBSERVE, .always = true,
	  .run = action_run_cancel },
	{ .name = "Subscribe", .type = MESSAGE_SUBSCRIBE, .group = GROUP_OBSERVE, .run = action_run_subscribe },
	{ .name = "Unsubscribe", .type = MESSAGE_UNSUBSCRIBE, .group = GROUP_OBSERVE, .run = action_run_unsubscribe },
	{ .name = "SetConfig", .type = MESSAGE_SET_CONFIG, .group = GROUP_CONTROL, .run = action_run_set_config },
	{ .name = "GetHistory", .type = MESSAGE_GET_HISTORY, .group = GROUP_OBSERVE, .timeout_s = HISTORY_TIMEOUT_S,
	  .run = action_run_get_history },
};
/* clang-format on */

/* What names of actions that only Windows has contain. GetInstalledApplicationsWMI is asked of Linux guests too. */
static const char *const foreign[] = {
	"Windows", "Defender", "PowerShell", "GetThreatHistory", "AutoOptimizeDisk", NULL
};

const struct action_table actions = { .rows = rows, .count = ARRAY_SIZE(rows), .foreign = foreign };
