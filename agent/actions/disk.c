/* SPDX-License-Identifier: MIT */
/* CheckDiskSpace: how full the file systems were at the last sample, against two thresholds. */
#include "agent/actions/table.h"

#include "agent/actions/env.h"
#include "agent/metrics/disk_judge.h"
#include "collectors/table.h"

#define GIB (1024.0 * 1024 * 1024)

struct check {
	const void *state;
	int64_t warning, critical; /* percent used */
};

static void emit_disk(struct sink *out, const struct filesystem_row *row)
{
	sink_object_begin(out, NULL);
	sink_str(out, "mount_point", row->mount_point);
	sink_str(out, "filesystem", row->type);
	sink_real(out, "total_gb", (double)row->total_bytes / GIB, 3);
	sink_real(out, "used_gb", (double)row->used_bytes / GIB, 3);
	sink_real(out, "available_gb", (double)row->available_bytes / GIB, 3);
	sink_real(out, "usage_percent", disk_used_percent(row), 2);
	if (disk_inodes_percent(row) < 0)
		sink_null(out, "inodes_percent");
	else
		sink_real(out, "inodes_percent", disk_inodes_percent(row), 2);
	sink_bool(out, "read_only", row->read_only);
	sink_bool(out, "judged", filesystem_is_judged(row));
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
	sink_real(out, "used_percent", disk_used_percent(row), 2);
	sink_object_end(out);
}

/* `left_out_key` counts those that found no room. */
static void emit_list(struct sink *out, const struct check *check, const char *key, const char *left_out_key,
		      bool judged_only, void (*emit)(struct sink *out, const struct filesystem_row *row))
{
	struct filesystem_row row;
	unsigned left_out = 0;

	sink_array_begin(out, key);
	for (size_t i = 0; filesystem_get(check->state, i, &row); i++) {
		struct sink_mark mark = sink_mark(out);

		if (!disk_is_known(&row) || (judged_only && !filesystem_is_judged(&row)))
			continue;
		if (left_out == 0)
			emit(out, &row);
		if (left_out || sink_full(out)) {
			sink_rewind(out, mark);
			left_out++;
		}
	}
	sink_array_end(out);
	if (left_out)
		sink_uint(out, left_out_key, left_out);
}

/* Hosts judge each drive by themselves, so file systems that are full by nature are not listed as drives. */
static void emit_check(struct sink *out, const char *key, const void *arg)
{
	static const char *const statuses[] = { [DISK_OK] = "ok", [DISK_TIGHT] = "warning", [DISK_FULL] = "critical" };
	const struct check *check = arg;
	struct disk_verdict verdict;
	struct filesystem_row row;

	disk_judge(check->state, &verdict);
	sink_object_begin(out, key);
	sink_str(out, "status", statuses[disk_level(&verdict, (double)check->warning, (double)check->critical)]);
	sink_int(out, "warning_threshold", check->warning);
	sink_int(out, "critical_threshold", check->critical);
	emit_list(out, check, "drives", "drives_left_out", true, emit_drive);
	emit_list(out, check, "disks", "disks_left_out", false, emit_disk);
	/* Mounts without known numbers (a dead server) are named, not guessed. */
	sink_array_begin(out, "unknown");
	for (size_t i = 0; filesystem_get(check->state, i, &row); i++)
		if (!disk_is_known(&row))
			sink_str(out, NULL, row.mount_point);
	sink_array_end(out);
	sink_object_end(out);
}

static void run_check_disk_space(struct command *command)
{
	struct check check = {
		.state = sampling_state(command_env(command)->sampling, &collector_filesystem),
		.warning = DISK_WARNING,
		.critical = DISK_CRITICAL,
	};
	struct message_fault fault;

	if (message_param_integer(&command->message, "warning_threshold", 1, 100, &check.warning, &fault) < 0 ||
	    message_param_integer(&command->message, "critical_threshold", 1, 100, &check.critical, &fault) < 0)
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
	else if (check.warning > check.critical)
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "warning_threshold is above critical_threshold");
	else if (!check.state)
		command_fail(command, CODE_INTERNAL, "collector",
			     "the filesystem collector is off or failing (see Status)");
	else
		command_succeed(command, emit_check, &check);
}

const struct action action_check_disk_space = { .name = "CheckDiskSpace",
						.group = GROUP_OBSERVE,
						.run = run_check_disk_space };
