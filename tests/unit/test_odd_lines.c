/* SPDX-License-Identifier: MIT */
/* What the kernel never writes, or only some kernel did: each such line costs itself, and the sample says how many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "capture_sink.h"
#include "collectors/table.h"
#include "fixture_dir.h"

#define HEAD "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes packets\n"
#define ETH  "  eth0: 1000 10 0 0 0 0 0 0 500 5 0 0 0 0 0 0\n"
#define VDA  " 254 0 vda 1 2 3 4 5 6 7 8 9 10 11\n"
#define ROOT "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
#define SKIP "\"lines_skipped\":"

static const struct {
	const struct collector *collector;
	const char *path, *text;
	const char *part, *count; /* NULL: nothing was skipped */
} odd[] = {
	{ &collector_network, "proc/net/dev", HEAD ETH, "\"bytes_received\":1000", NULL },
	{ &collector_network, "proc/net/dev", HEAD " odd0: 12 34\n" ETH, "\"bytes_received\":1000", SKIP "1" },
	{ &collector_network, "proc/net/dev", HEAD "no colon 1 2 3\n" ETH "\n", "\"bytes_received\":1000", SKIP "2" },
	{ &collector_network, "proc/net/dev", HEAD "x: -1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n" ETH,
	  "\"bytes_received\":1000", SKIP "1" },
	{ &collector_network, "proc/net/dev", HEAD "a-name-of-sixteen: 1 2 3 4 5 6 7 8 9 10 11 12\n" ETH,
	  "\"bytes_received\":1000", SKIP "1" },
	{ &collector_network, "proc/net/dev", HEAD ETH ETH, "\"interfaces\":[{\"name\":\"eth0\"", SKIP "1" },
	{ &collector_network, "proc/net/dev", ETH, "\"bytes_received\":1000", NULL },
	{ &collector_network, "proc/net/dev", HEAD "eth0:1: 7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n" ETH,
	  "\"name\":\"eth0:1\",\"bytes_received\":7", NULL },
	{ &collector_network, "proc/net/dev", HEAD "a b c: 7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n",
	  "\"name\":\"a b c\",\"bytes_received\":7", NULL },
	{ &collector_network, "proc/net/dev", HEAD "\"\xff':|: 7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n",
	  "\"name\":\"\\x22\\xff':|\",\"bytes_received\":7", NULL },
	{ &collector_network, "proc/net/dev", HEAD "eth0:7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n",
	  "\"name\":\"eth0\",\"bytes_received\":7", NULL },
	{ &collector_disk, "proc/diskstats", VDA, "\"name\":\"vda\"", NULL },
	{ &collector_disk, "proc/diskstats", "garbage\n" VDA "254 16 vdb 1 2\n", "\"name\":\"vda\"", SKIP "2" },
	{ &collector_disk, "proc/diskstats", VDA VDA, "\"read_bytes\":1536", SKIP "1" },
	{ &collector_disk, "proc/diskstats", " 254 0 vda 1 2 3 4 5 6 7 8 -1 10 11\n", "\"in_flight\":null", NULL },
	{ &collector_disk, "proc/diskstats", " 254 0 vda 1 2 3 4 5 6 7 8 4294967295 10 11\n", "\"in_flight\":null",
	  NULL },
	{ &collector_disk, "proc/diskstats", " 254 0 my own disk 1 2 3 4 5 6 7 8 9 10 11\n",
	  "\"name\":\"my own disk\",\"kind\":\"disk\",\"read_bytes\":1536", NULL },
	{ &collector_disk, "proc/diskstats", " 254 0 c\xff!d\"0 1 2 3 4 5 6 7 8 9 10 11\n",
	  "\"name\":\"c\\xff!d\\x220\",\"kind\":\"disk\",\"read_bytes\":1536", NULL },
	{ &collector_disk, "proc/diskstats", " 254 0 7 1 2 3 4 5 6 7 8 9 10 11\n", "\"name\":\"7\"", NULL },
	{ &collector_disk, "proc/diskstats", VDA "254 1 vdb 1 2 x 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n",
	  "\"name\":\"vda\"", SKIP "1" },
	{ &collector_cpu, "proc/stat", "cpu 1 0 0 3\ncpu0 1 0 0 3\n", "\"cores_usage\":[25.00]", NULL },
	{ &collector_cpu, "proc/stat", "cpufreq 5\ncpu 1 0 0 3\ncpu0 1 0 0 3\n", "\"cores_usage\":[25.00]", SKIP "1" },
	{ &collector_cpu, "proc/stat", "cpu 1 0 0 3\ncpu1 0 0 0 3\ncpu0 1 0 0 3\n", "\"cores_usage\":[25.00,0.00]",
	  NULL },
	{ &collector_cpu, "proc/stat", "cpu 1 0 0 3\ncpu0 1 0 0 3\ncpu0 3 0 0 1\n", "\"cores_usage\":[25.00]",
	  SKIP "1" },
	{ &collector_cpu, "proc/stat", "cpu -1 0 0 3\ncpu0 1 0 0 3\n", "\"usage_percent\":25.00", SKIP "1" },
	{ &collector_memory, "proc/meminfo", "MemTotal: 10 kB\nMemFree: 4 kB\nCached: -12 kB\n",
	  "\"total_kb\":10,\"used_kb\":6", SKIP "1" },
	{ &collector_memory, "proc/meminfo", "MemTotal: 10 kB\nMemFree: 4 kB\nCached: -12 kB\n", "\"cached_kb\":null",
	  SKIP "1" },
	{ &collector_memory, "proc/meminfo", "MemTotal: 10 kB\nMemFree: x\nMemAvailable: 5 kB\n",
	  "\"used_kb\":5,\"available_kb\":5", SKIP "1" },
	{ &collector_memory, "proc/meminfo", "MemTotal: 10 kB\nMemFree: 4 kB\nMemAvailable: -5 kB\n",
	  "\"used_kb\":6,\"available_kb\":4", SKIP "1" },
	{ &collector_memory, "proc/meminfo", "garbage\n\n\xff:\nMemTotal: 10 kB\nMemFree: 4 kB\nMemTotal: 99 kB\n",
	  "\"total_kb\":10", SKIP "1" },
	{ &collector_pressure, "proc/pressure/io", "some avg10=1 avg60=2 avg300=3 total=4\nfull avg10=-1\n",
	  "\"some\":{\"avg10_percent\":1.00,\"avg60_percent\":2.00,\"avg300_percent\":3.00,\"total_us\":4},\"full\":"
	  "null",
	  SKIP "1" },
	{ &collector_pressure, "proc/pressure/io", "most avg10=7\nsome avg10=1 avg60=2 avg300=3 total=4\n",
	  "\"full\":null,\"reason\":\"unsupported\"", NULL },
	{ &collector_vmstat, "proc/vmstat", "nr_free_pages x\npgpgin 5\npgpgin 6\n", "\"paged_in_kb\":5", SKIP "1" },
	{ &collector_vmstat, "proc/vmstat", "pgpgin 5\noom_kill -1\n", "\"oom_kills\":null", SKIP "1" },
	{ &collector_host, "proc/loadavg", "0.20 0.18 0.12 1/80 11206\n", "\"load_15min\":0.12}", NULL },
	{ &collector_host, "proc/loadavg", "0.20 -0.18 0.12 1/80\n", "\"load_1min\":0.20,\"load_5min\":null",
	  SKIP "1" },
	{ &collector_host, "proc/loadavg", "", "\"uptime_seconds\":77,\"load_average\":{\"load_1min\":null", SKIP "1" },
	{ &collector_host, "proc/uptime", "soon\n", "\"uptime_seconds\":1010,", SKIP "1" },
	{ &collector_filesystem, "proc/1/mountinfo", ROOT, "\"mount_point\":\"/\"", NULL },
	{ &collector_filesystem, "proc/1/mountinfo", "1 2 3\n" ROOT "\xff\n", "\"mount_point\":\"/\"",
	  "\"mounts_skipped\":2" },
};

/* The other text that a collector of two wants. */
static void write_others(struct fixture *fixture)
{
	fixture_write(fixture, "proc/uptime", "77.00 5.00\n");
	fixture_write(fixture, "proc/loadavg", "0.10 0.10 0.10 1/80 11206\n");
}

static struct capture *collect_odd(struct fixture *fixture, size_t i, int *ret)
{
	struct capture *capture = capture_begin();

	write_others(fixture);
	fixture_write(fixture, odd[i].path, odd[i].text);
	fixture_pass(fixture, 10);
	assert_int_equal(odd[i].collector->open(&fixture->ctx, &fixture->state), 0);
	*ret = odd[i].collector->collect(fixture->state, &fixture->ctx);
	if (*ret == 0)
		odd[i].collector->emit(fixture->state, &capture->sink);
	odd[i].collector->close(fixture->state);
	return capture;
}

static void an_odd_line_costs_itself_and_is_counted(void **state)
{
	unsigned failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		struct fixture *fixture = fixture_new();
		int r;
		struct capture *capture = collect_odd(fixture, i, &r);
		bool good = r == 0 && capture_has(capture, odd[i].part) &&
			    (odd[i].count ? capture_has(capture, odd[i].count) : !capture_has(capture, "skipped"));

		if (!good)
			print_error("%s: %s\n%d: %s\n", odd[i].collector->name, odd[i].text, r, capture->text);
		failed += !good;
		free(capture);
		fixture_free(fixture);
	}
	assert_int_equal(failed, 0);
}

static void a_text_without_one_usable_line_is_an_error(void **state)
{
	static const struct {
		const struct collector *collector;
		const char *path, *text;
	} cases[] = {
		{ &collector_network, "proc/net/dev", "" },
		{ &collector_network, "proc/net/dev", HEAD "eth0: x\n" },
		{ &collector_cpu, "proc/stat", "cpufreq 1 2 3 4\n" },
		{ &collector_memory, "proc/meminfo", "MemTotal: -1 kB\nMemFree: 1 kB\n" },
		{ &collector_filesystem, "proc/1/mountinfo", "garbage\n" },
		{ &collector_pressure, "proc/pressure/memory", "some avg10=101 avg60=0 avg300=0 total=0\n" },
		{ &collector_vmstat, "proc/vmstat", "pgpgin -1\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *fixture = fixture_new();

		fixture_write(fixture, cases[i].path, cases[i].text);
		assert_int_equal(cases[i].collector->open(&fixture->ctx, &fixture->state), 0);
		assert_int_equal(cases[i].collector->collect(fixture->state, &fixture->ctx), -EBADMSG);
		cases[i].collector->close(fixture->state);
		fixture_free(fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_odd_line_costs_itself_and_is_counted),
		cmocka_unit_test(a_text_without_one_usable_line_is_an_error),
	};

	return cmocka_run_group_tests_name("odd_lines", tests, NULL, NULL);
}
