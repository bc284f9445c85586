/* SPDX-License-Identifier: MIT */
/* Cleaning and golden images as a host asks for them: which verb is run, and how its report is answered. */
#include "tests/actions_fixture.h"

#define EXEC "/usr/libexec/infiniservice-exec "

static void the_names_of_a_host_become_the_targets_of_the_cleaner(void **state)
{
	static const struct {
		const char *action, *parameters, *program;
	} cases[] = {
		{ "DiskCleanup", "", "clean -- tmp var_tmp package_cache crash" },
		{ "CleanTemporaryFiles", "", "clean -- tmp var_tmp" },
		{ "DiskCleanup", "\"targets\":[\"journal\",\"OLD_LOGS\",\"logs\"]", "clean -- journal old_logs" },
		{ "DiskCleanup", "\"targets\":\"all\"", "clean -- tmp var_tmp package_cache" },
		{ "DiskCleanup", "\"targets\":[\"temp\"],\"dry_run\":true", "clean --dry-run -- tmp var_tmp" },
		{ "DiskCleanup", "\"targets\":[\"crash_dumps\"],\"age_days\":7", "clean --age-days 7 -- crash" },
		{ "PrepareGoldenImage", "", "golden" },
		{ "PrepareGoldenImage", "\"cleanup_level\":\"Standard\",\"dry_run\":true", "golden --dry-run" },
		{ "PrepareGoldenImage", "\"cleanup_level\":\"full\",\"sanitize_user_data\":true",
		  "golden --deep --users" },
	};
	char program[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_null(ask(cases[i].action, cases[i].parameters));
		snprintf(program, sizeof(program), EXEC "%s", cases[i].program);
		if (!job_of(program) || job_of(program)->over || job_of(program)->exec != &executor)
			fail_msg("case %zu: not \"%s\" but \"%s\"", i, program, jobs[job_count - 1].text);
		job_of(program)->outcome.exit_code = 1;
		job_end(job_of(program));
		turns();
		answer_has("\"success\":false");
	}
}

static void what_the_cleaner_does_not_know_is_refused_before_anything_runs(void **state)
{
	static const struct {
		const char *action, *parameters, *error;
	} cases[] = {
		{ "DiskCleanup", "\"targets\":[\"/etc\"]", "targets holds" },
		{ "DiskCleanup", "\"targets\":[\"tmp\",7]", "targets holds" },
		{ "DiskCleanup", "\"targets\":[]", "targets holds" },
		{ "DiskCleanup", "\"targets\":7", "targets holds" },
		{ "DiskCleanup", "\"targets\":\"../tmp\"", "targets holds" },
		{ "DiskCleanup", "\"age_days\":0", "age_days" },
		{ "CleanTemporaryFiles", "\"dry_run\":\"no\"", "dry_run" },
		{ "PrepareGoldenImage", "\"cleanup_level\":\"whole\"", "cleanup_level is" },
		{ "PrepareGoldenImage", "\"sanitize_user_data\":1", "sanitize_user_data" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		expect(cases[i].action, cases[i].parameters, "\"INVALID_PARAMETERS\"");
		answer_has(cases[i].error);
	}
	assert_int_equal(job_count, 0);
}

static void targets_that_this_system_has_nothing_of_are_clean(void **state)
{
	(void)state;
	expect("DiskCleanup", "\"targets\":[\"recycle_bin\",\"browser_cache\"]", "\"success\":true");
	answer_has("\"freed_bytes\":0");
	answer_has("\"cleaned_items\":[]");
	assert_int_equal(job_count, 0);
}

static void a_report_is_read_back(void **state)
{
	(void)state;
	play("*clean*", 0, "item\t4096\t/tmp/a\nitem\t0\t/tmp/b\\x0ac\nnoise\ndirectories\t1\nend\t3145728\t2\t7\t1\n");
	expect("DiskCleanup", "",
	       "\"freed_bytes\":3145728,\"space_cleared_mb\":3.0,\"files_deleted\":1,\"dry_run\":false,\"kept_count\":"
	       "7,"
	       "\"error_count\":1,\"cleaned_items\":[\"/tmp/a\",\"/tmp/b\\\\x0ac\"]}");
	assert_null(strstr(answer(), "grants"));
}

static void a_report_that_was_cut_off_counts_its_items(void **state)
{
	static const char *const texts[] = {
		"item\t4096\t/tmp/a\nitem\t100\t/tmp/b\nitem\t5",
		"directories\t9\nitem\t4096\t/tmp/a\nitem\t100\t/tmp/b\nitem\tx\t/tmp/c\nend\t1\t2\t3",
		"item\t4096\t/tmp/a\nitem\t100\t/tmp/b\nend\t1\t2\t3\tx\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		play("*clean*", 1, texts[i]);
		expect("DiskCleanup", "", "\"freed_bytes\":4196,");
		answer_has("\"files_deleted\":2,");
		answer_has("\"success\":false");
		answer_has("\"kept_count\":0,\"error_count\":0");
	}
}

static void a_report_that_does_not_fit_says_how_many_items_there_are(void **state)
{
	enum { ITEMS = 12000 };
	char *text = malloc(ITEMS * 64);
	size_t len = 0;

	(void)state;
	assert_non_null(text);
	for (int i = 0; i < ITEMS; i++)
		len += (size_t)sprintf(text + len, "item\t1\t/tmp/a-name-that-takes-its-place-%05d\n", i);
	len += (size_t)sprintf(text + len, "end\t%d\t%d\t0\t0\n", ITEMS, ITEMS);
	play("*clean*", 0, text);
	expect("DiskCleanup", "", "-00500\"");
	assert_null(strstr(answer(), "-11999\""));
	answer_has("\"truncated\":true,\"total_count\":12000");
	free(text);
}

static void a_golden_image_tells_its_grants_and_is_powered_off(void **state)
{
	static const char report[] = "grant\t/etc/infiniservice/conf.d/50.conf\tcommands.allow\ngrant\tnoise\n"
				     "item\t1\t/etc/machine-id\ndirectories\t0\nend\t1\t1\t0\t0\n";

	(void)state;
	play("*golden*", 0, report);
	expect("PrepareGoldenImage", "\"dry_run\":true", "\"shutdown_scheduled\":false");
	expect("PrepareGoldenImage", "\"shutdown_after\":false", "\"shutdown_scheduled\":false");
	assert_null(job_of("operation *"));
	expect("PrepareGoldenImage", "",
	       "\"shutdown_scheduled\":true,\"grants\":[{\"file\":\"/etc/infiniservice/conf.d/50.conf\","
	       "\"what\":\"commands.allow\"}],\"freed_bytes\":1,");
	later(60 * NS_PER_S);
	turns();
	assert_non_null(job_of("operation *"));
	play("*golden*", 1, "");
	expect("PrepareGoldenImage", "", "\"success\":false");
	assert_null(strstr(answer(), "shutdown_scheduled"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		actions_test(the_names_of_a_host_become_the_targets_of_the_cleaner),
		actions_test(what_the_cleaner_does_not_know_is_refused_before_anything_runs),
		actions_test(targets_that_this_system_has_nothing_of_are_clean),
		actions_test(a_report_is_read_back),
		actions_test(a_report_that_was_cut_off_counts_its_items),
		actions_test(a_report_that_does_not_fit_says_how_many_items_there_are),
		actions_test(a_golden_image_tells_its_grants_and_is_powered_off),
	};

	return cmocka_run_group_tests_name("clean", tests, NULL, NULL);
}
