/* SPDX-License-Identifier: MIT */
/* The nonces that the next run of the agent knows, after a clean stop, a crash and a reboot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/peer/session.h"
#include "transport/envelope.h"

#define NOW 1700000000000

static char runtime[32], state_dir[32];
static struct envelope_guard guard;
static struct nonces nonces;

static int begin(void **state)
{
	(void)state;
	strcpy(runtime, "/tmp/test-nonces-XXXXXX");
	strcpy(state_dir, "/tmp/test-nonces-XXXXXX");
	assert_non_null(mkdtemp(runtime));
	assert_non_null(mkdtemp(state_dir));
	envelope_guard_init(&guard);
	nonces_open(&nonces, runtime, state_dir, &guard, NOW);
	return 0;
}

static void remove_from(const char *dir)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/" NONCES_NAME, dir);
	unlink(path);
	rmdir(dir);
}

static int end(void **state)
{
	(void)state;
	close_fd(&nonces.fd);
	envelope_guard_free(&guard);
	remove_from(runtime);
	remove_from(state_dir);
	return 0;
}

/* One more is seen, and written down. */
static int see(unsigned number)
{
	struct envelope_nonce nonce = { .expires_ms = NOW + 60000 };

	memcpy(nonce.digest, &number, sizeof(number));
	envelope_guard_restore(&guard, &nonce, NOW);
	guard.last = nonce;
	return nonces_add(&nonces, runtime, &guard);
}

/* The agent ends and begins anew; what it knows then. */
static size_t after(bool clean, bool reboot)
{
	if (clean)
		nonces_close(&nonces, state_dir, &guard);
	close_fd(&nonces.fd);
	envelope_guard_free(&guard);
	envelope_guard_init(&guard);
	nonces_open(&nonces, reboot ? "/nowhere" : runtime, state_dir, &guard, NOW);
	return guard.used;
}

static off_t size_of(const char *dir)
{
	char path[64];
	struct stat st = { .st_size = -1 };

	snprintf(path, sizeof(path), "%s/" NONCES_NAME, dir);
	(void)!stat(path, &st);
	return st.st_size;
}

static void what_was_seen_is_known_after_a_crash(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(see(i), 0);
	assert_int_equal(after(false, false), 10);
	/* And to the run after that. */
	assert_int_equal(see(10), 0);
	assert_int_equal(after(false, false), 11);
}

static void after_a_clean_stop_it_is_known_over_a_reboot(void **state)
{
	(void)state;
	see(1);
	assert_int_equal(size_of(state_dir), -1);
	assert_int_equal(after(true, true), 1);
	nonces_close(&nonces, state_dir, &guard);
	nonces_close(&nonces, "/nowhere", &guard); /* once */
}

static void where_nothing_was_seen_nothing_is_written(void **state)
{
	(void)state;
	nonces_close(&nonces, state_dir, &guard);
	assert_int_equal(size_of(state_dir), -1);
	assert_int_equal(size_of(runtime), -1);
}

static void half_a_record_at_the_end_is_passed_over(void **state)
{
	char path[64];
	int fd;

	(void)state;
	see(1);
	see(2);
	snprintf(path, sizeof(path), "%s/" NONCES_NAME, runtime);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, "torn", 4), 4);
	close(fd);
	assert_int_equal(after(false, false), 2);
}

static void the_file_is_written_anew_when_it_has_grown_to_its_bound(void **state)
{
	off_t most = 0;

	(void)state;
	see(1);
	for (unsigned i = 0; i < 2 * ENVELOPE_NONCES_MAX; i++) {
		assert_int_equal(nonces_add(&nonces, runtime, &guard),
				 0); /* the same one: it is forgotten by no time */
		most = size_of(runtime) > most ? size_of(runtime) : most;
	}
	assert_int_equal(most, 2 * ENVELOPE_NONCES_MAX * sizeof(struct envelope_nonce));
	assert_true(size_of(runtime) < 3 * (off_t)sizeof(struct envelope_nonce));
	assert_int_equal(after(false, false), 1);
}

static void a_folder_that_is_not_there_is_told_and_tried_again(void **state)
{
	char longest[PATH_MAX + 1];

	(void)state;
	assert_int_equal(nonces_add(&nonces, "/nowhere", &guard), -ENOENT);
	memset(longest, 'x', PATH_MAX);
	longest[PATH_MAX] = '\0';
	assert_int_equal(nonces_add(&nonces, longest, &guard), -ENAMETOOLONG);
	assert_int_equal(see(1), 0);
	assert_int_equal(size_of(runtime), sizeof(struct envelope_nonce));
}

static void a_file_that_takes_no_more_is_told_and_begun_anew(void **state)
{
	(void)state;
	see(1);
	close_fd(&nonces.fd);
	nonces.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_int_equal(see(2), -ENOSPC);
	assert_int_equal(nonces.fd, -1);
	assert_int_equal(see(3), 0);
	assert_int_equal(after(false, false), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_seen_is_known_after_a_crash, begin, end),
		cmocka_unit_test_setup_teardown(after_a_clean_stop_it_is_known_over_a_reboot, begin, end),
		cmocka_unit_test_setup_teardown(where_nothing_was_seen_nothing_is_written, begin, end),
		cmocka_unit_test_setup_teardown(half_a_record_at_the_end_is_passed_over, begin, end),
		cmocka_unit_test_setup_teardown(the_file_is_written_anew_when_it_has_grown_to_its_bound, begin, end),
		cmocka_unit_test_setup_teardown(a_folder_that_is_not_there_is_told_and_tried_again, begin, end),
		cmocka_unit_test_setup_teardown(a_file_that_takes_no_more_is_told_and_begun_anew, begin, end),
	};

	return cmocka_run_group_tests_name("nonces", tests, NULL, NULL);
}
