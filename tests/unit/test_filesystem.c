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

static char measured[512];

int __real_statvfs(const char *path, struct statvfs *st);
int __wrap_statvfs(const char *path, struct statvfs *st);

/* What is looked at in the loop. */
int __wrap_statvfs(const char *path, struct statvfs *st)
{
	strncat(measured, path, sizeof(measured) - strlen(measured) - 2);
	strcat(measured, " ");
	return __real_statvfs(path, st);
}

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

	asking = (struct asking){ .prober.request = asking_request };
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
	struct probe_result result = { .kind = PROBE_STATVFS,
				       .key = asking.key,
				       .error = error,
				       .data = data,
				       .data_len = data ? sizeof(*data) : 0 };

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
	assert_true(emits(*state, "\"read_only\":null,\"stale\":true,\"free_bytes\":null,\"used_percent\":null,"
				  "\"device_error\":false}]"));
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
			  "\"stale\":false,\"free_bytes\":3221225472,\"used_percent\":33.34,\"device_error\":false}]"));
	asking.answer = -EALREADY;
	assert_int_equal(collect(*state, NULL), 0);
	assert_true(emits(*state, "\"/net\",\"total_gb\":null"));
}

static void a_late_answer_counts_and_a_time_out_does_not(void **state)
{
	assert_int_equal(collect(*state, ROOT NFS), 0);
	answer(*state, -ETIMEDOUT, NULL);
	assert_true(emits(*state, "\"stale\":true,\"free_bytes\":null"));
	answer(*state, 0, &gibibytes);
	assert_true(emits(*state, "\"/net\",\"total_gb\":4.000"));
}

static void a_refusal_is_named(void **state)
{
	assert_int_equal(collect(*state, ROOT NFS), 0);
	answer(*state, -EACCES, NULL);
	assert_true(emits(*state, "\"device_error\":true,\"error\":\"EACCES\"}]"));
}

static void figures_that_contradict_each_other_are_unknown(void **state)
{
	static const struct probe_statvfs cases[] = {
		{ .block_size = 4096, .blocks = 10, .bfree = 11 },
		{ .block_size = 1ULL << 40, .blocks = 1ULL << 40, .bfree = 0 },
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
	struct probe_statvfs full = { .block_size = 4096, .blocks = 10, .bfree = 0, .bavail = UINT64_MAX - 5 };

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

/*
 * Whatever can hang is asked of the prober, by its own type or by what its path goes through; without one it is not
 * looked at at all.
 */
static void what_may_hang_is_never_looked_at_in_the_loop(void **state)
{
	static const char *const types[] = { "nfs",	      "nfs4", "cifs", "smb3",	   "fuse.sshfs", "fuseblk",
					     "ceph",	      "9p",   "afs",  "glusterfs", "lustre",	 "virtiofs",
					     "what.comes.yet" };
	struct fixture *fixture = *state;
	char mountinfo[1024];

	fixture->ctx.live = true;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(types); i++) {
		fixture->ctx.prober = i % 2 ? &asking.prober : NULL;
		*measured = '\0';
		asking.asked = 0;
		snprintf(mountinfo, sizeof(mountinfo),
			 ROOT "2 1 0:40 / /tmp rw - %s there rw\n"
			      "3 2 8:2 / /tmp/below rw - ext4 /dev/sdb1 rw\n",
			 types[i / 2]);
		assert_int_equal(collect(fixture, mountinfo), 0);
		assert_string_equal(measured, "/ ");
		assert_int_equal(asking.asked, i % 2 ? 2 : 0);
	}
}

/* The table that is shown stays the former one until the new one is whole. */
static void a_long_table_is_read_and_built_in_turns_of_their_own(void **state)
{
	static char mountinfo[1 << 17];
	struct fixture *fixture = *state;
	size_t len = 0;

	assert_int_equal(collect(fixture, ROOT), 0);
	for (unsigned i = 0; i < 600; i++)
		len += (size_t)snprintf(mountinfo + len, sizeof(mountinfo) - len,
					"%u 1 9:%u / /a/place/that/is/long/enough/%u rw - ext4 /dev/sdz%u rw\n%s",
					100 + i, i, i, i, i == 0 ? ROOT : "");
	fixture->ctx.slice = 32;
	assert_int_equal(collect(fixture, mountinfo), COLLECT_MORE);
	assert_int_equal(filesystem_count(fixture->state), 1);
	assert_int_equal(collect(fixture, NULL), 0);
	assert_int_equal(filesystem_count(fixture->state), 601);
	fixture->ctx.slice = 0;
	assert_int_equal(collect(fixture, mountinfo), 0);
}

/* What is not listed because it is somebody's view is gone through all the same. */
static void what_lies_below_a_view_of_fuse_is_not_looked_at_in_the_loop(void **state)
{
	struct fixture *fixture = *state;

	fixture->ctx.live = true;
	*measured = '\0';
	assert_int_equal(collect(fixture, ROOT "2 1 0:41 / /run/user/1/doc rw - fuse.portal portal rw\n"
					       "3 2 8:2 / /run/user/1/doc/disk rw - ext4 /dev/sdb1 rw\n"),
			 0);
	assert_string_equal(measured, "/ ");
	assert_string_equal(asking.path, "/run/user/1/doc/disk");
}

static void without_a_prober_the_mount_stays_stale(void **state)
{
	struct fixture *fixture = *state;

	fixture->ctx.prober = NULL;
	assert_int_equal(collect(fixture, ROOT NFS), 0);
	assert_true(emits(fixture, "\"stale\":true,\"free_bytes\":null"));
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
	assert_true(capture_has(capture,
				"\"device_error\":false}],\"usage_stats_truncated\":true,\"usage_stats_total\":2"));
	assert_false(capture_has(capture, "/net"));
	free(capture);
}

#define AUTOFS "3 1 0:50 / /auto rw - autofs map rw,fd=5,pgrp=1,timeout=3,minproto=5,maxproto=5,indirect\n"

static void a_mount_of_autofs_is_asked_every_second_time_out(void **state)
{
	static const char *const kinds[] = {
		ROOT AUTOFS "4 3 0:51 / /auto/share rw - nfs4 host:/share rw\n",
		ROOT AUTOFS "4 3 8:2 / /auto/disk rw - ext4 /dev/sda2 rw\n",
		ROOT AUTOFS "4 3 8:2 / /auto rw - vfat /dev/sda2 rw\n",
		ROOT AUTOFS "4 3 0:51 / /auto/a rw - overlay o rw\n5 4 8:3 / /auto/a/deep rw - xfs /dev/sda3 rw\n",
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		unsigned asked = asking.asked;

		/* The id of a mount that comes again is a new one. */
		assert_int_equal(collect(fixture, ROOT), 0);
		for (unsigned second = 0; second < 13; second++) {
			assert_int_equal(collect(fixture, kinds[i]), 0);
			if (asking.asked != asked && second % 6 == 0)
				answer(fixture, 0, &gibibytes);
			asked = asked + (second % 6 == 0);
			assert_int_equal(asking.asked, asked);
			assert_true(emits(fixture, "\"total_gb\":4.000"));
			if (second % 6 == 2)
				assert_true(emits(fixture, "\"device_error\":false,\"age_s\":2}"));
			if (second % 6 == 0)
				assert_true(emits(fixture, "\"device_error\":false}"));
			fixture_pass(fixture, 1);
		}
	}
}

static void another_mount_that_comes_does_not_make_autofs_be_asked(void **state)
{
	struct fixture *fixture = *state;
	const char *share = ROOT AUTOFS "4 3 0:51 / /auto/share rw - nfs4 host:/share rw\n";

	assert_int_equal(collect(fixture, share), 0);
	answer(fixture, 0, &gibibytes);
	for (unsigned i = 0; i < 5; i++) {
		char mounts[512];

		fixture_pass(fixture, 1);
		snprintf(mounts, sizeof(mounts), "%s9%u 1 8:9%u / /m%u rw - ext4 /dev/x rw\n", share, i, i, i);
		assert_int_equal(collect(fixture, mounts), 0);
		assert_int_equal(asking.asked, 1);
		assert_true(emits(fixture, "\"total_gb\":4.000"));
	}
	/* The same path, mounted anew. */
	assert_int_equal(collect(fixture, ROOT AUTOFS "7 3 0:51 / /auto/share rw - nfs4 host:/share rw\n"), 0);
	assert_int_equal(asking.asked, 2);
}

static void autofs_that_never_expires_is_asked_like_any(void **state)
{
	struct fixture *fixture = *state;
	const char *share = ROOT "3 1 0:50 / /auto rw - autofs map rw,timeout=0,direct\n"
				 "4 3 8:2 / /auto rw - ext4 /dev/sda2 rw\n";

	for (unsigned i = 1; i < 4; i++) {
		assert_int_equal(collect(fixture, share), 0);
		assert_int_equal(asking.asked, i);
		fixture_pass(fixture, 1);
	}
}

static void what_has_no_blocks_is_left_out_and_seldom_asked(void **state)
{
	struct probe_statvfs none = { .block_size = 4096 };
	struct fixture *fixture = *state;

	assert_int_equal(collect(fixture, ROOT NFS), 0);
	answer(fixture, 0, &none);
	for (unsigned i = 0; i < 50; i++) {
		assert_false(emits(fixture, "/net"));
		assert_true(emits(fixture, "],\"usage_stats_left_out\":1}") ||
			    emits(fixture, "],\"usage_stats_left_out\":1"));
		assert_int_equal(filesystem_count(fixture->state), 1);
		fixture_pass(fixture, 10);
		assert_int_equal(collect(fixture, ROOT NFS), 0);
		assert_int_equal(asking.asked, 1);
	}
	fixture_pass(fixture, 100);
	assert_int_equal(collect(fixture, ROOT NFS), 0);
	assert_int_equal(asking.asked, 2);
	answer(fixture, 0, &gibibytes);
	assert_true(emits(fixture, "/net"));
	assert_int_equal(filesystem_count(fixture->state), 2);
}

static void containers_and_snapshots_are_left_out_counted_and_not_asked(void **state)
{
	static char mounts[64 * 1024];
	size_t len = (size_t)snprintf(mounts, sizeof(mounts), ROOT);

	for (int i = 0; i < 300; i++)
		len += (size_t)snprintf(mounts + len, sizeof(mounts) - len,
					"%d 1 0:%d / /var/lib/docker/zfs/graph/%d rw - zfs pool/%d rw\n", i + 10,
					i + 100, i, i);
	snprintf(mounts + len, sizeof(mounts) - len,
		 "900 1 0:900 / /run/vmblock-fuse rw - fuse.vmware-vmblock vmware-vmblock rw\ngarbage\n");
	assert_int_equal(collect(*state, mounts), 0);
	assert_int_equal(asking.asked, 0);
	assert_int_equal(filesystem_count(((struct fixture *)*state)->state), 1);
	assert_true(emits(*state, "\"usage_stats_left_out\":301,\"mounts_skipped\":1"));
}

static void one_rule_says_what_is_judged_by_its_fill(void **state)
{
	static const struct {
		const char *line; /* of the mount at /m */
		struct probe_statvfs v;
		bool space, inodes;
	} cases[] = {
		{ "8:2 / /m rw - ext4 /dev/x rw", { 4096, 100, 0, 0, 100, 0, 0 }, true, true },
		{ "8:2 / /m rw - xfs /dev/x rw", { 4096, 100, 50, 50, 100, 0, 0 }, true, true },
		{ "8:2 / /m ro - ext4 /dev/x ro", { 4096, 100, 0, 0, 100, 0, 0 }, false, false },
		{ "8:2 / /m rw - ext4 /dev/x ro", { 4096, 100, 0, 0, 100, 0, 0 }, false, false },
		{ "8:2 / /m ro - ext4 /dev/x rw", { 4096, 100, 0, 0, 100, 0, 0 }, false, false },
		{ "11:0 / /m rw - iso9660 /dev/sr0 rw", { 2048, 100, 0, 0, 0, 0, 0 }, false, false },
		{ "8:2 / /m rw - udf /dev/x rw", { 2048, 100, 0, 0, 10, 0, 0 }, false, false },
		{ "0:60 / /m rw - fuse.squashfuse squashfuse rw", { 4096, 100, 0, 0, 100, 0, 0 }, false, false },
		{ "0:60 / /m rw - fuse.anything x rw", { 4096, 100, 0, 0, 100, 0, 0 }, false, false },
		{ "0:60 / /m rw - fuse.sshfs host: rw", { 4096, 100, 0, 0, 100, 60, 0 }, true, false },
		{ "0:60 / /m rw - fuse.sshfs host: rw", { 4096, 100, 10, 10, 100, 0, 0 }, true, false },
		{ "8:2 / /m rw - vfat /dev/x rw", { 4096, 100, 0, 0, 0, 0, 0 }, true, false },
		{ "0:60 / /m rw - btrfs /dev/x rw", { 4096, 100, 0, 0, 0, 0, 0 }, true, false },
		{ "0:60 / /m rw - zfs pool rw", { 4096, 100, 0, 0, 100, 0, 0 }, true, false },
		{ "0:60 / /m rw - nfs4 host:/x rw", { 4096, 100, 0, 0, 100, 1, 0 }, true, true },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct filesystem_row row;
		char mounts[512];

		/* Behind a mount that may hang, all are asked of the prober, and the test answers. */
		snprintf(mounts, sizeof(mounts), "1 1 0:9 / / rw - nfs host:/ rw\n%zu 1 %s\n", i + 10, cases[i].line);
		assert_int_equal(collect(fixture, mounts), 0);
		answer(fixture, 0, &cases[i].v);
		assert_true(filesystem_get(fixture->state, 1, &row) && row.known);
		if (filesystem_is_judged(&row) != cases[i].space ||
		    filesystem_inodes_are_judged(&row) != cases[i].inodes)
			print_error("%s\n", cases[i].line);
		assert_int_equal(filesystem_is_judged(&row), cases[i].space);
		assert_int_equal(filesystem_inodes_are_judged(&row), cases[i].inodes);
	}
}

/* In the agent's sandbox everything is mounted read-only: what it can see of its own says nothing of the guest. */
static void an_own_view_that_is_read_only_does_not_make_the_disk_so(void **state)
{
	struct fixture *fixture = *state;
	struct filesystem_row row;

	fixture_write(fixture, "proc/self/mountinfo",
		      "1 1 8:1 / / ro - ext4 /dev/sda1 rw\n2 1 8:2 / /m ro - ext4 /dev/sda2 ro\n");
	assert_int_equal(collect(fixture, NULL), 0);
	assert_true(filesystem_get(fixture->state, 0, &row) && !row.read_only);
	assert_true(filesystem_get(fixture->state, 1, &row) && row.read_only);
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
		cmocka_unit_test_setup_teardown(a_long_table_is_read_and_built_in_turns_of_their_own, setup, teardown),
		cmocka_unit_test_setup_teardown(a_busy_prober_is_asked_on_where_it_stopped, setup, teardown),
		cmocka_unit_test_setup_teardown(what_may_hang_is_never_looked_at_in_the_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(what_lies_below_a_view_of_fuse_is_not_looked_at_in_the_loop, setup,
						teardown),
		cmocka_unit_test_setup_teardown(without_a_prober_the_mount_stays_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(falls_back_to_its_own_mountinfo, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_keeps_the_former_list, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_mount_points_arrive_byte_by_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_sink_ends_the_list_between_two_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(a_mount_of_autofs_is_asked_every_second_time_out, setup, teardown),
		cmocka_unit_test_setup_teardown(another_mount_that_comes_does_not_make_autofs_be_asked, setup,
						teardown),
		cmocka_unit_test_setup_teardown(autofs_that_never_expires_is_asked_like_any, setup, teardown),
		cmocka_unit_test_setup_teardown(what_has_no_blocks_is_left_out_and_seldom_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(containers_and_snapshots_are_left_out_counted_and_not_asked, setup,
						teardown),
		cmocka_unit_test_setup_teardown(one_rule_says_what_is_judged_by_its_fill, setup, teardown),
		cmocka_unit_test_setup_teardown(an_own_view_that_is_read_only_does_not_make_the_disk_so, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_running_machines_root_is_what_statvfs_says, live_setup, teardown),
	};

	return cmocka_run_group_tests_name("filesystem", tests, NULL, NULL);
}
