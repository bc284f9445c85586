/* SPDX-License-Identifier: MIT */
/*
 * data.sensors: temperatures and fans (hwmon) and thermal zones, as far as the machine has any; few guests have. The
 * files are those of Documentation/hwmon/sysfs-interface.rst and Documentation/driver-api/thermal/sysfs-api.rst.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "attr.h"
#include "table.h"

#define CHIPS_MAX     32
#define OF_A_CHIP_MAX 16
#define SENSORS_MAX   48
#define NAME_MAX_HERE 48

enum sensor_kind { SENSOR_TEMPERATURE, SENSOR_FAN, SENSOR_ZONE, SENSOR_KINDS };

struct sensor {
	enum sensor_kind kind;
	char chip[NAME_MAX_HERE]; /* of a zone: its type */
	char label[NAME_MAX_HERE];
	int64_t value; /* thousandths of a degree, or revolutions a minute; valid if error is 0 */
	int error;
};

struct sensors {
	struct sensor sensors[SENSORS_MAX];
	unsigned count;
	unsigned left_out;
};

static int sensors_open(const struct collect_ctx *ctx, void **ret_state)
{
	(void)ctx;
	*ret_state = calloc(1, sizeof(struct sensors));
	return *ret_state ? 0 : -ENOMEM;
}

static void sensors_close(void *state)
{
	free(state);
}

/* ---------------------------------------------------------------------------------------------------- collecting */

static struct sensor *sensor_add(struct sensors *sensors, enum sensor_kind kind)
{
	struct sensor *sensor;

	if (sensors->count == SENSORS_MAX) {
		sensors->left_out++;
		return NULL;
	}
	sensor = &sensors->sensors[sensors->count++];
	*sensor = (struct sensor){ .kind = kind };
	return sensor;
}

/* tempN_input, tempN_label of a chip, and the same of fans. */
static void inputs_read(struct sensors *sensors, int sys_fd, const char *chip, const char *name, const char *prefix,
			enum sensor_kind kind)
{
	unsigned numbers[OF_A_CHIP_MAX];
	int total = attr_numbers(sys_fd, chip, prefix, "_input", numbers, OF_A_CHIP_MAX);

	for (int i = 0; i < total && i < OF_A_CHIP_MAX; i++) {
		struct sensor *sensor = sensor_add(sensors, kind);
		char path[128];

		if (!sensor)
			continue;
		snprintf(sensor->chip, sizeof(sensor->chip), "%s", name);
		snprintf(path, sizeof(path), "%s/%s%u_label", chip, prefix, numbers[i]);
		if (attr_text(sys_fd, path, sensor->label, sizeof(sensor->label)) < 0)
			snprintf(sensor->label, sizeof(sensor->label), "%s%u", prefix, numbers[i]);
		snprintf(path, sizeof(path), "%s/%s%u_input", chip, prefix, numbers[i]);
		sensor->error = attr_i64(sys_fd, path, &sensor->value);
	}
	if (total > OF_A_CHIP_MAX)
		sensors->left_out += (unsigned)total - OF_A_CHIP_MAX;
}

static void chips_read(struct sensors *sensors, int sys_fd)
{
	unsigned numbers[CHIPS_MAX];
	int total = attr_numbers(sys_fd, "class/hwmon", "hwmon", "", numbers, CHIPS_MAX);

	for (int i = 0; i < total && i < CHIPS_MAX; i++) {
		char chip[64], path[80], name[NAME_MAX_HERE];

		snprintf(chip, sizeof(chip), "class/hwmon/hwmon%u", numbers[i]);
		snprintf(path, sizeof(path), "%s/name", chip);
		attr_text(sys_fd, path, name, sizeof(name));
		inputs_read(sensors, sys_fd, chip, name, "temp", SENSOR_TEMPERATURE);
		inputs_read(sensors, sys_fd, chip, name, "fan", SENSOR_FAN);
	}
}

static void zones_read(struct sensors *sensors, int sys_fd)
{
	unsigned numbers[CHIPS_MAX];
	int total = attr_numbers(sys_fd, "class/thermal", "thermal_zone", "", numbers, CHIPS_MAX);

	for (int i = 0; i < total && i < CHIPS_MAX; i++) {
		struct sensor *sensor = sensor_add(sensors, SENSOR_ZONE);
		char path[64];

		if (!sensor)
			continue;
		snprintf(sensor->label, sizeof(sensor->label), "thermal_zone%u", numbers[i]);
		snprintf(path, sizeof(path), "class/thermal/thermal_zone%u/type", numbers[i]);
		attr_text(sys_fd, path, sensor->chip, sizeof(sensor->chip));
		snprintf(path, sizeof(path), "class/thermal/thermal_zone%u/temp", numbers[i]);
		sensor->error = attr_i64(sys_fd, path, &sensor->value);
	}
	if (total > CHIPS_MAX)
		sensors->left_out += (unsigned)total - CHIPS_MAX;
}

static int sensors_collect(void *state, const struct collect_ctx *ctx)
{
	struct sensors *sensors = state;

	sensors->count = 0;
	sensors->left_out = 0;
	chips_read(sensors, ctx->sys_fd);
	zones_read(sensors, ctx->sys_fd);
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- writing */

/* Outside of this no sensor is right, and a driver says so by such a value. */
static bool sensor_known(const struct sensor *sensor)
{
	if (sensor->error < 0)
		return false;
	return sensor->kind == SENSOR_FAN ? sensor->value >= 0 && sensor->value < 1000000
					  : sensor->value >= -273150 && sensor->value < 1000000;
}

static void sensor_emit(struct sink *out, const struct sensor *sensor)
{
	static const char *const keys[SENSOR_KINDS] = { "celsius", "rpm", "celsius" };

	sink_object_begin(out, NULL);
	attr_emit_text(out, sensor->kind == SENSOR_ZONE ? "type" : "chip", sensor->chip);
	sink_str(out, sensor->kind == SENSOR_ZONE ? "name" : "label", sensor->label);
	if (!sensor_known(sensor)) {
		sink_null(out, keys[sensor->kind]);
		sink_str(out, "reason", attr_reason(sensor->error < 0 ? sensor->error : -EBADMSG));
	} else if (sensor->kind == SENSOR_FAN) {
		sink_int(out, keys[sensor->kind], sensor->value);
	} else {
		sink_real(out, keys[sensor->kind], (double)sensor->value / 1000, 1);
	}
	sink_object_end(out);
}

static void sensors_emit(const void *state, struct sink *out)
{
	static const char *const lists[SENSOR_KINDS] = { "temperatures", "fans", "zones" };
	const struct sensors *sensors = state;

	for (unsigned kind = 0; kind < SENSOR_KINDS; kind++) {
		sink_array_begin(out, lists[kind]);
		for (unsigned i = 0; i < sensors->count; i++)
			if (sensors->sensors[i].kind == (enum sensor_kind)kind)
				sensor_emit(out, &sensors->sensors[i]);
		sink_array_end(out);
	}
	if (sensors->left_out > 0)
		sink_uint(out, "left_out", sensors->left_out);
}

const struct collector collector_sensors = {
	.name = "sensors",
	.path = "sensors",
	.period_s = 30,
	.open = sensors_open,
	.close = sensors_close,
	.collect = sensors_collect,
	.emit = sensors_emit,
};
