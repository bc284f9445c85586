/* SPDX-License-Identifier: MIT */
/* Starting a transient unit; see unit.h and org.freedesktop.systemd1(5). */
#include "agent/executor/unit_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/executor/permit.h"
#include "agent/executor/transient.h"
#include "agent/executor/launch.h"

static void output_close(struct unit *unit)
{
	for (int i = 0; i < 2; i++)
		close_fd(&unit->output[i]);
}

bool unit_start_is_lost(const struct unit *unit)
{
	return unit->output[0] >= 0 && !unit->start && !unit->stopping && !launch_begun(unit->file);
}

static int on_start(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const sd_bus_error *failed = sd_bus_message_get_error(message);
	struct unit *unit = data;
	struct executor *executor = unit->executor;

	(void)error;
	unit->start = sd_bus_slot_unref(unit->start);
	if (failed && unit_manager_is_away(failed))
		return 1; /* it may run or not: unit_query_all finds out */
	/* The name is used once, so a unit of this name was started by the call whose reply was lost. */
	if (!failed || sd_bus_error_has_name(failed, "org.freedesktop.systemd1.UnitExists")) {
		output_close(unit);
		return 1;
	}
	executor_log(LOG_ERR, "the service manager does not start %s: %s", unit->name, failed->message);
	if (unit->id)
		executor_refuse(executor, unit->id, EIO, RUNNER_STAGE_RESOURCE, failed->message ? failed->message : "");
	unit_free(unit);
	executor_rest(executor);
	return 1;
}

int unit_request(struct unit *unit)
{
	struct executor *executor = unit->executor;
	const struct config *config = &executor->guard.config;
	struct transient transient = {
		.name = unit->name,
		.action = unit->action,
		.program = executor->options.program,
		.bound_to = unit->detached || !*executor->own_unit ? NULL : executor->own_unit,
		.detached = unit->detached,
		.stdio = { unit->file, unit->output[0], unit->output[1] },
		.memory_max = config->commands.max_memory_bytes,
		.tasks_max = config->commands.max_tasks,
		.kill_ns = unit->limit_ns,
	};
	sd_bus_message *message = NULL;
	int r;

	if (executor_manager(executor) < 0)
		return executor_reconnect_soon(executor);
	r = unit->generation == executor->generation ? 0 : unit_watch(unit);
	if (r >= 0)
		r = transient_message(executor->manager, &transient, clock_ns(CLOCK_MONOTONIC), &message);
	if (r >= 0)
		r = sd_bus_call_async(executor->manager, &unit->start, message, on_start, unit, UINT64_MAX);
	sd_bus_message_unref(message);
	/* The connection is lost already, and the loop has not told it yet. */
	return r == -ENOTCONN || r == -ECONNRESET ? executor_reconnect_soon(executor) : r;
}

static int make_pipes(struct unit *unit)
{
	for (int i = 0; i < 2; i++) {
		int pair[2];

		if (pipe2(pair, O_CLOEXEC) < 0)
			return -errno;
		unit->pipes[i] = pair[0];
		unit->output[i] = pair[1];
	}
	return 0;
}

/* Fixes what the agent must not choose: a verb's program path, and the environment of actions. */
static int command_pin(struct executor *executor, struct runner_command *command, const struct rules_verdict *verdict)
{
	struct runner_run run = command->run;
	static char packed[RUNNER_MESSAGE_MAX];
	int64_t len;

	/* Resource limits come from the owner's configuration, by the unit's properties. */
	memset(run.limits, 0, sizeof(run.limits));
	if (run.oom_score_adj < 0)
		run.oom_score_adj = 0;
	command->run = run;
	memcpy(executor->message, &run, sizeof(run));
	if (verdict->free)
		return 0;
	if (verdict->own_program)
		command->argv[0] = executor->options.program;
	len = runner_run_build(run, (const char *const *)command->argv, transient_environment(), NULL, NULL,
			       command->action, command->unit, packed, sizeof(packed));
	if (len < 0)
		return (int)len;
	memcpy(executor->message, packed, (size_t)len);
	return runner_run_parse(executor->message, (size_t)len, command);
}

/*
 * Whether another unit may run, by the units there are and not by the agent's own count: 0, or -errno with *ret_words.
 * *permit is the permit of a detached run, else -1.
 */
static int room_find(const struct executor *executor, bool detached, int *permit, const char **ret_words)
{
	_cleanup_(closep) int taken = permit_take(executor);
	unsigned running = taken == -EWOULDBLOCK;

	for (const struct unit *unit = executor->units; unit; unit = unit->next)
		running += !unit->detached;
	*ret_words = "";
	if (running >= EXECUTOR_UNITS_MAX)
		*ret_words = "as many programs as may run with rights at once are running already";
	else if (detached && taken == -EWOULDBLOCK)
		*ret_words = "packages are being changed already, or a golden image made";
	if (**ret_words)
		return -EBUSY;
	if (detached && taken < 0)
		return taken;
	*permit = detached ? TAKE_FD(taken) : -1;
	return 0;
}

/* A detached run always has a deadline, independent of the request. */
static void limit_detached(struct runner_request *head, unsigned detached_s)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + detached_s * NS_PER_S;

	if (head->kill_ns > end_ns)
		head->kill_ns = end_ns;
	if (head->term_ns > head->kill_ns)
		head->term_ns = head->kill_ns;
}

/*
 * Copies the input: the launcher makes the command's input from the copy, and no descriptor of the agent's is kept
 * open.
 */
static int input_add(struct unit *unit, int input)
{
	ssize_t len = input_check(input);

	if (len >= 0 && ftruncate(unit->file, LAUNCH_INPUT_OFFSET) < 0)
		return -errno;
	return len < 0 ? (int)len : input_copy(input, 0, (size_t)len, unit->file, LAUNCH_INPUT_OFFSET);
}

static int copy_files(struct unit *unit, const int files[PACKET_FDS])
{
	for (int i = 0; i < 2; i++) {
		unit->output[i] = fcntl(files[i], F_DUPFD_CLOEXEC, 3);
		if (unit->output[i] < 0)
			return -errno;
	}
	return 0;
}

static int start(struct unit *unit, const struct runner_command *command, const int files[PACKET_FDS], int permit)
{
	char *message = unit->executor->message;
	int r = unit_prepare(unit);

	unit->action = strdup(command->action);
	if (r >= 0 && !unit->action)
		r = -ENOMEM;
	if (r >= 0)
		r = unit->detached ? copy_files(unit, files) : make_pipes(unit);
	if (r >= 0 && unit->detached)
		r = unit->file = launch_packet(message, command->run.head.size, files[2], permit);
	else if (r >= 0)
		r = unit->file = launch_file(message, command->run.head.size);
	if (r >= 0 && (command->run.flags & RUNNER_RUN_INPUT))
		r = input_add(unit, files[0]);
	return r < 0 ? r : unit_request(unit);
}

static void name_of(struct executor *executor, const struct runner_command *command, char out[UNIT_NAME_MAX])
{
	if (command->unit)
		snprintf(out, UNIT_NAME_MAX, UNIT_DETACHED_PREFIX "%s.service", command->unit);
	else
		snprintf(out, UNIT_NAME_MAX, UNIT_PREFIX "%llx-%x.service", (unsigned long long)executor->next_number++,
			 (unsigned)getpid());
}

void unit_start(struct executor *executor, struct runner_command *command, const struct rules_verdict *verdict,
		const int files[PACKET_FDS])
{
	_cleanup_(closep) int permit = -1;
	uint64_t id = command->run.head.id;
	const char *words;
	int r = room_find(executor, command->unit, &permit, &words);
	char name[UNIT_NAME_MAX];
	struct unit *unit = NULL;

	if (r >= 0 && command->unit)
		limit_detached(&command->run.head, verdict->detached_s);
	if (r >= 0)
		r = command_pin(executor, command, verdict);
	if (r >= 0) {
		name_of(executor, command, name);
		r = unit_find(executor, name) ? -EEXIST : 0;
	}
	if (r >= 0) {
		unit = unit_new(executor, &command->run.head, name);
		r = unit ? 0 : -ENOMEM;
	}
	if (r >= 0) {
		unit->detached = command->unit;
		r = start(unit, command, files, permit);
	}
	if (r >= 0) {
		/* The launcher, with PID 1 as its backup, enforces the deadlines of a detached run. */
		if (unit->detached)
			unit->term_ns = unit->kill_ns = TIME_NEVER;
		unit_deadline_arm(unit);
		return;
	}
	executor_refuse(executor, id, -r, RUNNER_STAGE_RESOURCE, words);
	if (unit)
		unit_free(unit);
}
