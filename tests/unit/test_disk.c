/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "capture_sink.h"
#include "collectors/disk.h"
#include "collectors/diskkind.h"
#include "collectors/table.h"
#include "fixture_dir.h"

static int setup(void **state)
{
	struct fixture *fixture = fixture_new();

	*state = fixture;
	return collector_disk.open(&fixture->ctx, &fixture->state);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	collector_disk.close(fixture->state);
	fixture_free(fixture);
	return 0;
}

static int collect(struct fixture *fixture, const char *diskstats)
{
	fixture_write(fixture, "proc/diskstats", diskstats);
	fixture_pass(fixture, 10);
	return collector_disk.collect(fixture->state, &fixture->ctx);
}

static bool emits(struct fixture *fixture, const char *part)
{
	struct capture *capture = capture_begin();
	bool found;

	collector_disk.emit(fixture->state, &capture->sink);
	found = capture_has(capture, part);
	free(capture);
	return found;
}

static int parse(const char *text, struct diskstats_line *out)
{
	return diskstats_parse_line(text, strlen(text), out);
}

static void parses_a_line_of_every_kernel(void **state)
{
	static const char *const lines[] = {
		" 254       0 vda 1 2 3 4 5 6 7 8 9 10 11",
		" 254       0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
		" 254       0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
		" 254       0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 new columns",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct diskstats_line line;

		assert_int_equal(parse(lines[i], &line), 0);
		assert_true(line.device == 254ULL << 32 && scan_equals(&line.name, "vda"));
		assert_true(line.read_ops == 1 && line.read_bytes == 3 * 512 && line.read_ms == 4);
		assert_true(line.write_ops == 5 && line.write_bytes == 7 * 512 && line.write_ms == 8);
		assert_true(line.in_flight == 9 && line.busy_ms == 10);
	}
}

static void rejects_lines_that_make_no_sense(void **state)
{
	static const char *const lines[] = {
		"",
		"254",
		"254 0",
		"254 0 vda",
		"254 0 vda 1 2 3 4 5 6 7 8 9 10",
		"254 0 vda 1 2 x 4 5 6 7 8 9 10 11",
		"254 0 vda 1 2 18446744073709551615 4 5 6 7 8 9 10 11",
		"254 0 vda 1 2 3 4 5 6 -7 8 9 10 11",
		"99999999999 0 vda 1 2 3 4 5 6 7 8 9 10 11",
		"254 0 a-name-that-no-kernel-would-ever-give-a-disk 1 2 3 4 5 6 7 8 9 10 11",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct diskstats_line line = { .device = 42 };

		assert_int_equal(parse(lines[i], &line), -EBADMSG);
		assert_true(line.device == 42);
	}
}

static void sysfs_says_what_a_device_is(void **state)
{
	struct fixture *fixture = *state;
	int sys_fd = fixture->ctx.sys_fd;

	fixture_write(fixture, "sys/dev/block/259:1/partition", "1\n");
	fixture_write(fixture, "sys/dev/block/253:0/slaves/vda2/dev", "254:2\n");
	fixture_write(fixture, "sys/dev/block/253:1/slaves/.hidden", "");
	assert_int_equal(disk_kind_of(sys_fd, 259ULL << 32 | 1, "nvme0n1p1"), DISK_PARTITION);
	assert_int_equal(disk_kind_of(sys_fd, 259ULL << 32 | 0, "nvme0n1"), DISK_WHOLE);
	assert_int_equal(disk_kind_of(sys_fd, 253ULL << 32 | 0, "dm-0"), DISK_STACKED);
	assert_int_equal(disk_kind_of(sys_fd, 253ULL << 32 | 1, "dm-1"), DISK_WHOLE);
	assert_int_equal(disk_kind_of(sys_fd, 7ULL << 32 | 3, "loop3"), DISK_MEMORY);
	assert_int_equal(disk_kind_of(sys_fd, 1ULL << 32 | 3, "ram3"), DISK_MEMORY);
	assert_int_equal(disk_kind_of(sys_fd, 252ULL << 32, "zram0"), DISK_MEMORY);
}

static void totals_count_each_byte_once(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "sys/dev/block/254:1/partition", "1\n");
	fixture_write(fixture, "sys/dev/block/253:0/slaves/vda1/dev", "254:1\n");
	assert_int_equal(collect(fixture, "254 0 vda 0 0 0 0 0 0 0 0 0 0 0\n254 1 vda1 0 0 0 0 0 0 0 0 0 0 0\n"
					  "253 0 dm-0 0 0 0 0 0 0 0 0 0 0 0\n7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n"
					  "259 0 nvme0n1 0 0 0 0 0 0 0 0 0 0 0\n"),
			 0);
	assert_int_equal(
		collect(fixture,
			"254 0 vda 100 0 200 0 50 0 400 0 0 2500 0\n254 1 vda1 100 0 200 0 50 0 400 0 0 2500 0\n"
			"253 0 dm-0 100 0 200 0 50 0 400 0 3 2500 0\n7 0 loop0 9 0 9 0 9 0 9 0 0 9 0\n"
			"259 0 nvme0n1 10 0 20 0 0 0 0 0 0 100 0\n"),
		0);
	assert_true(emits(
		fixture,
		"\"io_stats\":{\"read_bytes_per_sec\":11264,\"write_bytes_per_sec\":20480,\"read_ops_per_sec\":11,"
		"\"write_ops_per_sec\":5,\"readBytes\":112640,\"writeBytes\":204800,\"io_utilization_percent\":25.00,"
		"\"state\":\"ok\"}"));
	assert_true(emits(fixture, "\"name\":\"dm-0\",\"kind\":\"stacked\",\"read_bytes\":102400"));
	assert_true(emits(fixture, "\"name\":\"nvme0n1\",\"kind\":\"disk\""));
	assert_false(emits(fixture, "vda1\""));
	assert_false(emits(fixture, "loop0"));
}

/* All the devices of `names` move as one: 100 requests of 4 KiB each way in ten seconds. */
static void move_all(struct fixture *fixture, const char *const *names, unsigned step)
{
	char text[4096];
	size_t len = 0;

	for (unsigned i = 0; names[i]; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %u 0 %u 0 %u 0 %u 0 0 %u 0\n", names[i],
					100 * step, 800 * step, 100 * step, 800 * step, 100 * step);
	assert_int_equal(collect(fixture, text), 0);
}

/* Whatever stack the requests pass through, each is counted once. */
static void a_request_counts_once_whatever_it_passes(void **state)
{
	static const struct {
		const char *what;
		const char *names[8]; /* with their numbers */
		const char *files[6]; /* of sysfs */
		unsigned disks;	      /* that move by themselves */
	} cases[] = {
		{ "a zvol beside its pool", { "254 0 vda", "230 0 zd0", "230 16 zd16" }, { NULL }, 1 },
		{ "a partition of a zvol",
		  { "254 0 vda", "230 0 zd0", "230 1 zd0p1" },
		  { "dev/block/230:1/partition" },
		  1 },
		{ "a disk with a name like a zvol's", { "254 0 zda" }, { NULL }, 1 },
		{ "a dm device", { "254 0 vda", "253 0 dm-0" }, { "dev/block/253:0/slaves/vda" }, 1 },
		{ "a mirror",
		  { "8 0 sda", "8 16 sdb", "9 0 md0" },
		  { "dev/block/9:0/slaves/sda", "dev/block/9:0/slaves/sdb" },
		  2 },
		{ "a dm device on a mirror on partitions",
		  { "8 0 sda", "8 1 sda1", "9 0 md0", "253 0 dm-0" },
		  { "dev/block/8:1/partition", "dev/block/9:0/slaves/sda1", "dev/block/253:0/slaves/md0" },
		  1 },
		{ "drbd", { "8 0 sda", "147 0 drbd0" }, { "dev/block/147:0/slaves/sda" }, 1 },
		{ "bcache", { "8 0 sda", "251 0 bcache0" }, { "dev/block/251:0/slaves/sda" }, 1 },
		{ "an NVMe disk over one hidden path",
		  { "259 1 nvme0c0n1", "259 0 nvme0n1", "259 2 nvme0n1p1" },
		  { "block/nvme0c0n1/hidden", "dev/block/259:2/partition" },
		  1 },
		{ "NVMe disks over two paths each",
		  { "259 0 nvme0n1", "259 1 nvme0c0n1", "259 2 nvme0c1n1", "259 3 nvme0n12", "259 4 nvme0c0n12" },
		  { NULL },
		  3 },
		{ "an NVMe disk without paths", { "259 0 nvme0n1", "259 1 nvme1n1" }, { NULL }, 2 },
		{ "loop and zram", { "254 0 vda", "7 0 loop0", "252 0 zram0", "1 0 ram0" }, { NULL }, 1 },
		{ "dm on loop", { "254 0 vda", "7 0 loop0", "253 0 dm-0" }, { "dev/block/253:0/slaves/loop0" }, 1 },
		{ "nbd and rbd are disks", { "43 0 nbd0", "251 0 rbd0" }, { NULL }, 2 },
		{ "a multipath driver of its own", { "8 0 sda", "120 0 emcpowera", "201 0 VxDMP1" }, { NULL }, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *fixture = fixture_new();
		char want[128];
		bool good;

		assert_int_equal(collector_disk.open(&fixture->ctx, &fixture->state), 0);
		for (unsigned f = 0; cases[i].files[f]; f++) {
			char path[128];

			snprintf(path, sizeof(path), "sys/%s", cases[i].files[f]);
			fixture_write(fixture, path, "1\n");
		}
		move_all(fixture, cases[i].names, 1);
		move_all(fixture, cases[i].names, 2);
		snprintf(want, sizeof(want), "{\"read_bytes_per_sec\":%u,\"write_bytes_per_sec\":%u,",
			 40960 * cases[i].disks, 40960 * cases[i].disks);
		good = emits(fixture, want);
		collector_disk.close(fixture->state);
		fixture_free(fixture);
		if (!good)
			print_error("%s\n", cases[i].what);
		assert_true(good);
	}
}

/* Whichever of the two the kernel counts at. */
static void an_nvme_disk_is_counted_itself_where_its_paths_are_not(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(
		collect(fixture, "259 0 nvme0n1 1 0 8 0 0 0 0 0 0 0 0\n259 1 nvme0c0n1 0 0 0 0 0 0 0 0 0 0 0\n"), 0);
	assert_int_equal(
		collect(fixture, "259 0 nvme0n1 11 0 88 0 0 0 0 0 0 0 0\n259 1 nvme0c0n1 0 0 0 0 0 0 0 0 0 0 0\n"), 0);
	assert_true(emits(fixture, "{\"read_bytes_per_sec\":4096,"));
	assert_int_equal(
		collect(fixture, "259 0 nvme0n1 11 0 88 0 0 0 0 0 0 0 0\n259 1 nvme0c0n1 10 0 80 0 0 0 0 0 0 0 0\n"),
		0);
	assert_true(emits(fixture, "{\"read_bytes_per_sec\":4096,"));
}

static void a_device_without_a_number_in_sysfs_is_found_by_its_name(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "sys/block/md7/slaves/sda/dev", "8:0\n");
	fixture_write(fixture, "sys/block/odd1/partition", "1\n");
	assert_int_equal(disk_kind_of(fixture->ctx.sys_fd, 9ULL << 32 | 7, "md7"), DISK_STACKED);
	assert_int_equal(disk_kind_of(fixture->ctx.sys_fd, 9ULL << 32 | 8, "odd1"), DISK_PARTITION);
	assert_int_equal(disk_kind_of(fixture->ctx.sys_fd, 9ULL << 32 | 9, "../block/md7"), DISK_WHOLE);
}

static void a_device_that_gets_its_members_later_is_counted_once_from_then_on(void **state)
{
	static const struct {
		const char *names[4], *member;
	} cases[] = {
		{ { "8 0 sda", "9 0 md0" }, "sys/dev/block/9:0/slaves/sda/dev" },
		{ { "8 0 sda", "253 0 dm-0" }, "sys/dev/block/253:0/slaves/sda/dev" },
		{ { "8 0 sda", "147 0 drbd0" }, "sys/dev/block/147:0/slaves/sda/dev" },
		{ { "8 0 sda", "251 0 bcache0" }, "sys/dev/block/251:0/slaves/sda/dev" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *fixture = fixture_new();
		char folder[128];

		assert_int_equal(collector_disk.open(&fixture->ctx, &fixture->state), 0);
		move_all(fixture, cases[i].names, 1);
		move_all(fixture, cases[i].names, 2);
		assert_true(emits(fixture, "{\"read_bytes_per_sec\":81920,"));
		fixture_write(fixture, cases[i].member, "8:0\n");
		move_all(fixture, cases[i].names, 3);
		assert_true(emits(fixture, "{\"read_bytes_per_sec\":40960,"));
		move_all(fixture, cases[i].names, 4);
		assert_true(emits(fixture, "{\"read_bytes_per_sec\":40960,"));
		/* Taken apart again, it is a disk within a minute. */
		fixture_remove(fixture, cases[i].member);
		snprintf(folder, sizeof(folder), "%s", cases[i].member);
		*strrchr(folder, '/') = '\0';
		fixture_remove(fixture, folder);
		for (unsigned step = 5; step < 12; step++)
			move_all(fixture, cases[i].names, step);
		assert_true(emits(fixture, "{\"read_bytes_per_sec\":81920,"));
		collector_disk.close(fixture->state);
		fixture_free(fixture);
	}
}

static void an_nvme_path_that_comes_later_takes_over_from_its_disk(void **state)
{
	static const char *const alone[] = { "259 0 nvme0n1", NULL };
	static const char *const both[] = { "259 0 nvme0n1", "259 1 nvme0c0n1", NULL };
	struct fixture *fixture = *state;

	move_all(fixture, alone, 1);
	move_all(fixture, alone, 2);
	assert_true(emits(fixture, "{\"read_bytes_per_sec\":40960,"));
	move_all(fixture, both, 3);
	move_all(fixture, both, 4);
	assert_true(emits(fixture, "{\"read_bytes_per_sec\":40960,"));
	assert_true(emits(fixture, "\"name\":\"nvme0n1\",\"kind\":\"stacked\""));
	move_all(fixture, alone, 5);
	move_all(fixture, alone, 6);
	assert_true(emits(fixture, "{\"read_bytes_per_sec\":40960,"));
}

/* What sysfs calls hardware is not asked again; the fixture then lies about it, and nobody notices. */
static void hardware_is_looked_at_once(void **state)
{
	static const char *const names[] = { "254 0 vda", NULL };
	struct fixture *fixture = *state;
	char link[128];

	fixture_write(fixture, "sys/devices/pci/virtio0/block/vda/dev", "254:0\n");
	fixture_write(fixture, "sys/dev/block/none", "");
	snprintf(link, sizeof(link), "%s/sys/dev/block/254:0", fixture->path);
	assert_int_equal(symlink("../../devices/pci/virtio0/block/vda", link), 0);
	assert_true(disk_is_hardware(fixture->ctx.sys_fd, 254ULL << 32));
	move_all(fixture, names, 1);
	fixture_write(fixture, "sys/devices/pci/virtio0/block/vda/slaves/x", "");
	move_all(fixture, names, 2);
	assert_true(emits(fixture, "{\"read_bytes_per_sec\":40960,"));
}

static void a_path_of_nvme_is_told_by_its_name(void **state)
{
	static const struct {
		const char *name, *head; /* NULL: no path */
	} cases[] = {
		{ "nvme0c1n2", "nvme0n2" },
		{ "nvme10c23n45", "nvme10n45" },
		{ "nvme0n1", NULL },
		{ "nvme0c0n1p1", NULL },
		{ "nvmec0n1", NULL },
		{ "nvme0cn1", NULL },
		{ "nvme0c0n", NULL },
		{ "xvme0c0n1", NULL },
		{ "nvme0c0", NULL },
		{ "nvme", NULL },
		{ "", NULL },
	};
	char head[DISK_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool is_path = disk_nvme_head(cases[i].name, head, sizeof(head));

		assert_int_equal(is_path, cases[i].head != NULL);
		if (is_path)
			assert_string_equal(head, cases[i].head);
	}
}

static void the_first_sample_is_the_average_since_boot(void **state)
{
	struct fixture *fixture = *state;

	fixture->ctx.now.boot_ns = 90 * NS_PER_S;
	assert_int_equal(collect(fixture, "254 0 vda 1000 0 2000 0 100 0 200 0 0 5 0\n"), 0);
	assert_true(emits(fixture, "{\"read_bytes_per_sec\":10240,\"write_bytes_per_sec\":1024,\"read_ops_per_sec\":10,"
				   "\"write_ops_per_sec\":1,\"readBytes\":1024000,\"writeBytes\":102400,"
				   "\"io_utilization_percent\":null,\"state\":\"first\"}"));
	assert_true(emits(fixture, "\"write_ops\":100,\"read_bytes_per_sec\":null"));
}

static void a_disk_plugged_in_or_out_makes_no_spike(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(collect(fixture, "8 0 sda 0 0 0 0 0 0 0 0 0 0 0\n8 16 sdb 5 0 1000 0 0 0 0 0 0 0 0\n"), 0);
	assert_int_equal(collect(fixture, "8 32 sdc 99 0 9000000 0 0 0 0 0 0 0 0\n8 0 sda 10 0 100 0 0 0 0 0 0 0 0\n"),
			 0);
	assert_true(emits(fixture, "\"read_bytes_per_sec\":5120,\"write_bytes_per_sec\":0,\"read_ops_per_sec\":1,"));
	assert_int_equal(collect(fixture, "8 0 sda 10 0 100 0 0 0 0 0 0 0 0\n8 32 sdc 109 0 9000100 0 0 0 0 0 0 0 0\n"),
			 0);
	assert_true(emits(fixture, "\"read_bytes_per_sec\":5120,\"write_bytes_per_sec\":0,\"read_ops_per_sec\":1,"));
}

static void a_number_reused_by_another_device_begins_anew(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "sys/dev/block/259:0/partition", "1\n");
	assert_int_equal(collect(fixture, "259 0 nvme0n1p1 5 0 5 0 0 0 0 0 0 0 0\n"), 0);
	assert_false(emits(fixture, "\"name\""));
	fixture_remove(fixture, "sys/dev/block/259:0/partition");
	assert_int_equal(collect(fixture, "259 0 nvme1n1 900 0 900 0 0 0 0 0 0 0 0\n"), 0);
	assert_true(emits(fixture, "\"name\":\"nvme1n1\""));
	assert_true(emits(fixture, "\"state\":\"first\"}]"));
}

static void counters_that_go_back_are_a_reset(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(collect(fixture, "8 0 sda 100 0 1000 0 100 0 1000 0 0 100 0\n"), 0);
	assert_int_equal(collect(fixture, "8 0 sda 1 0 10 0 1 0 10 0 0 1 0\n"), 0);
	assert_true(emits(
		fixture,
		"{\"read_bytes_per_sec\":0,\"write_bytes_per_sec\":0,\"read_ops_per_sec\":0,\"write_ops_per_sec\":0,"
		"\"readBytes\":5120,\"writeBytes\":5120,\"io_utilization_percent\":null,\"state\":\"reset\""));
	assert_true(emits(fixture, "\"read_bytes_per_sec\":null,\"write_bytes_per_sec\":null"));
	assert_true(emits(fixture, "\"state\":\"reset\"}]"));
}

static void a_busy_disk_is_never_above_a_hundred_percent(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(collect(fixture, "8 0 sda 0 0 0 0 0 0 0 0 0 0 0\n"), 0);
	assert_int_equal(collect(fixture, "8 0 sda 1 0 1 0 1 0 1 0 7 10200 0\n"), 0);
	assert_true(emits(fixture, "\"io_utilization_percent\":100.00,\"in_flight\":7"));
}

static void bad_lines_cost_only_themselves(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(collect(fixture, "garbage\n8 0 sda 1 0 1 0 1 0 1 0 0 0 0\n8 16 sdb 1 2\n"), 0);
	assert_true(emits(fixture, "\"devices\":[{\"name\":\"sda\""));
	assert_false(emits(fixture, "sdb"));
}

static void a_kernel_without_block_devices_still_has_its_rates(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(collector_disk.collect(fixture->state, &fixture->ctx), 0);
	assert_true(emits(fixture,
			  "{\"io_stats\":{\"read_bytes_per_sec\":0,\"write_bytes_per_sec\":0,\"read_ops_per_sec\":0,"
			  "\"write_ops_per_sec\":0,\"readBytes\":0,\"writeBytes\":0,\"io_utilization_percent\":null,"
			  "\"state\":\"stale\"},\"devices\":[]"));
}

static void a_list_too_long_has_the_busiest_and_says_what_it_left_out(void **state)
{
	struct fixture *fixture = *state;
	struct capture *capture = capture_begin();
	static char text[64 * 1024];
	size_t len = 0;

	for (int round = 0; round < 2; round++, len = 0) {
		for (int i = 0; i < 300; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "8 %d sd%d 0 0 0 0 0 0 0 0 0 %d 0\n", i,
						i,
						i == 299 ? 900 * round
						: i == 7 ? 300 * round
							 : 0);
		assert_int_equal(collect(fixture, text), 0);
	}
	capture->limit = 3000;
	collector_disk.emit(fixture->state, &capture->sink);
	assert_true(capture_has(capture, "\"devices\":[{\"name\":\"sd299\""));
	assert_true(capture_has(capture, "},{\"name\":\"sd7\""));
	assert_true(capture_has(capture, "},{\"name\":\"sd0\""));
	assert_false(capture_has(capture, "sd100"));
	assert_true(capture_has(capture, "],\"devices_truncated\":true,\"devices_total\":300,\"devices_left_out\":29"));
	assert_true(capture_has(capture, ",\"devices_rank\":\"busiest first\""));
	free(capture);
}

static void a_full_sink_ends_the_list_between_two_devices(void **state)
{
	struct fixture *fixture = *state;
	struct capture *capture = capture_begin();

	assert_int_equal(collect(fixture, "8 0 sda 0 0 0 0 0 0 0 0 0 0 0\n8 16 sdb 0 0 0 0 0 0 0 0 0 0 0\n"), 0);
	capture->limit = 1100;
	collector_disk.emit(fixture->state, &capture->sink);
	assert_true(capture_has(capture, "\"state\":\"first\"}],\"devices_truncated\":true,\"devices_total\":2"));
	assert_false(capture_has(capture, "sdb"));
	free(capture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_counts_once_whatever_it_passes),
		cmocka_unit_test_setup_teardown(an_nvme_disk_is_counted_itself_where_its_paths_are_not, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_device_without_a_number_in_sysfs_is_found_by_its_name, setup,
						teardown),
		cmocka_unit_test(a_device_that_gets_its_members_later_is_counted_once_from_then_on),
		cmocka_unit_test_setup_teardown(an_nvme_path_that_comes_later_takes_over_from_its_disk, setup,
						teardown),
		cmocka_unit_test_setup_teardown(hardware_is_looked_at_once, setup, teardown),
		cmocka_unit_test(a_path_of_nvme_is_told_by_its_name),
		cmocka_unit_test(parses_a_line_of_every_kernel),
		cmocka_unit_test(rejects_lines_that_make_no_sense),
		cmocka_unit_test_setup_teardown(sysfs_says_what_a_device_is, setup, teardown),
		cmocka_unit_test_setup_teardown(totals_count_each_byte_once, setup, teardown),
		cmocka_unit_test_setup_teardown(the_first_sample_is_the_average_since_boot, setup, teardown),
		cmocka_unit_test_setup_teardown(a_disk_plugged_in_or_out_makes_no_spike, setup, teardown),
		cmocka_unit_test_setup_teardown(a_number_reused_by_another_device_begins_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(counters_that_go_back_are_a_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(a_busy_disk_is_never_above_a_hundred_percent, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_lines_cost_only_themselves, setup, teardown),
		cmocka_unit_test_setup_teardown(a_kernel_without_block_devices_still_has_its_rates, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_too_long_has_the_busiest_and_says_what_it_left_out, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_full_sink_ends_the_list_between_two_devices, setup, teardown),
	};

	return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
