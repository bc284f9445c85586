/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <infiniservice/moment.h>

#include "agent/base/turns.h"
#include "transport/json_write.h"

static const char one[] = "one", two[] = "two";

static struct turns turns;

static int make_turns(void **state)
{
	(void)state;
	turns_init(&turns);
	return 0;
}

/* A quantile is never below the true one, and above it by a quarter at most. */
static void a_quantile_is_at_most_a_quarter_too_long(void **state)
{
	(void)state;
	for (uint64_t us = 1; us < 60000; us = us * 9 / 8 + 1) {
		turns_init(&turns);
		turns_count(&turns, (struct work){ one, NULL }, us * NS_PER_US);
		turns_count(&turns, (struct work){ one, NULL }, 65000 * NS_PER_US);
		assert_true(turns_quantile_ns(&turns.all, 500) >= us * NS_PER_US);
		assert_true(turns_quantile_ns(&turns.all, 500) <= us * NS_PER_US * 5 / 4 + 250);
	}
}

static void quantiles_of_a_thousand_turns_are_those_of_their_order(void **state)
{
	(void)state;
	for (unsigned us = 1; us <= 1000; us++)
		turns_count(&turns, (struct work){ one, NULL }, us * NS_PER_US);
	assert_in_range(turns_quantile_ns(&turns.all, 500), 500 * NS_PER_US, 640 * NS_PER_US);
	assert_in_range(turns_quantile_ns(&turns.all, 990), 990 * NS_PER_US, 1000 * NS_PER_US);
	assert_int_equal(turns_quantile_ns(&turns.all, 1000), 1000 * NS_PER_US);
	assert_int_equal(turns.all.count, 1000);
	assert_int_equal(turns.all.max_ns, 1000 * NS_PER_US);
	assert_int_equal(turns.all.sum_ns, 500500 * NS_PER_US);
}

static void without_a_turn_every_figure_is_zero(void **state)
{
	(void)state;
	assert_int_equal(turns_quantile_ns(&turns.all, 990), 0);
}

static void what_is_longer_than_the_classes_counts_as_the_longest(void **state)
{
	(void)state;
	turns_count(&turns, (struct work){ one, NULL }, 3 * NS_PER_S);
	assert_int_equal(turns_quantile_ns(&turns.all, 500), 3 * NS_PER_S);
}

static void works_are_told_apart_by_both_names(void **state)
{
	unsigned order[TURNS_WORKS_MAX];

	(void)state;
	turns_count(&turns, (struct work){ one, one }, 10);
	turns_count(&turns, (struct work){ one, two }, 30);
	turns_count(&turns, (struct work){ one, NULL }, 20);
	turns_count(&turns, (struct work){ one, two }, 5);
	assert_int_equal(turns_by_worst(&turns, order), 3);
	assert_ptr_equal(turns.works[order[0]].work.which, two);
	assert_int_equal(turns.works[order[0]].spread.count, 2);
	assert_null(turns.works[order[1]].work.which);
	assert_ptr_equal(turns.works[order[2]].work.which, one);
}

static void when_the_table_is_full_further_works_count_as_other(void **state)
{
	static char names[2 * TURNS_WORKS_MAX];
	unsigned order[TURNS_WORKS_MAX];

	(void)state;
	for (unsigned i = 0; i < sizeof(names); i++)
		turns_count(&turns, (struct work){ &names[i], NULL }, 1 + i);
	assert_int_equal(turns_by_worst(&turns, order), TURNS_WORKS_MAX);
	assert_string_equal(turns.works[order[0]].work.what, "other");
	assert_int_equal(turns.works[order[0]].spread.count, sizeof(names) - (TURNS_WORKS_MAX - 1));
	assert_int_equal(turns.all.count, sizeof(names));
}

static void spend(uint64_t ns)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + ns;

	while (clock_ns(CLOCK_MONOTONIC) < end_ns)
		;
}

static void a_turn_counts_for_the_work_that_took_longest(void **state)
{
	unsigned order[TURNS_WORKS_MAX];

	(void)state;
	turns_end(&turns, 1000);
	turns_begin(&turns, clock_ns(CLOCK_MONOTONIC));
	turns_work(&turns, one, NULL);
	turns_work(&turns, two, NULL);
	spend(20 * NS_PER_MS);
	turns_work(&turns, one, NULL);
	turns_end(&turns, 1000 + 7 * NS_PER_US);
	assert_int_equal(turns_by_worst(&turns, order), 1);
	assert_ptr_equal(turns.works[order[0]].work.what, two);
	assert_int_equal(turns.works[order[0]].spread.max_ns, 7 * NS_PER_US);
}

static void a_turn_of_nameless_work_counts_as_other(void **state)
{
	unsigned order[TURNS_WORKS_MAX];

	(void)state;
	turns_end(&turns, 1000);
	turns_begin(&turns, clock_ns(CLOCK_MONOTONIC));
	turns_end(&turns, 3000);
	assert_int_equal(turns_by_worst(&turns, order), 1);
	assert_string_equal(turns.works[order[0]].work.what, "other");
	assert_int_equal(turns.all.max_ns, 2000);
}

static void only_turns_over_the_budget_are_told_and_not_without_end(void **state)
{
	static char text[65536];
	int ends[2];
	ssize_t len;
	unsigned lines = 0;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	turns.watch_fd = ends[1];
	for (unsigned i = 0; i < 1000; i++) {
		turns_end(&turns, 1 + i * (TURNS_BUDGET_NS + (i == 1 ? 0 : 1)));
		turns_begin(&turns, clock_ns(CLOCK_MONOTONIC));
		turns_work(&turns, one, two);
	}
	len = read(ends[0], text, sizeof(text) - 1);
	assert_true(len > 0);
	text[len] = '\0';
	assert_memory_equal(text, "1000 one two\n", 13);
	for (ssize_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	assert_int_equal(lines, 200);
	close(ends[0]);
	close(ends[1]);
}

static void the_report_has_the_worst_work_first(void **state)
{
	static char buffer[4096];
	struct json_writer writer;
	const char *text;
	size_t len;

	(void)state;
	turns_count(&turns, (struct work){ "quick", NULL }, 3 * NS_PER_US);
	turns_count(&turns, (struct work){ "collect", "ports" }, 900 * NS_PER_US);
	json_writer_init(&writer, buffer, sizeof(buffer));
	sink_object_begin(&writer.sink, NULL);
	turns_report(&turns, &writer.sink);
	sink_object_end(&writer.sink);
	assert_int_equal(json_writer_finish(&writer, &text, &len), 0);
	assert_string_equal(text,
			    "{\"turn_cpu\":{\"turns\":2,\"p50_us\":3,\"p99_us\":900,\"p999_us\":900,\"max_us\":900,"
			    "\"total_us\":903},\"work\":[{\"name\":\"collect ports\",\"turns\":1,\"p50_us\":900,"
			    "\"p99_us\":900,\"p999_us\":900,\"max_us\":900,\"total_us\":900},{\"name\":\"quick\","
			    "\"turns\":1,\"p50_us\":3,\"p99_us\":3,\"p999_us\":3,\"max_us\":3,\"total_us\":3}]}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_quantile_is_at_most_a_quarter_too_long, make_turns),
		cmocka_unit_test_setup(quantiles_of_a_thousand_turns_are_those_of_their_order, make_turns),
		cmocka_unit_test_setup(without_a_turn_every_figure_is_zero, make_turns),
		cmocka_unit_test_setup(what_is_longer_than_the_classes_counts_as_the_longest, make_turns),
		cmocka_unit_test_setup(works_are_told_apart_by_both_names, make_turns),
		cmocka_unit_test_setup(when_the_table_is_full_further_works_count_as_other, make_turns),
		cmocka_unit_test_setup(a_turn_counts_for_the_work_that_took_longest, make_turns),
		cmocka_unit_test_setup(a_turn_of_nameless_work_counts_as_other, make_turns),
		cmocka_unit_test_setup(only_turns_over_the_budget_are_told_and_not_without_end, make_turns),
		cmocka_unit_test_setup(the_report_has_the_worst_work_first, make_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
