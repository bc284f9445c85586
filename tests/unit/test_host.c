/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/utsname.h>

#include "capture_sink.h"
#include "collectors/host.h"
#include "collectors/table.h"
#include "fixture_dir.h"

static int setup(void **state)
{
	struct fixture *fixture = fixture_new();

	fixture_write(fixture, "proc/uptime", "3600.25 7000.00\n");
	fixture_write(fixture, "proc/loadavg", "0.20 1.18 12.05 3/180 11206\n");
	fixture_write(fixture, "proc/sys/kernel/hostname", "guest-1\n");
	fixture_write(fixture, "proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
	fixture_write(fixture, "root/etc/os-release",
		      "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n"
		      "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n");
	fixture_write(fixture, "root/etc/passwd", "daemon:x:1:1::/:/bin/false\nroot:x:0:0:root:/root:/bin/zsh\n");
	fixture_write(fixture, "root/usr/bin/apt-get", "");
	*state = fixture;
	return collector_host.open(&fixture->ctx, &fixture->state);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	collector_host.close(fixture->state);
	fixture_free(fixture);
	return 0;
}

static int collect(struct fixture *fixture)
{
	return collector_host.collect(fixture->state, &fixture->ctx);
}

static void assert_emits(struct fixture *fixture, const char *part)
{
	struct capture *capture = capture_begin();
	bool found;

	collector_host.emit(fixture->state, &capture->sink);
	found = capture_has(capture, part);
	if (!found)
		print_error("no %s in %s\n", part, capture->text);
	free(capture);
	assert_true(found);
}

static void values_of_os_release_are_unquoted_as_a_shell_would(void **state)
{
	static const struct {
		const char *line, *want;
	} cases[] = {
		{ "NAME=Debian", "Debian" },
		{ "NAME=\"Debian GNU/Linux\"", "Debian GNU/Linux" },
		{ "NAME='single \\ $quoted'", "single \\ $quoted" },
		{ "NAME=\"a \\\"b\\\" \\\\ \\$c \\` \\n\"", "a \"b\" \\ $c ` \\n" },
		{ "NAME=bare\\ space # comment", "bare space" },
		{ "NAME=\"joined\"' up'", "joined up" },
		{ "NAME=\"unfinished", "unfinished" },
		{ "NAME=crlf\r", "crlf" },
		{ "NAME=end\\", "end\\" },
		{ "NAME=", "" },
		{ "NAME", "" },
		{ "#NAME=commented", "" },
		{ "  NAME=indented", "indented" },
		{ "XNAME=other", "" },
		{ "NAME=first\nNAME=second", "second" },
		{ "NAME=\"\xff\x1b\"", "\xff\x1b" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct os_release release;

		os_release_parse(cases[i].line, strlen(cases[i].line), &release);
		assert_string_equal(release.name, cases[i].want);
	}
}

static void a_value_without_end_is_cut_and_nuls_are_left_out(void **state)
{
	static char text[5000] = "NAME=\"";
	struct os_release release;

	(void)state;
	memset(text + 6, 'x', sizeof(text) - 6);
	text[10] = '\0';
	os_release_parse(text, sizeof(text), &release);
	assert_int_equal(strlen(release.name), HOST_TEXT_MAX - 1);
	os_release_parse("NAME=a\0b\n", 9, &release);
	assert_string_equal(release.name, "ab");
}

static void a_rolling_release_has_its_build_for_a_version(void **state)
{
	const char *text = "NAME=\"Arch Linux\"\nBUILD_ID=rolling\n";
	struct os_release release;

	(void)state;
	os_release_parse(text, strlen(text), &release);
	assert_string_equal(release.version_id, "rolling");
}

static void loadavg_and_uptime_are_parsed_or_refused(void **state)
{
	static const char *const bad_loads[] = {
		"", "0.1", "0.1 0.2 0.3", "0.1 0.2 x 1/2 3", "0.1 0.2 0.3 12 3", "a b c 1/2 3", "-0.1 0.2 0.3 1/2 3"
	};
	struct host_load load;
	double uptime = 0;

	(void)state;
	assert_int_equal(loadavg_parse("0.20 0.18 0.12 1/80", 19, &load), 0);
	assert_true(load.running == 1 && load.threads == 80);
	for (size_t i = 0; i < ARRAY_SIZE(bad_loads); i++)
		assert_int_equal(loadavg_parse(bad_loads[i], strlen(bad_loads[i]), &load), -EBADMSG);
	assert_true(load.threads == 80);
	assert_int_equal(uptime_parse("12", 2, &uptime), 0);
	assert_int_equal(uptime_parse("", 0, &uptime), -EBADMSG);
	assert_int_equal(uptime_parse("9000000000000.0 1\n", 18, &uptime), -EBADMSG);
	assert_int_equal(uptime_parse("-5.0 1\n", 7, &uptime), -EBADMSG);
}

static void roots_shell_is_the_last_field_of_its_line(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: none */
	} cases[] = {
		{ "root:x:0:0:root:/root:/bin/bash\n", "/bin/bash" },
		{ "rooty:x:0:0:root:/root:/bin/bash\nroot:x:0:0::/:/bin/sh", "/bin/sh" },
		{ "root:x:0:0:root:/root:\n", "/bin/sh" },
		{ "root:x:0:0\n", NULL },
		{ "root:x:0:0:root:/root:relative\n", NULL },
		{ "root:x:0:0:root:/root:/a/path/that/is/too/long/for/it\n", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char shell[16] = "untouched";

		assert_int_equal(passwd_root_shell(cases[i].text, strlen(cases[i].text), shell, sizeof(shell)),
				 !!cases[i].want);
		assert_string_equal(shell, cases[i].want ? cases[i].want : "untouched");
	}
}

static void says_who_the_guest_is_and_how_busy(void **state)
{
	assert_int_equal(collect(*state), 0);
	assert_emits(*state,
		     "{\"uptime_seconds\":3600,\"load_average\":{\"load_1min\":0.20,\"load_5min\":1.18,\"load_15min\":"
		     "12.05},"
		     "\"name\":\"Debian GNU/Linux\",\"os_version\":\"12\",\"kernel_version\":\"6.1.0-18-amd64\","
		     "\"hostname\":\"guest-1\",\"boot_time\":\"2025-12-31T22:59:59.750Z\",\"procs_running\":3,"
		     "\"threads\":180");
}

static void the_boot_time_does_not_wobble(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(collect(fixture), 0);
	fixture_pass(fixture, 10);
	fixture->ctx.now.wall_ms += 900;
	fixture_write(fixture, "proc/uptime", "3610.29 7000.00\n");
	assert_int_equal(collect(fixture), 0);
	assert_emits(fixture, "\"boot_time\":\"2025-12-31T22:59:59.750Z\"");
	/* The clock was set: the boot time moves with it. */
	fixture->ctx.now.wall_ms += 3600000;
	assert_int_equal(collect(fixture), 0);
	assert_emits(fixture, "\"boot_time\":\"2026-01-01T00:00:00.610Z\"");
}

static void a_new_host_name_is_seen_at_once_and_a_new_release_after_a_minute(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(collect(fixture), 0);
	fixture_write(fixture, "proc/sys/kernel/hostname", "renamed\n");
	fixture_remove(fixture, "root/etc/os-release");
	fixture_write(fixture, "root/usr/lib/os-release", "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\n");
	fixture_pass(fixture, 10);
	assert_int_equal(collect(fixture), 0);
	assert_emits(fixture, "\"hostname\":\"renamed\"");
	assert_emits(fixture, "\"os_version\":\"12\"");
	fixture_pass(fixture, 60);
	assert_int_equal(collect(fixture), 0);
	assert_emits(fixture, "\"os_version\":\"13\"");
}

static void what_is_missing_is_null(void **state)
{
	struct fixture *fixture = *state;

	fixture_remove(fixture, "root/etc/os-release");
	fixture_remove(fixture, "proc/sys/kernel/hostname");
	assert_int_equal(collect(fixture), 0);
	assert_emits(fixture, "\"name\":\"Linux\",\"os_version\":null");
	assert_emits(fixture, "\"hostname\":null");
}

static void facts_are_there_for_the_actions(void **state)
{
	struct fixture *fixture = *state;
	struct host_facts facts;

	assert_int_equal(collect(fixture), 0);
	host_facts_get(fixture->state, &facts);
	assert_string_equal(facts.os_type, "Linux");
	assert_string_equal(facts.linux_distro, "Debian GNU/Linux 12 (bookworm)");
	assert_string_equal(facts.version, "12");
	assert_string_equal(facts.hostname, "guest-1");
	assert_string_equal(facts.kernel_version, "6.1.0-18-amd64");
	assert_string_equal(facts.default_shell, "/bin/zsh");
	assert_int_equal(facts.package_managers_count, 1);
	assert_string_equal(facts.package_managers[0], "apt");
}

static void the_running_kernel_is_asked_by_uname(void **state)
{
	struct fixture *fixture = *state;
	struct host_facts facts;
	struct utsname names;

	fixture->ctx.live = true;
	assert_int_equal(uname(&names), 0);
	assert_int_equal(collect(fixture), 0);
	host_facts_get(fixture->state, &facts);
	assert_string_equal(facts.kernel_version, names.release);
	assert_string_equal(facts.architecture, names.machine);
	assert_string_equal(facts.hostname, names.nodename);
}

/* A minute later, when the file is looked at again. */
static void assert_release(struct fixture *fixture, const char *name, const char *version, const char *distro)
{
	struct host_facts facts;
	char want[256];

	fixture_pass(fixture, 61);
	assert_int_equal(collect(fixture), 0);
	host_facts_get(fixture->state, &facts);
	assert_string_equal(facts.os_name, name);
	assert_string_equal(facts.version, version);
	assert_string_equal(facts.linux_distro, distro);
	snprintf(want, sizeof(want),
		 *version ? "\"name\":\"%s\",\"os_version\":\"%s\"" : "\"name\":\"%s\",\"os_version\":null", name,
		 version);
	assert_emits(fixture, want);
}

static void odd_os_releases_are_read_by_one_rule(void **state)
{
	struct fixture *fixture = *state;
	static char large[40000];
	size_t len = 0;

	assert_release(fixture, "Debian GNU/Linux", "12", "Debian GNU/Linux 12 (bookworm)");
	fixture_write(fixture, "root/etc/os-release", "\xef\xbb\xbfNAME=Marked\nVERSION_ID=7\n");
	assert_release(fixture, "Marked", "7", "Marked");
	for (int i = 0; i < 600; i++)
		len += (size_t)snprintf(large + len, sizeof(large) - len, "# a comment that fills the file, line %d\n",
					i);
	snprintf(large + len, sizeof(large) - len, "NAME='Late'\nVERSION_ID=\"8\"\r\nPRETTY_NAME=\"Late \\\"8\\\"\"\n");
	fixture_write(fixture, "root/etc/os-release", large);
	fixture_pass(fixture, 61);
	assert_int_equal(collect(fixture), 0);
	assert_emits(fixture, "\"name\":\"Late\",\"os_version\":\"8\"");
	/* The one of the vendor, when that of the administrator is empty or not there. */
	fixture_write(fixture, "root/usr/lib/os-release", "NAME=Vendor\nVERSION_ID=9\n");
	fixture_write(fixture, "root/etc/os-release", "");
	assert_release(fixture, "Vendor", "9", "Vendor");
	assert_release(fixture, "Vendor", "9", "Vendor");
	fixture_remove(fixture, "root/etc/os-release");
	assert_release(fixture, "Vendor", "9", "Vendor");
	fixture_remove(fixture, "root/usr/lib/os-release");
	assert_release(fixture, "Linux", "", "Linux");
	fixture_write(fixture, "root/etc/os-release", "ID=bare\n");
	assert_release(fixture, "Linux", "", "Linux");
}

static void a_host_without_a_name_has_none(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "(none)\n", "\"hostname\":null" },
		{ "\n", "\"hostname\":null" },
		{ "(none)x\n", "\"hostname\":\"(none)x\"" },
		{ "guest-2\n", "\"hostname\":\"guest-2\"" },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct host_facts facts;

		fixture_write(fixture, "proc/sys/kernel/hostname", cases[i].text);
		assert_int_equal(collect(fixture), 0);
		assert_emits(fixture, cases[i].want);
		host_facts_get(fixture->state, &facts);
		assert_int_equal(facts.hostname[0] == '\0', strstr(cases[i].want, "null") != NULL);
	}
}

static void the_shell_of_root_is_found_far_down_too(void **state)
{
	struct fixture *fixture = *state;
	static char passwd[40000];
	struct host_facts facts;
	size_t len = 0;

	for (int i = 0; i < 800; i++)
		len += (size_t)snprintf(passwd + len, sizeof(passwd) - len, "u%d:x:%d:1::/home/u:/bin/sh\n", i,
					i + 1000);
	snprintf(passwd + len, sizeof(passwd) - len, "root:x:0:0::/root:/bin/fish\n");
	fixture_write(fixture, "root/etc/passwd", passwd);
	collector_host.close(fixture->state);
	assert_int_equal(collector_host.open(&fixture->ctx, &fixture->state), 0);
	host_facts_get(fixture->state, &facts);
	assert_string_equal(facts.default_shell, "/bin/fish");
}

static void a_shell_that_is_not_known_is_not_invented(void **state)
{
	struct fixture *fixture = *state;
	struct host_facts facts;

	fixture_write(fixture, "root/etc/passwd", "daemon:x:1:1::/:/bin/sh\n");
	collector_host.close(fixture->state);
	assert_int_equal(collector_host.open(&fixture->ctx, &fixture->state), 0);
	host_facts_get(fixture->state, &facts);
	assert_string_equal(facts.default_shell, "");
}

static void an_uptime_that_no_machine_has_is_not_taken(void **state)
{
	struct fixture *fixture = *state;

	fixture->ctx.now.boot_ns = 1010 * NS_PER_S;
	fixture_write(fixture, "proc/uptime", "99999999999999999.5 1.0\n");
	assert_int_equal(collect(fixture), 0);
	assert_emits(fixture, "\"uptime_seconds\":1010,");
}

static void nonsense_in_both_texts_is_an_error(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "proc/loadavg", "\xff");
	assert_int_equal(collect(fixture), 0);
	fixture_write(fixture, "proc/uptime", "\xff");
	assert_int_equal(collect(fixture), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(odd_os_releases_are_read_by_one_rule, setup, teardown),
		cmocka_unit_test_setup_teardown(a_host_without_a_name_has_none, setup, teardown),
		cmocka_unit_test_setup_teardown(a_shell_that_is_not_known_is_not_invented, setup, teardown),
		cmocka_unit_test_setup_teardown(an_uptime_that_no_machine_has_is_not_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(the_shell_of_root_is_found_far_down_too, setup, teardown),
		cmocka_unit_test(values_of_os_release_are_unquoted_as_a_shell_would),
		cmocka_unit_test(a_value_without_end_is_cut_and_nuls_are_left_out),
		cmocka_unit_test(a_rolling_release_has_its_build_for_a_version),
		cmocka_unit_test(loadavg_and_uptime_are_parsed_or_refused),
		cmocka_unit_test(roots_shell_is_the_last_field_of_its_line),
		cmocka_unit_test_setup_teardown(says_who_the_guest_is_and_how_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(the_boot_time_does_not_wobble, setup, teardown),
		cmocka_unit_test_setup_teardown(a_new_host_name_is_seen_at_once_and_a_new_release_after_a_minute, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_missing_is_null, setup, teardown),
		cmocka_unit_test_setup_teardown(facts_are_there_for_the_actions, setup, teardown),
		cmocka_unit_test_setup_teardown(the_running_kernel_is_asked_by_uname, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_in_both_texts_is_an_error, setup, teardown),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
