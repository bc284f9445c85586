/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>

#include "capture_sink.h"
#include "collectors/self.h"
#include "collectors/table.h"
#include "fixture_dir.h"

static int setup(void **state)
{
	struct fixture *fixture = fixture_new();

	fixture_write(fixture, "proc/self/schedstat", "1000000000 5 7\n");
	fixture_write(fixture, "proc/self/statm", "5000 256 100 1 0 50 0\n");
	fixture_write(fixture, "proc/self/fd/0", "");
	fixture_write(fixture, "proc/self/fd/1", "");
	fixture_write(fixture, "proc/self/fd/2", "");
	*state = fixture;
	return collector_self.open(&fixture->ctx, &fixture->state);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	collector_self.close(fixture->state);
	fixture_free(fixture);
	return 0;
}

static void collect(struct fixture *fixture)
{
	fixture_pass(fixture, 10);
	assert_int_equal(collector_self.collect(fixture->state, &fixture->ctx), 0);
}

static void assert_emits(struct fixture *fixture, const char *part)
{
	struct capture *capture = capture_begin();
	bool found;

	collector_self.emit(fixture->state, &capture->sink);
	found = capture_has(capture, part) && capture->depth == 0;
	if (!found)
		print_error("no %s in %s\n", part, capture->text);
	free(capture);
	assert_true(found);
}

static void parsers_take_the_field_they_want_or_nothing(void **state)
{
	uint64_t value = 42;

	(void)state;
	assert_int_equal(schedstat_parse("", 0, &value), -EBADMSG);
	assert_int_equal(schedstat_parse("x 1 2\n", 6, &value), -EBADMSG);
	assert_int_equal(statm_parse("12", 2, &value), -EBADMSG);
	assert_int_equal(statm_parse("12 99999999999999999999", 23, &value), -EBADMSG);
	assert_true(value == 42);
	assert_int_equal(statm_parse("12 34", 5, &value), 0);
	assert_true(value == 34);
	assert_int_equal(schedstat_parse("7", 1, &value), 0);
	assert_true(value == 7);
}

static void the_first_sample_has_a_total_but_no_percentage(void **state)
{
	struct fixture *fixture = *state;
	char want[160];

	collect(fixture);
	snprintf(
		want, sizeof(want),
		"{\"self\":{\"cpu_ns\":null,\"cpu_ns_total\":1000000000,\"cpu_percent\":null,\"rss_kb\":%ld,\"fds\":2}",
		256 * sysconf(_SC_PAGESIZE) / 1024);
	assert_emits(fixture, want);
}

static void later_samples_cost_what_was_used_since(void **state)
{
	struct fixture *fixture = *state;

	collect(fixture);
	fixture_write(fixture, "proc/self/schedstat", "1005000000 5 7\n");
	collect(fixture);
	assert_emits(fixture, "\"cpu_ns\":5000000,\"cpu_ns_total\":1005000000,\"cpu_percent\":0.050");
}

static void helpers_are_summed_and_a_dead_one_does_not_count(void **state)
{
	struct fixture *fixture = *state;
	const pid_t pids[] = { 11, 12, 13 };

	fixture_write(fixture, "proc/11/schedstat", "100 0 0\n");
	fixture_write(fixture, "proc/12/schedstat", "200 0 0\n");
	self_helpers_set(fixture->state, pids, 3);
	collect(fixture);
	assert_emits(fixture, "\"helpers\":{\"count\":3,\"cpu_ns_total\":300,\"cpu_percent\":null,\"rss_kb\":null}");
	fixture_write(fixture, "proc/11/schedstat", "500000100 0 0\n");
	fixture_write(fixture, "proc/12/schedstat", "500000200 0 0\n");
	collect(fixture);
	assert_emits(fixture, "\"helpers\":{\"count\":3,\"cpu_ns_total\":1000000300,\"cpu_percent\":10.000");
	self_helpers_set(fixture->state, pids + 1, 1);
	collect(fixture);
	assert_emits(fixture, "\"helpers\":{\"count\":1,\"cpu_ns_total\":500000200,\"cpu_percent\":0.000");
}

static void more_helpers_than_the_limit_are_not_measured(void **state)
{
	struct fixture *fixture = *state;
	pid_t pids[SELF_HELPERS_MAX + 4];

	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = (pid_t)i + 100;
	self_helpers_set(fixture->state, pids, ARRAY_SIZE(pids));
	collect(fixture);
	assert_emits(fixture, "\"helpers\":{\"count\":8,\"cpu_ns_total\":null");
	self_helpers_set(fixture->state, NULL, 0);
	collect(fixture);
	assert_emits(fixture, "\"fds\":2}");
}

static void emit_extra(void *data, struct sink *out)
{
	sink_uint(out, "samples", *(const unsigned *)data);
}

static void the_agents_counters_stand_in_the_same_object(void **state)
{
	struct fixture *fixture = *state;
	unsigned samples = 7;

	self_attach(fixture->state, emit_extra, &samples);
	collect(fixture);
	assert_emits(fixture, "\"fds\":2,\"samples\":7}");
}

static void what_cannot_be_read_is_null(void **state)
{
	struct fixture *fixture = *state;

	fixture_remove(fixture, "proc/self/schedstat");
	fixture_write(fixture, "proc/self/statm", "18446744073709551615 18446744073709551615");
	collect(fixture);
	assert_emits(fixture, "\"cpu_ns\":null,\"cpu_ns_total\":null,\"cpu_percent\":null,\"rss_kb\":null");
}

static size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	for (const struct dirent *entry; (entry = readdir(dir));)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count - 1;
}

static int live_setup(void **state)
{
	struct fixture *fixture = fixture_new();

	close(fixture->ctx.proc_fd);
	fixture->ctx.proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fixture->ctx.live = true;
	*state = fixture;
	return collector_self.open(&fixture->ctx, &fixture->state);
}

static void the_fds_of_this_process_are_counted(void **state)
{
	struct fixture *fixture = *state;
	char want[32];

	collect(fixture);
	/* The directory the count is read through stays open, and is left out. */
	snprintf(want, sizeof(want), "\"fds\":%zu", count_fds() - 1);
	assert_emits(fixture, want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parsers_take_the_field_they_want_or_nothing),
		cmocka_unit_test_setup_teardown(the_first_sample_has_a_total_but_no_percentage, setup, teardown),
		cmocka_unit_test_setup_teardown(later_samples_cost_what_was_used_since, setup, teardown),
		cmocka_unit_test_setup_teardown(helpers_are_summed_and_a_dead_one_does_not_count, setup, teardown),
		cmocka_unit_test_setup_teardown(more_helpers_than_the_limit_are_not_measured, setup, teardown),
		cmocka_unit_test_setup_teardown(the_agents_counters_stand_in_the_same_object, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_read_is_null, setup, teardown),
		cmocka_unit_test_setup_teardown(the_fds_of_this_process_are_counted, live_setup, teardown),
	};

	return cmocka_run_group_tests_name("self", tests, NULL, NULL);
}
