/* SPDX-License-Identifier: MIT */
/* Admission, slots, queue and the one answer of every command; see command.h. */
#include "agent/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/batch.h"
#include "agent/retry.h"
#include "agent/stream.h"
#include "agent/trace.h"
#include "transport/backoff.h"

void command_deadlines(uint64_t received_ns, uint32_t timeout_s, uint64_t *ret_term_ns, uint64_t *ret_deadline_ns)
{
	uint64_t timeout_ns = timeout_s * NS_PER_S;
	uint64_t early_ns = timeout_ns / 4 < NS_PER_S ? timeout_ns / 4 : NS_PER_S;
	uint64_t warn_ns = timeout_ns / 5 < 2 * NS_PER_S ? timeout_ns / 5 : 2 * NS_PER_S;

	*ret_deadline_ns = received_ns + timeout_ns - early_ns;
	*ret_term_ns = *ret_deadline_ns - warn_ns;
}

static void set_deadlines(struct command *command)
{
	uint32_t timeout_s = command->message.timeout_s;

	if (!command->message.has_timeout)
		timeout_s = command->action->timeout_s ? command->action->timeout_s :
							 (uint32_t)command->agent->config.commands.default_timeout_s;
	command_deadlines(command->received_ns, timeout_s, &command->term_ns, &command->deadline_ns);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events);

static void arm_deadline(struct command *command)
{
	uint64_t now_ns = agent_now(command->agent).mono_ns;
	double left = command->deadline_ns > now_ns ? (double)(command->deadline_ns - now_ns) / (double)NS_PER_S : 0;

	ev_timer_init(&command->timer, on_deadline, left, 0);
	command->timer.data = command;
	ev_timer_start(command->agent->loop, &command->timer);
}

/* ------------------------------------------------------------------------------------------------ slots and queue */

/* How many of the slots commands of one kind may hold at once. */
static unsigned slot_share(const struct commands *commands, enum slot_kind kind)
{
	unsigned all = (unsigned)commands->agent->config.commands.max_concurrent;

	switch (kind) {
	case SLOTS_PACKAGES:
	case SLOTS_POWER:
		return 1;
	case SLOTS_SCRIPTS:
		return all > 1 ? all - 1 : 1;
	default:
		return all;
	}
}

static enum slot_kind slots_of(const struct action *action)
{
	if (action->slots != SLOTS_ANY)
		return action->slots;
	return action->group == GROUP_PACKAGES ? SLOTS_PACKAGES : action->group == GROUP_POWER ? SLOTS_POWER : SLOTS_ANY;
}

/*
 * Nothing more is started for a host that does not read the answers it has: what runs already may fill the rest of the queue
 * (five answers of half a megabyte into three quarters of four), and an answer must find room.
 */
static bool host_reads(const struct commands *commands)
{
	const struct agent *agent = commands->agent;

	return port_queued_bytes(agent->port) <= agent->config.port.queue_bytes / 4;
}

static bool slot_free(const struct commands *commands, enum slot_kind kind)
{
	return host_reads(commands) && commands->running < commands->agent->config.commands.max_concurrent &&
	       commands->held[kind] < slot_share(commands, kind);
}

static void link_command(struct commands *commands, struct command *command)
{
	*commands->end = command;
	commands->end = &command->next;
}

static void unlink_command(struct commands *commands, struct command *command)
{
	struct command **at = &commands->first;

	while (*at != command)
		at = &(*at)->next;
	*at = command->next;
	if (commands->end == &command->next)
		commands->end = at;
}

static void count_state(struct commands *commands, enum command_state state, int by)
{
	unsigned *counter = state == COMMAND_QUEUED ? &commands->queued :
			    state == COMMAND_RUNNING ? &commands->running : &commands->waiting;

	*counter += (unsigned)by;
}

static void count_slot(struct command *command, int by)
{
	if (command->state == COMMAND_RUNNING)
		command->agent->commands.held[command->slots] += (unsigned)by;
}

static void set_state(struct command *command, enum command_state state)
{
	struct commands *commands = &command->agent->commands;

	count_state(commands, command->state, -1);
	count_slot(command, -1);
	command->state = state;
	count_state(commands, state, 1);
	count_slot(command, 1);
}

void command_keep_async(struct command *command)
{
	command->async = true;
	trace_waits(command);
	arm_deadline(command);
}

static void run(struct command *command)
{
	set_state(command, COMMAND_RUNNING);
	ev_timer_stop(command->agent->loop, &command->timer);
	command->attempts++;
	trace_started(command);
	if (command->action->run(command) == ACTION_ASYNC)
		command_keep_async(command);
}

static struct command *find_in_state(const struct commands *commands, enum command_state state)
{
	struct command *command = commands->first;

	/* What runs a program without a slot ends when that does. */
	while (command && (command->state != state || command->job))
		command = command->next;
	return command;
}

/* The oldest that has a slot to go to: what waits for a slot of its kind holds up nobody behind it. */
static struct command *find_startable(const struct commands *commands)
{
	struct command *command = commands->first;

	while (command && (command->state != COMMAND_QUEUED || command->pausing || !slot_free(commands, command->slots)))
		command = command->next;
	return command;
}

/* A command may be answered, and freed, within run: the search begins anew, and the answer does not come back in here. */
static void start_queued(struct commands *commands)
{
	struct command *command;

	if (commands->starting || commands->closed)
		return;
	commands->starting = true;
	while (commands->queued && (command = find_startable(commands)))
		run(command);
	commands->starting = false;
}

bool commands_hold(struct commands *commands)
{
	bool held = commands->starting;

	commands->starting = true;
	return held;
}

void commands_release(struct commands *commands, bool held)
{
	commands->starting = held;
	start_queued(commands);
}

/* ---------------------------------------------------------------------------------------------------- another try */

/* Freed of what its last try left, it gives back its slot and stands in the queue again when its pause is over. */
static void pause_command(struct command *command, uint64_t wait_ns)
{
	struct commands *commands = &command->agent->commands;

	if (command->work_free)
		command->work_free(command->work);
	command->work = NULL;
	command->work_free = NULL;
	command->on_run_done = NULL;
	command->on_expired = NULL;
	command->async = false;
	command->pausing = true;
	set_state(command, COMMAND_QUEUED);
	commands->stats.retried++;
	ev_timer_stop(command->agent->loop, &command->timer);
	ev_timer_init(&command->timer, on_deadline, (double)wait_ns / (double)NS_PER_S, 0);
	command->timer.data = command;
	ev_timer_start(command->agent->loop, &command->timer);
	start_queued(commands);
}

static void end_pause(struct command *command)
{
	command->pausing = false;
	arm_deadline(command);
	start_queued(&command->agent->commands);
}

/* True when the failure is not told, because there will be another try. It must be able to begin before SIGTERM is due. */
static bool try_again(struct command *command, const struct response *response)
{
	struct agent *agent = command->agent;
	uint32_t random = (uint32_t)agent_now(agent).mono_ns;
	uint64_t wait_ns;

	if (response->success || !command->slot || command->attempts == 0 || command->attempts > command->message.retries ||
	    command->cancelled || command->state != COMMAND_RUNNING || agent->commands.closed ||
	    !retry_helps(response->code, response->reason))
		return false;
	wait_ns = retry_delay_ns(command->attempts + 1, response->reason, backoff_random(&random));
	if (agent_now(agent).mono_ns + wait_ns >= command->term_ns)
		return false;
	pause_command(command, wait_ns);
	return true;
}

/* ------------------------------------------------------------------------------------------------------ the answer */

static void count_answer(struct command_stats *stats, const struct response *response)
{
	stats->answered++;
	if (response->success)
		stats->succeeded++;
	else
		stats->failed++;
	stats->timed_out += response->code == CODE_COMMAND_TIMEOUT;
	stats->cancelled += response->code == CODE_CANCELLED;
}

/* An answer that cannot be built as asked for (data too large, a mistake of ours) is still an answer. */
static void encode_response(struct command *command, struct response *response)
{
	struct agent *agent = command->agent;
	int64_t wall_ms = agent_now(agent).wall_ms;
	struct response bare = { .id = response->id, .command_type = response->command_type, .code = CODE_INTERNAL,
				 .execution_time_ms = response->execution_time_ms, .error = "the answer could not be encoded" };

	if (command->action->encode) {
		if (command->action->encode(command, response) < 0)
			command->action->encode(command, &bare);
	} else if (reply_response(&agent->writer, wall_ms, response) < 0) {
		reply_response(&agent->writer, wall_ms, &bare);
	}
}

void command_leave(struct command *command)
{
	struct commands *commands = &command->agent->commands;

	ev_timer_stop(command->agent->loop, &command->timer);
	count_state(commands, command->state, -1);
	count_slot(command, -1);
	unlink_command(commands, command);
	message_free(&command->message);
	if (command->work_free)
		command->work_free(command->work);
	if (command->frame)
		command->frame->free(command->frame);
	stream_free(command);
	free(command);
}

bool commands_idle(const struct commands *commands)
{
	const struct command *command = commands->first;

	while (command && command->kept)
		command = command->next;
	return !command;
}

void command_answer(struct command *command, struct response *response)
{
	struct agent *agent = command->agent;
	struct commands *commands = &agent->commands;
	uint64_t took_ns = agent_now(agent).mono_ns - command->received_ns;
	struct command *batch = command->batch;
	unsigned index = command->batch_index;
	enum error_code code;
	bool success, held;

	if (try_again(command, response) || (command->frame && command->frame->answer(command, response)))
		return;
	success = response->success;
	code = response->code;
	stream_end(command, response);
	response->attempts = command->attempts;
	response->id = command->message.id;
	response->command_type = command->action->name;
	response->execution_time_ms = took_ns / NS_PER_MS;
	count_answer(&commands->stats, response);
	encode_response(command, response);
	if (command->action->deliver)
		command->action->deliver(command);
	else
		session_answer(agent, command->session, LINE_REPLY);
	trace_answered(command, response);

	command_leave(command);
	held = commands_hold(commands);
	if (batch)
		batch_member_done(batch, index, success, code);
	commands_release(commands, held);
	stop_advance(agent);
}

struct command *commands_find(const struct commands *commands, const struct session *session, const char *id)
{
	struct command *orphan = NULL;

	for (struct command *command = commands->first; command; command = command->next) {
		if (strcmp(command->message.id, id) != 0 || command->action->encode)
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
	if (batch_is(command)) {
		batch_cancel(command);
	} else if (command->job) {
		command->cancelled = true;
		exec_cancel(command->job, CANCEL_GRACE_NS);
	} else if (command->state == COMMAND_RUNNING && !command->async) {
		command->cancelled = true; /* seen before its next step */
	} else {
		command->cancelled = true;
		command_fail(command, CODE_CANCELLED, NULL, "%s", words);
	}
}

void command_succeed(struct command *command, void (*data)(struct sink *sink, const char *key, const void *arg), const void *arg)
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

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct command *command = timer->data;

	(void)loop;
	(void)events;
	if (command->pausing)
		end_pause(command);
	else if (command->async && command->on_expired)
		command->on_expired(command);
	else
		command_fail(command, CODE_COMMAND_TIMEOUT, NULL,
			     command->state == COMMAND_QUEUED ? "still waiting for a free slot at its deadline; it was never started" :
								"the guest did not give its values in time");
}

/* ------------------------------------------------------------------------------------------------------- admission */

static void refuse(struct commands *commands, struct session *session, const struct message *message, enum error_code code,
		   const char *reason, const char *text)
{
	struct agent *agent = commands->agent;
	struct response response = { .id = message->id, .code = code, .reason = reason, .error = text,
				     .command_type = message->action ? message->action :
						     message->type == MESSAGE_UNSAFE_COMMAND ? action_unsafe.name :
												 message_type_name(message->type) };

	commands->stats.refused++;
	commands->refusal = code;
	trace_refused(agent, session, message, code);
	if (reply_response(&agent->writer, agent_now(agent).wall_ms, &response) == 0)
		session_answer(agent, session, LINE_REPLY);
}

/* A `response` would resolve the first command of that id on the host: this one is told by an `error`. */
static void refuse_duplicate(struct commands *commands, struct session *session, const struct message *message)
{
	struct agent *agent = commands->agent;
	struct reply_error error = { .text = "a command with this id is still being worked on", .component = "commands",
				     .code = CODE_DUPLICATE_ID, .reason = "duplicate_id", .id = message->id };

	commands->stats.refused++;
	commands->refusal = CODE_DUPLICATE_ID;
	if (reply_error(&agent->writer, agent_now(agent).wall_ms, &error) == 0)
		session_answer(agent, session, LINE_REPLY);
}

static bool in_flight(const struct commands *commands, const struct session *session, const char *id)
{
	for (const struct command *command = commands->first; command; command = command->next)
		if (command->session == session && !command->action->encode && strcmp(command->message.id, id) == 0)
			return true;
	return false;
}

/* The row behind the message, or NULL with the refusal sent. */
static const struct action *find_action(struct commands *commands, struct session *session, const struct message *message)
{
	const struct action *action = NULL;

	if (message->type != MESSAGE_SAFE_COMMAND)
		return action_of_type(message->type);
	switch (action_find(message->action, &action)) {
	case ACTION_KNOWN:
		break;
	case ACTION_FOREIGN:
		refuse(commands, session, message, CODE_UNSUPPORTED_PLATFORM, NULL, "this action exists on Windows guests only");
		break;
	case ACTION_UNKNOWN:
		refuse(commands, session, message, CODE_UNKNOWN_COMMAND, "unknown_action", "this agent knows no such action");
		break;
	}
	return action;
}

static enum policy_group group_of(const struct action *action, const struct message *message)
{
	return action->group_of ? action->group_of(message) : action->group;
}

static bool needs_slot(const struct action *action, enum policy_group group)
{
	return action->slot && !(action->group_of && group == GROUP_OBSERVE);
}

bool commands_permit(const struct agent *agent, const struct session *session, const char *action, enum policy_group group)
{
	struct policy policy = {
		.enabled = agent->config.commands.enabled,
		.allow_unsafe = agent->config.commands.allow_unsafe,
		.allow = agent->config.commands.allow,
		.deny = agent->config.commands.deny,
	};

	if (session->kind == SESSION_LOCAL)
		return group == GROUP_OBSERVE;
	return policy_allows(&policy, action, group);
}

static bool permitted(const struct agent *agent, const struct session *session, const struct action *action,
		      enum policy_group group)
{
	return action->always || commands_permit(agent, session, action->name, group);
}

bool command_permits(const struct command *command, const struct action *action)
{
	static const struct session host = { .kind = SESSION_PORT };

	return permitted(command->agent, command->session ? command->session : &host, action, action->group);
}

/* All that may keep a command from being admitted, in the order of the protocol. NULL when it was refused. */
static const struct action *admissible(struct commands *commands, struct session *session, const struct message *message)
{
	struct agent *agent = commands->agent;
	const struct action *action;
	enum policy_group group;
	bool slot;

	if (in_flight(commands, session, message->id)) {
		refuse_duplicate(commands, session, message);
		return NULL;
	}
	action = find_action(commands, session, message);
	if (!action)
		return NULL;
	group = group_of(action, message);
	slot = needs_slot(action, group);
	if (commands->closed) {
		refuse(commands, session, message, CODE_SHUTTING_DOWN, NULL, "the agent is stopping");
	} else if (!permitted(agent, session, action, group)) {
		refuse(commands, session, message, CODE_POLICY_DENIED, NULL,
		       "the policy of this guest does not allow it ([commands] in infiniservice.conf)");
	} else if (!action->always &&
		   !token_bucket_take(&session->bucket, (unsigned)agent->config.commands.rate_per_s, agent_now(agent).mono_ns)) {
		commands->stats.queue_full++;
		refuse(commands, session, message, CODE_QUEUE_FULL, "rate", "more commands a second than this guest takes");
	} else if (slot && !slot_free(commands, slots_of(action)) && commands->queued >= agent->config.commands.queue_size) {
		commands->stats.queue_full++;
		refuse(commands, session, message, CODE_QUEUE_FULL, "busy", "all slots and the queue are taken");
	} else if (!slot && action != &action_cancel && commands->waiting >= agent->config.commands.queue_size) {
		commands->stats.queue_full++;
		refuse(commands, session, message, CODE_QUEUE_FULL, "busy", "too many questions wait for their answers");
	} else {
		return action;
	}
	return NULL;
}

/* A loop action is run where it stands; only one that waits for the prober stays. */
static void run_in_loop(struct command *command)
{
	trace_started(command);
	switch (command->action->run(command)) {
	case ACTION_WAIT:
		trace_waits(command);
		arm_deadline(command);
		break;
	case ACTION_ASYNC:
		command_keep_async(command);
		break;
	case ACTION_TAKEN:
		break;
	}
}

/* An admitted command, in the list and with its deadlines; takes over the message. NULL when out of memory. */
static struct command *command_new(struct commands *commands, struct session *session, struct message *message,
				   const struct action *action)
{
	struct command *command = calloc(1, sizeof(*command));

	if (!command)
		return NULL;
	command->agent = commands->agent;
	command->session = session;
	command->from_host = session->kind == SESSION_PORT;
	command->message = *message;
	command->action = action;
	command->received_ns = agent_now(commands->agent).mono_ns;
	command->group = group_of(action, &command->message);
	command->slot = needs_slot(action, command->group);
	command->slots = slots_of(action);
	command->state = command->slot ? COMMAND_QUEUED : COMMAND_WAITING;
	count_state(commands, command->state, 1);
	link_command(commands, command);
	set_deadlines(command);
	return command;
}

static void begin(struct command *command)
{
	trace_accepted(command);
	if (!command->slot)
		run_in_loop(command);
	else if (slot_free(&command->agent->commands, command->slots))
		run(command);
	else
		arm_deadline(command);
}

void commands_submit_member(struct commands *commands, struct session *session, struct message *message, struct command *batch,
			    unsigned index)
{
	const struct action *action;
	struct command *command = NULL;

	commands->stats.received++;
	action = admissible(commands, session, message);
	if (action) {
		command = command_new(commands, session, message, action);
		if (!command)
			refuse(commands, session, message, CODE_INTERNAL, "no_memory", "out of memory");
	}
	if (command) {
		command->batch = batch;
		command->batch_index = index;
		begin(command);
	} else {
		message_free(message);
		if (batch)
			batch_member_done(batch, index, false, commands->refusal);
	}
}

void commands_submit(struct commands *commands, struct session *session, struct message *message)
{
	commands_submit_member(commands, session, message, NULL, 0);
}

int commands_submit_action(struct commands *commands, struct session *session, struct message *message,
			   const struct action *action, void *work, void (*work_free)(void *work))
{
	bool room = slot_free(commands, slots_of(action)) || commands->queued < commands->agent->config.commands.queue_size;
	struct command *command = room ? command_new(commands, session, message, action) : NULL;

	commands->stats.received++;
	if (!command) {
		message_free(message);
		return room ? -ENOMEM : -ENOBUFS;
	}
	command->work = work;
	command->work_free = work_free;
	begin(command);
	return 0;
}

void commands_init(struct commands *commands, struct agent *agent)
{
	*commands = (struct commands){ .agent = agent };
	commands->end = &commands->first;
}

void commands_resume(struct commands *commands)
{
	if (commands->queued)
		start_queued(commands);
}

void commands_orphan(struct commands *commands, const struct session *session)
{
	for (struct command *command = commands->first; command; command = command->next)
		if (command->session == session)
			command->session = NULL;
}

/* The next that waits for the prober and that this round has not asked yet. */
static struct command *find_waiting(const struct commands *commands, unsigned round)
{
	struct command *command = commands->first;

	while (command && (command->state != COMMAND_WAITING || command->round == round || command->async || command->job))
		command = command->next;
	return command;
}

void commands_probed(struct commands *commands)
{
	unsigned round = ++commands->round;
	struct command *command;

	while ((command = find_waiting(commands, round))) {
		command->round = round;
		command->action->run(command);
	}
}

void commands_close(struct commands *commands)
{
	struct command *command;

	commands->closed = true;
	while ((command = find_in_state(commands, COMMAND_QUEUED)) || (command = find_in_state(commands, COMMAND_WAITING)))
		command_fail(command, CODE_SHUTTING_DOWN, NULL, "the agent is stopping; it was never started");
}

static struct command *find_async(const struct commands *commands)
{
	struct command *command = commands->first;

	while (command && !command->async)
		command = command->next;
	return command;
}

void commands_kill(struct commands *commands)
{
	struct command *command;

	while ((command = find_async(commands)))
		command_fail(command, CODE_SHUTTING_DOWN, NULL, "the agent is stopping; how it ended is not known");
}
