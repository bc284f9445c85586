/* SPDX-License-Identifier: MIT */
/* The names hosts read, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transport/codes.h"

static void names_every_code_and_finds_it_again(void **state)
{
	(void)state;
	for (unsigned i = CODE_NONE + 1; i < CODES; i++) {
		assert_non_null(code_name((enum error_code)i));
		assert_int_equal(code_from_name(code_name((enum error_code)i)), i);
	}
}

static void keeps_the_words_of_the_protocol(void **state)
{
	(void)state;
	assert_string_equal(code_name(CODE_INVALID_MESSAGE), "INVALID_MESSAGE");
	assert_string_equal(code_name(CODE_QUEUE_FULL), "QUEUE_FULL");
	assert_string_equal(code_name(CODE_COMMAND_TIMEOUT), "COMMAND_TIMEOUT");
	assert_string_equal(code_name(CODE_UNSUPPORTED_PLATFORM), "UNSUPPORTED_PLATFORM");
}

static void has_no_name_for_what_is_no_code(void **state)
{
	(void)state;
	assert_null(code_name(CODE_NONE));
	assert_null(code_name(CODES));
	assert_null(code_name((enum error_code) - 1));
	assert_int_equal(code_from_name("queue_full"), CODE_NONE);
	assert_int_equal(code_from_name(NULL), CODE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_every_code_and_finds_it_again),
		cmocka_unit_test(keeps_the_words_of_the_protocol),
		cmocka_unit_test(has_no_name_for_what_is_no_code),
	};

	return cmocka_run_group_tests_name("codes", tests, NULL, NULL);
}
