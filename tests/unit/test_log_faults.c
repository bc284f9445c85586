/* SPDX-License-Identifier: MIT */
/*
 * The writer on a disk that fails: this program's own write, fdatasync and ftruncate stand in front of the C library's.
 */
#include <sys/syscall.h>

#include "agent/log/repair.h"
#include "tests/log_fixture.h"

static char found[64][NAMES_SIZE];

static struct {
	int write_error; /* after `write_bytes` more */
	long write_bytes;
	int eintr; /* so many EINTR first */
	int sync_error, sync_times;
	int truncate_error;
} fault;

ssize_t write(int fd, const void *data, size_t len)
{
	if (fd < 3 || (!fault.write_error && !fault.eintr))
		return syscall(SYS_write, fd, data, len);
	if (fault.eintr) {
		fault.eintr--;
		errno = EINTR;
		return -1;
	}
	if (fault.write_bytes == 0) {
		errno = fault.write_error;
		return -1;
	}
	len = (long)len > fault.write_bytes ? (size_t)fault.write_bytes : len;
	fault.write_bytes -= (long)len;
	return syscall(SYS_write, fd, data, len);
}

int fdatasync(int fd)
{
	(void)fd;
	if (fault.sync_times == 0)
		return 0;
	fault.sync_times--;
	errno = fault.sync_error;
	return -1;
}

int ftruncate(int fd, off_t len)
{
	if (!fault.truncate_error)
		return (int)syscall(SYS_ftruncate, fd, len);
	errno = fault.truncate_error;
	return -1;
}

static int setup(void **state)
{
	memset(&fault, 0, sizeof(fault));
	return log_setup(state);
}

static uint64_t whole_lines(struct log_fixture *f)
{
	uint64_t lines = 0;
	int count = names(f->dir, found, 64);

	for (int i = 0; i < count; i++) {
		char *text = slurp(f->dir, found[i], NULL);

		lines += count_lines(text) - 1; /* the header */
		free(text);
	}
	return lines;
}

/* Row 59: whatever byte a write stops at, the line is there whole or not at all, and the next one follows cleanly. */
static void a_write_that_stops_at_any_byte_leaves_whole_lines(void **state)
{
	static const int errors[] = { ENOSPC, EDQUOT, EIO };
	struct log_fixture *f = *state;
	uint64_t seq = 1, good = 1;

	assert_int_equal(append(f, T0, seq++, 0), 0);
	for (long bytes = 0; bytes < 400; bytes += 3) {
		int rc;

		fault.write_error = errors[bytes % 3];
		fault.write_bytes = bytes;
		rc = append(f, T0 + bytes, seq++, 200);
		good += rc == 0;
		assert_true(rc == 0 || rc == -fault.write_error);
		fault.write_error = 0;
		assert_int_equal(append(f, T0 + bytes + 1, seq++, 200), 0);
		good++;
		assert_int_equal(whole_lines(f), good);
	}
}

static void interrupted_writes_are_continued(void **state)
{
	struct log_fixture *f = *state;

	fault.eintr = 3;
	assert_int_equal(append(f, T0, 1, 500), 0);
	assert_int_equal(whole_lines(f), 1);
}

/* Row 54: a file that could not be cut is left with its torn tail, and never written again. */
static void a_segment_that_cannot_be_cut_is_given_up(void **state)
{
	struct log_fixture *f = *state;

	assert_int_equal(append(f, T0, 1, 0), 0);
	fault.write_error = ENOSPC;
	fault.write_bytes = 50;
	fault.truncate_error = EIO;
	assert_int_equal(append(f, T0 + 1, 2, 0), -ENOSPC);
	memset(&fault, 0, sizeof(fault));
	assert_int_equal(append(f, T0 + 2, 3, 0), 0);
	assert_int_equal(names(f->dir, found, 64), 2);
	assert_int_equal(f->writer.stats.abandoned, 1);
	assert_int_equal(whole_lines(f), 2);
}

/* Row 54: after a failed sync the line goes into a new file, and the old one is never trusted again. */
static void a_failed_sync_moves_the_line_to_a_new_segment(void **state)
{
	struct log_fixture *f = *state;

	f->config.sync = LOG_SYNC_ALWAYS;
	writer_init(&f->writer, &f->config);
	assert_int_equal(append(f, T0, 1, 0), 0);
	fault.sync_error = EIO;
	fault.sync_times = 1;
	assert_int_equal(append(f, T0 + 1, 2, 0), 0);
	assert_int_equal(names(f->dir, found, 64), 2);
	assert_int_equal(whole_lines(f), 2);
	assert_int_equal(f->writer.stats.abandoned, 1);
}

static void a_sync_that_keeps_failing_is_an_error_and_leaves_no_litter(void **state)
{
	struct log_fixture *f = *state;

	f->config.sync = LOG_SYNC_ALWAYS;
	writer_init(&f->writer, &f->config);
	assert_int_equal(append(f, T0, 1, 0), 0);
	fault.sync_error = EIO;
	fault.sync_times = 1000;
	for (uint64_t i = 2; i < 20; i++)
		assert_int_equal(append(f, T0 + (int64_t)i, i, 0), -EIO);
	assert_int_equal(names(f->dir, found, 64), 1);
	fault.sync_times = 0;
	assert_int_equal(append(f, T0 + 30, 30, 0), 0);
	assert_int_equal(whole_lines(f), 2);
}

static void a_failed_periodic_sync_is_told_and_ends_the_segment(void **state)
{
	struct log_fixture *f = *state;

	f->config.sync = LOG_SYNC_INTERVAL;
	f->config.sync_interval_ns = 5 * NS_PER_S;
	writer_init(&f->writer, &f->config);
	fault.sync_error = EIO;
	fault.sync_times = 1;
	assert_int_equal(append(f, T0, 1, 0), EIO);
	assert_int_equal(append(f, T0 + 1, 2, 0), 0);
	assert_int_equal(names(f->dir, found, 64), 2);
	assert_int_equal(whole_lines(f), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, log_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_write_that_stops_at_any_byte_leaves_whole_lines),
		TEST(interrupted_writes_are_continued),
		TEST(a_segment_that_cannot_be_cut_is_given_up),
		TEST(a_failed_sync_moves_the_line_to_a_new_segment),
		TEST(a_sync_that_keeps_failing_is_an_error_and_leaves_no_litter),
		TEST(a_failed_periodic_sync_is_told_and_ends_the_segment),
	};

	return cmocka_run_group_tests_name("log_faults", tests, NULL, NULL);
}
