/* SPDX-License-Identifier: MIT */
/* From a sample to the lines of an exposition, and the times by which silence, gaps and floods are told. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/hub/expose.h"
#include "tools/hub/gaps.h"
#include "tools/hub/metrics.h"
#include "tools/hub/pace.h"
#include "tools/hub/parse.h"
#include "tools/hub/series.h"

static const struct series_bounds bounds = { 1000, 24576 };

static struct series_set *set_of(const char *data, const struct series_bounds *within)
{
	struct series_set *set = NULL;
	struct json_object *message;
	char line[4096];
	int len = snprintf(line, sizeof(line),
			   "{\"type\":\"metrics\",\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"seq\":7,\"data\":%s}",
			   data);

	message = line_parse(line, (size_t)len);
	assert_non_null(message);
	assert_int_equal(series_of_sample(message, NULL, within, &set), 0);
	json_object_put(message);
	return set;
}

/* One VM, or two of the same sample. */
struct one {
	struct series_set *set;
	uint64_t serials;
};

static bool next(void *arg, uint64_t after, struct expose_vm *ret)
{
	struct one *one = arg;

	if (after >= one->serials)
		return false;
	*ret = (struct expose_vm){ .serial = after + 1,
				   .labels = after ? "vm=\"b\"" : "vm=\"a\"",
				   .sets = (const struct series_set *const *)&one->set,
				   .sets_len = 1 };
	for (int i = 0; i < FIGURES; i++)
		ret->figures[i] = NAN;
	ret->figures[FIGURE_UP] = 1;
	return true;
}

static char *text_of(struct one *one, enum expose_format format, bool late, size_t step)
{
	struct expose expose;
	char *text = calloc(1, 65536), *part = malloc(step);
	size_t len = 0, n;

	expose_init(&expose, (struct expose_source){ next, one }, format, late);
	while ((n = expose_some(&expose, part, step)) > 0) {
		assert_true(n <= step && len + n < 65536);
		memcpy(text + len, part, n);
		len += n;
	}
	free(part);
	return text;
}

static void a_sample_becomes_the_lines_that_the_format_wants(void **state)
{
	struct one one = {
		.set = set_of(
			"{\"system\":{\"load_average\":{\"load_1min\":0.25},\"memory\":{\"total_kb\":2},"
			"\"pressure\":{\"cpu\":{\"some\":{\"total_us\":1500000}}},\"network\":{\"interfaces\":["
			"{\"name\":\"e\\\"\\\\\\u001b\\n\",\"bytes_received\":9007199254740991,\"operstate\":\"up\"},"
			"{\"name\":\"e1\",\"bytes_received\":5,\"operstate\":\"down\"}]}}}",
			&bounds),
		.serials = 2,
	};
	char *text = text_of(&one, EXPOSE_TEXT, false, 32768);

	(void)state;
	assert_non_null(strstr(text, "# HELP infiniservice_up "));
	assert_non_null(
		strstr(text, "# TYPE node_load1 gauge\nnode_load1{vm=\"a\"} 0.25\nnode_load1{vm=\"b\"} 0.25\n# HELP"));
	assert_non_null(strstr(text, "node_memory_MemTotal_bytes{vm=\"a\"} 2048\n"));
	assert_non_null(strstr(text, "# TYPE node_pressure_cpu_waiting_seconds_total counter\n"
				     "node_pressure_cpu_waiting_seconds_total{vm=\"a\"} 1.5\n"));
	assert_non_null(
		strstr(text, "node_network_receive_bytes_total{vm=\"a\",device=\"e\\\"\\\\??\"} 9.00719925474099e+15\n"
			     "node_network_receive_bytes_total{vm=\"a\",device=\"e1\"} 5\n"));
	assert_non_null(strstr(text, "node_network_up{vm=\"a\",device=\"e1\"} 0\n"));
	assert_null(strstr(text, "MemFree"));
	assert_null(strstr(text, "EOF"));
	free(text);
	text = text_of(&one, EXPOSE_OPENMETRICS, false, 32768);
	assert_non_null(strstr(text, "# TYPE node_pressure_cpu_waiting_seconds counter\n"));
	assert_string_equal(text + strlen(text) - 6, "# EOF\n");
	free(text);
	free(one.set);
}

static void late_samples_have_their_own_time_and_nothing_else(void **state)
{
	struct one one = { .set = set_of("{\"system\":{\"load_average\":{\"load_1min\":3}}}", &bounds), .serials = 1 };
	char *text = text_of(&one, EXPOSE_TEXT, true, 32768);

	(void)state;
	assert_string_equal(
		text,
		"# HELP node_load1 1m load average.\n# TYPE node_load1 gauge\nnode_load1{vm=\"a\"} 3 1767323045678\n");
	free(text);
	free(one.set);
}

static void small_parts_make_the_same_text_as_large_ones(void **state)
{
	struct one one = {
		.set = set_of("{\"system\":{\"load_average\":{\"load_1min\":1,\"load_5min\":2},\"disk\":{\"devices\":["
			      "{\"name\":\"a\",\"read_bytes\":1},{\"name\":\"b\",\"read_bytes\":2}]}}}",
			      &bounds),
		.serials = 2
	};
	char *whole = text_of(&one, EXPOSE_OPENMETRICS, false, 60000),
	     *parts = text_of(&one, EXPOSE_OPENMETRICS, false, 2 * EXPOSE_LINE_MAX);

	(void)state;
	assert_string_equal(whole, parts);
	free(whole);
	free(parts);
	free(one.set);
}

static size_t count_lines(const char *text, const char *start)
{
	size_t count = 0;

	while ((text = strstr(text, start))) {
		count++;
		text++;
	}
	return count;
}

static void what_is_too_much_or_twice_is_left_out_and_counted(void **state)
{
	static const char data[] = "{\"system\":{\"disk\":{\"devices\":[{\"name\":\"a\",\"read_bytes\":1},{\"name\":"
				   "\"a\",\"read_bytes\":2},"
				   "{\"name\":\"b\",\"read_bytes\":3},{\"name\":\"c\",\"read_bytes\":4}]}}}";
	const struct series_bounds few = { 2, 24576 }, narrow = { 100, 530 };
	struct one one = { .set = set_of(data, &bounds), .serials = 1 };
	char *text = text_of(&one, EXPOSE_TEXT, false, 32768);

	(void)state;
	assert_int_equal(count_lines(text, "\nnode_disk_read_bytes_total{"), 3);
	assert_non_null(strstr(text, "{vm=\"a\",device=\"a\"} 1\n"));
	assert_int_equal(one.set->dropped, 0);
	free(text);
	free(one.set);
	one.set = set_of(data, &few);
	assert_int_equal(one.set->count, 2);
	assert_int_equal(one.set->dropped, 1);
	free(one.set);
	one.set = set_of(data, &narrow);
	assert_int_equal(one.set->count, 1);
	assert_int_equal(one.set->dropped, 3);
	assert_int_equal(series_size(one.set), sizeof(*one.set) + sizeof(struct series) + strlen("device='a'"));
	free(one.set);
}

static void what_a_sample_leaves_out_is_as_in_the_last_whole_one(void **state)
{
	static const char first[] = "{\"data\":{\"system\":{\"boot_time\":\"2026-01-02T03:04:05Z\",\"memory\":{\"total_"
				    "kb\":8,\"free_kb\":4,\"locked_kb\":1},"
				    "\"load_average\":{\"load_1min\":9},\"disk\":{\"usage_stats\":[{\"mount_point\":\"/"
				    "\",\"device\":\"/dev/a\","
				    "\"filesystem\":\"ext4\",\"total_bytes\":100,\"available_bytes\":50}]}}}}";
	struct json_object *message = line_parse(first, sizeof(first) - 1), *whole = series_keep_whole(message);
	struct one one = { .serials = 1 };
	char *text;
	static const char next_line[] =
		"{\"type\":\"metrics\",\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"seq\":8,\"data\":{\"system\":{"
		"\"memory\":{\"total_kb\":8,\"free_kb\":null},\"disk\":{\"usage_stats\":[{\"mount_point\":\"/"
		"new\",\"total_bytes\":7},"
		"{\"mount_point\":\"/\",\"available_bytes\":40}]}}}}";

	(void)state;
	json_object_put(message);
	message = line_parse(next_line, sizeof(next_line) - 1);
	assert_int_equal(series_of_sample(message, whole, &bounds, &one.set), 0);
	json_object_put(message);
	json_object_put(whole);
	text = text_of(&one, EXPOSE_TEXT, false, 32768);
	assert_non_null(strstr(text, "node_boot_time_seconds{vm=\"a\"} 1767323045\n"));
	assert_non_null(strstr(text, "node_memory_Mlocked_bytes{vm=\"a\"} 1024\n"));
	assert_non_null(strstr(
		text, "node_filesystem_size_bytes{vm=\"a\",device=\"/dev/a\",fstype=\"ext4\",mountpoint=\"/\"} 100\n"));
	assert_non_null(strstr(
		text, "node_filesystem_avail_bytes{vm=\"a\",device=\"/dev/a\",fstype=\"ext4\",mountpoint=\"/\"} 40\n"));
	assert_non_null(strstr(text, "device=\"\",fstype=\"\",mountpoint=\"/new\"} 7\n"));
	/* Null is not known; an object that is gone tells nothing. */
	assert_null(strstr(text, "MemFree"));
	assert_null(strstr(text, "node_load1"));
	free(text);
	free(one.set);
}

static void the_seconds_of_each_processor_are_a_series(void **state)
{
	struct one one = {
		.set = set_of("{\"system\":{\"cpu\":{\"cores_seconds\":{\"user\":[1.5,2],\"idle\":[10,null]}}}}",
			      &bounds),
		.serials = 1,
	};
	char *text = text_of(&one, EXPOSE_TEXT, false, 32768);

	(void)state;
	assert_non_null(strstr(text, "node_cpu_seconds_total{vm=\"a\",mode=\"user\",cpu=\"0\"} 1.5\n"
				     "node_cpu_seconds_total{vm=\"a\",mode=\"user\",cpu=\"1\"} 2\n"
				     "node_cpu_seconds_total{vm=\"a\",mode=\"idle\",cpu=\"0\"} 10\n"));
	free(text);
	free(one.set);
}

static void what_is_no_sample_is_refused(void **state)
{
	static const char *const cases[] = {
		"{\"type\":\"metrics\",\"seq\":1,\"data\":{}}",
		"{\"type\":\"metrics\",\"timestamp\":\"x\",\"seq\":1,\"data\":{}}",
		"{\"type\":\"metrics\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"data\":{}}",
		"{\"type\":\"metrics\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"seq\":1,\"data\":[]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json_object *message = line_parse(cases[i], strlen(cases[i]));
		struct series_set *set = NULL;

		assert_non_null(message);
		assert_int_equal(series_of_sample(message, NULL, &bounds, &set), -EINVAL);
		assert_null(set);
		json_object_put(message);
	}
	assert_null(line_parse("{} x", 4));
	assert_null(line_parse("[1]", 3));
	assert_null(line_parse("{\"a\":1", 6));
}

static void rows_of_one_name_stand_together_and_are_alike(void **state)
{
	(void)state;
	for (size_t i = 1; i < metrics_count; i++)
		for (size_t j = 0; j < i; j++) {
			if (strcmp(metrics[i].name, metrics[j].name) != 0)
				continue;
			assert_string_equal(metrics[i].name, metrics[i - 1].name);
			assert_int_equal(metrics[i].type, metrics[j].type);
			assert_string_equal(metrics[i].help, metrics[j].help);
		}
	for (size_t i = 0; i < metrics_count; i++)
		assert_int_equal(metrics[i].type == METRIC_COUNTER,
				 strlen(metrics[i].name) > 6 &&
					 !strcmp(metrics[i].name + strlen(metrics[i].name) - 6, "_total"));
}

#define SECOND NS_PER_S

static void silence_is_three_intervals_as_learned(void **state)
{
	struct pace pace;
	uint64_t now = 1000 * SECOND;

	(void)state;
	pace_init(&pace, 30 * SECOND);
	assert_false(pace_silent(&pace, now, now + 90 * SECOND));
	assert_true(pace_silent(&pace, now, now + 91 * SECOND));
	for (int i = 0; i < 3; i++)
		pace_sample(&pace, now += SECOND);
	assert_int_equal(pace_interval_ns(&pace), SECOND);
	assert_false(pace_silent(&pace, 0, now + 3 * SECOND));
	assert_true(pace_silent(&pace, 0, now + 3 * SECOND + 1));
	/* One that was asked for in between makes nobody late. */
	pace_sample(&pace, now + SECOND / 100);
	assert_int_equal(pace_interval_ns(&pace), SECOND);
	/* A new session's first sample tells no interval. */
	pace_break(&pace);
	pace_sample(&pace, now + 500 * SECOND);
	assert_int_equal(pace_interval_ns(&pace), SECOND);
}

static void an_allowance_lets_a_burst_through_and_then_its_rate(void **state)
{
	struct allowance a;
	uint64_t now = 5 * SECOND, taken = 0, wait;

	(void)state;
	allowance_init(&a, 1000, 4000, now);
	assert_int_equal(allowance_take(&a, 3999, now), 0);
	wait = allowance_take(&a, 1, now);
	assert_true(wait > 0);
	assert_true(allowance_take(&a, 0, now + wait - 1) > 0);
	assert_int_equal(allowance_take(&a, 0, now + wait), 0);
	/* Asked often or seldom, ten seconds give ten times the rate. */
	allowance_init(&a, 1000, 4000, now);
	for (uint64_t t = 0; t <= 10000; t++)
		if (allowance_take(&a, 0, now + t * NS_PER_MS) == 0) {
			allowance_take(&a, 7, now + t * NS_PER_MS);
			taken += 7;
		}
	assert_in_range(taken, 13990, 14020);
	/* The debt is bounded. */
	allowance_take(&a, 1000000, now + 20 * SECOND);
	assert_true(allowance_take(&a, 0, now + 20 * SECOND) <= 5 * SECOND);
	/* A clock that stands still or steps back gives nothing. */
	assert_true(allowance_take(&a, 0, now) > 0);
}

static void a_gap_is_more_than_two_intervals_of_the_samples_own_time(void **state)
{
	struct gaps gaps = { 0 };
	int64_t now = 1000000;

	(void)state;
	gaps_sample(&gaps, now, 30000);
	gaps_sample(&gaps, now += 60000, 30000);
	assert_int_equal(gaps.len, 0);
	gaps_sample(&gaps, now += 60001, 30000);
	assert_int_equal(gaps.len, 1);
	assert_int_equal(gaps.open[0].from_ms, 1060000);
	assert_int_equal(gaps.open[0].to_ms, 1120001);
	for (int i = 0; i < 5; i++)
		gaps_sample(&gaps, now += 1000, 30000);
	assert_int_equal(gaps.len, 1);
	gaps_sample(&gaps, now += 2001, 30000);
	assert_int_equal(gaps.len, 2);
	/* What the agent lost is a gap however short. */
	gaps.lagged = true;
	gaps_sample(&gaps, now += 1000, 30000);
	assert_int_equal(gaps.len, 3);
	/* Told in parts, and without progress no more. */
	gaps_told(&gaps, 1080000, true);
	assert_int_equal(gaps.len, 3);
	assert_int_equal(gaps.open[0].from_ms, 1080000);
	gaps_told(&gaps, 1080000, true);
	assert_int_equal(gaps.len, 2);
	gaps_told(&gaps, 0, false);
	gaps_told(&gaps, 0, false);
	gaps_told(&gaps, 0, false);
	assert_int_equal(gaps.len, 0);
	/* A clock that was set back is no gap; too many become one. */
	gaps_sample(&gaps, now - 500000, 30000);
	assert_int_equal(gaps.len, 0);
	for (int i = 0; i < GAPS_MAX + 3; i++) {
		gaps.lagged = true;
		gaps_sample(&gaps, now += 1000, 30000);
	}
	assert_int_equal(gaps.len, GAPS_MAX);
	assert_int_equal(gaps.open[GAPS_MAX - 1].to_ms, now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sample_becomes_the_lines_that_the_format_wants),
		cmocka_unit_test(late_samples_have_their_own_time_and_nothing_else),
		cmocka_unit_test(small_parts_make_the_same_text_as_large_ones),
		cmocka_unit_test(what_is_too_much_or_twice_is_left_out_and_counted),
		cmocka_unit_test(what_a_sample_leaves_out_is_as_in_the_last_whole_one),
		cmocka_unit_test(the_seconds_of_each_processor_are_a_series),
		cmocka_unit_test(what_is_no_sample_is_refused),
		cmocka_unit_test(rows_of_one_name_stand_together_and_are_alike),
		cmocka_unit_test(silence_is_three_intervals_as_learned),
		cmocka_unit_test(an_allowance_lets_a_burst_through_and_then_its_rate),
		cmocka_unit_test(a_gap_is_more_than_two_intervals_of_the_samples_own_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
