/* SPDX-License-Identifier: MIT */
/*
 * What a collector's failure costs: its own part of the sample, and after some failures most of its turns. Time is an
 * argument.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include <infiniservice/collector.h>
#include <infiniservice/sink.h>

#include "agent/metrics/sampling.h"
#include "transport/json_write.h"

/* One scripted collector: what its next open and collect return, and what was asked of it. */
struct script {
	int open_result, collect_result;
	unsigned opened, closed, collected, pieces;
};

static struct script steady, shaky;

static int script_open(struct script *script, void **ret_state)
{
	script->opened++;
	if (script->open_result == 0)
		*ret_state = script;
	return script->open_result;
}

static int steady_open(const struct collect_ctx *ctx, void **ret_state)
{
	(void)ctx;
	return script_open(&steady, ret_state);
}

static int shaky_open(const struct collect_ctx *ctx, void **ret_state)
{
	(void)ctx;
	return script_open(&shaky, ret_state);
}

static void script_close(void *state)
{
	struct script *script = state;

	if (script)
		script->closed++;
}

static int script_collect(void *state, const struct collect_ctx *ctx)
{
	struct script *script = state;

	(void)ctx;
	script->collected++;
	if (script->pieces > 0) {
		script->pieces--;
		return COLLECT_MORE;
	}
	return script->collect_result;
}

static void script_emit(const void *state, struct sink *out)
{
	sink_uint(out, "collected", ((const struct script *)state)->collected);
}

static const struct collector collector_steady = { .name = "steady",
						   .path = "steady",
						   .open = steady_open,
						   .close = script_close,
						   .collect = script_collect,
						   .emit = script_emit };
static const struct collector collector_shaky = { .name = "shaky",
						  .path = "shaky",
						  .open = shaky_open,
						  .close = script_close,
						  .collect = script_collect,
						  .emit = script_emit };

const struct collector *const collectors[] = { &collector_shaky, &collector_steady, NULL };

/*
 * ------------------------------------------------------------------------------------------------------------- bench
 */

static struct sampling *sampling;
static struct config config;
static struct loop loop; /* its time alone is used */
static unsigned began, recovered;

static void on_changed(void *data, const struct collector *collector, int error)
{
	(void)data;
	assert_ptr_equal(collector, &collector_shaky);
	if (error < 0)
		began++;
	else
		recovered++;
}

static int setup(void **state)
{
	(void)state;
	memset(&steady, 0, sizeof(steady));
	memset(&shaky, 0, sizeof(shaky));
	began = recovered = 0;
	loop.now = (struct moment){ .mono_ns = 1000 * NS_PER_S };
	if (config_init(&config) < 0)
		return -1;
	sampling = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sampling_free(sampling);
	config_free(&config);
	return 0;
}

static void start(void)
{
	static const struct identity id = { .boot_id = "boot" };

	sampling = sampling_new(&(struct sampling_config){ .loop = &loop, .id = &id, .changed = on_changed }, &config);
	assert_non_null(sampling);
}

static void ticks(unsigned count)
{
	for (; count > 0; count--) {
		loop.now.mono_ns += NS_PER_S;
		sampling_collect_all(sampling);
	}
}

static struct json_object *sample(void)
{
	struct line *line = sampling_encode(sampling);
	struct json_object *root, *data;
	char text[4096];

	assert_non_null(line);
	assert_true(line->len < sizeof(text));
	memcpy(text, line->text, line->len);
	text[line->len] = '\0';
	line_unref(line);
	root = json_tokener_parse(text);
	assert_true(json_object_object_get_ex(root, "data", &data));
	json_object_get(data);
	json_object_put(root);
	return data;
}

static bool has(struct json_object *data, const char *key)
{
	return json_object_object_get_ex(data, key, NULL);
}

static char last_left_out[32];
static unsigned left_out_count;

static void on_left_out(void *data, const char *name, int error)
{
	(void)data;
	(void)error;
	left_out_count++;
	snprintf(last_left_out, sizeof(last_left_out), "%s", name);
}

static unsigned left_out(void)
{
	left_out_count = 0;
	sampling_each_left_out(sampling, on_left_out, NULL);
	return left_out_count;
}

static char *report(void)
{
	static char text[4096];
	struct json_writer writer;
	const char *line;
	size_t len;

	json_writer_init(&writer, text, sizeof(text));
	sink_object_begin(&writer.sink, NULL);
	sampling_report(sampling, &writer.sink);
	sink_object_end(&writer.sink);
	assert_int_equal(json_writer_finish(&writer, &line, &len), 0);
	text[len] = '\0';
	return text;
}

/*
 * ------------------------------------------------------------------------------------------------------------- tests
 */

static void a_failing_collector_costs_its_own_part_and_is_named(void **state)
{
	struct json_object *data, *failed, *first;

	(void)state;
	start();
	ticks(1);
	data = sample();
	assert_true(has(data, "shaky"));
	json_object_put(data);
	shaky.collect_result = -EBADMSG;
	ticks(2);
	data = sample();
	assert_true(has(data, "steady"));
	assert_false(has(data, "shaky"));
	assert_true(json_object_object_get_ex(data, "failed_collectors", &failed));
	assert_int_equal(json_object_array_length(failed), 1);
	first = json_object_array_get_idx(failed, 0);
	assert_string_equal(json_object_get_string(json_object_object_get(first, "name")), "shaky");
	assert_string_equal(json_object_get_string(json_object_object_get(first, "error")), "EBADMSG");
	assert_int_equal(json_object_get_int(json_object_object_get(first, "failures")), 2);
	json_object_put(data);
	assert_null(sampling_state(sampling, &collector_shaky));
	assert_non_null(sampling_state(sampling, &collector_steady));
}

static void a_failure_is_told_when_it_begins_and_when_it_ends(void **state)
{
	struct json_object *data;

	(void)state;
	start();
	ticks(1);
	shaky.collect_result = -EIO;
	ticks(4);
	assert_int_equal(began, 1);
	assert_int_equal(recovered, 0);
	shaky.collect_result = 0;
	ticks(2);
	assert_int_equal(began, 1);
	assert_int_equal(recovered, 1);
	data = sample();
	assert_true(has(data, "shaky"));
	assert_false(has(data, "failed_collectors"));
	json_object_put(data);
}

static void after_five_failures_it_is_tried_ever_more_rarely_and_never_given_up(void **state)
{
	unsigned in_the_first_hour;

	(void)state;
	start();
	shaky.collect_result = -EIO;
	ticks(5);
	assert_int_equal(shaky.collected, 5);
	ticks(3595);
	in_the_first_hour = shaky.collected;
	/* 1, 2, 4 … 300 seconds apart, with jitter: about twenty tries. */
	assert_in_range(in_the_first_hour, 10, 60);
	ticks(3600);
	assert_in_range(shaky.collected - in_the_first_hour, 6, 40);
	assert_int_equal(steady.collected, 7200);
	assert_int_equal(began, 1);
}

static void one_success_ends_the_back_off(void **state)
{
	unsigned before;

	(void)state;
	start();
	shaky.collect_result = -EIO;
	ticks(1000);
	shaky.collect_result = 0;
	ticks(400);
	before = shaky.collected;
	ticks(50);
	assert_int_equal(shaky.collected - before, 50);
	/* And the next failures have their five free tries again. */
	shaky.collect_result = -EIO;
	before = shaky.collected;
	ticks(5);
	assert_int_equal(shaky.collected - before, 5);
	/* Then the shortest pause comes first: 1, 2, 4 … seconds. */
	before = shaky.collected;
	ticks(20);
	assert_in_range(shaky.collected - before, 3, 8);
}

static void a_collector_that_cannot_be_opened_is_opened_at_a_later_try(void **state)
{
	(void)state;
	shaky.open_result = -ENOENT;
	start();
	ticks(2);
	assert_int_equal(shaky.collected, 0);
	assert_int_equal(began, 1);
	shaky.open_result = 0;
	ticks(1);
	assert_int_equal(shaky.collected, 1);
	assert_int_equal(recovered, 1);
}

static void where_no_loop_waits_a_long_collect_is_done_in_one_go(void **state)
{
	(void)state;
	start();
	shaky.pieces = 2;
	ticks(1);
	assert_int_equal(shaky.collected, 3);
	assert_int_equal(steady.collected, 1);
}

static void the_report_says_how_each_collector_is(void **state)
{
	char *text;

	(void)state;
	start();
	text = report();
	assert_non_null(strstr(text, "\"steady\":{\"state\":\"waiting\",\"error\":null,\"failures\":0,"));
	assert_int_equal(left_out(), 2);
	shaky.collect_result = -EIO;
	ticks(2);
	text = report();
	assert_non_null(strstr(text, "\"steady\":{\"state\":\"ok\",\"error\":null,\"failures\":0,"));
	assert_non_null(strstr(text, "\"shaky\":{\"state\":\"failing\",\"error\":\"EIO\",\"failures\":2,"));
	assert_int_equal(left_out(), 1);
	assert_string_equal(last_left_out, "shaky");
}

static void every_state_is_closed_once(void **state)
{
	(void)state;
	start();
	ticks(3);
	sampling = sampling_free(sampling);
	assert_int_equal(steady.opened, 1);
	assert_int_equal(steady.closed, 1);
	assert_int_equal(shaky.opened, 1);
	assert_int_equal(shaky.closed, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_failing_collector_costs_its_own_part_and_is_named),
		TEST(a_failure_is_told_when_it_begins_and_when_it_ends),
		TEST(after_five_failures_it_is_tried_ever_more_rarely_and_never_given_up),
		TEST(one_success_ends_the_back_off),
		TEST(a_collector_that_cannot_be_opened_is_opened_at_a_later_try),
		TEST(where_no_loop_waits_a_long_collect_is_done_in_one_go),
		TEST(the_report_says_how_each_collector_is),
		TEST(every_state_is_closed_once),
	};

	return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
