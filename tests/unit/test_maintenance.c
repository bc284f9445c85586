/* SPDX-License-Identifier: MIT */
/* Maintenance tasks with and without checks around them, the files of the packages, and the space on the disks. */
#include <sys/timex.h>

#include "tests/actions_fixture.h"

#include "collectors/table.h"

/* The clock is synchronised. */
int adjtimex(struct timex *state)
{
	state->status = 0;
	return 0;
}

static int no_unit_failed(sd_bus_message *message)
{
	return sd_bus_message_is_method_call(message, SYSTEMD_MANAGER, "ListUnitsFiltered")
		       ? sd_bus_reply_method_return(message, "a(ssssssouso)", 0)
		       : 0;
}

static const char *ask_and_wait(const char *action, const char *parameters)
{
	ask(action, parameters);
	return await();
}

/* ------------------------------------------------------------------------------------------------------ maintenance */

#define TASK(type) "\"task_name\":\"the task\",\"task_type\":\"" type "\""

static void a_task_is_another_name_for_an_action(void **state)
{
	(void)state;
	play("*clean --dry-run -- tmp*", 0, "end\t7\t0\t0\t0\n");
	expect("RunMaintenanceTask", TASK("cleanup") ",\"parameters\":{\"targets\":[\"tmp\"],\"dry_run\":true}",
	       "\"freed_bytes\":7");
	answer_has("\"command_type\":\"RunMaintenanceTask\"");
	assert_null(strstr(answer(), "validation"));
	seen.manager = no_unit_failed;
	play("*", 0, "");
	assert_non_null(ask_and_wait("RunMaintenanceTask", TASK("health")));
	answer_has("\"overall_health\":");
}

static void a_task_that_makes_no_sense_or_is_denied_is_not_begun(void **state)
{
	static const char *const wrong[] = {
		TASK("defragment"),
		"\"task_name\":\"x\"",
		"\"task_type\":7",
		TASK("cleanup") ",\"parameters\":[1]",
		TASK("cleanup") ",\"validate_before\":\"yes\"",
		TASK("cleanup") ",\"validate_after\":1",
		"\"task_type\":\"cleanup\",\"task_name\":{}",
		TASK("cleanup") ",\"parameters\":{\"targets\":\"/etc\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		expect("RunMaintenanceTask", wrong[i], "\"INVALID_PARAMETERS\"");
	set("commands.deny=DiskCleanup");
	expect("RunMaintenanceTask", TASK("cleanup"), "\"POLICY_DENIED\"");
	set("commands.deny=");
	set("commands.allow=observe, control");
	expect("RunMaintenanceTask", TASK("updates"), "\"POLICY_DENIED\"");
	assert_int_equal(job_count, 0);
}

static void checks_around_a_task_are_answered_with_it(void **state)
{
	(void)state;
	seen.manager = no_unit_failed;
	play("*", 0, "");
	play("*clean -- *", 0, "end\t7\t0\t0\t0\n");
	assert_non_null(ask_and_wait("RunMaintenanceTask",
				     TASK("cleanup") ",\"validate_before\":true,\"validate_after\":true"));
	answer_has("\"success\":true");
	answer_has("\"data\":{\"freed_bytes\":7,");
	answer_has("\"validation\":{\"before\":{\"overall_health\":\"Warning\",\"disk_space\":{");
	answer_has("},\"after\":{\"overall_health\":\"Warning\",\"disk_space\":{");
	assert_non_null(ask_and_wait("RunMaintenanceTask", TASK("cleanup") ",\"validate_after\":true"));
	answer_has("\"validation\":{\"before\":null,\"after\":{\"overall_health\"");
	assert_non_null(ask_and_wait("RunMaintenanceTask", TASK("cleanup") ",\"validate_before\":true"));
	answer_has("\"after\":null}");
	play("*clean -- *", 1, "end\t9\t0\t0\t0\n");
	assert_non_null(ask_and_wait("RunMaintenanceTask", TASK("cleanup") ",\"validate_after\":true"));
	answer_has("\"success\":false");
	answer_has("\"freed_bytes\":9,");
	answer_has("\"after\":{\"overall_health\"");
}

static void a_failed_check_keeps_a_task_from_being_begun(void **state)
{
	(void)state;
	seen.manager = no_unit_failed;
	play("*", 0, "");
	runner.state = EXEC_STATE_READY;
	executor.fault = "there is no program to start";
	executor.state = EXEC_STATE_FAULT;
	assert_non_null(ask_and_wait("RunMaintenanceTask", TASK("cleanup") ",\"validate_before\":true"));
	answer_has("\"error_code\":\"COMMAND_FAILED\",\"reason\":\"unhealthy\"");
	answer_has("the task was not begun: the check executor failed: there is no program to start");
	answer_has("\"validation\":{\"before\":{\"overall_health\":\"Critical\"");
	answer_has("\"after\":null");
	assert_null(job_of("*clean*"));
	/* A task that was refused says nothing of the guest. */
	executor.state = EXEC_STATE_OFF;
	assert_non_null(ask_and_wait("RunMaintenanceTask", TASK("cleanup") ",\"validate_after\":true"));
	answer_has("\"PERMISSION_DENIED\"");
	assert_null(strstr(answer(), "validation"));
}

static void a_task_that_is_cancelled_is_not_checked_afterwards(void **state)
{
	(void)state;
	seen.manager = no_unit_failed;
	assert_null(ask("RunMaintenanceTask", TASK("cleanup") ",\"validate_after\":true"));
	assert_non_null(job_of("*clean*"));
	cancel(&host, "stop", asked);
	turns();
	answer_has("\"CANCELLED\"");
	assert_null(job_of("*dpkg-query*"));
}

/* ---------------------------------------------------------------------------------------- the files of the packages */

#define RULES "/etc/dpkg/dpkg.cfg.d/docker:path-exclude=/usr/share/doc/*\n"

static void files_that_are_not_as_they_were_brought_are_listed_the_serious_ones_first(void **state)
{
	(void)state;
	play("*grep*path-*", 0, RULES);
	play("*dpkg --verify", 1,
	     "??5?????? c /etc/x.conf\nmissing     /usr/share/doc/x\n??5??????   /usr/bin/x\nmissing     /usr/bin/y\n");
	expect("CheckSystemIntegrity", "", "\"status\":\"warning\",\"message\":\"files are not as");
	answer_has("\"tool\":\"dpkg\",\"complete\":true,\"as_root\":true,\"exclusions_known\":true,\"changed_count\":4,"
		   "\"missing_count\":2,\"damaged_count\":2,\"config_count\":1,\"excluded_count\":1,");
	answer_has("\"changed_files\":[{\"path\":\"/usr/bin/x\",\"flags\":\"??5??????\",\"missing\":false,"
		   "\"config_file\":false,\"kind\":\"damage\"},{\"path\":\"/usr/bin/y\",");
	answer_has("\"kind\":\"damage\"},{\"path\":\"/etc/x.conf\",");
	assert_null(strstr(answer(), "/usr/share/doc/x"));
}

static void files_that_were_not_looked_at_have_not_passed(void **state)
{
	(void)state;
	play("*grep*path-*", 1, "");
	play("*dpkg --verify", 0, "??5?????? c /etc/x.conf\n");
	expect("CheckSystemIntegrity", "", "\"status\":\"passed\",\"message\":\"all files are as");
	answer_has("\"exclusions_known\":true");
	play("*grep*path-*", 2, "");
	expect("CheckSystemIntegrity", "", "\"exclusions_known\":false");
	play("*dpkg --verify", 0, "")->truncated = true;
	expect("CheckSystemIntegrity", "", "\"status\":\"warning\",\"message\":\"not all packages were looked at");
	play("*dpkg --verify", 0, "missing     /usr/bin/y\n")->timed_out = true;
	expect("CheckSystemIntegrity", "", "\"COMMAND_TIMEOUT\"");
	answer_has("\"complete\":false");
	answer_has("\"path\":\"/usr/bin/y\"");
	play("*dpkg --verify", 2, "");
	expect("CheckSystemIntegrity", "", "\"success\":false");
	play("*grep*path-*", 0, "")->lost = true;
	expect("CheckSystemIntegrity", "", "\"lost\"");
	play("*grep*path-*", 0, "");
	play("*dpkg --verify", 0, "");
	ask_as(user(1000), "CheckSystemIntegrity", "");
	answer_has("only root may read were not looked at");
}

static void a_list_of_changes_that_does_not_fit_is_cut_and_counted(void **state)
{
	enum { FILES = 12000 };
	char *text = malloc(FILES * 64);
	size_t len = 0;

	(void)state;
	assert_non_null(text);
	for (int i = 0; i < FILES; i++)
		len += (size_t)sprintf(text + len, "missing     /usr/bin/a-name-that-takes-its-place-%05d\n", i);
	play("*grep*path-*", 0, "");
	play("*dpkg --verify", 1, text);
	expect("CheckSystemIntegrity", "", "-00100\"");
	answer_has("\"truncated\":true,\"total_count\":12000");
	free(text);
}

/* ------------------------------------------------------------------------------------------------------- the disks */

static int probe(const struct probe_request *request, unsigned char *data)
{
	const char *path = request->arg;
	bool tight = memcmp(path, "/srv/t", 6) == 0;
	struct probe_statvfs figures = { .block_size = 1 << 20,
					 .blocks = 10240,
					 .bfree = tight ? 1536 : 5120,
					 .bavail = tight ? 1536 : 5120,
					 .files = tight ? 0 : 1000,
					 .ffree = 750 };

	memcpy(data, &figures, sizeof(figures));
	return memcmp(path, "/srv/d", 6) == 0 ? -ETIMEDOUT : (int)sizeof(figures);
}

static void disks_are_listed_by_both_names_and_those_that_do_not_answer_apart(void **state)
{
	(void)state;
	seen.probe = probe;
	fixture_write(machine, "proc/1/mountinfo",
		      "21 1 0:50 / /srv/half rw,relatime - nfs4 server:/x rw\n"
		      "22 1 0:51 / /srv/tight rw,relatime - nfs4 server:/y rw\n"
		      "23 1 0:52 / /srv/dead rw,relatime - nfs4 server:/z rw\n"
		      "24 1 0:53 / /srv/image ro,relatime - nfs4 server:/i ro\n");
	expect("CheckDiskSpace", "",
	       "\"status\":\"warning\",\"warning_threshold\":80,\"critical_threshold\":90,\"drives\":");
	answer_has(
		"{\"drive\":\"/srv/tight\",\"drive_letter\":\"/srv/tight\",\"label\":\"server:/y\",\"total_gb\":10.0,");
	answer_has("\"free_gb\":1.5,\"available_gb\":1.5,\"used_percent\":85.0}");
	answer_has("{\"mount_point\":\"/srv/half\",\"filesystem\":\"nfs4\",\"total_gb\":10.0,\"used_gb\":5.0,"
		   "\"available_gb\":5.0,\"usage_percent\":50.0,\"inodes_percent\":25.0,\"read_only\":false,"
		   "\"judged\":true}");
	answer_has("\"inodes_percent\":null");
	answer_has("\"mount_point\":\"/srv/image\"");
	assert_null(strstr(answer(), "\"drive\":\"/srv/image\""));
	answer_has("\"unknown\":[\"/srv/dead\"]");
	expect("CheckDiskSpace", "\"warning_threshold\":86", "\"status\":\"ok\"");
	expect("CheckDiskSpace", "\"warning_threshold\":10,\"critical_threshold\":85", "\"status\":\"critical\"");
	expect("CheckDiskSpace", "\"warning_threshold\":95", "warning_threshold is above critical_threshold");
	expect("CheckDiskSpace", "\"critical_threshold\":101", "\"INVALID_PARAMETERS\"");
}

static void without_the_collector_there_is_nothing_to_say_of_disks(void **state)
{
	(void)state;
	fixture_write(machine, "proc/1/mountinfo/folder", "");
	expect("CheckDiskSpace", "", "\"INTERNAL\"");
	answer_has("the filesystem collector is off or failing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		actions_test(a_task_is_another_name_for_an_action),
		actions_test(a_task_that_makes_no_sense_or_is_denied_is_not_begun),
		actions_test(checks_around_a_task_are_answered_with_it),
		actions_test(a_failed_check_keeps_a_task_from_being_begun),
		actions_test(a_task_that_is_cancelled_is_not_checked_afterwards),
		actions_test(files_that_are_not_as_they_were_brought_are_listed_the_serious_ones_first),
		actions_test(files_that_were_not_looked_at_have_not_passed),
		actions_test(a_list_of_changes_that_does_not_fit_is_cut_and_counted),
		actions_test(disks_are_listed_by_both_names_and_those_that_do_not_answer_apart),
		actions_test(without_the_collector_there_is_nothing_to_say_of_disks),
	};

	return cmocka_run_group_tests_name("maintenance", tests, NULL, NULL);
}
