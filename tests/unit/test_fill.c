/* SPDX-License-Identifier: MIT */
/* Of this machine's own samples: a brief one, filled in from a whole one, is that whole one. */
#include <stdlib.h>
#include <string.h>

#include "tests/fake_loop.h"

#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "agent/metrics/fill.h"
#include "agent/metrics/sampling.h"

static struct loop loop;
static struct config config;
static struct json_object *brief, *whole;

static struct json_object *parse(const struct line *line)
{
	_cleanup_(freep) char *text = strndup(line->text, line->len);
	struct json_object *root = json_tokener_parse(text);

	assert_non_null(root);
	return root;
}

static void on_sample(void *data, unsigned to, struct line *line, struct line *same_whole)
{
	(void)data;
	(void)to;
	json_object_put(brief);
	json_object_put(whole);
	brief = parse(line);
	whole = parse(same_whole);
}

static void on_begin(void *data)
{
	(void)data;
}

static void on_changed(void *data, const struct collector *collector, int error)
{
	(void)data;
	(void)collector;
	(void)error;
}

/* Every collector names in whole_keys what its emit marks. */
static void a_brief_sample_that_is_filled_in_is_the_whole_one(void **state)
{
	static const struct identity id = { .boot_id = "boot", .generation = "0123456789abcdef" };
	struct sampling *sampling = sampling_new(
		&(struct sampling_config){
			.loop = &loop, .id = &id, .changed = on_changed, .begin = on_begin, .sample = on_sample },
		&config);

	(void)state;
	assert_non_null(sampling);
	sampling_start(sampling, &config);
	pass_time(&loop, NS_PER_S);
	assert_true(brief && fill_is_whole(brief) && json_object_equal(brief, whole));
	sampling_soon(sampling, SAMPLE_TO_LOG);
	pass_time(&loop, NS_PER_S);
	assert_false(fill_is_whole(brief));
	assert_true(fill_is_whole(whole));
	assert_int_equal(fill_sample(brief, whole), 0);
	json_object_object_del(brief, "filled");
	json_object_object_del(whole, "whole");
	if (!json_object_equal(brief, whole))
		fail_msg("%s\nis not\n%s", json_object_to_json_string(brief), json_object_to_json_string(whole));
	sampling_free(sampling);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_brief_sample_that_is_filled_in_is_the_whole_one) };

	loop_init(&loop, ev_loop_new(0));
	if (config_init(&config) < 0)
		return 1;
	return cmocka_run_group_tests_name("fill", tests, NULL, NULL);
}
