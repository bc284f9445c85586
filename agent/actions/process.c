/* SPDX-License-Identifier: MIT */
/*
 * ProcessList and ProcessTop: the processes as they are now, not as in the last sample. Command lines come from the
 * prober (reading one may hang); the action waits for them, but never longer than the deadline of the probe. With many
 * processes it also waits for the scan, which is done in slices.
 */
#include "agent/actions/table.h"

#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "collectors/processes.h"
#include "collectors/table.h"

#define LIST_LIMIT_MAX	   10000
#define LIST_LIMIT_DEFAULT 1000
#define TOP_LIMIT_DEFAULT  10
/* Command lines requested at once; a longer list has them for its first rows and for cached processes. */
#define ASK_MAX 200

/* A command that waits for the scan, or for the prober. */
struct listing {
	struct sampling_waiter waiter;
	bool asked; /* the prober has been asked for the command lines */
};

struct rows {
	const struct process_row *rows;
	size_t count;
};

struct list_answer {
	struct rows rows;
	size_t all; /* processes there are */
	struct response response;
};

static void emit_row(struct sink *out, const struct process_row *row)
{
	char started[RFC3339_SIZE];

	rfc3339_format(row->start_wall_ms, started);
	sink_object_begin(out, NULL);
	sink_int(out, "pid", row->pid);
	sink_int(out, "ppid", row->ppid);
	sink_text(out, "name", row->comm, row->comm_len, SINK_COMM_MAX);
	sink_real(out, "cpu_usage", row->cpu_percent, 2);
	sink_uint(out, "memory_kb", row->rss_kb);
	sink_str(out, "status", row->status);
	if (row->cmdline)
		sink_text(out, "cmd_line", row->cmdline, row->cmdline_len, SINK_CMDLINE_MAX);
	else
		sink_null(out, "cmd_line");
	if (row->user)
		sink_str(out, "user", row->user);
	else if (row->uid_known)
		sink_uint(out, "user", row->uid);
	else
		sink_null(out, "user");
	sink_str(out, "start_time", started);
	sink_object_end(out);
}

/* Rows that no longer fit are left out; the response says so, which turns out only here. */
static void emit_rows(struct sink *out, const char *key, const void *arg)
{
	struct list_answer *answer = *(struct list_answer *const *)arg;
	struct rows *rows = &answer->rows;

	sink_array_begin(out, key);
	for (size_t i = 0; i < rows->count; i++) {
		struct sink_mark mark = sink_mark(out);

		emit_row(out, &rows->rows[i]);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			answer->response.data_truncated = true;
			answer->response.total_count = answer->all;
			break;
		}
	}
	sink_array_end(out);
}

static bool parameters(struct command *command, int64_t *limit, enum processes_sort *sort)
{
	struct message_fault fault;
	const char *sort_by = NULL;

	if (message_param_integer(&command->message, "limit", 1, LIST_LIMIT_MAX, limit, &fault) < 0 ||
	    message_param_text(&command->message, "sort_by", &sort_by, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return false;
	}
	if (!sort_by)
		return true;
	if (strcmp(sort_by, "cpu") == 0) {
		*sort = PROCESSES_BY_CPU;
	} else if (strcmp(sort_by, "memory") == 0) {
		*sort = PROCESSES_BY_MEMORY;
	} else {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value", "sort_by is \"cpu\" or \"memory\"");
		return false;
	}
	return true;
}

static void on_ready(void *data)
{
	struct command *command = data;

	if (!command->end)
		command_run_action(command);
}

static void listing_free(void *work)
{
	struct listing *listing = work;

	sampling_leave(&listing->waiter);
	free(listing);
}

/* The state of a command that runs for the first time. NULL: out of memory. */
static struct listing *listing_new(struct command *command)
{
	struct listing *listing = calloc(1, sizeof(*listing));

	if (!listing)
		return NULL;
	listing->waiter.ready = on_ready;
	listing->waiter.data = command;
	command->work = listing;
	command->work_free = listing_free;
	return listing;
}

/* Runs again when the scan is over, and when the prober has answered. */
static void list(struct command *command, int64_t limit, enum processes_sort sort, bool is_list)
{
	struct listing *listing = command->work;
	struct action_env *env = command_env(command);
	struct collect_ctx ctx = env_context(env, &collector_processes);
	void *state = sampler_state(env->sampler, &collector_processes);
	_cleanup_(freep) struct process_row *table = NULL;
	struct list_answer answer = { .response = { .success = true, .data = emit_rows } }, *arg = &answer;

	if (!parameters(command, &limit, &sort))
		return;
	if (!listing) {
		listing = listing_new(command);
		if (listing && !sampling_scan(env->sampling, &listing->waiter))
			return;
	}
	table = listing ? calloc((size_t)limit, sizeof(*table)) : NULL;
	if (!table || !state) {
		command_fail(command, CODE_INTERNAL, "collector",
			     "the processes collector is off or failing (see Status)");
		return;
	}
	answer.rows =
		(struct rows){ .rows = table, .count = processes_sorted(state, &ctx, sort, table, (size_t)limit) };
	if (!listing->asked) {
		listing->asked = true;
		if (processes_ask(state, &ctx, table, answer.rows.count < ASK_MAX ? answer.rows.count : ASK_MAX) > 0 &&
		    !sampling_await_probes(env->sampling, &listing->waiter))
			return;
	}
	/* ProcessTop is limited by request; ProcessList is of all processes, and says when it is truncated. */
	answer.all = processes_count(state);
	answer.response.arg = &arg;
	answer.response.data_truncated = is_list && answer.rows.count < answer.all;
	answer.response.total_count = answer.response.data_truncated ? answer.all : 0;
	command_answer(command, &answer.response);
}

static void run_process_list(struct command *command)
{
	list(command, LIST_LIMIT_DEFAULT, PROCESSES_BY_PID, true);
}

static void run_process_top(struct command *command)
{
	list(command, TOP_LIMIT_DEFAULT, PROCESSES_BY_CPU, false);
}

const struct action action_process_list = { .name = "ProcessList", .group = GROUP_OBSERVE, .run = run_process_list };

const struct action action_process_top = { .name = "ProcessTop", .group = GROUP_OBSERVE, .run = run_process_top };
