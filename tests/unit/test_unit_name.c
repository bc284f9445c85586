/* SPDX-License-Identifier: MIT */
/* Which names of units get through, and as what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/rules/unit_rules.h"

static void takes_units_and_adds_the_suffix_of_a_service(void **state)
{
	static const char *const cases[][2] = {
		{ "ssh", "ssh.service" },
		{ "ssh.service", "ssh.service" },
		{ "dbus.socket", "dbus.socket" },
		{ "apt-daily.timer", "apt-daily.timer" },
		{ "getty@tty1", "getty@tty1.service" },
		{ "systemd-fsck@dev-disk-by\\x2dlabel-x", "systemd-fsck@dev-disk-by\\x2dlabel-x.service" },
		{ "php8.2-fpm", "php8.2-fpm.service" },
		{ "foo.services", "foo.services.service" },
		{ "_x:y", "_x:y.service" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char out[UNIT_NAME_SIZE];

		assert_true(unit_name_make(cases[i][0], out));
		assert_string_equal(out, cases[i][1]);
	}
}

static void refuses_what_could_be_read_as_something_else(void **state)
{
	static const char *const cases[] = {
		"",
		"-",
		"--help",
		"-ssh",
		".service",
		"@",
		"@x.service",
		":x",
		"ssh@",
		"getty@.service",
		"../ssh",
		"/etc/passwd",
		"a/b",
		"ssh service",
		"ssh\n",
		"ssh\nmore.service",
		"ssh;id",
		"$(id)",
		"`id`",
		"a|b",
		"a&b",
		"a*",
		"a'b",
		"a\"b",
		"\\x2d-help",
		"\\x2fetc",
		"a\\",
		"a\\x2",
		"a\\xzz",
		"a\\n",
		"ssh\xc3\xa9",
		"ssh\x7f",
		"\x01ssh",
		"~root",
		"reboot.target",
		"-.mount",
		"home.mount",
		"system.slice",
		"session-1.scope",
		"dev-sda.device",
		"x.swap",
		"a%i",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char out[UNIT_NAME_SIZE] = "untouched?";

		if (unit_name_make(cases[i], out))
			fail_msg("\"%s\" was taken as \"%s\"", cases[i], out);
	}
}

static void refuses_what_is_too_long(void **state)
{
	char out[UNIT_NAME_SIZE], *huge = malloc(100001);

	(void)state;
	assert_non_null(huge);
	memset(huge, 'a', 100000);
	huge[100000] = '\0';
	assert_false(unit_name_make(huge, out));
	huge[UNIT_NAME_MAX] = '\0';
	assert_false(unit_name_make(huge, out));
	huge[UNIT_NAME_MAX - strlen(".service")] = '\0';
	assert_true(unit_name_make(huge, out));
	assert_int_equal(strlen(out), UNIT_NAME_MAX);
	free(huge);
}

static void knows_the_services_that_end_the_guest(void **state)
{
	(void)state;
	assert_true(unit_name_is_power("systemd-reboot.service"));
	assert_true(unit_name_is_power("systemd-poweroff.service"));
	assert_true(unit_name_is_power("systemd-suspend-then-hibernate.service"));
	assert_true(unit_name_is_power("reboot.service"));
	assert_false(unit_name_is_power("systemd-rebooter.service"));
	assert_false(unit_name_is_power("systemd-reboo.service"));
	assert_false(unit_name_is_power("ssh.service"));
	assert_false(unit_name_is_power("reboot.timer"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_units_and_adds_the_suffix_of_a_service),
		cmocka_unit_test(refuses_what_could_be_read_as_something_else),
		cmocka_unit_test(refuses_what_is_too_long),
		cmocka_unit_test(knows_the_services_that_end_the_guest),
	};

	return cmocka_run_group_tests_name("unit_name", tests, NULL, NULL);
}
