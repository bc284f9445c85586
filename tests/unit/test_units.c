/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "collectors/table.h"
#include "subject.h"

/* ------------------------------------------------------------------------------------------------- a played prober */

static struct {
	unsigned asked;
	int refused;
} played;

static int request(struct prober *prober, const struct probe_request *asked)
{
	(void)prober;
	assert_int_equal(asked->kind, PROBE_UNITS);
	played.asked++;
	return played.refused;
}

static struct prober prober = { .request = request };

static struct {
	struct probe_units head;
	struct probe_unit rows[PROBE_UNITS_MAX + 1];
} data;

static size_t answer_of(unsigned failed, unsigned restarting)
{
	unsigned count = 0;

	memset(&data, 0, sizeof(data));
	for (unsigned i = 0; i < failed + restarting && count < PROBE_UNITS_MAX; i++, count++) {
		snprintf(data.rows[i].name, sizeof(data.rows[i].name), "%c%u.service", i < failed ? 'f' : 'r', i);
		data.rows[i].failed = i < failed;
	}
	data.head = (struct probe_units){ .failed = failed, .restarting = restarting, .count = count };
	return sizeof(data.head) + count * sizeof(data.rows[0]);
}

static int setup(void **state)
{
	struct fixture *fixture = fixture_new();

	*state = fixture;
	memset(&played, 0, sizeof(played));
	fixture->ctx.prober = &prober;
	return collector_units.open(&fixture->ctx, &fixture->state);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	collector_units.close(fixture->state);
	fixture_free(fixture);
	return 0;
}

static void probed(struct fixture *fixture, int error, size_t len)
{
	const struct probe_result result = { .kind = PROBE_UNITS, .error = error, .data = &data, .data_len = len };

	assert_int_equal(collector_units.collect(fixture->state, &fixture->ctx), 0);
	collector_units.probed(fixture->state, &result);
}

static void assert_is(struct fixture *fixture, const char *want)
{
	struct capture *capture = capture_begin();
	bool good;

	collector_units.emit(fixture->state, &capture->sink);
	good = strcmp(capture->text + 1, want) == 0;
	if (!good)
		print_error("%s\ninstead of\n%s\n", capture->text + 1, want);
	free(capture);
	assert_true(good);
}

#define UNKNOWN(reason)                                                                                                \
	"\"failed_total\":null,\"failed\":null,\"restarting_total\":null,\"restarting\":null,\"reason\":\"" reason "\""

static void failed_units_and_those_that_are_started_again_are_named(void **state)
{
	probed(*state, 0, answer_of(0, 0));
	assert_is(*state, "\"failed_total\":0,\"failed\":[],\"restarting_total\":0,\"restarting\":[]");
	probed(*state, 0, answer_of(2, 1));
	assert_is(*state, "\"failed_total\":2,\"failed\":[\"f0.service\",\"f1.service\"],\"restarting_total\":1,"
			  "\"restarting\":[\"r2.service\"]");
}

static void of_many_some_are_named_and_the_rest_counted(void **state)
{
	probed(*state, 0, answer_of(9, 0));
	assert_is(*state, "\"failed_total\":9,\"failed\":[\"f0.service\",\"f1.service\",\"f2.service\",\"f3.service\","
			  "\"f4.service\",\"f5.service\",\"f6.service\",\"f7.service\"],\"failed_left_out\":1,"
			  "\"restarting_total\":0,\"restarting\":[]");
	probed(*state, 0, answer_of(PROBE_UNITS_MAX, 5));
	data.head.failed = 5000;
	probed(*state, 0, sizeof(data.head) + PROBE_UNITS_MAX * sizeof(data.rows[0]));
	assert_is(*state,
		  "\"failed_total\":5000,\"failed\":[\"f0.service\",\"f1.service\",\"f2.service\",\"f3.service\","
		  "\"f4.service\",\"f5.service\",\"f6.service\",\"f7.service\"],\"failed_left_out\":4992,"
		  "\"restarting_total\":5,\"restarting\":[],\"restarting_left_out\":5");
}

static void before_and_without_an_answer_nothing_is_known_and_why(void **state)
{
	static const struct {
		int error;
		const char *want;
	} cases[] = {
		{ -ETIMEDOUT, UNKNOWN("no_answer") }, { -ECANCELED, UNKNOWN("no_answer") },
		{ -ENOENT, UNKNOWN("no_bus") },	      { -ECONNREFUSED, UNKNOWN("no_bus") },
		{ -ELIBACC, UNKNOWN("no_library") },  { -EREMOTEIO, UNKNOWN("denied") },
		{ -EBADMSG, UNKNOWN("invalid") },     { -EIO, UNKNOWN("unreadable") },
	};

	assert_is(*state, UNKNOWN("not_asked"));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		probed(*state, cases[i].error, 0);
		assert_is(*state, cases[i].want);
	}
	probed(*state, 0, answer_of(1, 0));
	assert_is(*state, "\"failed_total\":1,\"failed\":[\"f0.service\"],\"restarting_total\":0,\"restarting\":[]");
}

static void an_answer_that_makes_no_sense_is_none(void **state)
{
	size_t len = answer_of(2, 0);

	probed(*state, 0, len - 1);
	assert_is(*state, UNKNOWN("invalid"));
	probed(*state, 0, sizeof(data.head) - 1);
	assert_is(*state, UNKNOWN("invalid"));
	data.head.count = PROBE_UNITS_MAX + 1;
	probed(*state, 0, sizeof(data));
	assert_is(*state, UNKNOWN("invalid"));
}

static void a_prober_that_is_busy_leaves_the_last_answer(void **state)
{
	struct fixture *fixture = *state;

	probed(fixture, 0, answer_of(1, 0));
	played.refused = -ENOBUFS;
	assert_int_equal(collector_units.collect(fixture->state, &fixture->ctx), 0);
	assert_int_equal(played.asked, 2);
	assert_is(fixture, "\"failed_total\":1,\"failed\":[\"f0.service\"],\"restarting_total\":0,\"restarting\":[]");
	fixture->ctx.prober = NULL;
	assert_int_equal(collector_units.collect(fixture->state, &fixture->ctx), 0);
	assert_is(fixture, UNKNOWN("unsupported"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(failed_units_and_those_that_are_started_again_are_named),
		T(of_many_some_are_named_and_the_rest_counted),
		T(before_and_without_an_answer_nothing_is_known_and_why),
		T(an_answer_that_makes_no_sense_is_none),
		T(a_prober_that_is_busy_leaves_the_last_answer),
	};

	return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
