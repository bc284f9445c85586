/* SPDX-License-Identifier: MIT */
/*
 * DiskCleanup, CleanTemporaryFiles and PrepareGoldenImage. A host names targets from a fixed list, never a path; the
 * work is done by the verbs `clean` and `golden` of infiniservice-exec (agent/cleaner/), where it has rights and may
 * take its time. Their report, a line each with fields in between tabs (verbs.c), is parsed here.
 */
#include "agent/actions/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "agent/actions/env.h"
#include "agent/actions/run.h"
#include "agent/packages/lines.h"

#define TARGETS_MAX  16
#define REPORT_MAX   (2u << 20)
#define AGE_DAYS_MAX 3650

/* The names of the cleaner, and those that hosts use for guests of other systems. */
static const struct {
	const char *wanted;
	const char *targets[3];
} names[] = {
	{ "tmp", { "tmp" } },
	{ "var_tmp", { "var_tmp" } },
	{ "package_cache", { "package_cache" } },
	{ "crash", { "crash" } },
	{ "journal", { "journal" } },
	{ "old_logs", { "old_logs" } },
	{ "temp", { "tmp", "var_tmp" } },
	{ "temp_files", { "tmp", "var_tmp" } },
	{ "temporary_files", { "tmp", "var_tmp" } },
	{ "cache", { "package_cache" } },
	{ "system_cache", { "package_cache" } },
	{ "browser_cache", { NULL } }, /* belongs to the users, so the system has nothing to clean here, */
	{ "recycle_bin", { NULL } },   /* nor here */
	{ "logs", { "journal", "old_logs" } },
	{ "crash_dumps", { "crash" } },
	{ "all", { "tmp", "var_tmp", "package_cache" } },
};

/* ------------------------------------------------------------------------------------------------------- the answer */

/* The work of a command, and the report of its verb. */
struct cleaning {
	bool golden, dry_run, shutdown_after;
	const char *text; /* borrowed: the items are read from it */
	size_t len;
	uint64_t freed_bytes, items, kept, errors; /* those of the last line, if there is one */
	uint64_t directories;			   /* items reported as directories; all other items count as files */
	bool sealed;				   /* a golden image was made: its keys are written, too */
};

/* "item<TAB>bytes<TAB>path" */
static bool is_item(struct piece line, struct piece field[3])
{
	return fields_cut(line, field, 3) && piece_is(field[0], "item") && piece_number(field[1]) >= 0;
}

/* Without a last line the totals are summed up from the items reported. */
static void take_report(struct cleaning *cleaning, const char *text, size_t len)
{
	struct piece rest = { text, len }, line, field[5];

	cleaning->text = text;
	cleaning->len = len;
	while (line_cut(&rest, &line)) {
		if (is_item(line, field)) {
			cleaning->freed_bytes += (uint64_t)piece_number(field[1]);
			cleaning->items++;
		}
		/* "directories<TAB>count" */
		if (piece_starts(line, "directories\t") && fields_cut(line, field, 2) && piece_number(field[1]) >= 0)
			cleaning->directories = (uint64_t)piece_number(field[1]);
		/* "end<TAB>freed<TAB>items<TAB>kept<TAB>errors" */
		if (!piece_starts(line, "end\t") || !fields_cut(line, field, 5) || piece_number(field[1]) < 0 ||
		    piece_number(field[2]) < 0 || piece_number(field[3]) < 0 || piece_number(field[4]) < 0)
			continue;
		cleaning->freed_bytes = (uint64_t)piece_number(field[1]);
		cleaning->items = (uint64_t)piece_number(field[2]);
		cleaning->kept = (uint64_t)piece_number(field[3]);
		cleaning->errors = (uint64_t)piece_number(field[4]);
		break;
	}
	if (cleaning->directories > cleaning->items)
		cleaning->directories = 0;
}

/* What a golden image no longer grants: "grant<TAB>path<TAB>what". */
static void emit_grants(struct sink *out, const struct cleaning *cleaning)
{
	struct piece rest = { cleaning->text, cleaning->len }, line, field[3];

	sink_array_begin(out, "grants");
	while (line_cut(&rest, &line)) {
		struct sink_mark mark = sink_mark(out);

		if (!piece_starts(line, "grant\t") || !fields_cut(line, field, 3))
			continue;
		sink_object_begin(out, NULL);
		sink_text(out, "file", field[1].at, field[1].len, SINK_PATH_MAX);
		sink_text(out, "what", field[2].at, field[2].len, SINK_PATH_MAX);
		sink_object_end(out);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			break;
		}
	}
	sink_array_end(out);
}

static void emit_cleaning(struct sink *out, const char *key, const void *arg)
{
	const struct cleaning *cleaning = arg;
	struct piece rest = { cleaning->text, cleaning->len }, line, field[3];
	uint64_t written = 0;

	sink_object_begin(out, key);
	if (cleaning->sealed) {
		sink_bool(out, "shutdown_scheduled", cleaning->shutdown_after);
		emit_grants(out, cleaning);
	}
	sink_uint(out, "freed_bytes", cleaning->freed_bytes);
	sink_real(out, "space_cleared_mb", (double)cleaning->freed_bytes / (1 << 20), 2);
	sink_uint(out, "files_deleted", cleaning->items - cleaning->directories);
	sink_bool(out, "dry_run", cleaning->dry_run);
	sink_uint(out, "kept_count", cleaning->kept);
	sink_uint(out, "error_count", cleaning->errors);
	sink_array_begin(out, "cleaned_items");
	while (line_cut(&rest, &line)) {
		struct sink_mark mark = sink_mark(out);

		if (!is_item(line, field))
			continue;
		sink_text(out, NULL, field[2].at, field[2].len, SINK_PATH_MAX);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			break;
		}
		written++;
	}
	sink_array_end(out);
	if (written < cleaning->items) {
		sink_bool(out, "truncated", true);
		sink_uint(out, "total_count", cleaning->items);
	}
	sink_object_end(out);
}

static void on_cleaned(struct command *command, struct exec_outcome *outcome)
{
	struct cleaning *cleaning = command->work;

	take_report(cleaning, outcome->out.bytes, outcome->out.len);
	if (run_succeeded(outcome)) {
		cleaning->sealed = cleaning->golden;
		/*
		 * A sealed guest that goes on running would write logs and identity again: it is powered off, unless
		 * the host asks otherwise. A power operation that is pending already (-EALREADY) does as well.
		 */
		if (cleaning->shutdown_after)
			power_schedule(&command_env(command)->power, RUNNER_OPERATION_POWER_OFF, POWER_DELAY_S,
				       action_shutdown_system.name, GROUP_POWER);
		command_succeed(command, emit_cleaning, cleaning);
		return;
	}
	/* The streams are the report of the verb: the work done so far is answered as data. */
	outcome->out.len = 0;
	outcome->out.total = 0;
	run_answer(command, outcome, emit_cleaning, cleaning);
}

/* ------------------------------------------------------------------------------------------------------- the actions
 */

/* Runs the verb whose words stand behind the place of the program in `argv`. */
static void run_verb(struct command *command, const char *argv[], struct cleaning wanted)
{
	struct run run = { .argv = argv, .privileged = true, .max_output_bytes = REPORT_MAX, .done = on_cleaned };
	struct cleaning *cleaning = malloc(sizeof(*cleaning));
	char path[4096];

	if (!cleaning) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
		return;
	}
	*cleaning = wanted;
	command->work = cleaning;
	command->work_free = free;
	argv[0] = exec_program_path(path, sizeof(path));
	run_program(command, &run);
}

/* Adds the targets of one name to a list that ends with NULL; false if the name is unknown. */
static bool add_name(const char *targets[TARGETS_MAX + 1], const char *name)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(names) && strcasecmp(names[i].wanted, name) != 0)
		i++;
	if (i == ARRAY_SIZE(names))
		return false;
	for (size_t k = 0; k < ARRAY_SIZE(names[i].targets) && names[i].targets[k]; k++) {
		size_t at = 0;

		while (targets[at] && strcmp(targets[at], names[i].targets[k]) != 0)
			at++;
		if (at < TARGETS_MAX)
			targets[at] = names[i].targets[k];
	}
	return true;
}

/* `usual` is the names that are meant without `targets`, which is an array of names, or one name. */
static void clean(struct command *command, const char *const *usual)
{
	struct json_object *given = message_param(&command->message, "targets");
	bool is_list = json_object_is_type(given, json_type_array), known = true, dry_run = false;
	size_t given_count = is_list ? json_object_array_length(given) : given ? 1 : 0, count = 1;
	const char *targets[TARGETS_MAX + 1] = { NULL }, *argv[TARGETS_MAX + 8];
	struct message_fault fault;
	int64_t age_days = -1; /* the cleaner's own */
	char age[24];

	if (message_param_bool(&command->message, "dry_run", &dry_run, &fault) < 0 ||
	    message_param_integer(&command->message, "age_days", 1, AGE_DAYS_MAX, &age_days, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return;
	}
	for (; !given && *usual; usual++)
		add_name(targets, *usual);
	for (size_t i = 0; i < given_count && known; i++) {
		struct json_object *name = is_list ? json_object_array_get_idx(given, i) : given;

		known = json_object_is_type(name, json_type_string) && add_name(targets, json_object_get_string(name));
	}
	if (!known || (given && given_count == 0)) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "targets holds tmp, var_tmp, package_cache, crash, journal, old_logs, or a name that "
			     "hosts use for them");
		return;
	}
	if (!targets[0]) {
		command_succeed(command, emit_cleaning, &(struct cleaning){ .dry_run = dry_run });
		return;
	}
	argv[count++] = "clean";
	if (dry_run)
		argv[count++] = "--dry-run";
	if (age_days > 0) {
		snprintf(age, sizeof(age), "%lld", (long long)age_days);
		argv[count++] = "--age-days";
		argv[count++] = age;
	}
	argv[count++] = "--";
	for (size_t i = 0; targets[i]; i++)
		argv[count++] = targets[i];
	argv[count] = NULL;
	run_verb(command, argv, (struct cleaning){ .dry_run = dry_run });
}

static void run_disk_cleanup(struct command *command)
{
	static const char *const usual[] = { "tmp", "var_tmp", "package_cache", "crash", NULL };

	clean(command, usual);
}

static void run_clean_temporary_files(struct command *command)
{
	static const char *const usual[] = { "tmp", "var_tmp", NULL };

	clean(command, usual);
}

static void run_prepare_golden_image(struct command *command)
{
	const char *level = NULL, *argv[6];
	struct message_fault fault;
	bool users = false, off = true, dry_run = false, deep;
	size_t count = 1;

	if (message_param_text(&command->message, "cleanup_level", &level, &fault) < 0 ||
	    message_param_bool(&command->message, "sanitize_user_data", &users, &fault) < 0 ||
	    message_param_bool(&command->message, "shutdown_after", &off, &fault) < 0 ||
	    message_param_bool(&command->message, "dry_run", &dry_run, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return;
	}
	deep = level && (strcasecmp(level, "deep") == 0 || strcasecmp(level, "full") == 0);
	if (level && !deep && strcasecmp(level, "basic") != 0 && strcasecmp(level, "minimal") != 0 &&
	    strcasecmp(level, "standard") != 0) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "cleanup_level is basic, minimal, standard, deep or full");
		return;
	}
	argv[count++] = "golden";
	if (dry_run)
		argv[count++] = "--dry-run";
	if (deep)
		argv[count++] = "--deep";
	if (users)
		argv[count++] = "--users";
	argv[count] = NULL;
	run_verb(command, argv,
		 (struct cleaning){ .golden = true, .dry_run = dry_run, .shutdown_after = off && !dry_run });
}

const struct action action_disk_cleanup = {
	.name = "DiskCleanup", .group = GROUP_CONTROL, .slot = true, .timeout_s = 300, .run = run_disk_cleanup
};

const struct action action_clean_temporary_files = { .name = "CleanTemporaryFiles",
						     .group = GROUP_CONTROL,
						     .slot = true,
						     .timeout_s = 300,
						     .run = run_clean_temporary_files };

const struct action action_prepare_golden_image = { .name = "PrepareGoldenImage",
						    .group = GROUP_POWER,
						    .slot = true,
						    .timeout_s = 600,
						    .run = run_prepare_golden_image };
