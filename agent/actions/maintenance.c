/* SPDX-License-Identifier: MIT */
/*
 * RunMaintenanceTask: another name for four other actions. The policy applies to the action behind the task: a task of
 * updates needs the group of packages, and a denied action is denied as a task, too. Health checks may be made before
 * and after it:
 *
 *	[checks; a failed one ends it] ─► the action ─► its answer, kept ─► [checks] ─► the answer with `validation`
 */
#include "agent/actions/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "agent/actions/env.h"
#include "agent/actions/health.h"
#include "agent/actions/run.h"

/* Limit of the task's own data, so that the checks find room beside it. */
#define DATA_MAX (REPLY_DATA_MAX - 65536)

static const struct task_row {
	const char *type, *action;
	enum policy_group group;
} tasks[] = {
	{ "cleanup", "DiskCleanup", GROUP_CONTROL },
	{ "updates", "UpdateSystemSoftware", GROUP_PACKAGES },
	{ "restart_services", "RestartServices", GROUP_CONTROL },
	{ "health", "RunAllHealthChecks", GROUP_CONTROL },
};

/* The row of the task that is asked for, or NULL. */
static const struct task_row *find_task(const struct message *message)
{
	struct message_fault fault;
	const char *type = NULL;

	if (message_param_text(message, "task_type", &type, &fault) < 0 || !type)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
		if (strcmp(tasks[i].type, type) == 0)
			return &tasks[i];
	return NULL;
}

static enum policy_group group_of_maintenance(const struct message *message)
{
	const struct task_row *row = find_task(message);

	return row ? row->group : GROUP_CONTROL;
}

/* The members of `parameters` as if they stood beside the action. False if it is no object. */
static bool graft_parameters(struct message *message)
{
	struct json_object *parameters = message_param(message, "parameters");
	struct json_object *place = json_object_object_get(message->root, "command_type");

	if (!parameters)
		return true;
	if (!json_object_is_type(parameters, json_type_object) || !json_object_is_type(place, json_type_object))
		return false;
	json_object_object_foreach(parameters, key, value)
	{
		if (message_param(message, key) || strcmp(key, "action") == 0 || strcmp(key, "params") == 0)
			continue;
		if (json_object_object_add(place, key, json_object_get(value)) < 0) {
			json_object_put(value);
			return false;
		}
	}
	return true;
}

/*
 * ---------------------------------------------------------------------------------------------- between two
 * validations
 */

enum stage { STAGE_BEFORE, STAGE_TASK, STAGE_AFTER };

struct task {
	struct command_frame frame; /* first */
	const struct action *action;
	enum stage stage;
	bool after;					       /* checks are wanted after it */
	struct health_results *checked_before, *checked_after; /* NULL: not done */
	/* The action's answer, with copies of the borrowed texts. */
	struct response answer;
	char *data, *out, *err, *error;
	size_t data_len;
};

static void task_free(struct command_frame *frame)
{
	struct task *task = container_of(frame, struct task, frame);

	free(task->checked_before);
	free(task->checked_after);
	free(task->data);
	free(task->out);
	free(task->err);
	free(task->error);
	free(task);
}

static void emit_validation(struct sink *out, const char *key, const struct health_results *results)
{
	if (results) {
		sink_object_begin(out, key);
		health_results_emit(out, results);
		sink_object_end(out);
	} else {
		sink_null(out, key);
	}
}

/* The members of the action's data, then the results of the checks. */
static void emit_task(struct sink *out, const char *key, const void *arg)
{
	const struct task *task = arg;

	sink_object_begin(out, key);
	if (task->data_len > 2)
		json_write_encoded(out, task->data + 1, task->data_len - 2);
	sink_object_begin(out, "validation");
	emit_validation(out, "before", task->checked_before);
	emit_validation(out, "after", task->checked_after);
	sink_object_end(out);
	sink_object_end(out);
}

static char *copy_of(const char *bytes, size_t len)
{
	char *copy = len ? malloc(len) : NULL;

	if (copy)
		memcpy(copy, bytes, len);
	return copy;
}

/*
 * The answer is copied: the texts it points to are freed with the action's work. Data that is no object, or too large,
 * is left out and marked as truncated.
 */
static void keep_answer(struct task *task, const struct response *response)
{
	struct json_writer writer;
	const char *text;
	size_t len;

	task->answer = *response;
	task->out = copy_of(response->out.bytes, response->out.len);
	task->err = copy_of(response->err.bytes, response->err.len);
	task->error = response->error ? strdup(response->error) : NULL;
	task->answer.out = (struct reply_stream){ task->out, task->out ? response->out.len : 0, response->out.total };
	task->answer.err = (struct reply_stream){ task->err, task->err ? response->err.len : 0, response->err.total };
	task->answer.error = task->error;
	task->answer.data = emit_task;
	task->answer.arg = task;
	if (!response->data || !(task->data = malloc(DATA_MAX)))
		return;
	json_writer_init(&writer, task->data, DATA_MAX);
	response->data(&writer.sink, NULL, response->arg);
	if (json_writer_finish(&writer, &text, &len) == 0 && text[0] == '{')
		task->data_len = len - 1; /* the newline */
	else
		task->answer.data_truncated = true;
}

static void on_checked_after(struct command *command, struct health_work *work)
{
	struct task *task = container_of(command->frame, struct task, frame);

	task->checked_after = health_results_new(&work->facts);
	command_answer(command, &task->answer);
}

/*
 * True if the action was carried out, with success or without. A refusal before that (a wrong parameter, a missing
 * right, a cancel) says nothing of the guest.
 */
static bool was_done(const struct response *response)
{
	return response->success || (response->code == CODE_COMMAND_FAILED && response->has_exit_code) ||
	       response->data;
}

/* Once the action is done its answer stands; the result of the checks after it cannot change it. */
static bool on_answer(struct command *command, struct response *response)
{
	struct task *task = container_of(command->frame, struct task, frame);

	if (task->stage == STAGE_BEFORE)
		return false;
	if (task->stage == STAGE_TASK) {
		if (!was_done(response) && !task->checked_before)
			return false;
		keep_answer(task, response);
		task->stage = STAGE_AFTER;
		if (task->after && was_done(response) && !command->cancelled)
			return true;
	}
	if (response != &task->answer)
		*response = task->answer;
	return false;
}

static void on_checked_before(struct command *command, struct health_work *work)
{
	struct task *task = container_of(command->frame, struct task, frame);
	struct health_results *results = health_results_new(&work->facts);
	char text[512];
	struct response response = {
		.code = CODE_COMMAND_FAILED, .reason = "unhealthy", .error = text, .data = emit_task, .arg = task
	};

	task->checked_before = results;
	if (!results) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
	} else if (results->worst->status == HEALTH_FAILED) {
		snprintf(text, sizeof(text), "the task was not begun: the check %s failed: %s", results->worst->name,
			 results->worst->message);
		command_answer(command, &response);
	} else {
		command_end_part(command);
	}
}

/*
 * The work of the last part has been freed: after the first checks the task itself begins, after the task the second
 * checks.
 */
static void begin_part(struct command *command)
{
	struct task *task = container_of(command->frame, struct task, frame);

	if (task->stage == STAGE_BEFORE) {
		task->stage = STAGE_TASK;
		task->action->run(command);
	} else {
		health_gather(command, HEALTH_FACTS, NULL, HEALTH_WINDOW_DAYS, on_checked_after);
	}
}

static void run_maintenance_task(struct command *command)
{
	const struct message *message = &command->message;
	const struct task_row *row = find_task(message);
	const struct action *action = NULL;
	bool before = false, after = false;
	struct message_fault fault;
	const char *text;
	struct task *task;

	if (message_param_text(message, "task_type", &text, &fault) < 0 ||
	    message_param_text(message, "task_name", &text, &fault) < 0 ||
	    message_param_bool(message, "validate_before", &before, &fault) < 0 ||
	    message_param_bool(message, "validate_after", &after, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return;
	}
	if (!row || action_find(command->commands->actions, row->action, &action) != ACTION_KNOWN) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "task_type is cleanup, updates, restart_services or health");
		return;
	}
	/* A resumed run was permitted before, */
	if (!run_attaches(command) && !command_permits(command, action)) {
		command_fail(command, CODE_POLICY_DENIED, NULL, "the policy of this guest does not allow %s",
			     action->name);
		return;
	}
	if (!graft_parameters(&command->message)) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_type", "parameters is an object");
		return;
	}
	/* and had its first checks. */
	before = before && !run_attaches(command);
	if (!before && !after) {
		action->run(command);
		return;
	}
	/* A retry begins anew. */
	if (command->frame)
		command->frame->free(command->frame);
	command->frame = NULL;
	task = calloc(1, sizeof(*task));
	if (!task) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
		return;
	}
	*task = (struct task){ .frame = { .answer = on_answer, .go_on = begin_part, .free = task_free },
			       .action = action,
			       .stage = before ? STAGE_BEFORE : STAGE_TASK,
			       .after = after };
	command->frame = &task->frame;
	if (before)
		health_gather(command, HEALTH_FACTS, NULL, HEALTH_WINDOW_DAYS, on_checked_before);
	else
		action->run(command);
}

const struct action action_run_maintenance_task = { .name = "RunMaintenanceTask",
						    .group = GROUP_CONTROL,
						    .bus = true,
						    .group_of = group_of_maintenance,
						    .slot = true,
						    .timeout_s = 1800,
						    .run = run_maintenance_task };
