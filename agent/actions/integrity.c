/* SPDX-License-Identifier: MIT */
/*
 * CheckSystemIntegrity: verifies the files of all packages with the package manager's own tool. Its rules for files
 * that were not installed are asked first: a file that is missing by such a rule is no damage.
 */
#include "agent/actions/table.h"

#include <stdlib.h>

#include "agent/actions/env.h"
#include "agent/actions/package_job.h"
#include "agent/packages/verify.h"
#include "agent/actions/run.h"

#define VERIFY_MAX (4u << 20)
#define RULES_MAX  (256u << 10)

struct integrity {
	const struct package_manager *manager;
	const char *text;
	size_t len;
	struct verify_rules rules;
	bool rules_known;
	uint64_t changed, missing, kinds[VERIFY_KINDS];
	unsigned char *judged; /* of each line, its kind: rules are held against many thousand lines but once */
	bool complete;
	bool rights; /* without them, files that only root may read are passed over in silence */
};

static void integrity_free(void *data)
{
	struct integrity *integrity = data;

	verify_rules_done(&integrity->rules);
	free(integrity->judged);
	free(integrity);
}

/* A line has at least its nine flags, a blank, a path and a newline; or "missing" for the flags. */
#define LINE_MIN 10

/* False when there is no room for more. */
static bool emit_changes_of(struct sink *out, const struct integrity *integrity, enum verify_kind kind,
			    uint64_t *written)
{
	const char *text = integrity->text;
	size_t len = integrity->len;
	struct verify_line line;

	for (size_t i = 0; verify_next(&text, &len, &line); i++) {
		struct sink_mark mark = sink_mark(out);

		if (integrity->judged[i] != kind)
			continue;
		sink_object_begin(out, NULL);
		sink_text(out, "path", line.path, line.path_len, SINK_PATH_MAX);
		sink_text(out, "flags", line.flags, line.flags_len, 16);
		sink_bool(out, "missing", line.missing);
		sink_bool(out, "config_file", line.config);
		sink_str(out, "kind", verify_kind_name(kind));
		sink_object_end(out);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			return false;
		}
		(*written)++;
	}
	return true;
}

static void emit_integrity(struct sink *out, const char *key, const void *arg)
{
	static const char *const counts[VERIFY_KINDS] = {
		[VERIFY_DAMAGE] = "damaged_count",	  [VERIFY_CONFIG] = "config_count",
		[VERIFY_EXCLUDED] = "excluded_count",	  [VERIFY_DOCUMENTATION] = "documentation_count",
		[VERIFY_GHOST] = "ghost_count",		  [VERIFY_TIME] = "time_count",
		[VERIFY_UNREADABLE] = "unreadable_count",
	};
	const struct integrity *integrity = arg;
	const char *const *tool = integrity->manager->steps[PACKAGE_VERIFY].argv;
	uint64_t listed = integrity->kinds[VERIFY_DAMAGE] + integrity->kinds[VERIFY_CONFIG], written = 0;
	bool passed = false;
	const char *message;

	/* Files that were not checked have not passed. */
	if (!integrity->complete) {
		message = "not all packages were looked at: the time was not enough, or the answer too long";
	} else if (integrity->kinds[VERIFY_DAMAGE]) {
		message = "files are not as their packages brought them";
	} else if (!integrity->rights || integrity->kinds[VERIFY_UNREADABLE]) {
		message = "nothing was found changed, but files that only root may read were not looked at";
	} else {
		message = "all files are as their packages brought them, but for configuration and what was not to be "
			  "installed";
		passed = true;
	}
	sink_object_begin(out, key);
	sink_str(out, "status", passed ? "passed" : "warning");
	sink_str(out, "message", message);
	sink_object_begin(out, "details");
	sink_str(out, "tool", tool ? tool[0] : integrity->manager->name);
	sink_bool(out, "complete", integrity->complete);
	sink_bool(out, "as_root", integrity->rights);
	sink_bool(out, "exclusions_known", integrity->rules_known);
	sink_uint(out, "changed_count", integrity->changed);
	sink_uint(out, "missing_count", integrity->missing);
	for (size_t i = 0; i < VERIFY_KINDS; i++)
		sink_uint(out, counts[i], integrity->kinds[i]);
	sink_object_end(out);
	/*
	 * The serious findings first; files left out by a rule are counted and not listed: an image without
	 * documentation lacks thousands.
	 */
	sink_array_begin(out, "changed_files");
	if (emit_changes_of(out, integrity, VERIFY_DAMAGE, &written))
		emit_changes_of(out, integrity, VERIFY_CONFIG, &written);
	sink_array_end(out);
	if (written < listed) {
		sink_bool(out, "truncated", true);
		sink_uint(out, "total_count", listed);
	}
	sink_object_end(out);
}

/* rpm -Va and newer dpkg end with 1 when they found something. */
static void on_verified(struct command *command, struct exec_outcome *outcome)
{
	struct integrity *integrity = command->work;
	const char *text = outcome->out.bytes;
	size_t len = outcome->out.len;
	bool ended = outcome->started && !outcome->timed_out && outcome->exit_code >= 0 && outcome->exit_code <= 1;
	struct verify_line line;

	integrity->text = text;
	integrity->len = len;
	integrity->complete = ended && !outcome->truncated;
	integrity->judged = malloc(len / LINE_MIN + 1);
	if (!integrity->judged) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
		return;
	}
	while (verify_next(&text, &len, &line)) {
		enum verify_kind kind = verify_judge(&line, &integrity->rules);

		integrity->judged[integrity->changed] = (unsigned char)kind;
		integrity->kinds[kind]++;
		integrity->changed++;
		integrity->missing += line.missing && !line.unreadable;
	}
	if (ended && !outcome->lost && !outcome->cancelled) {
		command_succeed(command, emit_integrity, integrity);
		return;
	}
	/* At its deadline the findings so far are answered. */
	outcome->out.len = 0;
	outcome->out.total = 0;
	run_answer(command, outcome, emit_integrity, integrity);
}

static void verify(struct command *command)
{
	const struct integrity *integrity = command->work;

	if (!package_run(command, integrity->manager, PACKAGE_VERIFY,
			 (struct run){ .privileged = true, .max_output_bytes = VERIFY_MAX, .done = on_verified }))
		command_fail(command, CODE_UNSUPPORTED_PLATFORM, "not_supported", "%s cannot do that",
			     integrity->manager->name);
}

static void on_rules(struct command *command, struct exec_outcome *outcome)
{
	struct integrity *integrity = command->work;

	if (!outcome->started || outcome->lost || outcome->cancelled || outcome->stuck || outcome->timed_out) {
		run_answer(command, outcome, NULL, NULL);
		return;
	}
	/* 1: none; more: a file could not be read. */
	integrity->rules_known = outcome->exit_code >= 0 && outcome->exit_code <= 1 && !outcome->truncated;
	if (verify_rules_read(outcome->out.bytes, outcome->out.len, &integrity->rules) < 0) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
		return;
	}
	integrity->rules_known = integrity->rules_known && !integrity->rules.truncated;
	verify(command);
}

static void run_check_system_integrity(struct command *command)
{
	const struct package_manager *manager = package_manager_require(command);
	struct integrity *integrity = manager ? calloc(1, sizeof(*integrity)) : NULL;

	if (manager && !integrity)
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
	if (!integrity)
		return;
	command->work = integrity;
	command->work_free = integrity_free;
	integrity->manager = manager;
	integrity->rights = run_has_rights(command);
	integrity->rules_known = !manager->steps[PACKAGE_EXCLUDES].argv;
	if (!package_run(command, manager, PACKAGE_EXCLUDES,
			 (struct run){ .max_output_bytes = RULES_MAX, .done = on_rules }))
		verify(command);
}

const struct action action_check_system_integrity = { .name = "CheckSystemIntegrity",
						      .group = GROUP_OBSERVE,
						      .slot = true,
						      .timeout_s = 600,
						      .run = run_check_system_integrity };
