/* SPDX-License-Identifier: MIT */
/* What is remembered of each source; see agent/base/source.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/base/source.h"

static void a_user_is_the_same_source_however_often_it_comes_back(void **state)
{
	struct sources sources = { 0 };
	struct source *root = source_of_user(&sources, 0, 1), *user = source_of_user(&sources, 1000, 2);

	(void)state;
	assert_ptr_not_equal(root, user);
	user->sample_ns = 77;
	assert_ptr_equal(source_of_user(&sources, 1000, 3), user);
	assert_int_equal(source_of_user(&sources, 1000, 4)->sample_ns, 77);
	assert_ptr_equal(source_of_user(&sources, 0, 5), root);
}

static void the_table_is_bounded_and_the_quietest_makes_room(void **state)
{
	struct sources sources = { 0 };

	(void)state;
	for (unsigned i = 0; i < SOURCE_USERS_MAX; i++)
		source_of_user(&sources, i, i + 1)->sample_ns = i + 1;
	source_of_user(&sources, 0, 1000); /* asked again: now uid 1 is the quietest */
	assert_int_equal(source_of_user(&sources, 5000, 1001)->sample_ns, 0);
	assert_int_equal(source_of_user(&sources, 0, 1002)->sample_ns, 1);
	assert_int_equal(source_of_user(&sources, 2, 1003)->sample_ns, 3);
	assert_int_equal(source_of_user(&sources, 1, 1004)->sample_ns, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_is_the_same_source_however_often_it_comes_back),
		cmocka_unit_test(the_table_is_bounded_and_the_quietest_makes_room),
	};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
