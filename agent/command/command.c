/* SPDX-License-Identifier: MIT */
/* The run of a command, its tries, its deadline and its one answer; see command.h. */
#include "agent/command/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/command/admission.h"
#include "agent/peer/session.h"
#include "agent/run/exec.h"
#include "transport/backoff.h"
#include "transport/reply.h"

/* Commands that are ended or started in one turn of the loop. */
#define DRAIN_MAX 256

void command_deadlines(uint64_t received_ns, uint32_t timeout_s, uint64_t *ret_term_ns, uint64_t *ret_deadline_ns)
{
	uint64_t timeout_ns = timeout_s * NS_PER_S;
	uint64_t early_ns = timeout_ns / 4 < NS_PER_S ? timeout_ns / 4 : NS_PER_S;
	uint64_t warn_ns = timeout_ns / 5 < 2 * NS_PER_S ? timeout_ns / 5 : 2 * NS_PER_S;

	*ret_deadline_ns = received_ns + timeout_ns - early_ns;
	*ret_term_ns = *ret_deadline_ns - warn_ns;
}

/* -------------------------------------------------------------------------------------------------------- its run */

/* `cancelled` keeps a frame from beginning a further part. */
static void kill_command(struct command *command)
{
	command->cancelled = true;
	command_fail(command, CODE_SHUTTING_DOWN, NULL, "the agent is stopping; how it ended is not known");
}

void command_settle(struct command *command)
{
	if (command->end || command->job)
		return;
	if (command->commands->killed) {
		kill_command(command);
		return;
	}
	command->async = !command->waits;
	record_waits(command);
	if (!deadline_is_set(&command->timer))
		deadline_at(&command->timer, command->deadline_ns);
}

void command_run_action(struct command *command)
{
	const struct commands *commands = command->commands;

	command->waits = !commands->hooks->ready(commands->data, command->action);
	if (!command->waits) {
		loop_work(commands->loop->ev, "command", command->action->name);
		command->action->run(command);
	}
	command_settle(command);
}

/* Arms the end of the turn of the command that has the slot of local clients, while other commands wait for it. */
static void watch_turn(struct commands *commands)
{
	if (commands->local.running && commands->local.queued)
		deadline_at(&commands->turn, commands->served_ns + QUEUE_TURN_S * NS_PER_S);
}

static void on_turn(void *data)
{
	struct commands *commands = data;
	struct command *command = queue_overstaying(commands);

	if (command && !command->cancelled)
		command_cancel(command, "it has had its turn, and another user waits for the slot");
}

static void run(struct command *command)
{
	queue_move(command, COMMAND_RUNNING);
	if (!command->from_host)
		watch_turn(command->commands);
	deadline_stop(&command->timer);
	command->attempts++;
	record_started(command);
	command_run_action(command);
}

/* The command may still start in this turn of the loop, if the commands queued before it pause. */
static void wait_for_slot(struct command *command)
{
	deadline_at(&command->timer, command->deadline_ns);
	if (!command->from_host)
		watch_turn(command->commands);
}

void command_begin(struct command *command)
{
	uint32_t timeout_s = command->message.timeout_s;

	if (!command->message.has_timeout)
		timeout_s = command->action->timeout_s
				    ? command->action->timeout_s
				    : (uint32_t)command->commands->config->commands.default_timeout_s;
	command_deadlines(command->received_ns, timeout_s, &command->term_ns, &command->deadline_ns);
	record_accepted(command);
	if (!command->slot) {
		record_started(command);
		command_run_action(command);
	} else if (queue_slot_free(command->commands, command->session, command->slots)) {
		run(command);
	} else {
		wait_for_slot(command);
	}
}

/* ------------------------------------------------------------------------------------------------------ the answer */

/*
 * True when the failure is not answered because there will be a retry. The retry must be able to begin before SIGTERM
 * is due.
 */
static bool try_again(struct command *command, const struct response *response)
{
	const struct commands *commands = command->commands;
	uint32_t random = (uint32_t)commands->loop->now.mono_ns;

	if (response->success || command->attempts == 0 || command->attempts > command->message.retries ||
	    command->cancelled || command->state != COMMAND_RUNNING || commands->closed ||
	    !retry_helps(response->code, response->reason))
		return false;
	command->pause_ns = retry_delay_ns(command->attempts + 1, response->reason, backoff_random(&random));
	return commands->loop->now.mono_ns + command->pause_ns < command->term_ns;
}

static void end(struct command *command, enum command_end how)
{
	struct commands *commands = command->commands;

	deadline_stop(&command->timer);
	command->end = how;
	*commands->ended_end = command;
	commands->ended_end = &command->end_next;
}

void command_end_part(struct command *command)
{
	if (!command->end)
		end(command, COMMAND_NEXT);
}

void command_leave(struct command *command)
{
	if (command->end)
		return;
	queue_move(command, COMMAND_OVER);
	end(command, COMMAND_LEFT);
}

bool commands_idle(const struct commands *commands)
{
	const struct command *command = commands->first;

	while (command && command->detached)
		command = command->next;
	return !command;
}

/* Lines sent before the response (output, samples, answers of a batch's members) must arrive before it. */
enum line_class command_line_class(const struct command *command)
{
	enum message_type type = command->message.type;

	return command->stream || type == MESSAGE_GET_HISTORY || type == MESSAGE_COMMAND_BATCH ? LINE_BULK : LINE_REPLY;
}

void command_answer(struct command *command, struct response *response)
{
	struct commands *commands = command->commands;
	struct command_stats *stats = &commands->stats;
	int64_t wall_ms = commands->loop->now.wall_ms;
	struct response bare;

	if (command->end)
		return;
	if (try_again(command, response)) {
		end(command, COMMAND_AGAIN);
		return;
	}
	if (command->frame && command->frame->answer(command, response)) {
		end(command, COMMAND_NEXT);
		return;
	}
	if (command->stream)
		stream_end(command, response);
	response->attempts = command->attempts;
	response->id = command->message.id;
	response->command_type = command->action->name;
	response->execution_time_ms = (commands->loop->now.mono_ns - command->received_ns) / NS_PER_MS;
	stats->answered++;
	if (response->success)
		stats->succeeded++;
	else
		stats->failed++;
	stats->timed_out += response->code == CODE_COMMAND_TIMEOUT;
	stats->cancelled += response->code == CODE_CANCELLED;
	/* An answer that cannot be encoded (data too large, a bug) is replaced by a failure: every command is answered.
	 */
	bare = (struct response){ .id = response->id,
				  .command_type = response->command_type,
				  .code = CODE_INTERNAL,
				  .execution_time_ms = response->execution_time_ms,
				  .error = "the answer could not be encoded" };
	if (command->action->encode) {
		if (command->action->encode(command, response) < 0)
			command->action->encode(command, &bare);
	} else if (reply_response(commands->peers->writer, wall_ms, response) < 0) {
		reply_response(commands->peers->writer, wall_ms, &bare);
	}
	/* The answer of a resumed command goes to the host connected now, or to the next one. */
	if (command->action->deliver)
		command->action->deliver(command);
	else if (command->session)
		session_answer(command->session, command_line_class(command));
	else if (command->resumed)
		commands->hooks->deliver_resumed(commands->data, command);
	else
		stats->unclaimed++;
	record_answered(command, response);
	commands->hooks->over(commands->data, command);
	command->success = response->success;
	command->code = response->code;
	queue_move(command, COMMAND_OVER);
	end(command, COMMAND_ANSWERED);
}

/* ------------------------------------------------------------------------------------------- ended commands */

/* Carries out the end of a command, or of its present try or part. */
static void follow_end(struct command *command)
{
	enum command_end how = command->end;

	command->end = COMMAND_GOES_ON;
	if (how == COMMAND_ANSWERED && command->batch)
		batch_member_done(command->batch, command->batch_index, command->success, command->code);
	/* The action's own state goes before a retry or the next part, too. */
	if (command->work_free)
		command->work_free(command->work);
	command->work = NULL;
	command->work_free = NULL;
	command->on_run_done = NULL;
	command->on_expired = NULL;
	command->async = false;
	switch (how) {
	case COMMAND_GOES_ON:
		break;
	case COMMAND_AGAIN:
		/* It gives back its slot and is queued; it may start when its pause is over. */
		if (command->cancelled) {
			command_fail(command, CODE_CANCELLED, NULL, "cancelled between two tries");
		} else if (command->commands->closed) {
			command_fail(command, CODE_SHUTTING_DOWN, NULL,
				     "the agent is stopping; it was not tried again");
		} else {
			queue_move(command, COMMAND_PAUSING);
			command->commands->stats.retried++;
			deadline_after(&command->timer, command->pause_ns);
		}
		break;
	case COMMAND_NEXT:
		command->frame->go_on(command);
		command_settle(command);
		break;
	case COMMAND_ANSWERED:
	case COMMAND_LEFT:
		queue_remove(command);
		message_free(&command->message);
		if (command->frame)
			command->frame->free(command->frame);
		free(command->stream);
		free(command->unit);
		free(command);
		break;
	}
}

void commands_drain(struct commands *commands)
{
	struct command *command;
	unsigned left = DRAIN_MAX;

	if (commands->draining)
		return;
	commands->draining = true;
	while (left) {
		if ((command = commands->ended)) {
			commands->ended = command->end_next;
			if (!commands->ended)
				commands->ended_end = &commands->ended;
			command->end_next = NULL;
			follow_end(command);
		} else if (!commands->closed && !commands->frozen && (command = queue_startable(commands))) {
			run(command);
		} else {
			break;
		}
		left--;
	}
	commands->draining = false;
	if (!left)
		deadline_after(&commands->more, 0);
}

void commands_freeze(struct commands *commands, bool frozen)
{
	commands->frozen = frozen;
	if (!frozen)
		deadline_after(&commands->more, 0);
}

static void on_more(void *data)
{
	commands_drain(data);
}

struct command *commands_find(const struct commands *commands, const struct session *session, const char *id)
{
	struct command *orphan = NULL;

	for (struct command *command = commands->first; command; command = command->next) {
		if (strcmp(command->message.id, id) != 0 || command->action->encode || command->state == COMMAND_OVER)
			continue;
		if (command->session == session)
			return command;
		if (!command->session && command->from_host && session->kind == SESSION_PORT)
			orphan = command;
	}
	return orphan;
}

/* Time between SIGTERM and SIGKILL of a command that is cancelled. */
#define CANCEL_GRACE_NS (2 * NS_PER_S)

void command_cancel(struct command *command, const char *words)
{
	if (command->action->type == MESSAGE_COMMAND_BATCH) {
		batch_cancel(command);
		return;
	}
	command->cancelled = true; /* checked before a further step, part or try */
	if (command->job)
		exec_cancel(command->job, CANCEL_GRACE_NS);
	else if (command->state != COMMAND_RUNNING || command->async || command->waits)
		command_fail(command, CODE_CANCELLED, NULL, "%s", words);
}

void command_succeed(struct command *command, void (*data)(struct sink *sink, const char *key, const void *arg),
		     const void *arg)
{
	struct response response = { .success = true, .data = data, .arg = arg };

	command_answer(command, &response);
}

void command_fail(struct command *command, enum error_code code, const char *reason, const char *format, ...)
{
	struct response response = { .code = code, .reason = reason };
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	response.error = text;
	command_answer(command, &response);
}

void command_on_deadline(void *data)
{
	struct command *command = data;

	if (command->state == COMMAND_PAUSING) {
		queue_move(command, COMMAND_QUEUED);
		wait_for_slot(command);
	} else if (command->async && command->on_expired) {
		command->on_expired(command);
	} else {
		command_fail(command, CODE_COMMAND_TIMEOUT, NULL,
			     command->state == COMMAND_QUEUED
				     ? "still waiting for a free slot at its deadline; it was never started"
				     : "the guest did not give its values in time");
	}
}

/* ---------------------------------------------------------------------------------------------------- all of them */

void commands_init(struct commands *commands)
{
	commands->end = &commands->first;
	commands->ended_end = &commands->ended;
	deadline_init(&commands->turn, commands->loop, on_turn, commands);
	deadline_init(&commands->more, commands->loop, on_more, commands);
}

unsigned commands_running(const struct commands *commands)
{
	return commands->host.running + commands->local.running;
}

unsigned commands_queued(const struct commands *commands)
{
	return commands->host.queued + commands->local.queued;
}

void commands_orphan_before(struct commands *commands, const struct session *session, uint64_t before_ns)
{
	for (struct command *command = commands->first; command; command = command->next)
		if (command->session == session && command->received_ns < before_ns)
			command->session = NULL;
}

/* The list stays as it is while actions run: commands_drain alone takes commands out of it. */
void commands_bus_ready(struct commands *commands)
{
	for (struct command *command = commands->first; command; command = command->next)
		if (command->waits && !command->end)
			command_run_action(command);
}

void commands_close(struct commands *commands)
{
	/* In this order: a batch waits, and is answered after its members. */
	static const enum command_state states[] = { COMMAND_QUEUED, COMMAND_PAUSING, COMMAND_WAITING };

	commands->closed = true;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		for (struct command *command = commands->first; command; command = command->next)
			/* A command that runs a program without a slot ends when the program does. */
			if (command->state == states[i] && !command->job && !command->end)
				command_fail(command, CODE_SHUTTING_DOWN, NULL,
					     "the agent is stopping; it was never started");
}

void commands_kill(struct commands *commands)
{
	commands->killed = true;
	for (struct command *command = commands->first; command; command = command->next)
		if ((command->async || command->waits) && !command->end)
			kill_command(command);
}

void commands_abandon(struct commands *commands)
{
	commands->closed = true;
	for (struct command *command = commands->first; command; command = command->next)
		command_leave(command);
}
