/* SPDX-License-Identifier: MIT */
/* Transient units; see unit.h and org.freedesktop.systemd1(5). */
#include "agent/executor/unit_private.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/executor/manager_call.h"
#include "agent/executor/launch.h"

/* ----------------------------------------------------------------------------------------------------------- table */

void unit_cancel_detached(struct executor *executor, const char *unit)
{
	char name[UNIT_NAME_MAX];

	if (executor_manager(executor) < 0)
		return;
	snprintf(name, sizeof(name), UNIT_DETACHED_PREFIX "%s.service", unit);
	manager_tell(executor, "KillUnit", "ssi", name, "main", LAUNCH_CANCEL_SIGNAL);
	/*
	 * Version 0.1.0 named its units so, and PID 1 remembers an ended one too. To be removed with legacy_run.c of
	 * the agent.
	 */
	snprintf(name, sizeof(name), "infiniservice-keep-%s.service", unit);
	manager_tell(executor, "StopUnit", "ss", name, "replace");
	manager_tell(executor, "ResetFailedUnit", "s", name);
	executor_rest(executor);
}

struct unit *unit_find(const struct executor *executor, const char *name)
{
	struct unit *unit = executor->units;

	while (unit && strcmp(unit->name, name) != 0)
		unit = unit->next;
	return unit;
}

struct unit *unit_new(struct executor *executor, const struct runner_request *head, const char *name)
{
	struct unit *unit = calloc(1, sizeof(*unit));

	if (!unit)
		return NULL;
	*unit = (struct unit){ .executor = executor,
			       .next = executor->units,
			       .id = head->id,
			       .term_ns = head->term_ns,
			       .kill_ns = head->kill_ns,
			       .limit_ns = head->kill_ns,
			       .stuck_ns = TIME_NEVER,
			       .pipes = { -1, -1 },
			       .file = -1,
			       .output = { -1, -1 } };
	snprintf(unit->name, sizeof(unit->name), "%s", name);
	executor->units = unit;
	executor->unit_count++;
	return unit;
}

void unit_free(struct unit *unit)
{
	struct executor *executor = unit->executor;
	struct unit **at = &executor->units;

	while (*at != unit)
		at = &(*at)->next;
	*at = unit->next;
	executor->unit_count--;
	sd_event_source_disable_unref(unit->timer);
	sd_bus_slot_unref(unit->start);
	sd_bus_slot_unref(unit->watch);
	for (int i = 0; i < 2; i++) {
		sd_bus_slot_unref(unit->query[i]);
		close_fd(&unit->pipes[i]);
		close_fd(&unit->output[i]);
	}
	close_fd(&unit->file);
	free(unit->action);
	free(unit->path);
	free(unit);
}

void unit_free_all(struct executor *executor)
{
	while (executor->units)
		unit_free(executor->units);
}

/* ------------------------------------------------------------------------------------------------------------ ends */

static void answer_started(struct unit *unit)
{
	struct runner_answer answer = { .reply = { .op = RUNNER_STARTED, .id = unit->id, .pid = unit->is.pid } };

	unit->started = true;
	if (unit->id && unit->detached)
		executor_reply(unit->executor, &answer, "");
	else if (unit->id)
		executor_reply_fds(unit->executor, &answer, unit->pipes);
	for (int i = 0; i < 2; i++)
		close_fd(&unit->pipes[i]);
}

static void answer_exited(struct unit *unit, uint32_t flags, int status)
{
	struct runner_answer answer = { .reply = { .op = RUNNER_EXITED,
						   .id = unit->id,
						   .flags = unit->flags | flags,
						   .status = status,
						   .end_ns = unit->is.exit_us * NS_PER_US } };

	if (answer.reply.end_ns == 0)
		answer.reply.end_ns = clock_ns(CLOCK_MONOTONIC);

	if (!unit->id)
		return;
	if (!unit->started)
		answer_started(unit);
	executor_reply(unit->executor, &answer, "");
	unit->id = 0;
}

/* The exit status as of waitpid; ExecMainCode has the codes of siginfo. */
static int wait_status(const struct unit *unit)
{
	return unit->is.code == CLD_EXITED ? (unit->is.status & 0xff) << 8 : unit->is.status & 0x7f;
}

static void unit_gone(struct unit *unit)
{
	struct executor *executor = unit->executor;

	unit_free(unit);
	executor_rest(executor);
}

void unit_end(struct unit *unit, bool known)
{
	struct spawn_failure failure = launch_failure(unit->file);
	struct executor *executor = unit->executor;

	if (strcmp(unit->is.result, "oom-kill") == 0)
		unit->flags |= RUNNER_OOM;
	if (strcmp(unit->is.result, "timeout") == 0 && !(unit->flags & RUNNER_CANCELLED))
		unit->flags |= RUNNER_TIMED_OUT | RUNNER_KILLED;
	if (failure.error && unit->id)
		executor_refuse(executor, unit->id, failure.error, failure.stage, "");
	else if (strcmp(unit->is.result, "resources") == 0 && unit->is.code == 0 && unit->id)
		executor_refuse(executor, unit->id, EAGAIN, RUNNER_STAGE_RESOURCE, "");
	else if (unit->detached)
		answer_started(unit);
	else if (unit->stopping && unit->is.code == 0)
		answer_exited(unit, 0, SIGKILL); /* killed before the command had begun */
	else if (!known || unit->is.code == 0)
		answer_exited(unit, RUNNER_LOST, 0);
	else
		answer_exited(unit, 0, wait_status(unit));
	unit_gone(unit);
}

/* ------------------------------------------------------------------------------------------------------- deadlines */

void unit_deadline_arm(struct unit *unit)
{
	uint64_t due = unit->term_ns < unit->kill_ns ? unit->term_ns : unit->kill_ns;

	due = due < unit->stuck_ns ? due : unit->stuck_ns;
	if (due == TIME_NEVER) {
		sd_event_source_set_enabled(unit->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(unit->timer, due / NS_PER_US);
	sd_event_source_set_enabled(unit->timer, SD_EVENT_ONESHOT);
}

/*
 * SIGTERM to all processes of the unit. A stopped process receives it only after SIGCONT; a unit that has not begun is
 * killed without grace.
 */
static void unit_term(struct unit *unit)
{
	if (!unit->active) {
		unit_kill(unit);
		return;
	}
	manager_tell(unit->executor, "KillUnit", "ssi", unit->name, "all", SIGTERM);
	manager_tell(unit->executor, "KillUnit", "ssi", unit->name, "all", SIGCONT);
}

void unit_kill(struct unit *unit)
{
	unit->stopping = true;
	manager_tell(unit->executor, "KillUnit", "ssi", unit->name, "all", SIGKILL);
	manager_tell(unit->executor, "StopUnit", "ss", unit->name, "replace");
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *data)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	struct unit *unit = data;

	(void)source;
	(void)usec;
	if (now >= unit->kill_ns) {
		unit->flags |= RUNNER_KILLED | (unit->flags & RUNNER_CANCELLED ? 0 : RUNNER_TIMED_OUT);
		unit->term_ns = unit->kill_ns = TIME_NEVER;
		unit->stuck_ns = now + RUNNER_STUCK_MS * NS_PER_MS;
		unit_kill(unit);
	} else if (now >= unit->term_ns) {
		unit->flags |= unit->flags & RUNNER_CANCELLED ? 0 : RUNNER_TIMED_OUT;
		unit->term_ns = TIME_NEVER;
		unit_term(unit);
	} else if (now >= unit->stuck_ns) {
		/* The unit stays in the table, and counts as running, until PID 1 reports its end. */
		unit->stuck_ns = TIME_NEVER;
		answer_exited(unit, RUNNER_STUCK, 0);
	}
	unit_deadline_arm(unit);
	return 0;
}

void unit_cancel(struct executor *executor, uint64_t id, uint64_t kill_ns)
{
	for (struct unit *unit = executor->units; unit; unit = unit->next) {
		if (unit->id != id || unit->detached)
			continue;
		unit->flags |= RUNNER_CANCELLED;
		unit->term_ns = 0;
		if (kill_ns < unit->kill_ns)
			unit->kill_ns = kill_ns;
		unit_deadline_arm(unit);
	}
}

void unit_orphan_all(struct executor *executor)
{
	for (struct unit *unit = executor->units; unit; unit = unit->next) {
		unit->id = 0;
		if (unit->detached)
			continue;
		unit->term_ns = unit->kill_ns = unit->stuck_ns = TIME_NEVER;
		unit_deadline_arm(unit);
		unit_kill(unit);
	}
}

/* ------------------------------------------------------------------------------------------------- signals of PID 1 */

void unit_advance(struct unit *unit)
{
	bool over = strcmp(unit->is.state, "inactive") == 0 || unit_state_over(unit->is.state, unit->is.sub);

	if (strcmp(unit->is.state, "active") == 0)
		unit->active = true;
	/*
	 * A unit is inactive before its start too, even when its process exists already: only an exited unit is
	 * over.
	 */
	if (over && (unit->is.code || unit->active || strcmp(unit->is.state, "failed") == 0))
		unit_end(unit, true);
	else if (unit->active && !unit->started && unit->is.pid) {
		answer_started(unit);
		if (unit->detached)
			unit_gone(unit);
	}
}

static int on_changed(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct unit *unit = data;
	const char *interface;

	(void)error;
	if (sd_bus_message_read(message, "s", &interface) < 0 || unit_state_read(message, &unit->is) < 0)
		return 0;
	/*
	 * PID 1 sends the service's properties before those of the unit, so they are known when the unit's state says
	 * that it is over.
	 */
	if (strcmp(interface, UNIT_INTERFACE) == 0)
		unit_advance(unit);
	return 0;
}

int unit_watch(struct unit *unit)
{
	unit->watch = sd_bus_slot_unref(unit->watch);
	unit->generation = unit->executor->generation;
	return sd_bus_match_signal(unit->executor->manager, &unit->watch, NULL, unit->path, PROPERTIES_INTERFACE,
				   "PropertiesChanged", on_changed, unit);
}

int unit_prepare(struct unit *unit)
{
	int r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit->name, &unit->path);

	return r < 0 ? r
		     : sd_event_add_time(unit->executor->event, &unit->timer, CLOCK_MONOTONIC, UINT64_MAX, 1,
					 on_deadline, unit);
}

bool unit_manager_is_away(const sd_bus_error *error)
{
	return sd_bus_error_has_name(error, SD_BUS_ERROR_DISCONNECTED) ||
	       sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY);
}
