/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <infiniservice/moment.h>

#include "agent/base/token_bucket.h"

static void a_rate_of_zero_is_no_limit(void **state)
{
	struct token_bucket bucket = { 0 };

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_true(token_bucket_take(&bucket, 0, 0));
}

static void a_bucket_gives_one_second_at_once_and_then_the_rate(void **state)
{
	struct token_bucket bucket = { 0 };
	uint64_t now = 1000 * NS_PER_S;
	unsigned taken = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		taken += token_bucket_take(&bucket, 10, now);
	assert_int_equal(taken, 10);
	assert_true(token_bucket_take(&bucket, 10, now + 100 * NS_PER_MS));
	assert_false(token_bucket_take(&bucket, 10, now + 100 * NS_PER_MS));
	for (unsigned i = taken = 0; i < 100; i++)
		taken += token_bucket_take(&bucket, 10, now + 3600 * NS_PER_S);
	assert_int_equal(taken, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_of_zero_is_no_limit),
		cmocka_unit_test(a_bucket_gives_one_second_at_once_and_then_the_rate),
	};

	return cmocka_run_group_tests_name("token_bucket", tests, NULL, NULL);
}
