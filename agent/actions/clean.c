/* SPDX-License-Identifier: MIT */
/*
 * DiskCleanup, CleanTemporaryFiles and PrepareGoldenImage. A host names targets from a fixed list, never a path; the
 * work is done by infiniservice-exec (agent/cleaner/), where it has rights and may take its time.
 */
#include "agent/actions/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "agent/actions/env.h"
#include "agent/actions/clean_report.h"
#include "agent/actions/run.h"

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

struct wish {
	const char *targets[TARGETS_MAX];
	size_t count;
	bool dry_run;
	int64_t age_days; /* -1: the cleaner's own */
};

static void add_target(struct wish *wish, const char *target)
{
	for (size_t i = 0; i < wish->count; i++)
		if (strcmp(wish->targets[i], target) == 0)
			return;
	if (wish->count < TARGETS_MAX)
		wish->targets[wish->count++] = target;
}

static bool add_name(struct wish *wish, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcasecmp(names[i].wanted, name) != 0)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(names[i].targets) && names[i].targets[k]; k++)
			add_target(wish, names[i].targets[k]);
		return true;
	}
	return false;
}

/* Takes `targets`: an array of names, or one name; NULL: `usual`. */
static bool take_targets(struct wish *wish, struct json_object *given, const char *const *usual)
{
	if (!given) {
		for (; *usual; usual++)
			add_target(wish, *usual);
		return true;
	}
	if (json_object_is_type(given, json_type_string))
		return add_name(wish, json_object_get_string(given));
	if (!json_object_is_type(given, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(given); i++) {
		struct json_object *name = json_object_array_get_idx(given, i);

		if (!json_object_is_type(name, json_type_string) || !add_name(wish, json_object_get_string(name)))
			return false;
	}
	return json_object_array_length(given) > 0;
}

static bool take_wish(struct command *command, struct wish *wish, const char *const *usual)
{
	struct message_fault fault;

	if (message_param_bool(&command->message, "dry_run", &wish->dry_run, &fault) < 0 ||
	    message_param_integer(&command->message, "age_days", 1, AGE_DAYS_MAX, &wish->age_days, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return false;
	}
	if (!take_targets(wish, message_param(&command->message, "targets"), usual)) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "targets holds tmp, var_tmp, package_cache, crash, journal, old_logs, or a name that "
			     "hosts use for them");
		return false;
	}
	return true;
}

/* ------------------------------------------------------------------------------------------------------- the answer */

struct clean_work {
	void (*then)(struct command *command, const struct clean_report *report);
	bool dry_run;
	bool shutdown_after;
};

static void emit_report(struct sink *out, const char *key, const void *arg)
{
	sink_object_begin(out, key);
	clean_report_emit(out, arg);
	sink_object_end(out);
}

static void on_cleaned(struct command *command, struct exec_outcome *outcome)
{
	struct clean_work *work = command->work;
	bool dry_run = work->dry_run;
	struct clean_report report;

	clean_report_parse(outcome->out.bytes, outcome->out.len, &report);
	report.dry_run = dry_run;
	if (run_succeeded(outcome)) {
		work->then(command, &report);
		return;
	}
	/* The streams are the report of the verb: the work done so far is answered as data. */
	outcome->out.len = 0;
	outcome->out.total = 0;
	run_answer(command, outcome, emit_report, &report);
}

static void answer_cleaned(struct command *command, const struct clean_report *report)
{
	command_succeed(command, emit_report, report);
}

static void run_verb(struct command *command, const char *const verb[], bool dry_run, bool shutdown_after,
		     void (*then)(struct command *command, const struct clean_report *report))
{
	const char *argv[TARGETS_MAX + 8];
	char path[4096];
	size_t count = 0;
	struct run run = { .argv = argv, .privileged = true, .max_output_bytes = REPORT_MAX, .done = on_cleaned };
	struct clean_work *work = calloc(1, sizeof(*work));

	if (!work) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
		return;
	}
	*work = (struct clean_work){ .then = then, .dry_run = dry_run, .shutdown_after = shutdown_after };
	command->work = work;
	command->work_free = free;
	argv[count++] = exec_program_path(path, sizeof(path));
	while (*verb && count + 1 < ARRAY_SIZE(argv))
		argv[count++] = *verb++;
	argv[count] = NULL;
	run_program(command, &run);
}

static void clean(struct command *command, const char *const *usual)
{
	struct wish wish = { .age_days = -1 };
	const char *verb[TARGETS_MAX + 6];
	char age[24];
	size_t count = 0;

	if (!take_wish(command, &wish, usual))
		return;
	if (wish.count == 0) {
		struct clean_report nothing = { .ended = true, .dry_run = wish.dry_run };

		answer_cleaned(command, &nothing);
		return;
	}
	verb[count++] = "clean";
	if (wish.dry_run)
		verb[count++] = "--dry-run";
	if (wish.age_days > 0) {
		snprintf(age, sizeof(age), "%lld", (long long)wish.age_days);
		verb[count++] = "--age-days";
		verb[count++] = age;
	}
	verb[count++] = "--";
	for (size_t i = 0; i < wish.count; i++)
		verb[count++] = wish.targets[i];
	verb[count] = NULL;
	run_verb(command, verb, wish.dry_run, false, answer_cleaned);
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

/* ------------------------------------------------------------------------------------------------- the golden image */

struct golden {
	const struct clean_report *report;
	bool shutdown;
};

static void emit_golden(struct sink *out, const char *key, const void *arg)
{
	const struct golden *golden = arg;

	sink_object_begin(out, key);
	sink_bool(out, "shutdown_scheduled", golden->shutdown);
	clean_report_emit_grants(out, golden->report);
	clean_report_emit(out, golden->report);
	sink_object_end(out);
}

/*
 * A sealed guest that goes on running would write logs and identity again: it is powered off, unless the host asks
 * otherwise.
 */
static void answer_golden(struct command *command, const struct clean_report *report)
{
	const struct clean_work *work = command->work;
	struct golden golden = { .report = report, .shutdown = work->shutdown_after && !work->dry_run };
	struct action_env *env = command_env(command);

	/* A power operation that is pending already (-EALREADY) does as well. */
	if (golden.shutdown)
		power_schedule(&env->power, POWER_OFF, POWER_DELAY_S);
	command_succeed(command, emit_golden, &golden);
}

static void run_prepare_golden_image(struct command *command)
{
	const char *level = NULL, *verb[5];
	struct message_fault fault;
	bool users = false, off = true, dry_run = false;
	size_t count = 0;

	if (message_param_text(&command->message, "cleanup_level", &level, &fault) < 0 ||
	    message_param_bool(&command->message, "sanitize_user_data", &users, &fault) < 0 ||
	    message_param_bool(&command->message, "shutdown_after", &off, &fault) < 0 ||
	    message_param_bool(&command->message, "dry_run", &dry_run, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return;
	}
	if (level && strcasecmp(level, "basic") != 0 && strcasecmp(level, "minimal") != 0 &&
	    strcasecmp(level, "standard") != 0 && strcasecmp(level, "deep") != 0 && strcasecmp(level, "full") != 0) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "cleanup_level is basic, minimal, standard, deep or full");
		return;
	}
	verb[count++] = "golden";
	if (dry_run)
		verb[count++] = "--dry-run";
	if (level && (strcasecmp(level, "deep") == 0 || strcasecmp(level, "full") == 0))
		verb[count++] = "--deep";
	if (users)
		verb[count++] = "--users";
	verb[count] = NULL;
	run_verb(command, verb, dry_run, off, answer_golden);
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
