/* SPDX-License-Identifier: MIT */
/* What older C libraries lack, beside what newer ones have. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LIBC_OLD
#define close_range	ours_close_range
#define strerrorname_np ours_strerrorname_np
#define syscall		kernel
static long kernel(long number, ...);
#include <infiniservice/libc.h>
#undef strerrorname_np
#undef syscall

static bool kernel_is_old;

/* syscall(2) of close_range alone. */
static long kernel(long number, ...)
{
	unsigned first, last;
	va_list args;
	int flags;

	assert_int_equal(number, 436);
	va_start(args, number);
	first = va_arg(args, unsigned);
	last = va_arg(args, unsigned);
	flags = va_arg(args, int);
	va_end(args);
	if (!kernel_is_old)
		return syscall(number, first, last, flags);
	errno = ENOSYS;
	return -1;
}

static void errors_have_the_names_that_the_c_library_gives_them(void **state)
{
	(void)state;
	for (int error = 1; error < 134; error++) {
		const char *real = strerrorname_np(error), *ours = ours_strerrorname_np(error);

		assert_true((real == NULL) == (ours == NULL));
		if (real)
			assert_string_equal(ours, real);
	}
	assert_null(ours_strerrorname_np(-1));
	assert_null(ours_strerrorname_np(4095));
}

/* Those above are closed, those below are not, whether the kernel knows how or not. */
static void a_range_of_descriptors_is_closed_on_any_kernel(void **state)
{
	(void)state;
	for (int old = 0; old <= 1; old++) {
		int low = fcntl(STDERR_FILENO, F_DUPFD, 500), high = fcntl(STDERR_FILENO, F_DUPFD, 600);

		assert_true(low >= 500 && high >= 600);
		kernel_is_old = old;
		assert_int_equal(ours_close_range(600, ~0U, 0), 0);
		assert_int_equal(fcntl(high, F_GETFD), -1);
		assert_true(fcntl(low, F_GETFD) >= 0);
		close(low);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_have_the_names_that_the_c_library_gives_them),
		cmocka_unit_test(a_range_of_descriptors_is_closed_on_any_kernel),
	};

	return cmocka_run_group_tests_name("libc", tests, NULL, NULL);
}
