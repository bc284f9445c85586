/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "collectors/cgroup.h"
#include "collectors/table.h"
#include "subject.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void a_group_is_told_by_its_names(void **state)
{
	static const struct {
		const char *path;
		enum cgroup_kind kind;
		const char *runtime, *id;
	} cases[] = {
		{ "/system.slice", CGROUP_SLICE, NULL, "" },
		{ "/system.slice/ssh.service", CGROUP_SERVICE, NULL, "" },
		{ "/init.scope", CGROUP_SCOPE, NULL, "" },
		{ "/system.slice/boot.mount", CGROUP_OTHER, NULL, "" },
		{ "/system.slice/docker.service", CGROUP_SERVICE, NULL, "" },
		{ "/system.slice/docker-" ID ".scope", CGROUP_CONTAINER, "docker", ID },
		{ "/docker/" ID, CGROUP_CONTAINER, "docker", ID },
		{ "/machine.slice/libpod-" ID ".scope", CGROUP_CONTAINER, "podman", ID },
		{ "/machine.slice/libpod-conmon-" ID ".scope", CGROUP_SCOPE, NULL, "" },
		{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-" ID ".scope",
		  CGROUP_CONTAINER, "containerd", ID },
		{ "/kubepods/burstable/pod12ab/" ID, CGROUP_CONTAINER, "kubernetes", ID },
		{ "/kubepods/burstable/pod12ab/crio-" ID, CGROUP_CONTAINER, "cri-o", ID },
		{ "/lxc.payload.web", CGROUP_CONTAINER, "lxc", "web" },
		{ "/lxc/web", CGROUP_CONTAINER, "lxc", "web" },
		{ "/machine.slice/machine-web.scope", CGROUP_CONTAINER, "nspawn", "web" },
		{ "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", CGROUP_SCOPE, NULL, "" },
		{ "/machine.slice/systemd-nspawn@web.service", CGROUP_CONTAINER, "nspawn", "web" },
		{ "/system.slice/docker-0123.scope", CGROUP_SCOPE, NULL, "" },
		{ "/other/" ID, CGROUP_OTHER, NULL, "" },
		{ "/docker", CGROUP_OTHER, NULL, "" },
		{ ".slice", CGROUP_OTHER, NULL, "" },
		{ "/", CGROUP_OTHER, NULL, "" },
		{ "", CGROUP_OTHER, NULL, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cgroup_owner owner;
		bool good;

		cgroup_owner_get(cases[i].path, &owner);
		good = owner.kind == cases[i].kind && strcmp(owner.id, cases[i].id) == 0 &&
		       (cases[i].runtime ? owner.runtime && strcmp(owner.runtime, cases[i].runtime) == 0
					 : !owner.runtime);
		if (!good)
			print_error("%s: %s %s\n", cases[i].path, cgroup_kind_name(owner.kind), owner.id);
		assert_true(good);
	}
}

static void what_a_manager_divides_within_a_unit_is_its_own(void **state)
{
	(void)state;
	assert_true(cgroup_is_parent("system.slice"));
	assert_true(cgroup_is_parent("kubepods"));
	assert_false(cgroup_is_parent("ssh.service"));
	assert_false(cgroup_is_parent("docker-" ID ".scope"));
	assert_false(cgroup_is_parent("boot.mount"));
}

static void texts_are_summed_up_or_refused(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t read, written;
	} v2[] = {
		{ "8:0 rbytes=100 wbytes=20 rios=1 wios=2 dbytes=7 dios=1\n253:0 rbytes=1 wbytes=2\n", 0, 101, 22 },
		{ "", 0, 0, 0 },
		{ "8:0\n", 0, 0, 0 },
		{ "8:0 rbytes=x wbytes=20\n", -EBADMSG, 7, 7 },
		{ "8:0 rbytes=18446744073709551614 wbytes=20\n8:16 rbytes=2\n", -EBADMSG, 7, 7 },
	}, v1[] = {
		{ "8:0 Read 100\n8:0 Write 20\n8:0 Sync 120\n8:16 Read 1\nTotal 121\n", 0, 101, 20 },
		{ "Total 0\n", 0, 0, 0 },
		{ "8:0 Read -1\n", -EBADMSG, 7, 7 },
	};
	struct cgroup_cpu cpu = { 7, 7 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(v2); i++) {
		struct cgroup_io io = { 7, 7 };

		assert_int_equal(cgroup_io_parse(v2[i].text, strlen(v2[i].text), &io), v2[i].r);
		assert_true(io.read_bytes == v2[i].read && io.write_bytes == v2[i].written);
	}
	for (size_t i = 0; i < ARRAY_SIZE(v1); i++) {
		struct cgroup_io io = { 7, 7 };

		assert_int_equal(cgroup_blkio_parse(v1[i].text, strlen(v1[i].text), &io), v1[i].r);
		assert_true(io.read_bytes == v1[i].read && io.write_bytes == v1[i].written);
	}
	assert_int_equal(cgroup_cpu_parse("user_usec 5\n", 12, &cpu), -EBADMSG);
	assert_int_equal(cpu.usage_us, 7);
	assert_int_equal(cgroup_cpu_parse("usage_usec 9\n", 13, &cpu), 0);
	assert_true(cpu.usage_us == 9 && cpu.throttled_us == CGROUP_ABSENT);
	assert_int_equal(cgroup_key_parse("oom 1\noom_kill 3\n", 17, "oom_kill"), 3);
	assert_true(cgroup_key_parse("oom_kill x\n", 11, "oom_kill") == CGROUP_ABSENT);
}

static void every_cut_of_the_texts_is_survived(void **state)
{
	static const char *const texts[] = { "8:0 rbytes=100 wbytes=20\n", "8:0 Read 100\n8:0 Write 20\n",
					     "usage_usec 9\nthrottled_usec 1\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		for (size_t len = 0; len <= strlen(texts[i]); len++) {
			char *exact = malloc(len ? len : 1);
			struct cgroup_io io;
			struct cgroup_cpu cpu;

			memcpy(exact, texts[i], len);
			(void)cgroup_io_parse(exact, len, &io);
			(void)cgroup_blkio_parse(exact, len, &io);
			(void)cgroup_cpu_parse(exact, len, &cpu);
			free(exact);
		}
	}
}

/* ---------------------------------------------------------------------------------------------- trees of groups */

static void put(const struct fixture *fixture, const char *group, const char *file, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "sys/fs/cgroup/%s/%s", group, file);
	fixture_write(fixture, path, text);
}

static void put_v2(const struct fixture *fixture, const char *group, unsigned cpu_us, unsigned memory, unsigned written)
{
	char text[128];

	snprintf(text, sizeof(text), "usage_usec %u\nuser_usec 1\nnr_throttled 1\nthrottled_usec 5\n", cpu_us);
	put(fixture, group, "cpu.stat", text);
	snprintf(text, sizeof(text), "%u\n", memory);
	put(fixture, group, "memory.current", text);
	snprintf(text, sizeof(text), "8:0 rbytes=4096 wbytes=%u rios=1 wios=1\n", written);
	put(fixture, group, "io.stat", text);
	put(fixture, group, "memory.max", "max\n");
	put(fixture, group, "memory.events", "low 0\noom 0\noom_kill 2\n");
	put(fixture, group, "pids.current", "3\n");
	put(fixture, group, "cpu.pressure", "some avg10=1.00 avg60=2.00 avg300=3.00 total=4\n");
	put(fixture, group, "memory.pressure", "some avg10=1.00 avg60=0.50 avg300=3.00 total=4\n");
	put(fixture, group, "io.pressure", "some avg10=1.00 avg60=0.00 avg300=3.00 total=4\n");
}

static void begin(struct fixture *fixture, unsigned top)
{
	fixture->ctx.limits.cgroups_top = top;
	assert_int_equal(collector_cgroup.open(&fixture->ctx, &fixture->state), 0);
}

/* A whole collect, ten seconds after the last one. Returns the number of its calls. */
static unsigned collect(struct fixture *fixture)
{
	unsigned calls = 0;
	int r;

	fixture_pass(fixture, 10);
	do {
		r = collector_cgroup.collect(fixture->state, &fixture->ctx);
		calls++;
	} while (r == COLLECT_MORE);
	assert_int_equal(r, 0);
	return calls;
}

static void assert_has_all(struct fixture *fixture, const char *const *wanted, size_t count)
{
	struct capture *capture = capture_begin();
	bool good = true;

	collector_cgroup.emit(fixture->state, &capture->sink);
	for (size_t i = 0; i < count; i++)
		good = good &&
		       (wanted[i][0] == '!' ? !capture_has(capture, wanted[i] + 1) : capture_has(capture, wanted[i]));
	for (size_t i = 0; i < count && !good; i++)
		print_error("%s\n", wanted[i]);
	if (!good)
		print_error("in %s\n", capture->text);
	good = good && capture->depth == 0;
	free(capture);
	assert_true(good);
}

#define ASSERT_HAS(fixture, ...)                                                                                       \
	assert_has_all(fixture, (const char *const[]){ __VA_ARGS__ },                                                  \
		       sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	collector_cgroup.close(fixture->state);
	fixture_free(fixture);
	return 0;
}

static void a_group_has_its_counters_their_rates_and_its_pressure(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n");
	put_v2(fixture, "system.slice/ssh.service", 1000000, 1048576, 8192);
	begin(fixture, 8);
	collect(fixture);
	ASSERT_HAS(fixture, "\"cgroup_mode\":\"v2\"", "\"path\":\"/system.slice/ssh.service\",\"kind\":\"service\"",
		   "\"cpu_us\":1000000,\"cpu_percent\":null,", "\"state\":\"first\"");
	put_v2(fixture, "system.slice/ssh.service", 3000000, 1048576, 18192);
	collect(fixture);
	ASSERT_HAS(
		fixture,
		"\"cpu_us\":3000000,\"cpu_percent\":20.00,\"throttled_us\":5,\"memory_kb\":1024,\"memory_max_kb\":null,"
		"\"oom_kills\":2,\"read_bytes\":4096,\"read_bytes_per_sec\":0.00,\"write_bytes\":18192,"
		"\"write_bytes_per_sec\":1000.00,\"tasks\":3,\"pressure\":{\"cpu\":2.00,\"memory\":0.50,\"io\":0.00},"
		"\"state\":\"ok\"}",
		"\"cgroup_left_out\":1,\"cgroup_rank\":");
	put(fixture, "system.slice/ssh.service", "memory.max", "2097152\n");
	put_v2(fixture, "system.slice/ssh.service", 2000000, 1048576, 18192);
	collect(fixture);
	ASSERT_HAS(fixture, "\"cpu_us\":2000000,\"cpu_percent\":null,", "\"state\":\"reset\"");
}

static void the_busiest_of_each_kind_are_listed_and_the_rest_counted(void **state)
{
	struct fixture *fixture = *state;
	char name[64];

	fixture_write(fixture, "sys/fs/cgroup/cgroup.controllers", "");
	for (unsigned round = 0; round < 2; round++) {
		put_v2(fixture, "system.slice", 100 + round * 900000, 1, 0);
		put_v2(fixture, "user.slice", 100 + round * 800000, 2, 0);
		for (unsigned i = 0; i < 20; i++) {
			snprintf(name, sizeof(name), "system.slice/s%02u.service", i);
			put_v2(fixture, name, 1000 + round * i * 1000, 1000 - i, round && i == 3 ? 100000 : 0);
		}
		if (round == 0)
			begin(fixture, 8);
		collect(fixture);
	}
	/* Two slices; three by CPU; one by I/O; two by memory. */
	ASSERT_HAS(fixture, "\"/system.slice\"", "\"/user.slice\"", "s19", "s18", "s17", "!s16", "s03", "s00", "s01",
		   "!s02", "\"cgroup_left_out\":14");
}

static void groups_that_go_are_forgotten_and_a_new_one_of_their_name_begins_anew(void **state)
{
	struct fixture *fixture = *state;
	char command[256];

	fixture_write(fixture, "sys/fs/cgroup/cgroup.controllers", "");
	put_v2(fixture, "a.service", 9000000, 1, 0);
	put_v2(fixture, "b.service", 1000, 1, 0);
	begin(fixture, 8);
	collect(fixture);
	snprintf(command, sizeof(command), "%s/sys/fs/cgroup/a.service", fixture->path);
	nftw(command, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	collect(fixture);
	ASSERT_HAS(fixture, "!a.service", "b.service", "!cgroup_left_out");
	put_v2(fixture, "a.service", 5000, 1, 0);
	collect(fixture);
	ASSERT_HAS(fixture, "\"cpu_us\":5000,\"cpu_percent\":null,");
}

static void a_scan_is_done_in_slices(void **state)
{
	struct fixture *fixture = *state;
	char name[64];
	unsigned whole, sliced;

	fixture_write(fixture, "sys/fs/cgroup/cgroup.controllers", "");
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "s%02u.service", i);
		put_v2(fixture, name, 1000, 1000, 0);
	}
	begin(fixture, 20);
	whole = collect(fixture);
	fixture->ctx.slice = 4;
	sliced = collect(fixture);
	assert_int_equal(whole, 1);
	assert_in_range(sliced, 10, 14);
	ASSERT_HAS(fixture, "s00", "s19", "\"cpu_percent\":0.00", "!cgroup_left_out");
}

static void more_groups_than_are_looked_at_are_counted(void **state)
{
	struct fixture *fixture = *state;
	char name[64];

	fixture_write(fixture, "sys/fs/cgroup/cgroup.controllers", "");
	for (unsigned i = 0; i < 520; i++) {
		snprintf(name, sizeof(name), "sys/fs/cgroup/s%03u.service/memory.current", i);
		fixture_write(fixture, name, "5\n");
	}
	begin(fixture, 8);
	collect(fixture);
	ASSERT_HAS(fixture, "\"cgroup_left_out\":512");
}

/* composed from kernel/cgroup/cpuacct.c, mm/memcontrol.c and block/blk-throttle.c of 4.18, as RHEL 8 mounts them */
static void version_1_tells_what_its_controllers_know(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, "systemd/system.slice/ssh.service", "cgroup.procs", "1\n");
	put(fixture, "cpuacct/system.slice/ssh.service", "cpuacct.usage", "3000000\n");
	put(fixture, "memory/system.slice/ssh.service", "memory.usage_in_bytes", "2097152\n");
	put(fixture, "memory/system.slice/ssh.service", "memory.limit_in_bytes", "9223372036854771712\n");
	put(fixture, "memory/system.slice/ssh.service", "memory.oom_control",
	    "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
	put(fixture, "blkio/system.slice/ssh.service", "blkio.throttle.io_service_bytes",
	    "8:0 Read 100\n8:0 Write 20\nTotal 120\n");
	put(fixture, "pids/system.slice/ssh.service", "pids.current", "7\n");
	begin(fixture, 8);
	collect(fixture);
	ASSERT_HAS(
		fixture, "\"cgroup_mode\":\"v1\"",
		"\"cpu_us\":3000,\"cpu_percent\":null,\"throttled_us\":null,\"memory_kb\":2048,\"memory_max_kb\":null,"
		"\"oom_kills\":1,\"read_bytes\":100,\"read_bytes_per_sec\":null,\"write_bytes\":20,"
		"\"write_bytes_per_sec\":null,\"tasks\":7,\"pressure\":{\"cpu\":null,\"memory\":null,\"io\":null},"
		"\"state\":\"first\",\"reason\":\"unsupported\"}");
	put(fixture, "unified", "cgroup.controllers", "\n");
	collect(fixture);
	ASSERT_HAS(fixture, "\"cgroup_mode\":\"hybrid\"", "\"cpu_percent\":0.00");
}

static void a_machine_without_groups_says_so(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, 8);
	collect(fixture);
	ASSERT_HAS(fixture, "{\"cgroup_mode\":null,\"cgroup\":[],\"cgroup_reason\":\"unsupported\"");
}

#define TREE_TEST(name) cmocka_unit_test_setup_teardown(name, subject_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_group_is_told_by_its_names),
		cmocka_unit_test(what_a_manager_divides_within_a_unit_is_its_own),
		cmocka_unit_test(texts_are_summed_up_or_refused),
		cmocka_unit_test(every_cut_of_the_texts_is_survived),
		TREE_TEST(a_group_has_its_counters_their_rates_and_its_pressure),
		TREE_TEST(the_busiest_of_each_kind_are_listed_and_the_rest_counted),
		TREE_TEST(groups_that_go_are_forgotten_and_a_new_one_of_their_name_begins_anew),
		TREE_TEST(a_scan_is_done_in_slices),
		TREE_TEST(more_groups_than_are_looked_at_are_counted),
		TREE_TEST(version_1_tells_what_its_controllers_know),
		TREE_TEST(a_machine_without_groups_says_so),
	};

	return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
