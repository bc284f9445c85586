/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/base/identity.h"

#define A_UUID "3b1f7c2e-9d04-4a55-8e61-0c2d4e6f8a90"

static void a_product_uuid_is_one_that_tells_machines_apart(void **state)
{
	static const struct {
		const char *text;
		const char *taken; /* NULL: refused */
	} cases[] = {
		{ A_UUID "\n", A_UUID },
		{ "  3B1F7C2E-9D04-4A55-8E61-0C2D4E6F8A90 \r\n", A_UUID },
		{ "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001" },
		{ "11111111-2222-3333-4444-555555555555", "11111111-2222-3333-4444-555555555555" },
		{ "", NULL },
		{ "\n", NULL },
		{ "Not Settable\n", NULL },
		{ "Not Specified", NULL },
		{ "To Be Filled By O.E.M.", NULL },
		{ "Default string", NULL },
		{ "00000000-0000-0000-0000-000000000000\n", NULL },
		{ "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n", NULL },
		{ "03000200-0400-0500-0006-000700080009", NULL },
		{ "03020100-0504-0706-0809-0A0B0C0D0E0F", NULL },
		{ "12345678-1234-5678-90ab-cddeefaabbcc", NULL },
		{ "3b1f7c2e9d044a558e610c2d4e6f8a90", NULL },
		{ A_UUID "0", NULL },
		{ "3b1f7c2e-9d04-4a55-8e61-0c2d4e6f8a9", NULL },
		{ "3b1f7c2e-9d04-4a55-8e61-0c2d4e6f8a9g", NULL },
		{ "-b1f7c2e-9d04-4a55-8e61-0c2d4e6f8a90", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[IDENTITY_SIZE];
		bool taken = identity_take_uuid(out, cases[i].text);

		if (taken != (cases[i].taken != NULL))
			print_error("%s\n", cases[i].text);
		assert_int_equal(taken, cases[i].taken != NULL);
		if (taken)
			assert_string_equal(out, cases[i].taken);
	}
}

static void a_name_that_is_configured_goes_first_unless_it_is_blank(void **state)
{
	struct identity id;
	struct err warning = { .code = 1 };

	(void)state;
	setenv("INFINIBAY_VM_ID", "From-Environment", 1);
	identity_find(&id, "vm-17", -1, &warning);
	assert_string_equal(id.vm_id, "vm-17");
	assert_string_equal(id.source, "config");
	assert_int_equal(warning.code, 0);
	identity_find(&id, " \t", -1, NULL);
	assert_string_equal(id.vm_id, "from-environment");
	assert_string_equal(id.source, "environment");
	setenv("INFINIBAY_VM_ID", "  ", 1);
	identity_find(&id, "", -1, NULL);
	assert_string_not_equal(id.vm_id, "");
	unsetenv("INFINIBAY_VM_ID");
	identity_find(&id, NULL, -1, NULL);
	assert_string_not_equal(id.vm_id, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_product_uuid_is_one_that_tells_machines_apart),
		cmocka_unit_test(a_name_that_is_configured_goes_first_unless_it_is_blank),
	};

	return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
