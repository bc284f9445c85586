/* SPDX-License-Identifier: MIT */
/*
 * What is played around the commands of tests/commands_fixture.h: the actions, the runner, and those above the commands
 * (their hooks).
 */
#ifndef TESTS_COMMANDS_PLAYED_H
#define TESTS_COMMANDS_PLAYED_H

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <json-c/json.h>

#include "agent/base/report.h"
#include "agent/command/command.h"
#include "agent/command/admission.h"
#include "agent/run/exec.h"
#include "tests/played_peers.h"
#include "transport/addition.h"

/* What the hooks answer, and what they were told. */
static struct {
	char folder[32], audit_path[64];
	int audit_fd;
	ev_prepare prepare;
	bool host_is_slow, bus_is_missing;
	char told[16384];     /* "ID STATE;" of each change */
	char recorded[65536]; /* fields of the audit's records, each a line */
	unsigned begun, over; /* runs of actions; commands that were over */
	unsigned work_begun, work_freed;
	unsigned resumed;	   /* answers that went to deliver_resumed */
	unsigned adopted, refused; /* not received as a message; received, and given back to the caller */
	unsigned left;		   /* without an answer */
} seen;

/* ------------------------------------------------------------------------------------------------------ the runner */

struct exec_job {
	bool cancelled;
	uint64_t grace_ns;
};

/* Instead of that of agent/run. */
void exec_cancel(struct exec_job *job, uint64_t grace_ns)
{
	job->cancelled = true;
	job->grace_ns = grace_ns;
}

/* The program of the command is dead; that it ended by itself or not is the caller's story. */
static inline void job_dead(struct command *command)
{
	free(command->job);
	command->job = NULL;
	command->detached = false;
}

/* ----------------------------------------------------------------------------------------------------- the actions */

static inline void work_free(void *work)
{
	seen.work_freed++;
	free(work);
}

static inline void begin_work(struct command *command)
{
	seen.begun++;
	if (command->work)
		return;
	command->work = malloc(1);
	command->work_free = work_free;
	seen.work_begun++;
}

/* Goes on by itself: the test ends it. */
static inline void run_async(struct command *command)
{
	begin_work(command);
}

static inline void run_at_once(struct command *command)
{
	seen.begun++;
	command_succeed(command, NULL, NULL);
}

static inline void run_failing(struct command *command)
{
	begin_work(command);
	command_fail(command, CODE_COMMAND_FAILED, NULL, "exit code 1");
}

static inline void run_program(struct command *command)
{
	begin_work(command);
	deadline_stop(&command->timer);
	if (command->message.stream)
		stream_begin(command);
	command->job = calloc(1, sizeof(*command->job));
}

static inline void run_cancel(struct command *command)
{
	struct command *target = commands_find(&commands, command->session, command->message.target_id);

	if (!target) {
		command_fail(command, CODE_NOT_FOUND, "not_found", "no such command");
		return;
	}
	command_cancel(target, "cancelled before it was started");
	command_succeed(command, NULL, NULL);
}

static inline void emit_status(struct sink *out, const char *key, const void *arg)
{
	(void)arg;
	sink_object_begin(out, key);
	commands_report(&commands, out);
	sink_object_end(out);
}

static inline void run_status(struct command *command)
{
	command_succeed(command, emit_status, NULL);
}

/* With the parameter `look` it only observes. */
static inline enum policy_group group_of_either(const struct message *message)
{
	return message_param(message, "look") ? GROUP_OBSERVE : GROUP_CONTROL;
}

static const struct action played[] = {
	{ .name = "Ask", .run = run_at_once },
	{ .name = "Call", .run = run_async },
	{ .name = "CallProgram", .run = run_program },
	{ .name = "CallBus", .bus = true, .run = run_async },
	{ .name = "Look", .slot = true, .run = run_async },
	{ .name = "Control", .group = GROUP_CONTROL, .slot = true, .run = run_async },
	{ .name = "Bus", .group = GROUP_CONTROL, .slot = true, .bus = true, .run = run_async },
	{ .name = "Fail", .group = GROUP_CONTROL, .slot = true, .run = run_failing },
	{ .name = "Program", .group = GROUP_CONTROL, .slot = true, .timeout_s = 100, .run = run_program },
	{ .name = "LookProgram", .slot = true, .run = run_program },
	{ .name = "Either", .group = GROUP_CONTROL, .group_of = group_of_either, .slot = true, .run = run_async },
	{ .name = "Package", .group = GROUP_PACKAGES, .slot = true, .run = run_async },
	{ .name = "Power", .group = GROUP_POWER, .slot = true, .run = run_async },
	{ .name = "unsafe",
	  .type = MESSAGE_UNSAFE_COMMAND,
	  .group = GROUP_EXEC,
	  .slot = true,
	  .slots = SLOTS_SCRIPTS,
	  .run = run_async },
	{ .name = "CancelCommand", .type = MESSAGE_CANCEL_COMMAND, .always = true, .run = run_cancel },
	{ .name = "Status", .type = MESSAGE_STATUS, .run = run_status },
};
static const char *const foreign[] = { "Windows", NULL };
static const struct action *rows[ARRAY_SIZE(played) + 1] = { &action_command_batch };
static const struct action_table table = { .rows = rows, .count = ARRAY_SIZE(rows), .foreign = foreign };

/* ------------------------------------------------------------------------------------------------------- the hooks */

static inline bool host_reads(void *data)
{
	(void)data;
	return !seen.host_is_slow;
}

static inline bool ready(void *data, const struct action *action)
{
	(void)data;
	return !action->bus || !seen.bus_is_missing;
}

static inline void on_changed(void *data, const struct addition_command *told)
{
	(void)data;
	append(seen.told, sizeof(seen.told), "%s %s;", told->id, told->state);
}

static inline void deliver_resumed(void *data, struct command *command)
{
	(void)data;
	(void)command;
	seen.resumed++;
}

static inline void on_over(void *data, struct command *command)
{
	(void)data;
	(void)command;
	seen.over++;
}

#endif
