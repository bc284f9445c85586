/* SPDX-License-Identifier: MIT */
/*
 * Transient units; see unit.h, org.freedesktop.systemd1(5), and for the properties systemd.service(5), systemd.exec(5),
 * systemd.kill(5) and systemd.resource-control(5).
 */
#include "agent/executor/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/bus/unit_state.h"
#include "agent/executor/launch.h"
#include "agent/rules/requests.h"
#include "agent/runner/tree.h"

#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"
#define UNIT_INTERFACE	     "org.freedesktop.systemd1.Unit"
#define SERVICE_INTERFACE    "org.freedesktop.systemd1.Service"

#define STOP_US		 (10 * 1000000ULL)
#define DETACHED_STOP_US (60 * 1000000ULL)
/* How long after a command's kill deadline PID 1 ends it, in case there is no executor to do it. */
#define LATE_MS 1500

struct unit {
	struct executor *executor;
	struct unit *next;
	uint64_t id;	     /* of the request; 0: no reply is pending */
	uint64_t generation; /* connection (executor->generation) on which it is watched */
	char name[UNIT_NAME_MAX];
	char *path; /* object path at PID 1 */
	bool detached, started, stopping;
	struct deadlines deadlines; /* none of a detached run */
	uint64_t limit_ns;	    /* deadline that PID 1 enforces */
	sd_event_source *timer;
	sd_bus_slot *start, *watch, *query[2];
	int pipes[2]; /* read ends, until they are sent to the agent; a detached run has files instead */
	int file;     /* stdin of the launcher: the request, and the launcher's failure */
	/* What a start that PID 1 never received is sent again with, until PID 1 has accepted it; -1: accepted. */
	int output[2];
	char *action;
	bool active;
	struct unit_state is;
};

/* ----------------------------------------------------------------------------------------------------------- table */

/* The unit of this name that the executor follows; NULL: none. */
static struct unit *unit_find(const struct executor *executor, const char *name)
{
	struct unit *unit = executor->units;

	while (unit && strcmp(unit->name, name) != 0)
		unit = unit->next;
	return unit;
}

/* Removes it from the table without an answer. */
static void unit_free(struct unit *unit)
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

/* Arms the timer for the unit's next deadline. */
static void unit_deadline_arm(struct unit *unit)
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
	 * Version 0.1.0 named its units so, and PID 1 remembers an ended one too. To be removed with what follows runs
	 * of 0.1.0 in actions/detached.c.
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

/* Watches it on the current connection. As sd_bus_match_signal. */
static int unit_watch(struct unit *unit)
{
	unit->watch = sd_bus_slot_unref(unit->watch);
	unit->generation = unit->executor->generation;
	return sd_bus_match_signal(unit->executor->manager, &unit->watch, NULL, unit->path, PROPERTIES_INTERFACE,
				   "PropertiesChanged", on_changed, unit);
}

/* Whether the error means that PID 1 is unreachable for the moment: units are queried again when it is back. */
static bool unit_manager_is_away(const sd_bus_error *error)
{
	return sd_bus_error_has_name(error, SD_BUS_ERROR_DISCONNECTED) ||
	       sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY);
}

/* ---------------------------------------------------------------------------------------------- the call of PID 1 */

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
		for (int i = 0; i < 2; i++)
			close_fd(&unit->output[i]);
		return 1;
	}
	executor_log(LOG_ERR, "the service manager does not start %s: %s", unit->name, failed->message);
	if (unit->id)
		executor_refuse(executor, unit->id, EIO, RUNNER_STAGE_RESOURCE, failed->message ? failed->message : "");
	unit_free(unit);
	executor_rest(executor);
	return 1;
}

static int append_properties(sd_bus_message *m, const struct unit *unit)
{
	const struct executor *executor = unit->executor;
	const struct config *config = &executor->policy.config;
	const char *program = executor->options.program;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), memory_max = config->commands.max_memory_bytes;
	uint64_t left_ns = unit->limit_ns > now_ns ? unit->limit_ns - now_ns : 0;
	char description[128];
	int r;

	snprintf(description, sizeof(description), "InfiniService command: %s", unit->action);
	r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)", "Description", "s", description, "Type", "s", "exec",
				  "StandardInputFileDescriptor", "h", unit->file, "StandardOutputFileDescriptor", "h",
				  unit->output[0], "StandardErrorFileDescriptor", "h", unit->output[1]);
	/* ExecStart=PROGRAM launch ACTION; the action is an argument only to be visible in the process list. */
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)", "ExecStart", "a(sasb)", 1, program, 3, program, "launch",
					  unit->action, false);
	/*
	 * When the command exits, systemd kills the rest of its control group: processes left behind end at once. A
	 * detached run is stopped by SIGTERM with time to end. Its program alone is killed for lack of memory, not the
	 * launcher, which has to record it.
	 */
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)(sv)", "KillMode", "s", "control-group",
					  "KillSignal", "i", unit->detached ? SIGTERM : SIGKILL, "SendSIGKILL", "b",
					  true, "TimeoutStopUSec", "t", unit->detached ? DETACHED_STOP_US : STOP_US,
					  "CollectMode", "s", "inactive-or-failed", "Slice", "s", UNIT_SLICE,
					  "OOMPolicy", "s", unit->detached ? "continue" : "kill");
	if (r >= 0 && unit->limit_ns != TIME_NEVER)
		r = sd_bus_message_append(m, "(sv)", "RuntimeMaxUSec", "t",
					  (left_ns + LATE_MS * NS_PER_MS) / NS_PER_US);
	/* The executor's own unit stops this one when it stops. */
	if (r >= 0 && !unit->detached && *executor->own_unit)
		r = sd_bus_message_append(m, "(sv)(sv)", "BindsTo", "as", 1, executor->own_unit, "After", "as", 1,
					  executor->own_unit);
	if (r >= 0 && config->commands.max_tasks)
		r = sd_bus_message_append(m, "(sv)", "TasksMax", "t", (uint64_t)config->commands.max_tasks);
	/* Without swap: otherwise a command over its memory limit would first fill the whole swap. */
	if (r >= 0 && memory_max)
		r = sd_bus_message_append(m, "(sv)(sv)", "MemoryMax", "t", memory_max, "MemorySwapMax", "t",
					  (uint64_t)0);
	return r;
}

/*
 * Asks PID 1 to start it; while PID 1 cannot be reached, which is so for a moment when it re-executes itself, it is
 * asked after the next connection. 0 or -errno.
 */
static int unit_request(struct unit *unit)
{
	struct executor *executor = unit->executor;
	sd_bus_message *m = NULL;
	int r;

	if (executor_manager(executor) < 0)
		return executor_reconnect_soon(executor);
	r = unit->generation == executor->generation ? 0 : unit_watch(unit);
	if (r >= 0)
		r = sd_bus_message_new_method_call(executor->manager, &m, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
						   "StartTransientUnit");
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", unit->name, "fail");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = append_properties(m, unit);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r >= 0)
		r = sd_bus_call_async(executor->manager, &unit->start, m, on_start, unit, UINT64_MAX);
	sd_bus_message_unref(m);
	/* The connection is lost already, and the loop has not told it yet. */
	return r == -ENOTCONN || r == -ECONNRESET ? executor_reconnect_soon(executor) : r;
}

/* ---------------------------------------------------------------------------------------------------------- query */

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

/* ----------------------------------------------------------------------------------------------------------- start */

/*
 * Takes the single permit for a detached run, shared by successive executors: a lock (flock(2)) on the directory of the
 * executor's socket, which root alone may open. The descriptor that holds the lock is passed to the launcher; the
 * kernel releases the lock when the launcher ends. The descriptor; -EWOULDBLOCK: it is taken; or another -errno.
 */
static int permit_take(const struct executor *executor)
{
	struct sockaddr_un address = { .sun_path = "" };
	socklen_t len = sizeof(address) - 1;
	_cleanup_(closep) int fd = -1;
	char *slash;

	if (getsockname(executor->options.listen_fd, (struct sockaddr *)&address, &len) < 0)
		return -errno;
	slash = strrchr(address.sun_path, '/');
	if (!slash || slash == address.sun_path)
		return -ENOTDIR;
	*slash = '\0';
	fd = open(address.sun_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return TAKE_FD(fd);
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

/*
 * Fixes what the agent must not choose: a verb's program path, the environment of actions, and the deadline of a
 * detached run, which always has one. *ret is the RUN for the launcher, valid until the next; its length, or -errno.
 */
static int64_t command_pin(struct executor *executor, struct runner_command *command,
			   const struct rules_verdict *verdict, char **ret)
{
	static char packed[RUNNER_MESSAGE_MAX];
	struct runner_run *run = &command->run;
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + verdict->detached_s * NS_PER_S;

	if (command->unit && run->head.kill_ns > end_ns)
		run->head.kill_ns = end_ns;
	if (command->unit && run->head.term_ns > run->head.kill_ns)
		run->head.term_ns = run->head.kill_ns;
	/* Resource limits come from the owner's configuration, by the unit's properties. */
	memset(run->limits, 0, sizeof(run->limits));
	if (run->oom_score_adj < 0)
		run->oom_score_adj = 0;
	if (verdict->free) {
		memcpy(executor->message, run, sizeof(*run));
		*ret = executor->message;
		return run->head.size;
	}
	if (verdict->own_program)
		command->argv[0] = executor->options.program;
	*ret = packed;
	return runner_run_build(*run, (const char *const *)command->argv, runner_environment, NULL, NULL,
				command->action, command->unit, packed, sizeof(packed));
}

/* Makes what the launcher gets: its stdin, with the command's input, and where it writes. 0 or -errno. */
static int files_make(struct unit *unit, char *run, size_t size, bool has_input, const int files[PACKET_FDS],
		      int permit)
{
	ssize_t len;

	for (int i = 0; i < 2; i++) {
		int pair[2] = { -1, -1 };

		if (unit->detached)
			pair[1] = fcntl(files[i], F_DUPFD_CLOEXEC, 3);
		if (unit->detached ? pair[1] < 0 : pipe2(pair, O_CLOEXEC) < 0)
			return -errno;
		unit->pipes[i] = pair[0];
		unit->output[i] = pair[1];
	}
	unit->file = unit->detached ? launch_packet(run, size, files[2], permit) : launch_file(run, size);
	if (unit->file < 0 || !has_input)
		return unit->file;
	/* A copy, from which the launcher makes the command's input: no descriptor of the agent's is kept open. */
	len = input_check(files[0]);
	if (len >= 0 && ftruncate(unit->file, LAUNCH_INPUT_OFFSET) < 0)
		return -errno;
	return len < 0 ? (int)len : input_copy(files[0], 0, (size_t)len, unit->file, LAUNCH_INPUT_OFFSET);
}

void unit_start(struct executor *executor, struct runner_command *command, const struct rules_verdict *verdict,
		const int files[PACKET_FDS])
{
	_cleanup_(closep) int permit = -1;
	const struct runner_request *head = &command->run.head;
	uint64_t id = head->id;
	const char *words;
	int r = room_find(executor, command->unit, &permit, &words);
	char name[UNIT_NAME_MAX];
	struct unit *unit;
	char *run = NULL;
	int64_t len = 0;

	if (r >= 0 && (len = command_pin(executor, command, verdict, &run)) < 0)
		r = (int)len;
	if (r >= 0 && command->unit)
		snprintf(name, sizeof(name), UNIT_DETACHED_PREFIX "%s.service", command->unit);
	else
		snprintf(name, sizeof(name), UNIT_PREFIX "%llx-%x.service", (unsigned long long)executor->next_number++,
			 (unsigned)getpid());
	if (r >= 0 && unit_find(executor, name))
		r = -EEXIST;
	unit = r < 0 ? NULL : calloc(1, sizeof(*unit));
	if (unit) {
		/* The launcher, with PID 1 as its backup, enforces the deadlines of a detached run. */
		*unit = (struct unit){ .executor = executor,
				       .next = executor->units,
				       .id = id,
				       .detached = command->unit,
				       .deadlines = command->unit ? deadlines_make(TIME_NEVER, TIME_NEVER)
								  : deadlines_make(head->term_ns, head->kill_ns),
				       .limit_ns = head->kill_ns,
				       .pipes = { -1, -1 },
				       .file = -1,
				       .output = { -1, -1 },
				       .action = strdup(command->action) };
		snprintf(unit->name, sizeof(unit->name), "%s", name);
		executor->units = unit;
		executor->unit_count++;
		r = unit->action ? sd_bus_path_encode("/org/freedesktop/systemd1/unit", name, &unit->path) : -ENOMEM;
		if (r >= 0)
			r = sd_event_add_time(executor->event, &unit->timer, CLOCK_MONOTONIC, UINT64_MAX, 1,
					      on_deadline, unit);
		if (r >= 0)
			r = files_make(unit, run, (size_t)len, command->run.flags & RUNNER_RUN_INPUT, files, permit);
		if (r >= 0)
			r = unit_request(unit);
	}
	if (r >= 0 && unit) {
		unit_deadline_arm(unit);
		return;
	}
	executor_refuse(executor, id, r < 0 ? -r : ENOMEM, RUNNER_STAGE_RESOURCE, words);
	if (unit)
		unit_free(unit);
}
