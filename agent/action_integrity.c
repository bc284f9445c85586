/* SPDX-License-Identifier: MIT */
/* CheckSystemIntegrity: the files of all packages against what the packages brought, as the package manager's own tool sees them. */
#include "agent/action.h"

#include "agent/agent.h"
#include "agent/package_job.h"
#include "agent/run.h"

#define VERIFY_MAX (4u << 20)

struct integrity {
	const char *text;
	size_t len;
	uint64_t changed, configs, missing;
	const char *tool;
	bool complete;
};

static void count_changes(struct integrity *integrity)
{
	const char *text = integrity->text;
	size_t len = integrity->len;
	struct verify_line line;

	while (verify_next(&text, &len, &line)) {
		integrity->changed++;
		integrity->configs += line.config;
		integrity->missing += line.missing;
	}
}

static void emit_changes(struct sink *out, const struct integrity *integrity)
{
	const char *text = integrity->text;
	size_t len = integrity->len;
	struct verify_line line;
	uint64_t written = 0;

	sink_array_begin(out, "changed_files");
	while (verify_next(&text, &len, &line)) {
		struct sink_mark mark = sink_mark(out);

		sink_object_begin(out, NULL);
		sink_text(out, "path", line.path, line.path_len, SINK_PATH_MAX);
		sink_text(out, "flags", line.flags, line.flags_len, 16);
		sink_bool(out, "missing", line.missing);
		sink_bool(out, "config_file", line.config);
		sink_object_end(out);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			break;
		}
		written++;
	}
	sink_array_end(out);
	if (written < integrity->changed) {
		sink_bool(out, "truncated", true);
		sink_uint(out, "total_count", integrity->changed);
	}
}

/* Configuration files are there to be changed. */
static void emit_integrity(struct sink *out, const char *key, const void *arg)
{
	const struct integrity *integrity = arg;
	uint64_t serious = integrity->changed - integrity->configs;

	sink_object_begin(out, key);
	sink_str(out, "status", serious ? "warning" : "passed");
	sink_str(out, "message", !integrity->complete ? "the time was not enough for all packages" :
				 serious ? "files are not as their packages brought them" :
					   "all files but configuration are as their packages brought them");
	sink_object_begin(out, "details");
	sink_str(out, "tool", integrity->tool);
	sink_bool(out, "complete", integrity->complete);
	sink_uint(out, "changed_count", integrity->changed);
	sink_uint(out, "config_count", integrity->configs);
	sink_uint(out, "missing_count", integrity->missing);
	sink_object_end(out);
	emit_changes(out, integrity);
	sink_object_end(out);
}

/* rpm -Va and newer dpkg end with 1 when they found something. */
static void on_verified(struct command *command, struct exec_outcome *outcome)
{
	const struct package_manager *manager = package_manager_require(command);
	struct integrity integrity = { .text = outcome->out.bytes, .len = outcome->out.len };

	if (!manager)
		return;
	integrity.tool = manager->steps[PACKAGE_VERIFY].argv[0];
	integrity.complete = outcome->started && !outcome->timed_out && !outcome->truncated && outcome->exit_code >= 0 &&
			     outcome->exit_code <= 1;
	count_changes(&integrity);
	if (outcome->started && !outcome->lost && !outcome->cancelled && outcome->exit_code >= 0 && outcome->exit_code <= 1 &&
	    !outcome->timed_out) {
		command_succeed(command, emit_integrity, &integrity);
		return;
	}
	/* At its deadline: what was found by then. */
	outcome->out.len = 0;
	outcome->out.total = 0;
	run_answer(command, outcome, emit_integrity, &integrity);
}

enum action_result action_run_check_system_integrity(struct command *command)
{
	const struct package_manager *manager = package_manager_require(command);
	const char *argv[PACKAGE_ARGS_MAX];
	char path[64];
	struct run run = { .argv = argv, .privileged = true, .max_output_bytes = VERIFY_MAX, .done = on_verified };

	if (!manager)
		return ACTION_TAKEN;
	if (!manager->steps[PACKAGE_VERIFY].argv || !run_find(manager->steps[PACKAGE_VERIFY].argv[0], path, sizeof(path)) ||
	    package_argv(&manager->steps[PACKAGE_VERIFY], path, NULL, 0, argv) < 0) {
		command_fail(command, CODE_UNSUPPORTED_PLATFORM, "not_supported", "%s cannot do that", manager->name);
		return ACTION_TAKEN;
	}
	return run_program(command, &run);
}
