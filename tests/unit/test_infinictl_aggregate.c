/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/aggregate.h"

static double result(struct aggregate *a, const char *name)
{
	struct aggregate_function function;
	double number = -12345;

	assert_int_equal(aggregate_function_parse(name, strlen(name), &function, NULL), 0);
	assert_true(aggregate_result(a, function, &number));
	return number;
}

static bool is_unknown(struct aggregate *a, const char *name)
{
	struct aggregate_function function;
	double number;

	assert_int_equal(aggregate_function_parse(name, strlen(name), &function, NULL), 0);
	return !aggregate_result(a, function, &number);
}

static void functions_are_told_by_their_names_and_nothing_else_is(void **state)
{
	static const char *const wrong[] = { "",   "averag", "averages", "p",	     "p-1",    "p101",
					     "px", "p95x",   "p 5",	 "p9999999", "counts", "P95" };
	struct aggregate_function function;

	(void)state;
	assert_int_equal(aggregate_function_parse("p99.9,", 5, &function, NULL), 0);
	assert_true(function.kind == AGGREGATE_PERCENTILE && function.percent == 99.9);
	assert_int_equal(aggregate_function_parse("avg", 3, &function, NULL), 0);
	assert_int_equal(function.kind, AGGREGATE_AVERAGE);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct err err = { 0 };

		if (aggregate_function_parse(wrong[i], strlen(wrong[i]), &function, &err) == 0)
			fail_msg("\"%s\"", wrong[i]);
		assert_non_null(strstr(err.text, "percentile such as p95"));
	}
}

static void values_become_one_number_each_way(void **state)
{
	static const double values[] = { 7, -3, 10, 2, 4 };
	struct aggregate a;

	(void)state;
	aggregate_init(&a, true);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		aggregate_add(&a, values[i]);
	assert_true(result(&a, "count") == 5 && result(&a, "sum") == 20 && result(&a, "average") == 4);
	assert_true(result(&a, "min") == -3 && result(&a, "max") == 10 && result(&a, "last") == 4);
	aggregate_done(&a);
}

static void a_percentile_is_the_value_at_its_nearest_rank(void **state)
{
	static const struct {
		const char *name;
		double want;
	} cases[] = { { "p0", 1 },   { "p10", 1 }, { "p10.1", 2 }, { "p50", 5 },
		      { "p95", 10 }, { "p90", 9 }, { "p100", 10 } };
	struct aggregate a;

	(void)state;
	aggregate_init(&a, true);
	for (int i = 10; i > 0; i--)
		aggregate_add(&a, i);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (result(&a, cases[i].name) != cases[i].want)
			fail_msg("%s is %g", cases[i].name, result(&a, cases[i].name));
	aggregate_done(&a);
}

static void several_values_count_as_many_and_rank_as_their_average(void **state)
{
	struct aggregate a;

	(void)state;
	aggregate_init(&a, true);
	aggregate_add_several(&a, &(struct aggregate_several){ 8, 0, 5, 90, 6 });
	aggregate_add(&a, 20);
	aggregate_add(&a, 30);
	assert_true(result(&a, "count") == 10 && result(&a, "sum") == 90 && result(&a, "average") == 9);
	assert_true(result(&a, "min") == 0 && result(&a, "max") == 90 && result(&a, "last") == 30);
	assert_true(result(&a, "p50") == 5 && result(&a, "p80") == 5 && result(&a, "p81") == 20);
	assert_true(result(&a, "p100") == 30);
	aggregate_done(&a);
}

static void what_cannot_be_known_is_unknown(void **state)
{
	struct aggregate a;

	(void)state;
	aggregate_init(&a, true);
	assert_true(result(&a, "count") == 0 && result(&a, "sum") == 0);
	assert_true(is_unknown(&a, "average") && is_unknown(&a, "min") && is_unknown(&a, "last"));
	assert_true(is_unknown(&a, "p50"));
	aggregate_add(&a, 1e308);
	aggregate_add(&a, 1e308);
	assert_true(is_unknown(&a, "sum") && is_unknown(&a, "average")); /* beyond a double */
	assert_true(result(&a, "p50") == 1e308);
	aggregate_done(&a);
	aggregate_init(&a, false);
	aggregate_add(&a, 1);
	assert_true(is_unknown(&a, "p50") && result(&a, "max") == 1);
	assert_null(a.values);
	aggregate_done(&a);
}

static void more_values_than_are_held_have_no_percentile(void **state)
{
	struct aggregate a;

	(void)state;
	aggregate_init(&a, true);
	for (size_t i = 0; i < AGGREGATE_VALUES_MAX; i++)
		aggregate_add(&a, 3);
	assert_true(result(&a, "p50") == 3);
	aggregate_add(&a, 4);
	assert_true(is_unknown(&a, "p50") && result(&a, "count") == AGGREGATE_VALUES_MAX + 1.0);
	aggregate_reset(&a);
	assert_true(is_unknown(&a, "max") && result(&a, "count") == 0);
	aggregate_add(&a, 5);
	assert_true(result(&a, "p50") == 5 && result(&a, "min") == 5 && result(&a, "sum") == 5);
	aggregate_done(&a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_are_told_by_their_names_and_nothing_else_is),
		cmocka_unit_test(values_become_one_number_each_way),
		cmocka_unit_test(a_percentile_is_the_value_at_its_nearest_rank),
		cmocka_unit_test(several_values_count_as_many_and_rank_as_their_average),
		cmocka_unit_test(what_cannot_be_known_is_unknown),
		cmocka_unit_test(more_values_than_are_held_have_no_percentile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
