/* SPDX-License-Identifier: MIT */
/*
 * Which lines of a configuration and of a unit's drop-in give something. That the rest is untouched is shown by
 * tests/integration/test_seal.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "agent/cleaner/seal.h"

/* Judges lines one after another and writes the numbers of those that give something. */
static void given_by(const char *const lines[], char *out)
{
	struct seal_reader reader = { .section = "" };

	*out = '\0';
	for (size_t i = 0; lines[i]; i++)
		if (seal_judge_config(&reader, lines[i]))
			strcat(out, (const char[]){ (char)('0' + i), '\0' });
}

#define LINES(...)                                                                                                     \
	{                                                                                                              \
		__VA_ARGS__, NULL                                                                                      \
	}

static void lines_that_give_something_are_found_however_they_are_written(void **state)
{
	static const struct {
		const char *lines[8];
		const char *given;
	} cases[] = {
		{ LINES("[commands]", "allow = observe, control"), "1" },
		{ LINES("[commands]", "allow=control"), "1" },
		{ LINES("[commands]", "  allow = control"), "1" },
		{ LINES("[commands]", "allow: control"), "1" },
		{ LINES("[commands]", "\tallow\t:\tobserve power"), "" } /* it goes on with what is above */,
		{ LINES("\xef\xbb\xbf[commands]", "allow = control"), "1" },
		{ LINES("  [commands]  ; all of it", "allow = control"), "1" },
		{ LINES("[ commands ]", "allow = control"), "1" },
		{ LINES("[commands]", "allow = observe"), "" },
		{ LINES("[commands]", "allow = observe,"), "" },
		{ LINES("[commands]", "allow = ", "run_as ="), "" },
		{ LINES("[commands]", "#allow = control", "; allow = control"), "" },
		{ LINES("[commands]", "allow = observe", "  control"), "2" },
		{ LINES("[commands]", "allow = control", "  observe"), "12" },
		{ LINES("[commands]", "allow =", "", "  control", "# but", "  power"), "35" },
		{ LINES("[commands]", "deny = power", "  control"), "" },
		{ LINES("[commands]", "allow = observe", "max_concurrent = 7", "  control"), "" },
		{ LINES("[commands]", "allow_unsafe = yes"), "1" },
		{ LINES("[commands]", "allow_unsafe = on"), "1" },
		{ LINES("[commands]", "allow_unsafe = no"), "" },
		{ LINES("[commands]", "run_as = root"), "1" },
		{ LINES("[commands]", "run_as = monitor"), "" },
		{ LINES("[commands]", "deny = power", "deny_units = ssh", "max_concurrent = 2"), "" },
		{ LINES("[agent]", "vm_id = vm-17", "log_level = debug", "vm_id ="), "1" },
		{ LINES("[auth]", "secret_file = /root/s", "require_signature = yes"), "1" },
		{ LINES("[auth]", "require_signature = no"), "1" },
		{ LINES("[auth]", "require_signature = no ; not yet"), "1" },
		{ LINES("[commands]", "run_as = root\t; as before"), "1" },
		{ LINES("[commands]", "allow = observe ; no more", "allow_unsafe = no ; never"), "" },
		{ LINES("allow = control", "[log]", "allow = control", "[commands]", "allow = control"), "4" },
		{ LINES("[timers]", "metrics_interval_ms = 10000"), "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char given[16];

		given_by(cases[i].lines, given);
		if (strcmp(given, cases[i].given) != 0)
			print_error("case %zu: %s\n", i, cases[i].lines[1]);
		assert_string_equal(given, cases[i].given);
	}
}

static void a_drop_in_that_only_limits_is_told_from_one_that_gives(void **state)
{
	static const char *const limits[] = { "",
					      "# words",
					      "[Service]",
					      "MemoryMax=100M",
					      "  Nice = 5",
					      "ReadWritePaths=/srv/log",
					      "After=network.target" };
	static const char *const gives[] = { "AmbientCapabilities=CAP_SYS_PTRACE",
					     "User=root",
					     "MemoryDenyWriteExecute=no",
					     "ExecStartPre=+/x",
					     "Environment=INFINIBAY_VM_ID=17",
					     "LoadCredential=secret:/s",
					     "SupplementaryGroups=docker",
					     "ProtectSystem=no",
					     "MemoryMax=1G \\",
					     "Nicest=1",
					     "CapabilityBoundingSet=" };

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		assert_true(seal_unit_line_gives_nothing(limits[i]));
	for (size_t i = 0; i < sizeof(gives) / sizeof(gives[0]); i++)
		assert_false(seal_unit_line_gives_nothing(gives[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_that_give_something_are_found_however_they_are_written),
		cmocka_unit_test(a_drop_in_that_only_limits_is_told_from_one_that_gives),
	};

	return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
