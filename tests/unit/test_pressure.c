/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "capture_sink.h"
#include "collectors/pressure.h"
#include "collectors/table.h"
#include "fixture_dir.h"

#define SOME "some avg10=3.34 avg60=4.94 avg300=19.60 total=2534106125\n"
#define FULL "full avg10=0.00 avg60=0.05 avg300=100.00 total=7\n"

#define SOME_EMITTED "{\"avg10_percent\":3.34,\"avg60_percent\":4.94,\"avg300_percent\":19.60,\"total_us\":2534106125}"
#define FULL_EMITTED "{\"avg10_percent\":0.00,\"avg60_percent\":0.05,\"avg300_percent\":100.00,\"total_us\":7}"
#define WHOLE	     "{\"some\":" SOME_EMITTED ",\"full\":" FULL_EMITTED "}"

static const char *const files[] = { "proc/pressure/cpu", "proc/pressure/memory", "proc/pressure/io" };

/* ---------------------------------------------------------------------------------------------- reading, played */

static int pread_error;	     /* every read fails with it; 0: none does */
static unsigned pread_count; /* reads */

ssize_t __real_pread(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t offset);

ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t offset)
{
	pread_count++;
	if (pread_error == 0)
		return __real_pread(fd, bytes, size, offset);
	errno = pread_error;
	return -1;
}

static int setup(void **state)
{
	struct fixture *fixture = fixture_new();

	*state = fixture;
	pread_error = 0;
	return collector_pressure.open(&fixture->ctx, &fixture->state);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	pread_error = 0;
	collector_pressure.close(fixture->state);
	fixture_free(fixture);
	return 0;
}

static void write_all(struct fixture *fixture, const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		fixture_write(fixture, files[i], text);
}

static void assert_collects(struct fixture *fixture, const char *want)
{
	struct capture *capture = capture_begin();
	int r = collector_pressure.collect(fixture->state, &fixture->ctx);
	bool good;

	if (r == 0)
		collector_pressure.emit(fixture->state, &capture->sink);
	good = r == 0 && strcmp(capture->text + 1, want) == 0;
	if (!good)
		print_error("%d\n%s\ninstead of\n%s\n", r, capture->text + 1, want);
	free(capture);
	assert_true(good);
}

/* ------------------------------------------------------------------------------------------------------ parsing */

static bool stall_is(const struct stall *stall, double avg10, double avg60, double avg300, uint64_t total_us)
{
	return fabs(stall->avg10_percent - avg10) < 1e-9 && fabs(stall->avg60_percent - avg60) < 1e-9 &&
	       fabs(stall->avg300_percent - avg300) < 1e-9 && stall->total_us == total_us;
}

static void lines_are_taken_by_their_names_and_odd_ones_cost_themselves(void **state)
{
	static const struct {
		const char *text;
		bool some, full;
		uint64_t skipped;
	} cases[] = {
		{ SOME FULL, true, true, 0 },
		{ FULL SOME, true, true, 0 },
		{ SOME, true, false, 0 },
		{ FULL, false, true, 0 },
		{ "some avg10=3.34 avg60=4.94 avg300=19.60 total=2534106125", true, false, 0 },
		{ "some total=2534106125 avg300=19.60 avg60=4.94 avg10=3.34\n", true, false, 0 },
		{ "some avg10=3.34 avg30=7 avg60=4.94 new avg300=19.60 x=y total=2534106125 avg900=\n", true, false,
		  0 },
		{ "some  avg10=3.34\tavg60=4.94 avg300=19.60 total=2534106125 \n", true, false, 0 },
		{ "\n\xff\xfe\nsomewhat avg10=1\nidle avg10=9.99\n" SOME FULL, true, true, 0 },
		{ SOME "some avg10=9.99 avg60=9.99 avg300=9.99 total=9\n" FULL, true, true, 1 },
		{ SOME "full\n", true, false, 0 },
		{ SOME "full \n", true, false, 1 },
		{ SOME "full avg10=0.00 avg60=0.05 avg300=100.00\n", true, false, 1 },
		{ SOME "full avg10=0.00 avg60=0.05 total=7\n", true, false, 1 },
		{ SOME "full avg10=0.00 avg60=0.05 avg300=100.01 total=7\n", true, false, 1 },
		{ SOME "full avg10=-0.01 avg60=0.05 avg300=100.00 total=7\n", true, false, 1 },
		{ SOME "full avg10=nan avg60=inf avg300=1e2 total=7\n", true, false, 1 },
		{ SOME "full avg10=0.00 avg60=0.05 avg300=100.00 total=-7\n", true, false, 1 },
		{ SOME "full avg10=0.00 avg60=0.05 avg300=100.00 total=18446744073709551616\n", true, false, 1 },
		{ SOME "full avg10=0.00 avg60=0.05 avg300=100.00 total=7 total=8\n", true, false, 1 },
		{ SOME "full avg10=0.00 avg10=0.00 avg60=0.05 avg300=100.00 total=7\n", true, false, 1 },
		{ SOME "full avg10=0,00 avg60=0,05 avg300=100,00 total=7\n", true, false, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pressure pressure;
		int r = pressure_parse(cases[i].text, strlen(cases[i].text), &pressure);
		bool good = r == 0 && pressure.some.known == cases[i].some && pressure.full.known == cases[i].full &&
			    pressure.skipped == cases[i].skipped;

		if (good && cases[i].some)
			good = stall_is(&pressure.some, 3.34, 4.94, 19.6, 2534106125);
		if (good && cases[i].full)
			good = stall_is(&pressure.full, 0, 0.05, 100, 7);
		if (!good)
			print_error("%d: %s\n", r, cases[i].text);
		assert_true(good);
	}
}

static void a_text_without_one_valid_line_is_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"\n",
		"some",
		"some \n",
		"avg10=3.34 avg60=4.94 avg300=19.60 total=1\n",
		"SOME avg10=3.34\n",
		"some avg10=3.34 avg60=4.94 avg300=19.60 total=\n",
		"cpu 1 2 3 4\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pressure pressure = { .skipped = 42 };

		assert_int_equal(pressure_parse(cases[i], strlen(cases[i]), &pressure), -EBADMSG);
		assert_true(pressure.skipped == 42);
	}
}

static void every_cut_of_the_text_is_survived(void **state)
{
	static const char text[] = SOME FULL;

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		char *exact = malloc(len ? len : 1);
		struct pressure pressure;
		int r;

		memcpy(exact, text, len);
		r = pressure_parse(exact, len, &pressure);
		free(exact);
		assert_true(r == 0 || r == -EBADMSG);
		assert_true(r < 0 || pressure.some.known);
	}
}

/* --------------------------------------------------------------------------------------------------- collecting */

static void each_resource_has_its_averages_and_its_total(void **state)
{
	write_all(*state, SOME FULL);
	assert_collects(*state, "\"cpu\":" WHOLE ",\"memory\":" WHOLE ",\"io\":" WHOLE);
	fixture_write(*state, "proc/pressure/memory", FULL SOME);
	assert_collects(*state, "\"cpu\":" WHOLE ",\"memory\":" WHOLE ",\"io\":" WHOLE);
}

static void each_file_is_read_once_a_sample(void **state)
{
	struct fixture *fixture = *state;

	write_all(fixture, SOME FULL);
	assert_int_equal(collector_pressure.collect(fixture->state, &fixture->ctx), 0);
	pread_count = 0;
	assert_int_equal(collector_pressure.collect(fixture->state, &fixture->ctx), 0);
	assert_int_equal(pread_count, ARRAY_SIZE(files));
}

static void a_kernel_before_5_13_has_no_full_of_the_processors(void **state)
{
	write_all(*state, SOME FULL);
	fixture_write(*state, "proc/pressure/cpu", SOME);
	assert_collects(*state, "\"cpu\":{\"some\":" SOME_EMITTED
				",\"full\":null,\"reason\":\"unsupported\"},\"memory\":" WHOLE ",\"io\":" WHOLE);
}

#define NONE(reason) "{\"some\":null,\"full\":null,\"reason\":\"" reason "\"}"

static void a_kernel_without_psi_says_so(void **state)
{
	assert_collects(*state, "\"cpu\":" NONE("unsupported") ",\"memory\":" NONE("unsupported") ",\"io\":" NONE(
					"unsupported"));
}

static void files_that_refuse_to_be_read_as_psi_is_switched_off_say_the_same_and_are_not_read_again(void **state)
{
	write_all(*state, SOME FULL);
	pread_error = EOPNOTSUPP;
	assert_collects(*state, "\"cpu\":" NONE("unsupported") ",\"memory\":" NONE("unsupported") ",\"io\":" NONE(
					"unsupported"));
	pread_count = 0;
	assert_collects(*state, "\"cpu\":" NONE("unsupported") ",\"memory\":" NONE("unsupported") ",\"io\":" NONE(
					"unsupported"));
	assert_int_equal(pread_count, 0);
}

static void a_line_that_is_none_is_null_and_counted(void **state)
{
	write_all(*state, SOME FULL);
	fixture_write(*state, "proc/pressure/io", SOME "full avg10=-1\n");
	assert_collects(*state, "\"cpu\":" WHOLE ",\"memory\":" WHOLE ",\"io\":{\"some\":" SOME_EMITTED
				",\"full\":null,\"reason\":\"invalid\"},\"lines_skipped\":1");
}

static void a_resource_that_fails_leaves_the_others_whole(void **state)
{
	struct fixture *fixture = *state;

	write_all(fixture, SOME FULL);
	fixture_write(fixture, "proc/pressure/memory", "garbage\n");
	fixture_remove(fixture, "proc/pressure/io");
	fixture_write(fixture, "proc/pressure/io/file", "");
	assert_collects(fixture, "\"cpu\":" WHOLE ",\"memory\":" NONE("invalid") ",\"io\":" NONE("unreadable"));
	fixture_remove(fixture, "proc/pressure/io/file");
	fixture_remove(fixture, "proc/pressure/io");
	fixture_write(fixture, "proc/pressure/memory", SOME FULL);
	assert_collects(fixture, "\"cpu\":" WHOLE ",\"memory\":" WHOLE ",\"io\":" NONE("unsupported"));
}

static void a_collect_fails_only_where_psi_is_there_and_nothing_can_be_read(void **state)
{
	static const int errors[] = { EACCES, EPERM, EIO, ENOMEM };
	struct fixture *fixture = *state;

	write_all(fixture, SOME FULL);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		pread_error = errors[i];
		assert_int_equal(collector_pressure.collect(fixture->state, &fixture->ctx), -errors[i]);
	}
	pread_error = 0;
	write_all(fixture, "garbage\n");
	assert_int_equal(collector_pressure.collect(fixture->state, &fixture->ctx), -EBADMSG);
	fixture_remove(fixture, files[0]);
	fixture_remove(fixture, files[1]);
	collector_pressure.close(fixture->state);
	assert_int_equal(collector_pressure.open(&fixture->ctx, &fixture->state), 0);
	assert_int_equal(collector_pressure.collect(fixture->state, &fixture->ctx), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_taken_by_their_names_and_odd_ones_cost_themselves),
		cmocka_unit_test(a_text_without_one_valid_line_is_refused),
		cmocka_unit_test(every_cut_of_the_text_is_survived),
		cmocka_unit_test_setup_teardown(each_resource_has_its_averages_and_its_total, setup, teardown),
		cmocka_unit_test_setup_teardown(each_file_is_read_once_a_sample, setup, teardown),
		cmocka_unit_test_setup_teardown(a_kernel_before_5_13_has_no_full_of_the_processors, setup, teardown),
		cmocka_unit_test_setup_teardown(a_kernel_without_psi_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(
			files_that_refuse_to_be_read_as_psi_is_switched_off_say_the_same_and_are_not_read_again, setup,
			teardown),
		cmocka_unit_test_setup_teardown(a_line_that_is_none_is_null_and_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_resource_that_fails_leaves_the_others_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(a_collect_fails_only_where_psi_is_there_and_nothing_can_be_read, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("pressure", tests, NULL, NULL);
}
