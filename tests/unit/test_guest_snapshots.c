/* SPDX-License-Identifier: MIT */
/* The system collectors over /proc and /sys as captured in real guests, against what the guests' own tools said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "capture_sink.h"
#include "collectors/procfs.h"
#include "collectors/table.h"

static const char *const guests[] = { "debian-11", "debian-12", "debian-13" };

static struct snapshot {
	int dir_fd;
	struct collect_ctx ctx;
	void *state;
	const struct collector *collector;
	struct capture *capture;
} snapshot;

static int setup(void **state)
{
	(void)state;
	snapshot = (struct snapshot){ .dir_fd = -1, .ctx = { .proc_fd = -1, .sys_fd = -1 } };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (snapshot.collector)
		snapshot.collector->close(snapshot.state);
	free(snapshot.capture);
	close_fd(&snapshot.ctx.proc_fd);
	close_fd(&snapshot.ctx.sys_fd);
	close_fd(&snapshot.dir_fd);
	return setup(state);
}

/* What the collector emits after two collects, ten seconds apart, of the same snapshot. */
static const char *emitted(const struct collector *collector, const char *guest)
{
	char path[64];

	teardown(NULL);
	snprintf(path, sizeof(path), "tests/fixtures/%s", guest);
	snapshot.dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(snapshot.dir_fd >= 0);
	snapshot.ctx.proc_fd = openat(snapshot.dir_fd, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snapshot.ctx.sys_fd = openat(snapshot.dir_fd, "sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snapshot.ctx.root_fd = snapshot.dir_fd;
	snapshot.ctx.now =
		(struct moment){ .mono_ns = 20 * NS_PER_S, .boot_ns = 20 * NS_PER_S, .wall_ms = 1767225600000 };
	assert_int_equal(collector->open(&snapshot.ctx, &snapshot.state), 0);
	snapshot.collector = collector;
	assert_int_equal(collector->collect(snapshot.state, &snapshot.ctx), 0);
	snapshot.ctx.now.mono_ns += 10 * NS_PER_S;
	assert_int_equal(collector->collect(snapshot.state, &snapshot.ctx), 0);
	snapshot.capture = capture_begin();
	collector->emit(snapshot.state, &snapshot.capture->sink);
	assert_int_equal(snapshot.capture->depth, 0);
	assert_null(strstr(snapshot.capture->text, "NOT_FINITE"));
	return snapshot.capture->text;
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		print_error("no %s in %s\n", part, text);
	assert_non_null(strstr(text, part));
}

static size_t occurrences(const char *text, const char *part)
{
	size_t count = 0;

	while ((text = strstr(text, part))) {
		text += strlen(part);
		count++;
	}
	return count;
}

/* A whole file of the snapshot, NUL-terminated. */
static void read_output(const char *path, char *text, size_t size)
{
	ssize_t n = procfs_read_once(snapshot.dir_fd, path, text, size - 1);

	assert_true(n > 0);
	text[n] = '\0';
}

static void memory_agrees_with_free(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		const char *text = emitted(&collector_memory, guests[i]);
		unsigned long total = 0, swap = 0;
		char free_text[2048], want[64];
		const char *mem, *swap_line;

		read_output("outputs/free", free_text, sizeof(free_text));
		mem = strstr(free_text, "Mem:");
		swap_line = strstr(free_text, "Swap:");
		assert_true(mem && sscanf(mem, "Mem: %lu", &total) == 1);
		assert_true(swap_line && sscanf(swap_line, "Swap: %lu", &swap) == 1);
		snprintf(want, sizeof(want), "{\"total_kb\":%lu,", total);
		assert_has(text, want);
		if (swap > 0)
			snprintf(want, sizeof(want), "\"swap_total_kb\":%lu,", swap);
		else
			snprintf(want, sizeof(want), "\"swap_total_kb\":null,");
		assert_has(text, want);
	}
}

/* 5.10 has no `full` of the processors; the figures are those of the committed texts. */
static void pressure_is_what_each_kernel_tells(void **state)
{
	static const char *const want[ARRAY_SIZE(guests)] = {
		"{\"cpu\":{\"some\":{\"avg10_percent\":16.23,\"avg60_percent\":3.86,\"avg300_percent\":0.84,"
		"\"total_us\":2441082},\"full\":null,\"reason\":\"unsupported\"},\"memory\":{\"some\":{",
		"{\"cpu\":{\"some\":{\"avg10_percent\":19.48,\"avg60_percent\":4.61,\"avg300_percent\":1.00,"
		"\"total_us\":3038783},\"full\":{\"avg10_percent\":0.00,",
		"{\"cpu\":{\"some\":{\"avg10_percent\":50.20,\"avg60_percent\":16.32,\"avg300_percent\":3.79,"
		"\"total_us\":11707559},\"full\":{\"avg10_percent\":0.00,",
	};
	static const char *const stalled[ARRAY_SIZE(guests)] = { "\"total_us\":41843}}", "\"total_us\":57231}}",
								 "\"total_us\":98036}}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		const char *text = emitted(&collector_pressure, guests[i]);

		assert_has(text, want[i]);
		assert_has(text, stalled[i]);
		assert_int_equal(occurrences(text, "null"), i == 0);
	}
}

static void paging_is_what_each_kernel_counts(void **state)
{
	static const char *const want[ARRAY_SIZE(guests)] = {
		"{\"paged_in_kb\":27542,\"paged_in_kb_per_sec\":0.00,\"paged_out_kb\":9992,",
		"{\"paged_in_kb\":30667,\"paged_in_kb_per_sec\":0.00,\"paged_out_kb\":10304,",
		"{\"paged_in_kb\":37104,\"paged_in_kb_per_sec\":0.00,\"paged_out_kb\":10901,",
	};
	static const unsigned major_faults[ARRAY_SIZE(guests)] = { 211, 232, 316 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		const char *text = emitted(&collector_vmstat, guests[i]);
		char faults[64];

		snprintf(faults, sizeof(faults), "\"major_faults\":%u,", major_faults[i]);
		assert_has(text, want[i]);
		assert_has(text, faults);
		assert_has(text, "\"allocation_stalls\":0,\"allocation_stalls_per_sec\":0.00,\"state\":\"ok\"");
		assert_int_equal(occurrences(text, "null"), 0);
	}
}

/* The guests had no connection; softnet_stat is composed, see the README of the fixtures. */
static void tcp_has_all_that_each_kernel_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		const char *text = emitted(&collector_tcp, guests[i]);

		assert_has(text, "{\"established\":0,\"active_opens\":0,");
		assert_has(text,
			   i == 2 ? "\"sockets\":{\"used\":45,\"tcp\":0," : "\"sockets\":{\"used\":38,\"tcp\":0,");
		assert_has(text,
			   "\"softnet\":{\"processed\":1096,\"dropped\":0,\"dropped_per_sec\":0.00,\"squeezed\":1},"
			   "\"state\":\"ok\"");
		assert_int_equal(occurrences(text, "null"), 0);
	}
}

/* The pool of 5.10 holds 4096 bits, that of later kernels 256; nothing is tracked without nf_conntrack. */
static void limits_are_those_of_each_kernel(void **state)
{
	static const char *const entropy[ARRAY_SIZE(guests)] = {
		"\"entropy\":{\"available_bits\":2907,\"pool_bits\":4096}",
		"\"entropy\":{\"available_bits\":256,\"pool_bits\":256}",
		"\"entropy\":{\"available_bits\":256,\"pool_bits\":256}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		const char *text = emitted(&collector_limits, guests[i]);

		assert_has(text, entropy[i]);
		assert_has(text, "\"conntrack\":{\"used\":null,\"max\":null,\"reason\":\"unsupported\"}");
		assert_int_equal(occurrences(text, "null"), 2);
	}
}

static void the_guest_is_one_of_qemu_with_its_distribution(void **state)
{
	static const char *const os[ARRAY_SIZE(guests)] = { "\"version_id\":\"11\"", "\"version_id\":\"12\"",
							    "\"version_id\":\"13\"" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		const char *text = emitted(&collector_guest, guests[i]);

		assert_has(text, "{\"hypervisor\":\"qemu\",\"container\":null,\"cloud\":null,");
		assert_has(text, "\"dmi\":{\"vendor\":\"QEMU\",\"product\":\"Standard PC");
		assert_has(text, os[i]);
	}
}

/* df lists tmpfs too; of what remains each mount is listed here. */
static void file_systems_are_those_of_df_without_tmpfs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		const char *text = emitted(&collector_filesystem, guests[i]);
		char df_text[4096], *rest = df_text, *line;
		size_t listed = 0;

		read_output("outputs/df", df_text, sizeof(df_text));
		while ((line = strsep(&rest, "\n"))) {
			char device[128], type[32], mount_point[128], want[400];

			if (sscanf(line, "%127s %31s %*u %*u %*u %127[^\n]", device, type, mount_point) != 3 ||
			    strstr(type, "tmpfs"))
				continue;
			snprintf(want, sizeof(want), "{\"mount_point\":\"%s\",", mount_point);
			assert_has(text, want);
			snprintf(want, sizeof(want), "\"filesystem\":\"%s\",\"device\":\"%s\"", type, device);
			assert_has(text, want);
			listed++;
		}
		assert_true(listed >= 2);
		assert_int_equal(occurrences(text, "\"mount_point\""), listed);
	}
}

static void disks_are_listed_without_their_partitions(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		const char *text = emitted(&collector_disk, guests[i]);

		assert_has(text, "\"name\":\"vda\",\"kind\":\"disk\"");
		assert_has(text, "\"name\":\"vdb\",\"kind\":\"disk\"");
		assert_int_equal(occurrences(text, "\"name\""), 2);
	}
}

static void every_cpu_has_its_figure(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++)
		assert_has(emitted(&collector_cpu, guests[i]), "\"cores_usage\":[");
}

static void the_distribution_is_recognised(void **state)
{
	static const char *const versions[] = { "11", "12", "13" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		char want[64];

		snprintf(want, sizeof(want), "\"name\":\"Debian GNU/Linux\",\"os_version\":\"%s\"", versions[i]);
		assert_has(emitted(&collector_host, guests[i]), want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(memory_agrees_with_free, setup, teardown),
		cmocka_unit_test_setup_teardown(pressure_is_what_each_kernel_tells, setup, teardown),
		cmocka_unit_test_setup_teardown(paging_is_what_each_kernel_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(tcp_has_all_that_each_kernel_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(limits_are_those_of_each_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(the_guest_is_one_of_qemu_with_its_distribution, setup, teardown),
		cmocka_unit_test_setup_teardown(file_systems_are_those_of_df_without_tmpfs, setup, teardown),
		cmocka_unit_test_setup_teardown(disks_are_listed_without_their_partitions, setup, teardown),
		cmocka_unit_test_setup_teardown(every_cpu_has_its_figure, setup, teardown),
		cmocka_unit_test_setup_teardown(the_distribution_is_recognised, setup, teardown),
	};

	return cmocka_run_group_tests_name("guest_snapshots", tests, NULL, NULL);
}
