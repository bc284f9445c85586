/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "collectors/table.h"
#include "subject.h"

static void chips_fans_and_zones_are_listed_with_their_names(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "sys/class/hwmon/hwmon0/name", "coretemp\n");
	fixture_write(fixture, "sys/class/hwmon/hwmon0/temp1_input", "45000\n");
	fixture_write(fixture, "sys/class/hwmon/hwmon0/temp1_label", "Package id 0\n");
	fixture_write(fixture, "sys/class/hwmon/hwmon0/temp2_input", "-1500\n");
	fixture_write(fixture, "sys/class/hwmon/hwmon2/name", "nct6775\n");
	fixture_write(fixture, "sys/class/hwmon/hwmon2/fan1_input", "1200\n");
	fixture_write(fixture, "sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n");
	fixture_write(fixture, "sys/class/thermal/thermal_zone0/temp", "46500\n");
	assert_emits(fixture, &collector_sensors,
		     "\"temperatures\":[{\"chip\":\"coretemp\",\"label\":\"Package id 0\",\"celsius\":45.0},"
		     "{\"chip\":\"coretemp\",\"label\":\"temp2\",\"celsius\":-1.5}],"
		     "\"fans\":[{\"chip\":\"nct6775\",\"label\":\"fan1\",\"rpm\":1200}],"
		     "\"zones\":[{\"type\":\"x86_pkg_temp\",\"name\":\"thermal_zone0\",\"celsius\":46.5}]");
}

static void a_machine_without_any_has_empty_lists(void **state)
{
	assert_emits(*state, &collector_sensors, "\"temperatures\":[],\"fans\":[],\"zones\":[]");
}

static void a_sensor_that_cannot_be_read_or_lies_is_null_and_says_why(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "sys/class/hwmon/hwmon0/temp1_input", "-274000\n");
	fixture_write(fixture, "sys/class/hwmon/hwmon0/temp2_input/no_file", "");
	fixture_write(fixture, "sys/class/thermal/thermal_zone1/type", "acpitz\n");
	assert_emits(fixture, &collector_sensors,
		     "\"temperatures\":[{\"chip\":null,\"label\":\"temp1\",\"celsius\":null,\"reason\":\"invalid\"},"
		     "{\"chip\":null,\"label\":\"temp2\",\"celsius\":null,\"reason\":\"unreadable\"}],\"fans\":[],"
		     "\"zones\":[{\"type\":\"acpitz\",\"name\":\"thermal_zone1\",\"celsius\":null,\"reason\":"
		     "\"unsupported\"}]");
}

static void of_a_machine_with_many_the_rest_is_counted(void **state)
{
	struct fixture *fixture = *state;
	struct capture *capture = capture_begin();
	char path[96];

	for (unsigned chip = 0; chip < 4; chip++)
		for (unsigned i = 1; i <= 20; i++) {
			snprintf(path, sizeof(path), "sys/class/hwmon/hwmon%u/temp%u_input", chip, i);
			fixture_write(fixture, path, "1000\n");
		}
	assert_int_equal(collector_sensors.open(&fixture->ctx, &fixture->state), 0);
	assert_int_equal(collector_sensors.collect(fixture->state, &fixture->ctx), 0);
	assert_int_equal(collector_sensors.collect(fixture->state, &fixture->ctx), 0);
	collector_sensors.emit(fixture->state, &capture->sink);
	collector_sensors.close(fixture->state);
	/* 48 rows, of no chip more than 16. */
	assert_true(capture_has(capture, "\"left_out\":32"));
	free(capture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SUBJECT_TEST(chips_fans_and_zones_are_listed_with_their_names),
		SUBJECT_TEST(a_machine_without_any_has_empty_lists),
		SUBJECT_TEST(a_sensor_that_cannot_be_read_or_lies_is_null_and_says_why),
		SUBJECT_TEST(of_a_machine_with_many_the_rest_is_counted),
	};

	return cmocka_run_group_tests_name("sensors", tests, NULL, NULL);
}
