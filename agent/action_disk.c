/* SPDX-License-Identifier: MIT */
/* CheckDiskSpace: how full the file systems were at the last sample, against two thresholds. */
#include "agent/action.h"

#include "agent/agent.h"
#include "collectors/filesystem.h"
#include "collectors/table.h"

#define WARNING_DEFAULT 80
#define CRITICAL_DEFAULT 90
#define GIB (1024.0 * 1024 * 1024)

struct check {
	const void *state;
	int64_t warning, critical; /* percent used */
};

/* As df(1) counts: used of what an ordinary user could use. */
static double used_percent(const struct filesystem_row *row)
{
	uint64_t usable = row->used_bytes + row->available_bytes;

	return usable ? (double)row->used_bytes * 100.0 / (double)usable : 0;
}

static const char *status(const struct check *check)
{
	struct filesystem_row row;
	double worst = 0;

	for (size_t i = 0; filesystem_get(check->state, i, &row); i++)
		if (row.known && !row.read_only && used_percent(&row) > worst)
			worst = used_percent(&row);
	return worst >= (double)check->critical ? "critical" : worst >= (double)check->warning ? "warning" : "ok";
}

static void emit_disk(struct sink *out, const struct filesystem_row *row)
{
	sink_object_begin(out, NULL);
	sink_str(out, "mount_point", row->mount_point);
	sink_str(out, "filesystem", row->type);
	sink_real(out, "total_gb", (double)row->total_bytes / GIB, 3);
	sink_real(out, "used_gb", (double)row->used_bytes / GIB, 3);
	sink_real(out, "available_gb", (double)row->available_bytes / GIB, 3);
	sink_real(out, "usage_percent", used_percent(row), 2);
	sink_object_end(out);
}

/* The same under the names that a host uses for all its guests. */
static void emit_drive(struct sink *out, const struct filesystem_row *row)
{
	sink_object_begin(out, NULL);
	sink_str(out, "drive", row->mount_point);
	sink_str(out, "drive_letter", row->mount_point);
	sink_str(out, "label", row->device);
	sink_real(out, "total_gb", (double)row->total_bytes / GIB, 3);
	sink_real(out, "used_gb", (double)row->used_bytes / GIB, 3);
	sink_real(out, "free_gb", (double)row->available_bytes / GIB, 3);
	sink_real(out, "available_gb", (double)row->available_bytes / GIB, 3);
	sink_real(out, "used_percent", used_percent(row), 2);
	sink_object_end(out);
}

static void emit_list(struct sink *out, const char *key, const struct check *check,
		      void (*emit)(struct sink *out, const struct filesystem_row *row))
{
	struct filesystem_row row;

	sink_array_begin(out, key);
	for (size_t i = 0; filesystem_get(check->state, i, &row); i++) {
		struct sink_mark mark = sink_mark(out);

		if (!row.known)
			continue;
		emit(out, &row);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			break;
		}
	}
	sink_array_end(out);
}

/* Mounts whose numbers are not known now (a dead server) are named, not guessed. */
static void emit_unknown(struct sink *out, const struct check *check)
{
	struct filesystem_row row;

	sink_array_begin(out, "unknown");
	for (size_t i = 0; filesystem_get(check->state, i, &row); i++)
		if (!row.known)
			sink_str(out, NULL, row.mount_point);
	sink_array_end(out);
}

static void emit_check(struct sink *out, const char *key, const void *arg)
{
	const struct check *check = arg;

	sink_object_begin(out, key);
	sink_str(out, "status", status(check));
	sink_int(out, "warning_threshold", check->warning);
	sink_int(out, "critical_threshold", check->critical);
	emit_list(out, "disks", check, emit_disk);
	emit_list(out, "drives", check, emit_drive);
	emit_unknown(out, check);
	sink_object_end(out);
}

enum action_result action_run_check_disk_space(struct command *command)
{
	struct check check = {
		.state = sampler_state(command->agent->sampler, &collector_filesystem),
		.warning = WARNING_DEFAULT,
		.critical = CRITICAL_DEFAULT,
	};
	struct message_fault fault;

	if (message_param_integer(&command->message, "warning_threshold", 1, 100, &check.warning, &fault) < 0 ||
	    message_param_integer(&command->message, "critical_threshold", 1, 100, &check.critical, &fault) < 0)
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
	else if (check.warning > check.critical)
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "warning_threshold is above critical_threshold");
	else if (!check.state)
		command_fail(command, CODE_INTERNAL, "collector", "the filesystem collector is off or failing (see Status)");
	else
		command_succeed(command, emit_check, &check);
	return ACTION_TAKEN;
}
