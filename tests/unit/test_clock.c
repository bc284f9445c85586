/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "collectors/clock.h"
#include "collectors/table.h"
#include "subject.h"

#define SOURCE "sys/devices/system/clocksource/clocksource0/current_clocksource"

/* ------------------------------------------------------------------------------------------------- adjtimex, played */

static struct timex kernel;
static int kernel_returns; /* -errno: a failure */

int __wrap_adjtimex(struct timex *timex);

int __wrap_adjtimex(struct timex *timex)
{
	assert_int_equal(timex->modes, 0); /* it only asks */
	if (kernel_returns < 0) {
		errno = -kernel_returns;
		return -1;
	}
	*timex = kernel;
	return kernel_returns;
}

static void the_offset_is_in_microseconds_whatever_the_kernel_counts_in(void **state)
{
	struct clock_state clock;

	(void)state;
	clock_state_get(&(struct timex){ .offset = -1500, .status = STA_NANO | STA_PLL }, TIME_OK, &clock);
	assert_true(clock.offset_us > -1.501 && clock.offset_us < -1.499);
	clock_state_get(&(struct timex){ .offset = -1500, .status = STA_PLL }, TIME_OK, &clock);
	assert_true(clock.offset_us > -1500.1 && clock.offset_us < -1499.9);
}

static void a_leap_second_is_told_also_while_the_clock_is_not_synchronised(void **state)
{
	static const struct {
		int returned, status;
		const char *leap;
		bool synchronized;
	} cases[] = {
		{ TIME_OK, 0, "none", true },
		{ TIME_INS, STA_INS, "insert", true },
		{ TIME_DEL, STA_DEL, "delete", true },
		{ TIME_OOP, 0, "now", true },
		{ TIME_WAIT, 0, "over", true },
		{ TIME_ERROR, STA_UNSYNC, "none", false },
		{ TIME_ERROR, STA_UNSYNC | STA_INS, "insert", false },
		{ TIME_ERROR, STA_DEL, "delete", true },
		{ 77, 0, "none", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct clock_state clock;

		clock_state_get(&(struct timex){ .status = cases[i].status }, cases[i].returned, &clock);
		assert_string_equal(clock.leap, cases[i].leap);
		assert_int_equal(clock.synchronized, cases[i].synchronized);
	}
}

static void a_synchronised_clock_and_its_source_are_told(void **state)
{
	struct fixture *fixture = *state;

	fixture->ctx.live = true;
	fixture_write(fixture, SOURCE, "kvm-clock\n");
	kernel = (struct timex){
		.offset = 1234567, .status = STA_NANO, .maxerror = 512, .esterror = 7, .freq = -655360 / 4, .tai = 37
	};
	kernel_returns = TIME_OK;
	assert_emits(fixture, &collector_clock,
		     "\"synchronized\":true,\"offset_us\":1234.567,\"max_error_us\":512,\"estimated_error_us\":7,"
		     "\"frequency_ppm\":-2.500,\"tai_offset_s\":37,\"leap\":\"none\",\"source\":\"kvm-clock\"");
}

#define NOTHING                                                                                                        \
	"\"synchronized\":null,\"offset_us\":null,\"max_error_us\":null,\"estimated_error_us\":null,"                  \
	"\"frequency_ppm\":null,\"tai_offset_s\":null,\"leap\":null,"

static void what_may_not_be_asked_is_null_and_says_why(void **state)
{
	struct fixture *fixture = *state;

	fixture->ctx.live = true;
	kernel_returns = -EPERM;
	assert_emits(fixture, &collector_clock,
		     NOTHING "\"reason\":\"denied\",\"source\":null,\"source_reason\":\"unsupported\"");
	fixture->ctx.live = false;
	fixture_write(fixture, SOURCE, "tsc\n");
	assert_emits(fixture, &collector_clock, NOTHING "\"reason\":\"unsupported\",\"source\":\"tsc\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SUBJECT_TEST(the_offset_is_in_microseconds_whatever_the_kernel_counts_in),
		SUBJECT_TEST(a_leap_second_is_told_also_while_the_clock_is_not_synchronised),
		SUBJECT_TEST(a_synchronised_clock_and_its_source_are_told),
		SUBJECT_TEST(what_may_not_be_asked_is_null_and_says_why),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
