/* SPDX-License-Identifier: MIT */
/* The commands as Status and `infinictl ps` show them: counters, and the commands under way. */
#include "agent/command/command.h"

#include "agent/peer/session.h"

/* Most commands that Status lists one by one. */
#define LISTED_MAX 500

static const char *origin(const struct command *command)
{
	return command->session ? command->session->name : "gone";
}

static const char *state_word(const struct command *command)
{
	static const char *const words[] = {
		[COMMAND_QUEUED] = "queued", [COMMAND_RUNNING] = "running", [COMMAND_WAITING] = "waiting"
	};

	return command->pausing ? "pausing" : command->cancelled ? "ending" : words[command->state];
}

static void report_one(const struct command *command, struct sink *out)
{
	sink_object_begin(out, NULL);
	sink_str(out, "id", command->message.id);
	sink_str(out, "action", command->action->name);
	sink_str(out, "state", state_word(command));
	sink_str(out, "origin", origin(command));
	sink_uint(out, "age_ms", (command->commands->loop->now.mono_ns - command->received_ns) / NS_PER_MS);
	if (command->pid > 0)
		sink_int(out, "pid", command->pid);
	else
		sink_null(out, "pid");
	sink_uint(out, "bytes", command->output_bytes);
	sink_uint(out, "attempts", command->attempts);
	sink_object_end(out);
}

/* The Status command itself is left out. */
static void report_list(const struct commands *commands, struct sink *out)
{
	unsigned written = 0, all = 0;
	bool cut = false;

	sink_array_begin(out, "list");
	for (const struct command *command = commands->first; command; command = command->next) {
		struct sink_mark mark = sink_mark(out);

		if (command->action->type == MESSAGE_STATUS || command->state == COMMAND_OVER)
			continue;
		all++;
		cut = cut || written == LISTED_MAX;
		if (cut)
			continue;
		report_one(command, out);
		cut = sink_full(out);
		if (cut)
			sink_rewind(out, mark);
		else
			written++;
	}
	sink_array_end(out);
	sink_uint(out, "list_left_out", all - written);
}

void commands_report(const struct commands *commands, struct sink *out)
{
	const struct command_stats *stats = &commands->stats;

	sink_uint(out, "running", commands_running(commands));
	sink_uint(out, "queued", commands_queued(commands));
	sink_uint(out, "waiting", commands->host.waiting + commands->local.waiting);
	sink_uint(out, "local_running", commands->local.running);
	sink_uint(out, "local_queued", commands->local.queued);
	sink_uint(out, "local_waiting", commands->local.waiting);
	sink_uint(out, "received", stats->received);
	sink_uint(out, "answered", stats->answered);
	sink_uint(out, "succeeded", stats->succeeded);
	sink_uint(out, "failed", stats->failed);
	sink_uint(out, "refused", stats->refused);
	sink_uint(out, "queue_full", stats->queue_full);
	sink_uint(out, "timed_out", stats->timed_out);
	sink_uint(out, "cancelled", stats->cancelled);
	sink_uint(out, "unclaimed", stats->unclaimed);
	sink_uint(out, "retried", stats->retried);
	sink_uint(out, "unrecorded", commands->record.journal->unrecorded);
	report_list(commands, out);
}
