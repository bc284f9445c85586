/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/statvfs.h>

#include "capture_sink.h"
#include "collectors/filesystem.h"
#include "collectors/table.h"
#include "fixture_dir.h"

#define ROOT "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
#define NFS  "2 1 0:40 / /net rw - nfs host:/export rw\n"

/* Remembers what was asked; answers only when the test does. */
struct asking {
	struct prober prober;
	int answer; /* of request */
	unsigned asked;
	uint64_t key;
	char path[64];
};

static int asking_request(struct prober *prober, const struct probe_request *request)
{
	struct asking *asking = container_of(prober, struct asking, prober);

	asking->asked++;
	asking->key = request->key;
	memcpy(asking->path, request->arg, request->arg_len);
	asking->path[request->arg_len] = '\0';
	return asking->answer;
}

static struct asking asking;

static int setup(void **state)
{
	struct fixture *fixture = fixture_new();

	asking = (struct asking){.prober.request = asking_request};
	fixture->ctx.prober = &asking.prober;
	*state = fixture;
	return collector_filesystem.open(&fixture->ctx, &fixture->state);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	collector_filesystem.close(fixture->state);
	fixture_free(fixture);
	return 0;
}

static int collect(struct fixture *fixture, const char *mountinfo)
{
	if (mountinfo)
		fixture_write(fixture, "proc/1/mountinfo", mountinfo);
	return collector_filesystem.collect(fixture->state, &fixture->ctx);
}

static void answer(struct fixture *fixture, int error, const struct probe_statvfs *data)
{
	struct probe_result result = {.kind = PROBE_STATVFS,
				      .key = asking.key,
				      .error = error,
				      .data = data,
				      .data_len = data ? sizeof(*data) : 0};

	collector_filesystem.probed(fixture->state, &result);
}

static bool emits(struct fixture *fixture, const char *part)
{
	struct capture *capture = capture_begin();
	bool found;

	collector_filesystem.emit(fixture->state, &capture->sink);
	found = capture_has(capture, part);
	free(capture);
	return found;
}

static const struct probe_statvfs gibibytes = {
	.block_size = 1 << 20,
	.blocks = 4096,
	.bfree = 3072,
	.bavail = 2048,
	.files = 100,
	.ffree = 40,
	.flags = ST_RDONLY,
};

static void a_mount_not_answered_for_is_stale_and_has_no_figures(void **state)
{
	assert_int_equal(collect(*state, ROOT NFS), 0);
	assert_int_equal(asking.asked, 1);
	assert_string_equal(asking.path, "/net");
	assert_true(emits(*state,
			  "{\"mount_point\":\"/"
			  "net\",\"total_gb\":null,\"used_gb\":null,\"available_gb\":null,\"filesystem\":\"nfs\","
			  "\"device\":\"host:/export\",\"total_bytes\":null"));
	assert_true(emits(*state, "\"read_only\":null,\"stale\":true}]"));
}

static void an_answer_fills_the_row_until_the_next_collect(void **state)
{
	assert_int_equal(collect(*state, ROOT NFS), 0);
	answer(*state, 0, &gibibytes);
	assert_true(emits(*state,
			  "{\"mount_point\":\"/"
			  "net\",\"total_gb\":4.000,\"used_gb\":1.000,\"available_gb\":2.000,\"filesystem\":\"nfs\","
			  "\"device\":\"host:/export\",\"total_bytes\":4294967296,\"used_bytes\":1073741824,"
			  "\"available_bytes\":2147483648,\"inodes_total\":100,\"inodes_free\":40,\"read_only\":false,"
			  "\"stale\":false}]"));
	asking.answer = -EALREADY;
	assert_int_equal(collect(*state, NULL), 0);
	assert_true(emits(*state, "\"/net\",\"total_gb\":null"));
}

static void a_late_answer_counts_and_a_time_out_does_not(void **state)
{
	assert_int_equal(collect(*state, ROOT NFS), 0);
	answer(*state, -ETIMEDOUT, NULL);
	assert_true(emits(*state, "\"stale\":true}]"));
	answer(*state, 0, &gibibytes);
	assert_true(emits(*state, "\"/net\",\"total_gb\":4.000"));
}

static void a_refusal_is_named(void **state)
{
	assert_int_equal(collect(*state, ROOT NFS), 0);
	answer(*state, -EACCES, NULL);
	assert_true(emits(*state, "\"stale\":true,\"error\":\"EACCES\"}]"));
}

static void figures_that_contradict_each_other_are_unknown(void **state)
{
	static const struct probe_statvfs cases[] = {
		{.block_size = 4096, .blocks = 10, .bfree = 11},
		{.block_size = 1ULL << 40, .blocks = 1ULL << 40, .bfree = 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(collect(*state, ROOT NFS), 0);
		answer(*state, 0, &cases[i]);
		assert_true(emits(*state, "\"/net\",\"total_gb\":null"));
		assert_true(emits(*state, "\"error\":\"EBADMSG\""));
	}
}

static void more_available_than_there_is_counts_as_none(void **state)
{
	struct probe_statvfs full = {.block_size = 4096, .blocks = 10, .bfree = 0, .bavail = UINT64_MAX - 5};

	assert_int_equal(collect(*state, ROOT NFS), 0);
	answer(*state, 0, &full);
	assert_true(emits(*state,
			  "\"total_bytes\":40960,\"used_bytes\":40960,\"available_bytes\":0,\"inodes_total\":null"));
}

static void an_answer_for_a_mount_that_has_gone_is_ignored(void **state)
{
	assert_int_equal(collect(*state, ROOT NFS), 0);
	assert_int_equal(collect(*state, ROOT), 0);
	answer(*state, 0, &gibibytes);
	assert_int_equal(filesystem_count(((struct fixture *)*state)->state), 1);
	assert_false(emits(*state, "4.000"));
}

static void a_busy_prober_is_asked_on_where_it_stopped(void **state)
{
	const char *two = ROOT NFS "3 1 0:41 / /web rw - fuse.sshfs web rw\n";

	asking.answer = -ENOBUFS;
	assert_int_equal(collect(*state, two), 0);
	assert_int_equal(asking.asked, 1);
	assert_string_equal(asking.path, "/net");
	asking.answer = 0;
	assert_int_equal(collect(*state, two), 0);
	assert_int_equal(asking.asked, 3);
}

static void without_a_prober_the_mount_stays_stale(void **state)
{
	struct fixture *fixture = *state;

	fixture->ctx.prober = NULL;
	assert_int_equal(collect(fixture, ROOT NFS), 0);
	assert_true(emits(fixture, "\"stale\":true}]"));
}

static void falls_back_to_its_own_mountinfo(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(collect(fixture, NULL), -ENOENT);
	fixture_write(fixture, "proc/self/mountinfo", ROOT NFS);
	assert_int_equal(collect(fixture, NULL), 0);
	assert_true(emits(fixture, "\"/net\""));
}

static void nonsense_keeps_the_former_list(void **state)
{
	assert_int_equal(collect(*state, ROOT NFS), 0);
	assert_int_equal(collect(*state, "garbage\n"), -EBADMSG);
	assert_int_equal(filesystem_count(((struct fixture *)*state)->state), 2);
	assert_int_equal(collect(*state, ROOT), 0);
	assert_int_equal(filesystem_count(((struct fixture *)*state)->state), 1);
}

static void hostile_mount_points_arrive_byte_by_byte(void **state)
{
	assert_int_equal(collect(*state, ROOT "2 1 8:2 / /a\\012\xff\x1b rw - ext4 /dev/\"x rw\n"), 0);
	assert_true(emits(*state, "\"mount_point\":\"/a\\x0a\\xff\\x1b\""));
	assert_true(emits(*state, "\"device\":\"/dev/\\x22x\""));
}

static void a_full_sink_ends_the_list_between_two_rows(void **state)
{
	struct capture *capture = capture_begin();

	assert_int_equal(collect(*state, ROOT NFS), 0);
	capture->limit = 400;
	collector_filesystem.emit(((struct fixture *)*state)->state, &capture->sink);
	assert_true(capture_has(capture, "\"stale\":true}],\"usage_stats_truncated\":true,\"usage_stats_total\":2"));
	assert_false(capture_has(capture, "/net"));
	free(capture);
}

static int live_setup(void **state)
{
	struct fixture *fixture = fixture_new();

	close(fixture->ctx.proc_fd);
	fixture->ctx.proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fixture->ctx.live = true;
	*state = fixture;
	return collector_filesystem.open(&fixture->ctx, &fixture->state);
}

static void the_running_machines_root_is_what_statvfs_says(void **state)
{
	struct fixture *fixture = *state;
	struct filesystem_row row;
	struct statvfs st;

	assert_int_equal(statvfs("/", &st), 0);
	/* Twice: the second finds mountinfo unchanged. */
	assert_int_equal(collect(fixture, NULL), 0);
	assert_int_equal(collect(fixture, NULL), 0);
	assert_true(filesystem_get(fixture->state, 0, &row));
	assert_string_equal(row.mount_point, "/");
	if (row.known)
		assert_true(row.total_bytes == (uint64_t)st.f_blocks * st.f_frsize);
	assert_false(filesystem_get(fixture->state, filesystem_count(fixture->state), &row));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_mount_not_answered_for_is_stale_and_has_no_figures, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer_fills_the_row_until_the_next_collect, setup, teardown),
		cmocka_unit_test_setup_teardown(a_late_answer_counts_and_a_time_out_does_not, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refusal_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(figures_that_contradict_each_other_are_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(more_available_than_there_is_counts_as_none, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer_for_a_mount_that_has_gone_is_ignored, setup, teardown),
		cmocka_unit_test_setup_teardown(a_busy_prober_is_asked_on_where_it_stopped, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_prober_the_mount_stays_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(falls_back_to_its_own_mountinfo, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_keeps_the_former_list, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_mount_points_arrive_byte_by_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_sink_ends_the_list_between_two_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(the_running_machines_root_is_what_statvfs_says, live_setup, teardown),
	};

	return cmocka_run_group_tests_name("filesystem", tests, NULL, NULL);
}
