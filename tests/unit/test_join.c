/* SPDX-License-Identifier: MIT */
/* What the executor takes of a wish to join a domain, whoever wrote it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/rules/requests.h"

#define TEXT(literal) literal, sizeof(literal)

static void takes_five_texts_and_nothing_else(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		bool good;
	} cases[] = {
		{ TEXT("d.example\0user\0pass\0\0"), true },
		{ TEXT("d.example\0user\0pass\0OU=x\0pc"), true },
		{ "d.example\0user\0pass\0\0", sizeof("d.example\0user\0pass\0\0") - 1, false },
		{ TEXT("d.example\0user\0pass\0\0\0"), false },
		{ TEXT("d.example\0user\0pass"), false },
		{ TEXT("-d\0user\0pass\0\0"), false },
		{ TEXT("d/x\0user\0pass\0\0"), false },
		{ TEXT("d\0-user\0pass\0\0"), false },
		{ TEXT("d\0us\ner\0pass\0\0"), false },
		{ TEXT("d\0user\0\0\0"), false },
		{ TEXT("d\0user\0pa\nss\0\0"), false },
		{ TEXT("d\0user\0pass\0\0a b"), false },
		{ "", 0, false },
		{ TEXT(""), false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct join_request request;

		if (join_parse(cases[i].text, cases[i].len, &request) != cases[i].good)
			fail_msg("case %zu", i);
	}
}

static void gives_each_text_its_place(void **state)
{
	static const char text[] = "d.example\0user\0p ss\0OU=x\0pc";
	struct join_request request;

	(void)state;
	assert_true(join_parse(text, sizeof(text), &request));
	assert_string_equal(request.parts[JOIN_DOMAIN], "d.example");
	assert_string_equal(request.parts[JOIN_USER], "user");
	assert_string_equal(request.parts[JOIN_PASSWORD], "p ss");
	assert_string_equal(request.parts[JOIN_UNIT], "OU=x");
	assert_string_equal(request.parts[JOIN_COMPUTER], "pc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_five_texts_and_nothing_else),
		cmocka_unit_test(gives_each_text_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
