/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "collectors/table.h"
#include "subject.h"

#define CARD0 "sys/class/drm/card0/device/"
#define CARD1 "sys/class/drm/card1/device/"

static void a_card_tells_how_busy_and_how_warm_it_is(void **state)
{
	struct fixture *fixture = *state;
	char link[128];

	fixture_write(fixture, CARD0 "vendor", "0x1002\n");
	fixture_write(fixture, CARD0 "device", "0x73bf\n");
	fixture_write(fixture, CARD0 "gpu_busy_percent", "37\n");
	fixture_write(fixture, CARD0 "mem_info_vram_used", "1048576\n");
	fixture_write(fixture, CARD0 "mem_info_vram_total", "17163091968\n");
	fixture_write(fixture, CARD0 "hwmon/hwmon3/temp1_input", "52000\n");
	fixture_write(fixture, "sys/class/drm/card0-DP-1/status", "connected\n");
	snprintf(link, sizeof(link), "%s/" CARD0 "driver", fixture->path);
	assert_int_equal(symlink("../../../bus/pci/drivers/amdgpu", link), 0);
	assert_emits(fixture, &collector_gpu,
		     "\"cards\":[{\"name\":\"card0\",\"driver\":\"amdgpu\",\"vendor\":\"0x1002\",\"device\":\"0x73bf\","
		     "\"busy_percent\":37,\"memory_used_bytes\":1048576,\"memory_total_bytes\":17163091968,\"celsius\":"
		     "52.0}]");
}

static void a_virtual_card_has_none_of_it_and_says_so(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, CARD0 "vendor", "0x1af4\n");
	fixture_write(fixture, CARD0 "device", "0x1050\n");
	assert_emits(fixture, &collector_gpu,
		     "\"cards\":[{\"name\":\"card0\",\"driver\":null,\"vendor\":\"0x1af4\",\"device\":\"0x1050\","
		     "\"busy_percent\":null,\"memory_used_bytes\":null,\"memory_total_bytes\":null,\"celsius\":null,"
		     "\"reason\":\"unsupported\"}]");
}

static void a_card_that_sleeps_is_not_woken_and_one_that_lies_is_not_believed(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, CARD0 "power/runtime_status", "suspended\n");
	fixture_write(fixture, CARD0 "gpu_busy_percent", "37\n");
	fixture_write(fixture, CARD1 "power/runtime_status", "active\n");
	fixture_write(fixture, CARD1 "gpu_busy_percent", "101\n");
	fixture_write(fixture, CARD1 "hwmon/hwmon0/temp1_input", "1000\n");
	assert_emits(
		fixture, &collector_gpu,
		"\"cards\":[{\"name\":\"card0\",\"driver\":null,\"vendor\":null,\"device\":null,\"busy_percent\":null,"
		"\"memory_used_bytes\":null,\"memory_total_bytes\":null,\"celsius\":null,\"reason\":\"suspended\"},"
		"{\"name\":\"card1\",\"driver\":null,\"vendor\":null,\"device\":null,\"busy_percent\":null,"
		"\"memory_used_bytes\":null,\"memory_total_bytes\":null,\"celsius\":1.0,\"reason\":\"invalid\"}]");
}

static void a_machine_without_any_has_an_empty_list_and_one_with_many_a_cut_one(void **state)
{
	struct fixture *fixture = *state;
	struct capture *capture = capture_begin();
	char path[64];

	assert_emits(fixture, &collector_gpu, "\"cards\":[]");
	for (unsigned i = 0; i < 10; i++) {
		snprintf(path, sizeof(path), "sys/class/drm/card%u/device/vendor", i);
		fixture_write(fixture, path, "0x10de\n");
	}
	assert_int_equal(collector_gpu.open(&fixture->ctx, &fixture->state), 0);
	assert_int_equal(collector_gpu.collect(fixture->state, &fixture->ctx), 0);
	collector_gpu.emit(fixture->state, &capture->sink);
	collector_gpu.close(fixture->state);
	assert_true(capture_has(capture, "\"card7\"") && !capture_has(capture, "\"card8\""));
	assert_true(capture_has(capture, "\"left_out\":2"));
	free(capture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SUBJECT_TEST(a_card_tells_how_busy_and_how_warm_it_is),
		SUBJECT_TEST(a_virtual_card_has_none_of_it_and_says_so),
		SUBJECT_TEST(a_card_that_sleeps_is_not_woken_and_one_that_lies_is_not_believed),
		SUBJECT_TEST(a_machine_without_any_has_an_empty_list_and_one_with_many_a_cut_one),
	};

	return cmocka_run_group_tests_name("gpu", tests, NULL, NULL);
}
