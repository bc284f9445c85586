/* SPDX-License-Identifier: MIT */
/* A transient unit's deadlines, its state at PID 1 and its end; see unit.h and org.freedesktop.systemd1(5). */
#include "agent/executor/unit_private.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/executor/launch.h"

#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"
#define UNIT_INTERFACE	     "org.freedesktop.systemd1.Unit"
#define SERVICE_INTERFACE    "org.freedesktop.systemd1.Service"

/* ----------------------------------------------------------------------------------------------------------- table */

static int on_deadline(sd_event_source *source, uint64_t usec, void *data);

/* The unit of this name that the executor follows; NULL: none. */
static struct unit *unit_find(const struct executor *executor, const char *name)
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
			       .deadlines = deadlines_make(head->term_ns, head->kill_ns),
			       .limit_ns = head->kill_ns,
			       .pipes = { -1, -1 },
			       .file = -1,
			       .output = { -1, -1 } };
	snprintf(unit->name, sizeof(unit->name), "%s", name);
	executor->units = unit;
	executor->unit_count++;
	if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit->name, &unit->path) >= 0 &&
	    sd_event_add_time(executor->event, &unit->timer, CLOCK_MONOTONIC, UINT64_MAX, 1, on_deadline, unit) >= 0)
		return unit;
	unit_free(unit);
	return NULL;
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
	if (unit->id)
		executor_reply(unit->executor, &answer, "", unit->detached ? NULL : unit->pipes);
	for (int i = 0; i < 2; i++)
		close_fd(&unit->pipes[i]);
}

static void answer_exited(struct unit *unit, uint32_t flags, int status)
{
	struct runner_answer answer = { .reply = { .op = RUNNER_EXITED,
						   .id = unit->id,
						   .flags = unit->deadlines.flags | flags,
						   .status = status,
						   .end_ns = unit->is.exit_us * NS_PER_US } };

	if (answer.reply.end_ns == 0)
		answer.reply.end_ns = clock_ns(CLOCK_MONOTONIC);
	if (!unit->id)
		return;
	if (!unit->started)
		answer_started(unit);
	executor_reply(unit->executor, &answer, "", NULL);
	unit->id = 0;
}

/* Handles the unit's end: answers and frees it. `known`: PID 1 reported how it ended. */
static void unit_end(struct unit *unit, bool known)
{
	struct spawn_failure failure = launch_failure(unit->file);
	struct executor *executor = unit->executor;

	if (strcmp(unit->is.result, "oom-kill") == 0)
		unit->deadlines.flags |= RUNNER_OOM;
	if (strcmp(unit->is.result, "timeout") == 0 && !(unit->deadlines.flags & RUNNER_CANCELLED))
		unit->deadlines.flags |= RUNNER_TIMED_OUT | RUNNER_KILLED;
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
	else /* the status as of waitpid; ExecMainCode has the codes of siginfo */
		answer_exited(unit, 0,
			      unit->is.code == CLD_EXITED ? (unit->is.status & 0xff) << 8 : unit->is.status & 0x7f);
	unit_free(unit);
	executor_rest(executor);
}

/* ------------------------------------------------------------------------------------------------------- deadlines */

void unit_deadline_arm(struct unit *unit)
{
	uint64_t due = deadlines_next(&unit->deadlines);

	if (due != TIME_NEVER)
		sd_event_source_set_time(unit->timer, due / NS_PER_US);
	sd_event_source_set_enabled(unit->timer, due == TIME_NEVER ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

/* Asks PID 1 to kill all its processes; when PID 1 is unreachable, again after the next connection. */
static void unit_kill(struct unit *unit)
{
	unit->stopping = true;
	manager_tell(unit->executor, "KillUnit", "ssi", unit->name, "all", SIGKILL);
	manager_tell(unit->executor, "StopUnit", "ss", unit->name, "replace");
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *data)
{
	struct unit *unit = data;
	enum deadline passed = deadlines_pass(&unit->deadlines, clock_ns(CLOCK_MONOTONIC));

	(void)source;
	(void)usec;
	if (passed == DEADLINE_TERM && unit->active) {
		manager_tell(unit->executor, "KillUnit", "ssi", unit->name, "all", SIGTERM);
		/* A stopped process receives SIGTERM only after SIGCONT. */
		manager_tell(unit->executor, "KillUnit", "ssi", unit->name, "all", SIGCONT);
	} else if (passed == DEADLINE_TERM || passed == DEADLINE_KILL)
		unit_kill(unit); /* a unit that has not begun is killed without grace */
	else if (passed == DEADLINE_STUCK)
		/* The unit stays in the table, and counts as running, until PID 1 reports its end. */
		answer_exited(unit, RUNNER_STUCK, 0);
	unit_deadline_arm(unit);
	return 0;
}

void unit_cancel(struct executor *executor, uint64_t id, uint64_t kill_ns)
{
	for (struct unit *unit = executor->units; unit; unit = unit->next)
		if (unit->id == id && !unit->detached) {
			deadlines_cancel(&unit->deadlines, kill_ns);
			unit_deadline_arm(unit);
		}
}

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

void unit_orphan_all(struct executor *executor)
{
	for (struct unit *unit = executor->units; unit; unit = unit->next) {
		unit->id = 0;
		if (unit->detached)
			continue;
		unit->deadlines = deadlines_make(TIME_NEVER, TIME_NEVER);
		unit_deadline_arm(unit);
		unit_kill(unit);
	}
}

/* ------------------------------------------------------------------------------------------------- state at PID 1 */

/* Answers what follows from the unit's current state. May free it. */
static void unit_advance(struct unit *unit)
{
	struct executor *executor = unit->executor;
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
		if (!unit->detached)
			return;
		unit_free(unit);
		executor_rest(executor);
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

bool unit_manager_is_away(const sd_bus_error *error)
{
	return sd_bus_error_has_name(error, SD_BUS_ERROR_DISCONNECTED) ||
	       sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY);
}

static int on_query(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const sd_bus_error *failed = sd_bus_message_get_error(message);
	struct unit *unit = data;
	bool last = sd_bus_get_current_slot(sd_bus_message_get_bus(message)) == unit->query[1];
	bool unknown, start_is_lost;

	(void)error;
	if (last)
		unit->query[1] = sd_bus_slot_unref(unit->query[1]);
	if (failed && unit_manager_is_away(failed))
		return 1;
	unknown = failed || unit_state_read(message, &unit->is) < 0;
	if (!last)
		return 1;
	/*
	 * Inactive without an exit code: PID 1 never had the unit, or has forgotten it and its end was missed. The
	 * query ends here: asking about an unknown unit makes PID 1 load it, find nothing and send UnitRemoved once
	 * more.
	 */
	unknown = unknown || (strcmp(unit->is.state, "inactive") == 0 && unit->is.code == 0);
	/* Whether it is certain that PID 1 never received the start, so that it may be sent again. */
	start_is_lost = unknown && unit->output[0] >= 0 && !unit->start && !unit->stopping && !launch_begun(unit->file);
	if (!unknown)
		unit_advance(unit);
	else if (!start_is_lost || unit_request(unit) < 0)
		unit_end(unit, false);
	return 1;
}

static void query(struct unit *unit)
{
	static const char *const interfaces[2] = { SERVICE_INTERFACE, UNIT_INTERFACE };

	/*
	 * One query at a time: its reply serves requests made meanwhile, and the query itself may cause the signal that
	 * calls this again.
	 */
	if (unit->query[1])
		return;
	unit->query[0] = sd_bus_slot_unref(unit->query[0]);
	for (int i = 0; i < 2; i++)
		sd_bus_call_method_async(unit->executor->manager, &unit->query[i], NULL, unit->path,
					 PROPERTIES_INTERFACE, "GetAll", on_query, unit, "s", interfaces[i]);
}

void unit_query_all(struct executor *executor)
{
	for (struct unit *unit = executor->units; unit; unit = unit->next)
		if (unit->generation != executor->generation) {
			unit_watch(unit);
			unit->query[1] = sd_bus_slot_unref(unit->query[1]);
			query(unit);
			if (unit->stopping)
				unit_kill(unit);
		}
}

/*
 * UnitRemoved does not mean that the unit has ended: PID 1 sends it for every unit at a reload. So the state is
 * queried.
 */
int unit_removed(sd_bus_message *signal, void *data, sd_bus_error *error)
{
	struct executor *executor = data;
	const char *name;
	struct unit *unit;

	(void)error;
	if (!executor->units || sd_bus_message_read(signal, "s", &name) < 0)
		return 0;
	unit = unit_find(executor, name);
	if (unit)
		query(unit);
	return 0;
}

static int on_list(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const char *name, *text, *path;
	struct executor *executor = data;
	uint32_t job;
	int r = sd_bus_message_is_method_error(message, NULL)
			? -EIO
			: sd_bus_message_enter_container(message, 'a', "(ssssssouso)");

	(void)error;
	while (r >= 0 && (r = sd_bus_message_read(message, "(ssssssouso)", &name, &text, &text, &text, &text, &text,
						  &path, &job, &text, &path)) > 0) {
		if (unit_find(executor, name))
			continue;
		executor_log(LOG_NOTICE, "%s was left by an executor that is gone: killed", name);
		manager_tell(executor, "StopUnit", "ss", name, "replace");
	}
	return 1;
}

void unit_reap(struct executor *executor)
{
	if (executor_manager(executor) >= 0)
		manager_call(executor, NULL, on_list, executor, "ListUnitsByPatterns", "asas", 0, 1, UNIT_PREFIX "*");
}
