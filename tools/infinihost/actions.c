/* SPDX-License-Identifier: MIT */
#include "actions.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/config/keys.h"
#include "tools/show/show.h"

#define BOOLEAN "=true|false"
#define CHECKS                                                                                                         \
	"=disk_space|resource_optimization|memory|cpu_load|cpu_steal|pressure|clock|log|executor|failed_units|"        \
	"packages|"                                                                                                    \
	"reboot_required"

/* Parameters are separated by blanks, the values of one by '|'. */
static const struct {
	const char *name, *parameters;
} actions[] = {
	{ "CheckApplicationUpdates", "" },
	{ "CheckDiskSpace", "warning_threshold critical_threshold" },
	{ "CheckFirewallStatus", "" },
	{ "CheckLinuxSecurity", "" },
	{ "CheckLinuxUpdates", "" },
	{ "CheckResourceOptimization", "evaluation_window_days" },
	{ "CheckSecurityModules", "" },
	{ "CheckSpecificAppUpdates", "app_id" },
	{ "CheckSystemIntegrity", "" },
	{ "CleanTemporaryFiles", "targets dry_run" BOOLEAN " age_days" },
	{ "DiskCleanup", "targets dry_run" BOOLEAN " age_days" },
	{ "EstimateUpdateSize", "app_id" },
	{ "GetApplicationDetails", "app_id" },
	{ "GetAvailableUpdates", "" },
	{ "GetInstalledApplicationsWMI", "" },
	{ "GetLinuxFirewallStatus", "" },
	{ "GetLinuxSecurityStatus", "" },
	{ "GetLinuxSecurityUpdates", "" },
	{ "GetLinuxUpdateHistory", "days" },
	{ "GetPendingLinuxUpdates", "" },
	{ "GetPendingUpdates", "" },
	{ "GetSecurityUpdates", "" },
	{ "GetUpdateHistory", "days" },
	{ "JoinDomain", "domain username password ou computer_name restart_after" BOOLEAN },
	{ "OsInfo", "" },
	{ "PackageInstall", "package" },
	{ "PackageList", "" },
	{ "PackageRemove", "package" },
	{ "PackageSearch", "query" },
	{ "PackageUpdate", "package" },
	{ "PrepareGoldenImage", "cleanup_level=basic|minimal|standard|deep|full sanitize_user_data" BOOLEAN
				" shutdown_after" BOOLEAN " dry_run" BOOLEAN },
	{ "ProcessKill", "pid force" BOOLEAN " start_time" },
	{ "ProcessList", "limit sort_by=cpu|memory" },
	{ "ProcessTop", "limit sort_by=cpu|memory" },
	{ "RebootSystem", "force" BOOLEAN " delay_s" },
	{ "RestartServices", "service_name" },
	{ "RunAllHealthChecks", "" },
	{ "RunHealthCheck", "check_name" CHECKS },
	{ "RunMaintenanceTask", "task_type=cleanup|updates|restart_services|health task_name validate_before" BOOLEAN
				" validate_after" BOOLEAN " parameters" },
	{ "ServiceControl", "service operation=start|stop|restart|enable|disable|status" },
	{ "ServiceList", "" },
	{ "ShutdownSystem", "force" BOOLEAN " delay_s" },
	{ "Status", "" },
	{ "SystemInfo", "" },
	{ "UpdateSystemSoftware", "package" },
	{ "UserList", "" },
	{ "ValidateSystemHealth", "check_name" CHECKS },
};

static const char *parameters_of(const char *action)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (!strcmp(actions[i].name, action))
			return actions[i].parameters;
	return NULL;
}

/* Takes the next parameter: its name and the list of its values ("" when any will do). False at the end. */
static bool next_parameter(const char **at, char name[64], char values[256])
{
	size_t len = strcspn(*at, " "), name_len = strcspn(*at, " =");

	if (!len)
		return false;
	snprintf(name, 64, "%.*s", (int)name_len, *at);
	snprintf(values, 256, "%.*s", (int)(len - name_len), *at + name_len);
	*at += len;
	*at += strspn(*at, " ");
	return true;
}

static void say_unknown_action(const char *action)
{
	unsigned best = LIKELY_EDITS + 1;
	const char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		unsigned distance = likely_distance(actions[i].name, action);

		if (distance >= best)
			continue;
		best = distance;
		found = actions[i].name;
	}
	if (found)
		show(stderr, "infinihost: %s: not known here, perhaps %s is meant; sent as it is\n", action, found);
	else
		show(stderr, "infinihost: %s: not known here, sent as it is (infinihost actions lists what is)\n",
		     action);
}

static bool has_parameter(const char *at, const char *wanted, size_t len)
{
	char name[64], values[256];

	while (next_parameter(&at, name, values))
		if (strlen(name) == len && !strncmp(name, wanted, len))
			return true;
	return false;
}

static void say_unknown_parameter(const char *action, const char *at, int len, const char *word)
{
	char name[64], values[256], list[512] = "";

	while (next_parameter(&at, name, values)) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", name);
	}
	show(stderr, "infinihost: %s has no parameter %.*s (%s%s), sent as it is\n", action, len, word,
	     list[0] ? "it has " : "it has none", list);
}

void actions_judge(int count, char **words)
{
	const char *parameters = parameters_of(words[0]);

	if (!parameters) {
		say_unknown_action(words[0]);
		return;
	}
	for (int i = 1; i < count; i++) {
		size_t len = strcspn(words[i], "=");

		if (!has_parameter(parameters, words[i], len) && strncmp(words[i], "params=", 7) != 0)
			say_unknown_parameter(words[0], parameters, (int)len, words[i]);
	}
}

static void print_parameter(const char *name, const char *values)
{
	if (*values != '=') {
		show(stdout, "%s=\n", name);
		return;
	}
	while (*values) {
		size_t len = strcspn(++values, "|");

		show(stdout, "%s=%.*s\n", name, (int)len, values);
		values += len;
	}
}

int actions_print(const char *action)
{
	const char *parameters = action ? parameters_of(action) : NULL;
	char name[64], values[256];

	for (size_t i = 0; !action && i < ARRAY_SIZE(actions); i++)
		show(stdout, "%s\n", actions[i].name);
	if (action && !parameters)
		return -ENOENT;
	while (action && next_parameter(&parameters, name, values))
		print_parameter(name, values);
	return 0;
}
