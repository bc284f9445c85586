/* SPDX-License-Identifier: MIT */
/*
 * The prober with the real child, and with calls that hang (row 69: a dead mount) put in the place of the real ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/metrics/prober.h"
#include "tests/loop_turn.h"

#define DEADLINE_NS (30 * NS_PER_MS)

struct seen {
	unsigned count;
	int error;
	uint64_t key;
	enum probe_kind kind;
	size_t len;
	unsigned char data[PROBE_DATA_MAX];
};

struct fixture {
	struct ev_loop *loop;
	struct prober_pool *pool;
	struct prober *prober, *other;
	struct seen seen, seen_other;
	unsigned idle;
};

static void on_probed(void *state, const struct probe_result *result)
{
	struct seen *seen = state;

	seen->count++;
	seen->error = result->error;
	seen->key = result->key;
	seen->kind = result->kind;
	seen->len = result->data_len;
	if (result->data)
		memcpy(seen->data, result->data, result->data_len);
}

static void on_idle(void *data)
{
	((struct fixture *)data)->idle++;
}

static void wait_for(struct fixture *f, const unsigned *what, unsigned want)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + 5 * NS_PER_S;

	while (*what < want && clock_ns(CLOCK_MONOTONIC) < end)
		loop_turn(f->loop);
	assert_int_equal(*what, want);
}

/*
 * "hang:NAME" does not return before a file of that name exists; "echo…" returns its argument; "die" ends the child.
 */
static int probe_scripted(const void *arg, size_t arg_len, unsigned char *data)
{
	char name[128] = "";

	memcpy(data, arg, arg_len);
	if (arg_len > 5 && memcmp(arg, "hang:", 5) == 0) {
		memcpy(name, (const char *)arg + 5, arg_len - 5);
		while (access(name, F_OK) < 0)
			usleep(2000);
	}
	if (arg_len == 3 && memcmp(arg, "die", 3) == 0)
		_exit(1);
	return arg_len == 4 && memcmp(arg, "fail", 4) == 0 ? -ENODEV : (int)arg_len;
}

static const struct prober_table scripted = { .probe = { probe_scripted, probe_scripted, probe_scripted } };

static int setup_with(void **state, const struct prober_table *table, uint64_t deadline_ns)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct prober_config config = { .deadline_ns = deadline_ns, .table = table, .idle = on_idle, .idle_data = f };

	f->loop = ev_default_loop(0);
	f->pool = prober_new(f->loop, &config);
	f->prober = prober_for(f->pool, on_probed, &f->seen);
	f->other = prober_for(f->pool, on_probed, &f->seen_other);
	*state = f;
	return f->prober && f->other ? 0 : -1;
}

static int setup_scripted(void **state)
{
	return setup_with(state, &scripted, DEADLINE_NS);
}

static int setup_live(void **state)
{
	return setup_with(state, NULL, 0);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	prober_free(f->pool);
	free(f);
	return 0;
}

static int ask(struct prober *prober, enum probe_kind kind, uint64_t key, const char *text)
{
	return prober->request(
		prober, &(struct probe_request){ .kind = kind, .key = key, .arg = text, .arg_len = strlen(text) });
}

/* ---------------------------------------- live probes */

static void statvfs_agrees_with_the_call(void **state)
{
	struct fixture *f = *state;
	struct probe_statvfs got;
	struct statvfs want;

	assert_int_equal(ask(f->prober, PROBE_STATVFS, 5, "/proc"), 0);
	wait_for(f, &f->seen.count, 1);
	assert_int_equal(f->seen.error, 0);
	assert_int_equal(f->seen.key, 5);
	assert_int_equal(f->seen.len, sizeof(got));
	memcpy(&got, f->seen.data, sizeof(got));
	statvfs("/proc", &want);
	assert_int_equal(got.block_size, want.f_frsize);
	assert_int_equal(got.flags, want.f_flag);
	assert_int_equal(f->idle, 1);
}

static void a_missing_path_is_the_calls_error(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f->prober, PROBE_STATVFS, 1, "/no/such/path"), 0);
	wait_for(f, &f->seen.count, 1);
	assert_int_equal(f->seen.error, -ENOENT);
	assert_int_equal(f->seen.len, 0);
}

static void a_process_has_its_command_line_program_and_start(void **state)
{
	struct fixture *f = *state;
	struct probe_process got;
	char pid[16], exe[512];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe));

	snprintf(pid, sizeof(pid), "%d", getpid());
	assert_int_equal(ask(f->prober, PROBE_PROCESS, 9, pid), 0);
	wait_for(f, &f->seen.count, 1);
	assert_int_equal(f->seen.error, 0);
	memcpy(&got, f->seen.data, sizeof(got));
	assert_int_equal(f->seen.len, sizeof(got) + got.cmdline_len + got.exe_len);
	assert_true(got.start_ticks > 0);
	assert_non_null(strstr((char *)f->seen.data + sizeof(got), program_invocation_short_name));
	assert_int_equal(got.exe_len, len);
	assert_memory_equal(f->seen.data + sizeof(got) + got.cmdline_len, exe, (size_t)len);
}

static void bad_process_numbers_are_refused_by_the_child(void **state)
{
	static const char *const bad[] = { "0", "-1", "1/..", "x", "", "99999999999" };
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(ask(f->prober, PROBE_PROCESS, i, bad[i]), 0);
		wait_for(f, &f->seen.count, i + 1);
		assert_int_equal(f->seen.error, -EINVAL);
	}
}

static void sockets_are_found_by_inode(void **state)
{
	struct fixture *f = *state;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct probe_socket got;
	uint64_t inodes[2] = { 1 };
	struct stat st;

	fstat(fd, &st);
	inodes[1] = st.st_ino;
	assert_int_equal(f->prober->request(f->prober, &(struct probe_request){ .kind = PROBE_SOCKETS,
										.arg = inodes,
										.arg_len = sizeof(inodes) }),
			 0);
	wait_for(f, &f->seen.count, 1);
	close(fd);
	assert_int_equal(f->seen.error, 0);
	assert_int_equal(f->seen.len, sizeof(got));
	memcpy(&got, f->seen.data, sizeof(got));
	assert_int_equal(got.inode, st.st_ino);
	assert_int_equal(got.pid, getpid());
}

/* ---------------------------------------- order */

static void no_child_before_the_first_request(void **state)
{
	struct fixture *f = *state;

	loop_turn(f->loop);
	assert_int_equal(prober_stats(f->pool).child_starts, 0);
	assert_int_equal(ask(f->prober, PROBE_STATVFS, 1, "echo"), 0);
	wait_for(f, &f->seen.count, 1);
	assert_int_equal(prober_stats(f->pool).child_starts, 1);
}

static void each_answer_goes_to_its_asker(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f->prober, PROBE_STATVFS, 1, "echo1"), 0);
	assert_int_equal(ask(f->other, PROBE_STATVFS, 1, "fail"), 0);
	assert_int_equal(prober_outstanding(f->pool, f->prober), 1);
	assert_int_equal(prober_outstanding(f->pool, NULL), 2);
	wait_for(f, &f->seen.count, 1);
	wait_for(f, &f->seen_other.count, 1);
	assert_memory_equal(f->seen.data, "echo1", 5);
	assert_int_equal(f->seen_other.error, -ENODEV);
	assert_int_equal(prober_outstanding(f->pool, NULL), 0);
	assert_int_equal(f->idle, 1);
}

static void the_same_question_twice_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f->prober, PROBE_STATVFS, 1, "echo1"), 0);
	assert_int_equal(ask(f->prober, PROBE_STATVFS, 1, "echo1"), -EALREADY);
	assert_int_equal(ask(f->prober, PROBE_PROCESS, 1, "echo1"), 0);
	wait_for(f, &f->seen.count, 2);
	assert_int_equal(ask(f->prober, PROBE_STATVFS, 1, "echo1"), 0);
	wait_for(f, &f->seen.count, 3);
}

static void the_queue_is_bounded(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < PROBER_QUEUE_MAX; i++)
		assert_int_equal(ask(f->prober, PROBE_STATVFS, i, "echo"), 0);
	assert_int_equal(ask(f->prober, PROBE_STATVFS, PROBER_QUEUE_MAX, "echo"), -ENOBUFS);
	wait_for(f, &f->seen.count, PROBER_QUEUE_MAX);
}

static void a_dropped_collector_hears_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f->prober, PROBE_STATVFS, 1, "echo"), 0);
	assert_int_equal(ask(f->prober, PROBE_STATVFS, 2, "echo"), 0);
	prober_drop(f->pool, f->prober);
	assert_int_equal(ask(f->other, PROBE_STATVFS, 3, "echo"), 0);
	wait_for(f, &f->seen_other.count, 1);
	assert_int_equal(f->seen.count, 0);
}

static bool has_child(const struct fixture *f)
{
	return prober_stats(f->pool).child > 0;
}

static void a_child_that_only_seldom_work_was_given_ends_with_it(void **state)
{
	struct fixture *f = *state;

	prober_seldom(f->other);
	assert_int_equal(ask(f->other, PROBE_STATVFS, 1, "echo"), 0);
	assert_int_equal(ask(f->other, PROBE_STATVFS, 2, "again"), 0);
	wait_for(f, &f->seen_other.count, 2);
	assert_false(has_child(f));
	assert_int_equal(prober_stats(f->pool).child_starts, 1);
	assert_int_equal(prober_stats(f->pool).child_deaths, 0);

	/* Behind it waits what is asked often: the same child stays. */
	assert_int_equal(ask(f->other, PROBE_STATVFS, 1, "echo"), 0);
	assert_int_equal(ask(f->prober, PROBE_STATVFS, 1, "often"), 0);
	wait_for(f, &f->seen.count, 1);
	assert_int_equal(f->seen_other.count, 3);
	assert_true(has_child(f));
	assert_int_equal(ask(f->other, PROBE_STATVFS, 1, "echo"), 0);
	wait_for(f, &f->seen_other.count, 4);
	assert_true(has_child(f));
	assert_int_equal(prober_stats(f->pool).child_starts, 2);
}

static void a_child_that_was_started_ahead_stays(void **state)
{
	struct fixture *f = *state;

	prober_seldom(f->other);
	prober_warm(f->pool);
	assert_int_equal(ask(f->other, PROBE_STATVFS, 1, "echo"), 0);
	wait_for(f, &f->seen_other.count, 1);
	assert_true(has_child(f));
}

/* ---------------------------------------- row 69: what hangs */

static void what_hangs_times_out_once_is_quarantined_and_answers_late(void **state)
{
	struct fixture *f = *state;
	char name[64] = "/tmp/test-prober-XXXXXX", request[80];
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	int fd = mkstemp(name);

	unlink(name);
	snprintf(request, sizeof(request), "hang:%s", name);
	assert_int_equal(ask(f->prober, PROBE_STATVFS, 1, request), 0);
	assert_int_equal(ask(f->other, PROBE_STATVFS, 2, "echo"), 0);
	wait_for(f, &f->seen.count, 1);
	assert_int_equal(f->seen.error, -ETIMEDOUT);
	assert_in_range(clock_ns(CLOCK_MONOTONIC) - begin, DEADLINE_NS, NS_PER_S);
	wait_for(f, &f->seen_other.count, 1); /* by another child */
	assert_int_equal(f->seen_other.error, 0);
	assert_int_equal(prober_stats(f->pool).child_starts, 2);
	assert_int_equal(prober_stats(f->pool).stuck, 1);
	assert_int_equal(ask(f->prober, PROBE_STATVFS, 1, request), -EALREADY);
	assert_int_equal(ask(f->other, PROBE_STATVFS, 1, request), -EALREADY);
	assert_int_equal(prober_outstanding(f->pool, NULL), 0);

	close(fd);
	fd = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	wait_for(f, &f->seen.count, 2);
	close(fd);
	unlink(name);
	assert_int_equal(f->seen.error, 0);
	assert_int_equal(f->seen.key, 1);
	assert_int_equal(prober_stats(f->pool).stuck, 0);
	assert_int_equal(prober_stats(f->pool).late, 1);
	assert_int_equal(ask(f->prober, PROBE_STATVFS, 1, "echo"), 0);
	wait_for(f, &f->seen.count, 3);
}

static void no_more_than_eight_children_hang(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < PROBER_STUCK_MAX + 2; i++)
		assert_int_equal(ask(f->prober, PROBE_STATVFS, i, "hang:/no/such/file"), 0);
	wait_for(f, &f->seen.count, PROBER_STUCK_MAX + 2);
	assert_int_equal(f->seen.error, -ETIMEDOUT);
	assert_int_equal(prober_stats(f->pool).stuck, PROBER_STUCK_MAX);
	assert_int_equal(prober_stats(f->pool).child_starts, PROBER_STUCK_MAX);
	assert_int_equal(ask(f->prober, PROBE_STATVFS, 99, "echo"), -ENOBUFS);
}

/* Row 86. */
static void a_child_that_dies_costs_one_answer_and_is_replaced(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f->prober, PROBE_STATVFS, 1, "die"), 0);
	assert_int_equal(ask(f->prober, PROBE_STATVFS, 2, "echo"), 0);
	wait_for(f, &f->seen.count, 1);
	assert_int_equal(f->seen.error, -ECANCELED);
	wait_for(f, &f->seen.count, 2);
	assert_int_equal(f->seen.error, 0);
	assert_int_equal(f->seen.key, 2);
	kill(prober_stats(f->pool).child, SIGKILL);
	for (int i = 0; i < 20; i++)
		loop_turn(f->loop);
	assert_int_equal(ask(f->prober, PROBE_STATVFS, 3, "echo"), 0);
	wait_for(f, &f->seen.count, 3);
	assert_int_equal(f->seen.error, 0);
	assert_int_equal(prober_stats(f->pool).child_deaths, 2);
}

/* In this process: what each kind is given and gives back, and its error for what it cannot use. */
static void every_probe_has_its_answer_or_its_error(void **state)
{
	static unsigned char data[PROBE_DATA_MAX];
	const uint32_t root = 0, nobody = 4000000000u;
	const uint8_t tcp = 6;
	char longest[PATH_MAX + 1];
	const struct {
		enum probe_kind kind;
		const void *arg;
		size_t len;
		int error; /* 0: some data */
	} cases[] = {
		{ PROBE_STATVFS, "/", 1, 0 },
		{ PROBE_STATVFS, "", 0, -ENAMETOOLONG },
		{ PROBE_STATVFS, longest, sizeof(longest), -ENAMETOOLONG },
		{ PROBE_STATVFS, "/none", 5, -ENOENT },
		{ PROBE_PROCESS, "1", 0, -EINVAL },
		{ PROBE_PROCESS, "12345678901", 11, -EINVAL },
		{ PROBE_PROCESS, "1x", 2, -EINVAL },
		{ PROBE_PROCESS, "0", 1, -EINVAL },
		{ PROBE_PROCESS, "2147483647", 10, -ENOENT },
		{ PROBE_SOCKETS, "odd", 3, -EINVAL },
		{ PROBE_USER, &root, sizeof(root), 0 },
		{ PROBE_USER, &nobody, sizeof(nobody), -ENOENT },
		{ PROBE_USER, &root, 3, -EINVAL },
		{ PROBE_NET, &tcp, sizeof(tcp), 0 },
		{ PROBE_NET, &tcp, 0, -EINVAL },
	};

	(void)state;
	memset(longest, '/', sizeof(longest));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = prober_live.probe[cases[i].kind](cases[i].arg, cases[i].len, data);

		if (cases[i].error ? r != cases[i].error : r <= 0)
			fail_msg("case %zu: %d", i, r);
	}
	assert_int_equal(prober_live.probe[PROBE_USER](&root, sizeof(root), data), 4);
	assert_memory_equal(data, "root", 4);
}

static void a_clock_of_the_machine_is_read_with_our_own_or_is_missing(void **state)
{
	static unsigned char data[PROBE_DATA_MAX];
	int r = prober_live.probe[PROBE_RTC](NULL, 0, data);
	struct probe_rtc now;

	(void)state;
	if (access("/sys/class/rtc/rtc0/since_epoch", R_OK) < 0) {
		assert_int_equal(r, -ENOENT);
		return;
	}
	assert_int_equal(r, sizeof(now));
	memcpy(&now, data, sizeof(now));
	assert_true(now.rtc_s > 0);
	assert_true(now.boot_ns <= moment_now().boot_ns && now.wall_ms <= moment_now().wall_ms);
}

static void sockets_of_this_process_are_found_and_those_of_nobody_are_not(void **state)
{
	static unsigned char data[PROBE_DATA_MAX];
	uint64_t inodes[2] = { 0, UINT64_MAX };
	struct probe_socket found;
	struct stat st;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(fstat(pair[0], &st), 0);
	inodes[0] = st.st_ino;
	assert_int_equal(prober_live.probe[PROBE_SOCKETS](inodes, sizeof(inodes), data), sizeof(found));
	memcpy(&found, data, sizeof(found));
	assert_int_equal(found.inode, st.st_ino);
	assert_int_equal(found.pid, getpid());
	close(pair[0]);
	close(pair[1]);
}

#define LIVE(name)     cmocka_unit_test_setup_teardown(name, setup_live, teardown)
#define SCRIPTED(name) cmocka_unit_test_setup_teardown(name, setup_scripted, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_probe_has_its_answer_or_its_error),
		cmocka_unit_test(a_clock_of_the_machine_is_read_with_our_own_or_is_missing),
		cmocka_unit_test(sockets_of_this_process_are_found_and_those_of_nobody_are_not),
		LIVE(statvfs_agrees_with_the_call),
		LIVE(a_missing_path_is_the_calls_error),
		LIVE(a_process_has_its_command_line_program_and_start),
		LIVE(bad_process_numbers_are_refused_by_the_child),
		LIVE(sockets_are_found_by_inode),
		SCRIPTED(no_child_before_the_first_request),
		SCRIPTED(each_answer_goes_to_its_asker),
		SCRIPTED(the_same_question_twice_is_refused),
		SCRIPTED(the_queue_is_bounded),
		SCRIPTED(a_dropped_collector_hears_nothing),
		SCRIPTED(a_child_that_only_seldom_work_was_given_ends_with_it),
		SCRIPTED(a_child_that_was_started_ahead_stays),
		SCRIPTED(what_hangs_times_out_once_is_quarantined_and_answers_late),
		SCRIPTED(no_more_than_eight_children_hang),
		SCRIPTED(a_child_that_dies_costs_one_answer_and_is_replaced),
	};

	return cmocka_run_group_tests_name("prober", tests, NULL, NULL);
}
