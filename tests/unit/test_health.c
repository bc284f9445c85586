/* SPDX-License-Identifier: MIT */
/* The checks of the guest's health, over given facts and as a host asks for them: what could not be looked at has not
 * passed. */
#include <sys/timex.h>

#include "tests/actions_fixture.h"

#include "agent/actions/health.h"
#include "collectors/table.h"

static int clock_status, clock_error;

int adjtimex(struct timex *state)
{
	state->status = clock_status;
	errno = clock_error;
	return clock_error ? -1 : 0;
}

static struct trend fresh = { .samples = 1 };
static struct trend unreadable = { .error = -EACCES };
static struct trend cut = { .samples = 1000, .last_ms = INT64_C(7) * 86400000, .partial = true };
static struct trend quiet = { .samples = 1000, .last_ms = INT64_C(7) * 86400000 };

/* All is known and well. */
#define WELL .managed = true, .list_known = true, .interruptible = true, .checkable = true

static void what_a_check_could_not_look_at_has_not_passed(void **state)
{
	static const struct {
		const char *check;
		struct health_facts facts;
		bool log_off;
		enum health_status status;
		const char *words;
	} cases[] = {
		{ "packages",
		  { .packages = { WELL, .interrupted_known = true, .check_known = true } },
		  false,
		  HEALTH_PASSED,
		  "installed whole" },
		{ "packages",
		  { .packages = { WELL, .interrupted_known = true } },
		  false,
		  HEALTH_WARNING,
		  "could not be asked" },
		{ "packages", { .packages = { WELL, .check_known = true } }, false, HEALTH_WARNING, "interrupted" },
		{ "packages",
		  { .packages = { WELL, .interrupted_known = true, .check_known = true, .check_failed = true } },
		  false,
		  HEALTH_WARNING,
		  "check failed" },
		{ "packages",
		  { .packages = { .managed = true, .list_known = true } },
		  false,
		  HEALTH_PASSED,
		  "installed whole" },
		{ "packages", { .packages = { .managed = true } }, false, HEALTH_WARNING, "could not be read" },
		{ "packages", { .packages = { .managed = false } }, false, HEALTH_PASSED, "no package manager" },
		{ "packages",
		  { .packages = { .managed = true, .broken = true } },
		  false,
		  HEALTH_FAILED,
		  "own database" },
		{ "clock", { .clock = CLOCK_UNKNOWN }, false, HEALTH_WARNING, "not known" },
		{ "clock", { .clock = CLOCK_FREE }, false, HEALTH_WARNING, "nothing synchronises" },
		{ "clock", { .clock = CLOCK_SYNCHRONISED }, false, HEALTH_PASSED, "is synchronised" },
		{ "resource_optimization", { .trend = NULL }, false, HEALTH_WARNING, "could not be read" },
		{ "resource_optimization", { .trend = &unreadable }, false, HEALTH_WARNING, "could not be read" },
		{ "resource_optimization", { .trend = &cut }, false, HEALTH_WARNING, "no time" },
		{ "resource_optimization", { .trend = &fresh }, false, HEALTH_PASSED, "not enough history" },
		{ "resource_optimization", { .trend = &quiet }, false, HEALTH_PASSED, "fits its use" },
		{ "resource_optimization", { .trend = NULL }, true, HEALTH_PASSED, "switched off" },
		{ "failed_units", { .units_absent = true }, false, HEALTH_PASSED, "no service manager" },
		{ "failed_units", { .units_known = false }, false, HEALTH_WARNING, "could not be asked" },
		{ "failed_units", { .units_known = true }, false, HEALTH_PASSED, "no unit has failed" },
		{ "reboot_required", { .reboot_asked = true }, false, HEALTH_WARNING, "could not be read" },
		{ "reboot_required", { .reboot_asked = false }, false, HEALTH_PASSED, "does not say" },
		{ "reboot_required", { .reboot_known = true }, false, HEALTH_PASSED, "no reboot is due" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct health_result result = { .status = HEALTH_PASSED };
		struct health_facts facts = cases[i].facts;

		facts.env = &env;
		set(cases[i].log_off ? "log.enabled=no" : "log.enabled=yes");
		health_check_find(cases[i].check)->run(&facts, &result);
		if (result.status != cases[i].status || !strstr(result.message, cases[i].words))
			fail_msg("%zu, %s: %d, \"%s\"", i, cases[i].check, result.status, result.message);
	}
}

static void pressure_that_was_read_in_part_has_not_passed(void **state)
{
	/* NULL: the kernel has no such file; "": it cannot be read. */
	static const struct {
		const char *values[3];
		enum health_status status;
		const char *words;
	} cases[] = {
		{ { "avg60=0.00", "avg60=1.00", "avg60=2.00" }, HEALTH_PASSED, "hardly" },
		{ { NULL, NULL, NULL }, HEALTH_PASSED, "does not measure" },
		{ { "avg60=0.00", "", "avg60=2.00" }, HEALTH_WARNING, "memory could not be read: Is a directory" },
		{ { "avg60=0.00", "avg60=1.00", "avg60=-1.00" }, HEALTH_WARNING, "I/O could not be read" },
		{ { "avg60=0.00", "avg60=1.00", "avg300=3" }, HEALTH_WARNING, "I/O could not be read" },
		{ { "avg60=0.00", "avg60=1.00", NULL }, HEALTH_WARNING, "I/O could not be read: No such" },
		{ { "", "", "" }, HEALTH_WARNING, "a CPU could not be read" },
		{ { "avg60=0.00", "avg60=70.00", "" }, HEALTH_FAILED, "waited for memory in 70 %" },
		{ { "avg60=99.00", "avg60=0.00", "avg60=0.00" }, HEALTH_WARNING, "waited for a CPU" },
		{ { "avg60=0.00", "avg60=0.00", "avg60=20.00" }, HEALTH_WARNING, "waited for I/O" },
	};
	static const char *const names[] = { "cpu", "memory", "io" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct health_result result = { .status = HEALTH_PASSED };
		struct health_facts facts = { .env = &env };

		for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
			const char *value = cases[i].values[k];
			char path[64], text[128];

			snprintf(path, sizeof(path), "proc/pressure/%s%s", names[k], value && !*value ? "/folder" : "");
			snprintf(text, sizeof(text), "some avg10=0.00 %s avg300=0.00 total=1\n", value ? value : "");
			if (value)
				fixture_write(machine, path, text);
		}
		health_check_find("PRESSURE")->run(&facts, &result);
		if (result.status != cases[i].status || !strstr(result.message, cases[i].words))
			fail_msg("%zu: %d, \"%s\"", i, result.status, result.message);
		for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
			char path[128];

			snprintf(path, sizeof(path), "%s/proc/pressure/%s", machine->path, names[k]);
			nftw(path, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
		}
	}
}

/* What the named check says of a machine. */
static void check_says(const char *name, const char *status, const char *words)
{
	char parameters[64];

	snprintf(parameters, sizeof(parameters), "\"check_name\":\"%s\"", name);
	ask("RunHealthCheck", parameters);
	if (!await() || !strstr(answer(), status) || !strstr(answer(), words))
		fail_msg("%s: %s \"%s\" is not in %s", name, status, words, answer() ? answer() : "nothing");
}

#define PASSED	"\"status\":\"passed\""
#define WARNING "\"status\":\"warning\""
#define FAILED	"\"status\":\"failed\""

static void memory_and_load_are_judged_by_what_the_kernel_says_now(void **state)
{
	static const struct {
		const char *path, *text, *check, *status, *words;
	} cases[] = {
		{ "proc/meminfo", "", "memory", WARNING, "is not known" },
		{ "proc/meminfo", "MemTotal: 1024000 kB\nMemFree: 1 kB\nMemAvailable: 512000 kB\n", "memory_usage",
		  PASSED, "50.0 % of 1000 MB are available" },
		{ "proc/meminfo",
		  "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 90 kB\nSwapTotal: 100 kB\nSwapFree: 25 kB\n",
		  "memory", WARNING, "\"swap_used_percent\":75" },
		{ "proc/meminfo", "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 40 kB\n", "Memory", FAILED,
		  "4.0 %" },
		{ "proc/loadavg", "", "cpu_load", WARNING, "the load is not known" },
		{ "proc/loadavg", "0.10 0.20 0.30 1/80 100\n", "cpu_usage", PASSED, "load 0.20 over 5 minutes" },
		{ "proc/loadavg", "1.00 99999.00 1.00 1/80 100\n", "cpu_load", FAILED, "\"load_5min\":99999" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fixture_write(machine, cases[i].path, cases[i].text);
		check_says(cases[i].check, cases[i].status, cases[i].words);
	}
}

static void what_the_host_gave_to_others_is_judged_apart_from_what_is_in_use(void **state)
{
	static const struct {
		const char *text, *status, *words;
	} cases[] = {
		{ "cpu 10 0 10 80 0 0 0 0 0 0\ncpu0 10 0 10 80 0 0 0 0 0 0\n", PASSED,
		  "gave 0.0 % of the processors' time" },
		{ "cpu 20 0 20 130 0 0 0 30 0 0\ncpu0 20 0 20 130 0 0 0 30 0 0\n", WARNING, "\"steal_percent\":30" },
		{ "cpu 30 0 30 150 0 0 0 90 0 0\ncpu0 30 0 30 150 0 0 0 90 0 0\n", FAILED,
		  "60.0 % of the processors' time" },
		{ "cpu 40 0 40 220 0 0 0 99 0 0\ncpu0 40 0 40 220 0 0 0 99 0 0\n", PASSED, "\"usage_percent\":20" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fixture_write(machine, "proc/stat", cases[i].text);
		loop.now.mono_ns += NS_PER_S;
		measure(&collector_cpu);
		check_says("cpu_steal", cases[i].status, cases[i].words);
	}
}

static struct probe_statvfs figures;
static int probe_error;

static int probe(const struct probe_request *request, unsigned char *data)
{
	(void)request;
	memcpy(data, &figures, sizeof(figures));
	return probe_error ? probe_error : (int)sizeof(figures);
}

static void the_fullest_file_system_is_named_and_one_that_is_silent_does_not_pass(void **state)
{
	static const struct {
		struct probe_statvfs figures;
		int error;
		const char *status, *words;
	} cases[] = {
		{ { .block_size = 4096, .blocks = 1000, .bfree = 500, .bavail = 500 },
		  0,
		  PASSED,
		  "/srv is 50.0 % full" },
		{ { .block_size = 4096, .blocks = 1000, .bfree = 150, .bavail = 150 },
		  0,
		  WARNING,
		  "\"usage_percent\":85" },
		{ { .block_size = 4096, .blocks = 1000, .bfree = 5, .bavail = 5 }, 0, FAILED, "/srv is 99.5 % full" },
		{ { .block_size = 4096, .blocks = 1000, .bfree = 900, .bavail = 900, .files = 100 },
		  0,
		  FAILED,
		  "/srv has 100.0 % of its inodes in use" },
		{ { .block_size = 4096, .blocks = 1000, .files = 100 },
		  0,
		  FAILED,
		  "/srv is 100.0 % full, and /srv has 100.0 % of its inodes in use" },
		{ { .block_size = 0 }, -ETIMEDOUT, WARNING, "is not known" },
	};

	(void)state;
	seen.probe = probe;
	fixture_write(machine, "proc/1/mountinfo", "21 1 0:50 / /srv rw,relatime - nfs4 server:/x rw\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		figures = cases[i].figures;
		probe_error = cases[i].error;
		measure(&collector_filesystem);
		check_says("disk_space", cases[i].status, cases[i].words);
	}
}

static void the_log_and_what_starts_programs_are_judged(void **state)
{
	(void)state;
	seen.log = (struct logger_stats){ .written = 7 };
	check_says("log", PASSED, "\"written\":7");
	seen.log.state = LOGGER_LAGGING;
	check_says("log", WARNING, "lags behind");
	seen.log = (struct logger_stats){ .state = LOGGER_FAILED, .error = -ENOSPC };
	check_says("log", FAILED, "cannot be written: No space left");
	set("log.enabled=no");
	check_says("log", PASSED, "switched off");
	check_says("executor", PASSED, "commands can be started");
	executor.state = EXEC_STATE_OFF;
	check_says("executor", PASSED, "the executor is off");
	runner.state = EXEC_STATE_FAULT;
	runner.fault = "there is no program to start";
	check_says("executor", FAILED, "there is no program to start");
}

static int no_units, clock_is_synchronised;

static int manager_says(sd_bus_message *message)
{
	sd_bus_message *reply = NULL;
	char name[64];

	if (sd_bus_message_is_method_call(message, DBUS_PROPERTIES, "Get"))
		return clock_is_synchronised < 0 ? sd_bus_reply_method_errorf(message, SD_BUS_ERROR_FAILED, "not today")
						 : sd_bus_reply_method_return(message, "v", "b", clock_is_synchronised);
	if (!sd_bus_message_is_method_call(message, SYSTEMD_MANAGER, "ListUnitsFiltered"))
		return 0;
	if (no_units < 0)
		return sd_bus_reply_method_return(message, "s", "what?");
	assert_true(sd_bus_message_new_method_return(message, &reply) >= 0);
	assert_true(sd_bus_message_open_container(reply, 'a', "(ssssssouso)") >= 0);
	for (int i = 0; i < no_units; i++) {
		snprintf(name, sizeof(name), "unit-with-a-long-name-%d.service", i);
		assert_true(sd_bus_message_append(reply, "(ssssssouso)", name, "", "loaded", "failed", "failed", "",
						  "/x", 0, "", "/") >= 0);
	}
	assert_true(sd_bus_message_close_container(reply) >= 0);
	assert_true(sd_bus_send(NULL, reply, NULL) >= 0);
	sd_bus_message_unref(reply);
	return 1;
}

static void failed_units_are_named_as_many_as_fit(void **state)
{
	(void)state;
	seen.manager = manager_says;
	no_units = 0;
	check_says("critical_services", PASSED, "no unit has failed");
	no_units = 1;
	check_says("failed_units", WARNING, "\"units\":\"unit-with-a-long-name-0.service\",\"failed_units\":1");
	no_units = 12;
	check_says("failed_units", WARNING, "-6.service and 5 more\"");
	no_units = -1;
	check_says("failed_units", WARNING, "could not be asked");
	seen.bus_is_missing = true;
	env.bus = bus_free(env.bus);
	env.bus = bus_new(loop.ev, &(struct bus_config){ .connect = manager_connect });
	ask("RunHealthCheck", "\"check_name\":\"failed_units\"");
	answer_has(access("/run/systemd/system", F_OK) == 0 ? "could not be asked" : "no service manager");
}

static void the_clock_is_asked_of_the_kernel_and_where_that_is_forbidden_of_timedated(void **state)
{
	(void)state;
	clock_steps = 3;
	clock_error = 0;
	clock_status = 0;
	check_says("clock", PASSED, "\"clock_steps\":3");
	clock_status = STA_UNSYNC;
	check_says("clock", WARNING, "nothing synchronises");
	assert_int_equal(seen.manager_calls, 0);
	clock_error = EPERM;
	seen.manager = manager_says;
	clock_is_synchronised = 1;
	check_says("clock", PASSED, "is synchronised");
	clock_is_synchronised = 0;
	check_says("clock", WARNING, "nothing synchronises");
	clock_is_synchronised = -1;
	check_says("clock", WARNING, "not known");
}

static void the_package_manager_is_asked_by_its_own_programs(void **state)
{
	(void)state;
	play("*dpkg-query*", 0, "bash\t5.2\tamd64\thalf-configured install ok\t1\t1\tsh\tbash\tme\tsum\n");
	play("*find */updates*", 0, "/var/lib/dpkg/updates/0001\n");
	play("*apt-get*check*", 100,
	     "The following packages have unmet dependencies:\n a : Depends: b but it is not "
	     "installed\n");
	play("*stat -c*", 0, "1700000000 /run/reboot-required\n");
	check_says("packages", FAILED, "dpkg was interrupted");
	answer_has("\"interrupted\":\"yes\",\"dependencies\":\"broken\",\"unmet_dependencies\":1");
	check_says("reboot_required", WARNING, "waits for a reboot");
	play("*find */updates*", 0, "");
	play("*apt-get*check*", 0, "");
	play("*stat -c*", 1, "1700000000 /var/lib/apt/lists\n");
	check_says("packages", WARNING, "1 packages are neither installed nor gone: bash");
	answer_has("\"incomplete_packages\":\"bash\"");
	play("*dpkg-query*", 0, "bash\t5.2")->out.total = 99;
	check_says("packages", WARNING, "could not be read whole");
	check_says("reboot_required", PASSED, "no reboot is due");
	play("*dpkg-query*", 2, "");
	check_says("packages", FAILED, "own database");
	play("*dpkg-query*", 0, "")->lost = true;
	check_says("packages", "\"success\":false", "\"lost\"");
}

static void all_checks_are_answered_at_once_and_the_worst_one_by_its_name(void **state)
{
	(void)state;
	machine_of("debian-12");
	seen.manager = manager_says;
	no_units = 1;
	clock_error = 0;
	clock_status = 0;
	play("*", 0, "");
	executor.state = EXEC_STATE_FAULT;
	executor.fault = "there is no program to start";
	assert_null(ask("RunAllHealthChecks", "") ? NULL : await() ? NULL : "no answer");
	answer_has("\"overall_health\":\"Critical\",\"disk_space\":{");
	for (size_t i = 0; i < HEALTH_CHECKS; i++)
		answer_has(health_checks[i].name);
	assert_null(strstr(answer(), "\"valid\""));
	ask("RunHealthCheck", "");
	assert_non_null(await());
	answer_has("\"status\":\"failed\",\"message\":\"there is no program to start\"");
	answer_has("\"check_name\":\"executor\"");
	ask("ValidateSystemHealth", "");
	assert_non_null(await());
	answer_has("\"valid\":false,\"failed_units_known\":true,\"failed_units_count\":1,\"reboot_due\":false");
	ask("ValidateSystemHealth", "\"check_name\":\"executor\"");
	answer_has("\"status\":\"failed\"");
	expect("RunHealthCheck", "\"check_name\":\"nothing\"", "check_name is disk_space");
	expect("RunHealthCheck", "\"check_name\":7", "\"INVALID_PARAMETERS\"");
}

/* -------------------------------------------------------------------------------------------------- the guest's size
 */

/* A log of two days, a line in an hour, in which the CPU is used like this. */
static void write_log(double cpu)
{
	char path[128], time[RFC3339_SIZE];
	FILE *file;

	snprintf(path, sizeof(path), "%s/metrics-20231112T000000.000Z-000001.ndjson", state_dir);
	file = fopen(path, "we");
	assert_non_null(file);
	for (int i = 0; i < 96; i++) {
		rfc3339_format(loop.now.wall_ms - (96 - i) * INT64_C(1800000), time);
		fprintf(file,
			"{\"type\":\"metrics\",\"timestamp\":\"%s\",\"seq\":%d,\"data\":{\"system\":{\"cpu\":{"
			"\"usage_percent\":%.2f,\"cores_usage\":[1,1,1,1]},\"memory\":{\"total_kb\":8388608,\"used_"
			"kb\":"
			"4194304,\"swap_total_kb\":null,\"swap_used_kb\":null},\"disk\":{\"usage_stats\":[]}}}}\n",
			time, i + 1, cpu);
	}
	fclose(file);
}

static void advice_on_the_guests_size_needs_a_history_and_says_what_it_rests_on(void **state)
{
	(void)state;
	machine_of("debian-12");
	loop.now.wall_ms += 4 * INT64_C(31536000000); /* after that machine was captured */
	ask("CheckResourceOptimization", "");
	assert_non_null(await());
	answer_has("\"status\":\"optimal\",\"message\":\"not enough history");
	answer_has("\"processes\":[{\"pid\":");
	loop.now.wall_ms -= 4 * INT64_C(31536000000);
	write_log(95);
	ask("CheckResourceOptimization", "\"evaluation_window_days\":3");
	assert_non_null(await());
	answer_has("\"status\":\"suboptimal\",\"message\":\"the guest's size does not fit its use\"");
	answer_has("\"recommendations\":[{\"resource\":\"cpu\",\"current_value\":4");
	answer_has("\"evaluation_window_days\":3,\"enough\":true,\"complete\":true,\"samples\":96,\"begin\":");
	answer_has("\"cpu\":{\"average_percent\":95.0,");
	check_says("resource_optimization", WARNING, "\"recommendations\":1");
	set("log.enabled=no");
	ask("CheckResourceOptimization", "");
	answer_has("the metric log could not be read");
	expect("CheckResourceOptimization", "\"evaluation_window_days\":366", "\"INVALID_PARAMETERS\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		actions_test(what_a_check_could_not_look_at_has_not_passed),
		actions_test(pressure_that_was_read_in_part_has_not_passed),
		actions_test(memory_and_load_are_judged_by_what_the_kernel_says_now),
		actions_test(what_the_host_gave_to_others_is_judged_apart_from_what_is_in_use),
		actions_test(the_fullest_file_system_is_named_and_one_that_is_silent_does_not_pass),
		actions_test(the_log_and_what_starts_programs_are_judged),
		actions_test(failed_units_are_named_as_many_as_fit),
		actions_test(the_clock_is_asked_of_the_kernel_and_where_that_is_forbidden_of_timedated),
		actions_test(the_package_manager_is_asked_by_its_own_programs),
		actions_test(all_checks_are_answered_at_once_and_the_worst_one_by_its_name),
		actions_test(advice_on_the_guests_size_needs_a_history_and_says_what_it_rests_on),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
