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
#include <systemd/sd-id128.h>

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

static void ids_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = { "",
					   "0",
					   "uninitialized\n",
					   "00112233445566778899aabbccddeef",
					   "00112233445566778899aabbccddeeff0",
					   "0011223344556677 8899aabbccddeeff",
					   "00112233445566778899aabbccddeegg" };
	uint8_t id[IDENTITY_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(identity_parse_id(bad[i], id));
	assert_true(identity_parse_id("00112233-4455-6677-8899-AABBCCDDEEFF\n", id));
	assert_int_equal(id[0], 0);
	assert_int_equal(id[1], 0x11);
	assert_int_equal(id[15], 0xff);
}

/* The same as libsystemd's, which earlier releases asked: a machine keeps its name. */
static void a_machine_id_is_hashed_as_libsystemd_does(void **state)
{
	static const uint8_t wanted[] = { 0x34, 0x2f, 0x58, 0x8a, 0x38, 0xb9, 0x47, 0x62,
					  0xae, 0x79, 0x39, 0xa1, 0x6c, 0x7b, 0xee, 0xc4 };
	uint8_t id[IDENTITY_BYTES];
	sd_id128_t real;
	FILE *file = fopen("/etc/machine-id", "re");
	char text[64] = "";

	(void)state;
	assert_true(identity_parse_id("00112233445566778899aabbccddeeff", id));
	identity_hash_id(id);
	assert_memory_equal(id, wanted, sizeof(wanted));
	if (!file || !fgets(text, sizeof(text), file) || !identity_parse_id(text, id) ||
	    sd_id128_get_machine_app_specific(
		    SD_ID128_MAKE(4d, 1c, 3a, 77, 8e, 5b, 4f, 0c, 9a, 26, d3, 51, 60, be, 17, f8), &real) < 0)
		return; /* a room or a build machine without one */
	fclose(file);
	identity_hash_id(id);
	assert_memory_equal(id, real.bytes, sizeof(real.bytes));
}

static void the_boot_id_is_that_of_libsystemd(void **state)
{
	struct identity id;
	char text[SD_ID128_STRING_MAX];
	sd_id128_t real;

	(void)state;
	assert_true(sd_id128_get_boot(&real) >= 0);
	identity_find(&id, "a-name", -1, NULL);
	assert_string_equal(id.boot_id, sd_id128_to_string(real, text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_product_uuid_is_one_that_tells_machines_apart),
		cmocka_unit_test(a_name_that_is_configured_goes_first_unless_it_is_blank),
		cmocka_unit_test(ids_that_are_none_are_refused),
		cmocka_unit_test(a_machine_id_is_hashed_as_libsystemd_does),
		cmocka_unit_test(the_boot_id_is_that_of_libsystemd),
	};

	return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
