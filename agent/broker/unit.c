/* SPDX-License-Identifier: MIT */
/* Transient units; see unit.h and org.freedesktop.systemd1(5). */
#include "agent/broker/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/broker/manager_call.h"
#include "agent/broker/sweep.h"
#include "agent/broker/transient.h"
#include "agent/broker/unit_state.h"
#include "agent/executor/launch.h"

#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"
#define UNIT_INTERFACE "org.freedesktop.systemd1.Unit"
#define SERVICE_INTERFACE "org.freedesktop.systemd1.Service"

struct unit {
	struct broker *broker;
	struct unit *next;
	uint64_t id; /* 0: nobody waits for its end */
	uint64_t generation; /* of the connection that it is watched on */
	char name[UNIT_NAME_MAX];
	char *path; /* of its object */
	bool keep, started, stopping;
	bool released; /* nobody will ask how it ended */
	bool attached; /* run by an executor that is gone: what it had to say of it is guessed, */
	bool unseen;   /* and it may be over, or never have been */
	uint32_t flags;			    /* EXECUTOR_… of the reply */
	uint64_t term_ns, kill_ns, stuck_ns; /* TIME_NEVER when done */
	uint64_t due_ns;		     /* what term_ns was */
	sd_event_source *timer;
	sd_bus_slot *start, *watch, *look[2];
	int pipes[2]; /* read ends, until the agent has them; what is kept has files instead */
	int file;     /* the request, and what the launcher says to it; -1 of one attached to */
	bool active;
	struct unit_state is;
};

/* ------------------------------------------------------------------------------------------------------------ ends */

static void unit_free(struct unit *unit)
{
	struct broker *broker = unit->broker;
	struct unit **at = &broker->units;

	while (*at != unit)
		at = &(*at)->next;
	*at = unit->next;
	broker->unit_count--;
	sd_event_source_disable_unref(unit->timer);
	sd_bus_slot_unref(unit->start);
	sd_bus_slot_unref(unit->watch);
	for (int i = 0; i < 2; i++) {
		sd_bus_slot_unref(unit->look[i]);
		close_fd(&unit->pipes[i]);
	}
	close_fd(&unit->file);
	free(unit->path);
	free(unit);
}

static void answer_started(struct unit *unit)
{
	struct executor_answer answer = { .reply = { .op = EXECUTOR_STARTED, .id = unit->id, .pid = unit->is.pid } };

	unit->started = true;
	if (unit->id && unit->keep)
		broker_reply(unit->broker, &answer, "");
	else if (unit->id)
		broker_reply_fds(unit->broker, &answer, unit->pipes);
	for (int i = 0; i < 2; i++)
		close_fd(&unit->pipes[i]);
}

static void answer_exited(struct unit *unit, uint32_t flags, int status)
{
	struct executor_answer answer = { .reply = { .op = EXECUTOR_EXITED, .id = unit->id, .flags = unit->flags | flags,
						     .status = status, .end_ns = unit->is.exit_us * NS_PER_US } };

	if (answer.reply.end_ns == 0)
		answer.reply.end_ns = clock_ns(CLOCK_MONOTONIC);

	if (!unit->id)
		return;
	if (!unit->started)
		answer_started(unit);
	broker_reply(unit->broker, &answer, "");
	unit->id = 0;
}

/* As waitpid gives it; siginfo's codes are those of ExecMainCode. */
static int wait_status(const struct unit *unit)
{
	return unit->is.code == CLD_EXITED ? (unit->is.status & 0xff) << 8 : unit->is.status & 0x7f;
}

/* PID 1 has nothing more to say about it. */
static void unit_end(struct unit *unit, bool known)
{
	struct spawn_failure failure = launch_failure(unit->file);
	struct broker *broker = unit->broker;

	if (unit->released)
		sweep_let_go(broker, unit->name);
	if (strcmp(unit->is.result, "oom-kill") == 0)
		unit->flags |= EXECUTOR_OOM;
	if (strcmp(unit->is.result, "timeout") == 0 && !(unit->flags & EXECUTOR_CANCELLED))
		unit->flags |= EXECUTOR_TIMED_OUT | EXECUTOR_KILLED;
	/* Whoever sent it a signal at its deadline is not there any more to say so. */
	if (unit->attached && unit->is.exit_us && unit->is.exit_us * NS_PER_US >= unit->due_ns)
		unit->flags |= EXECUTOR_TIMED_OUT;
	if (failure.error && unit->id)
		broker_refuse(broker, unit->id, failure.error, failure.stage, "");
	else if (strcmp(unit->is.result, "resources") == 0 && unit->is.code == 0 && unit->id)
		broker_refuse(broker, unit->id, EAGAIN, EXECUTOR_STAGE_RESOURCE, "");
	else if (unit->unseen && unit->id && unit->is.code == 0)
		broker_refuse(broker, unit->id, ENOENT, EXECUTOR_STAGE_RESOURCE, "");
	else if (unit->stopping && unit->is.code == 0)
		answer_exited(unit, 0, SIGKILL); /* before it had begun */
	else if (!known || unit->is.code == 0)
		answer_exited(unit, EXECUTOR_LOST, 0);
	else
		answer_exited(unit, 0, wait_status(unit));
	unit_free(unit);
	broker_rest(broker);
}

/* ------------------------------------------------------------------------------------------------------- deadlines */

static void deadline_arm(struct unit *unit)
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

static void unit_kill(struct unit *unit);

/* To all in its group. A stopped process takes a SIGTERM only when it goes on; what has not begun yet needs no grace. */
static void unit_term(struct unit *unit)
{
	if (!unit->active) {
		unit_kill(unit);
		return;
	}
	manager_tell(unit->broker, "KillUnit", "ssi", unit->name, "all", SIGTERM);
	manager_tell(unit->broker, "KillUnit", "ssi", unit->name, "all", SIGCONT);
}

/* One that is kept is not stopped, or PID 1 might forget how it ended; but one that has not begun yet is not to begin. */
static void unit_kill(struct unit *unit)
{
	unit->stopping = true;
	manager_tell(unit->broker, "KillUnit", "ssi", unit->name, "all", SIGKILL);
	if (!unit->keep || !unit->active)
		manager_tell(unit->broker, "StopUnit", "ss", unit->name, "replace");
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *data)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	struct unit *unit = data;

	(void)source;
	(void)usec;
	if (now >= unit->kill_ns) {
		unit->flags |= EXECUTOR_KILLED | (unit->flags & EXECUTOR_CANCELLED ? 0 : EXECUTOR_TIMED_OUT);
		unit->term_ns = unit->kill_ns = TIME_NEVER;
		unit->stuck_ns = now + EXECUTOR_STUCK_MS * NS_PER_MS;
		unit_kill(unit);
	} else if (now >= unit->term_ns) {
		unit->flags |= unit->flags & EXECUTOR_CANCELLED ? 0 : EXECUTOR_TIMED_OUT;
		unit->term_ns = TIME_NEVER;
		unit_term(unit);
	} else if (now >= unit->stuck_ns) {
		/* Its place in the table stays taken until PID 1 sees its end. */
		unit->stuck_ns = TIME_NEVER;
		answer_exited(unit, EXECUTOR_STUCK, 0);
	}
	deadline_arm(unit);
	return 0;
}

void unit_cancel(struct broker *broker, uint64_t id, uint64_t kill_ns)
{
	for (struct unit *unit = broker->units; unit; unit = unit->next) {
		if (unit->id != id)
			continue;
		unit->flags |= EXECUTOR_CANCELLED;
		unit->term_ns = 0;
		if (kill_ns < unit->kill_ns)
			unit->kill_ns = kill_ns;
		if (!unit->unseen) /* it may be over: then there is nothing to end, and its end is still to be told */
			deadline_arm(unit);
	}
}

/* ---------------------------------------------------------------------------------------------------- what it says */

/* What follows from the state it is in now. May free it. */
static void unit_advance(struct unit *unit)
{
	bool over = strcmp(unit->is.state, "inactive") == 0 || unit_state_over(unit->is.state, unit->is.sub);

	if (strcmp(unit->is.state, "active") == 0)
		unit->active = true;
	/* It is inactive before its start too, even with its process there already: only one that has exited is at its end. */
	if (over && (unit->is.code || unit->active || strcmp(unit->is.state, "failed") == 0))
		unit_end(unit, true);
	else if (unit->active && !unit->started && unit->is.pid)
		answer_started(unit);
}

static int on_changed(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct unit *unit = data;
	const char *interface;

	(void)error;
	if (sd_bus_message_read(message, "s", &interface) < 0 || unit_state_read(message, &unit->is) < 0)
		return 0;
	/* PID 1 sends those of the service first, so that they are known when the state says that it is over. */
	if (strcmp(interface, UNIT_INTERFACE) == 0)
		unit_advance(unit);
	return 0;
}

static int watch(struct unit *unit)
{
	unit->watch = sd_bus_slot_unref(unit->watch);
	unit->generation = unit->broker->generation;
	return sd_bus_match_signal(unit->broker->manager, &unit->watch, NULL, unit->path, PROPERTIES_INTERFACE,
				   "PropertiesChanged", on_changed, unit);
}

/* ----------------------------------------------------------------------------------------------------------- start */

/* PID 1 is away, which says nothing about the units: it is asked again when it is back. */
static bool is_disconnection(const sd_bus_error *error)
{
	return sd_bus_error_has_name(error, SD_BUS_ERROR_DISCONNECTED) || sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY);
}

static int on_start(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const sd_bus_error *failed = sd_bus_message_get_error(message);
	struct unit *unit = data;
	struct broker *broker = unit->broker;

	(void)error;
	unit->start = sd_bus_slot_unref(unit->start);
	if (!failed)
		return 1;
	if (is_disconnection(failed))
		return 1; /* it may run or not: unit_look_again will know */
	broker_log(LOG_ERR, "the service manager does not start %s: %s", unit->name, failed->message);
	if (unit->id)
		broker_refuse(broker, unit->id, EIO, EXECUTOR_STAGE_RESOURCE, failed->message ? failed->message : "");
	unit_free(unit);
	broker_rest(broker);
	return 1;
}

static int request_send(struct unit *unit, const struct executor_command *command, const int ends[2])
{
	const struct config *config = &unit->broker->guard.config;
	struct transient transient = {
		.name = unit->name,
		.action = command->action,
		.program = unit->broker->options.program,
		.bound_to = unit->keep || !*unit->broker->own_unit ? NULL : unit->broker->own_unit,
		.keep = unit->keep,
		.stdio = { unit->file, ends[0], ends[1] },
		.memory_max = config->commands.max_memory_bytes,
		.tasks_max = config->commands.max_tasks,
		.kill_ns = unit->kill_ns,
	};
	sd_bus_message *message = NULL;
	int r = transient_message(unit->broker->manager, &transient, clock_ns(CLOCK_MONOTONIC), &message);

	if (r >= 0)
		r = sd_bus_call_async(unit->broker->manager, &unit->start, message, on_start, unit, UINT64_MAX);
	sd_bus_message_unref(message);
	return r;
}

void unit_kept_name(const char *unit, char out[UNIT_NAME_MAX])
{
	snprintf(out, UNIT_NAME_MAX, UNIT_KEEP_PREFIX "%s.service", unit);
}

void unit_release(struct unit *unit)
{
	unit->released = true;
}

struct unit *unit_find(const struct broker *broker, const char *name)
{
	struct unit *unit = broker->units;

	while (unit && strcmp(unit->name, name) != 0)
		unit = unit->next;
	return unit;
}

static struct unit *unit_new(struct broker *broker, const struct executor_request *head, const char *name)
{
	struct unit *unit = calloc(1, sizeof(*unit));

	if (!unit)
		return NULL;
	*unit = (struct unit){ .broker = broker, .next = broker->units, .id = head->id, .term_ns = head->term_ns,
			       .kill_ns = head->kill_ns, .due_ns = head->term_ns, .stuck_ns = TIME_NEVER, .pipes = { -1, -1 }, .file = -1 };
	snprintf(unit->name, sizeof(unit->name), "%s", name);
	broker->units = unit;
	broker->unit_count++;
	return unit;
}

static int make_pipes(struct unit *unit, int ends[2])
{
	for (int i = 0; i < 2; i++) {
		int pair[2];

		if (pipe2(pair, O_CLOEXEC) < 0)
			return -errno;
		unit->pipes[i] = pair[0];
		ends[i] = pair[1];
	}
	return 0;
}

/* The unit's object, and its deadlines' timer. */
static int unit_prepare(struct unit *unit)
{
	struct broker *broker = unit->broker;
	int r = broker_manager(broker);

	if (r >= 0)
		r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit->name, &unit->path);
	if (r >= 0)
		r = watch(unit);
	return r < 0 ? r : sd_event_add_time(broker->event, &unit->timer, CLOCK_MONOTONIC, UINT64_MAX, 1, on_deadline, unit);
}

/* Our verbs run by our own path, actions by their fixed environment, whatever was sent. */
static int command_pin(struct broker *broker, struct executor_command *command, const struct rules_verdict *verdict)
{
	struct executor_run run = command->run;
	static char packed[EXECUTOR_MESSAGE_MAX];
	int64_t len;

	if (verdict->free)
		return 0;
	if (verdict->own_program)
		command->argv[0] = broker->options.program;
	len = executor_run_build(run, (const char *const *)command->argv, transient_environment(), NULL, NULL, command->action,
				 command->unit, packed, sizeof(packed));
	if (len < 0)
		return (int)len;
	memcpy(broker->message, packed, (size_t)len);
	return executor_run_parse(broker->message, (size_t)len, command);
}

/* Everything up to the call of PID 1; `ends` are pipes made here, for what is not kept. */
static int start(struct unit *unit, const struct executor_command *command, const int files[2], int ends[2])
{
	int r = unit_prepare(unit);

	if (r >= 0 && !unit->keep)
		r = make_pipes(unit, ends);
	if (r >= 0)
		r = unit->file = launch_file(unit->broker->message, command->run.head.size);
	return r < 0 ? r : request_send(unit, command, unit->keep ? files : ends);
}

static void name_of(struct broker *broker, const struct executor_command *command, char out[UNIT_NAME_MAX])
{
	if (command->unit)
		unit_kept_name(command->unit, out);
	else
		snprintf(out, UNIT_NAME_MAX, UNIT_PREFIX "%llx-%x.service", (unsigned long long)broker->next_number++,
			 (unsigned)getpid());
}

void unit_start(struct broker *broker, struct executor_command *command, const struct rules_verdict *verdict,
		const int files[2])
{
	uint64_t id = command->run.head.id;
	int ends[2] = { -1, -1 }, r = broker->unit_count >= EXECUTOR_SLOTS ? -EBUSY : command_pin(broker, command, verdict);
	char name[UNIT_NAME_MAX];
	struct unit *unit = NULL;

	if (r >= 0) {
		name_of(broker, command, name);
		r = unit_find(broker, name) ? -EEXIST : command->unit ? sweep_spare(broker, command->unit) : 0;
	}
	if (r >= 0) {
		unit = unit_new(broker, &command->run.head, name);
		r = unit ? 0 : -ENOMEM;
	}
	if (r >= 0) {
		unit->keep = command->unit;
		r = start(unit, command, files, ends);
	}
	for (int i = 0; i < 2; i++)
		close_fd(&ends[i]);
	if (r >= 0) {
		deadline_arm(unit);
		return;
	}
	broker_refuse(broker, id, -r, EXECUTOR_STAGE_RESOURCE, "");
	if (unit)
		unit_free(unit);
}

/* ------------------------------------------------------------------------------------------------- agent and manager */

void unit_orphan_all(struct broker *broker)
{
	for (struct unit *unit = broker->units; unit; unit = unit->next) {
		unit->id = 0;
		if (unit->keep)
			continue;
		unit->term_ns = unit->kill_ns = unit->stuck_ns = TIME_NEVER;
		deadline_arm(unit);
		unit_kill(unit);
	}
}

static int on_look(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const sd_bus_error *failed = sd_bus_message_get_error(message);
	struct unit *unit = data;
	bool last = sd_bus_get_current_slot(sd_bus_message_get_bus(message)) == unit->look[1];

	(void)error;
	if (last)
		unit->look[1] = sd_bus_slot_unref(unit->look[1]);
	if (failed && is_disconnection(failed))
		return 1;
	if (failed || unit_state_read(message, &unit->is) < 0) {
		if (last)
			unit_end(unit, false);
		return 1;
	}
	/*
	 * A unit that nobody knows any more is one that is inactive and never ran: its end was missed. It must be over then: to ask for
	 * it makes PID 1 load it and, finding nothing, say once more that it is removed.
	 */
	if (last && strcmp(unit->is.state, "inactive") == 0 && unit->is.code == 0) {
		unit_end(unit, false);
	} else if (last) {
		if (unit->unseen)
			deadline_arm(unit);
		unit->unseen = false;
		unit_advance(unit);
	}
	return 1;
}

static void unit_look(struct unit *unit)
{
	static const char *const interfaces[2] = { SERVICE_INTERFACE, UNIT_INTERFACE };

	/* Its answer will do for whoever asks meanwhile: to ask may be what brings the next question. */
	if (unit->look[1])
		return;
	unit->look[0] = sd_bus_slot_unref(unit->look[0]);
	for (int i = 0; i < 2; i++)
		sd_bus_call_method_async(unit->broker->manager, &unit->look[i], NULL, unit->path, PROPERTIES_INTERFACE, "GetAll",
					 on_look, unit, "s", interfaces[i]);
}

/* Its own table knows more of a unit than PID 1 does: whether it was cancelled, and what its launcher said. */
static void attach_again(struct unit *unit, uint64_t id)
{
	unit->id = id;
	unit->started = false;
	unit_advance(unit);
}

void unit_attach(struct broker *broker, const struct executor_request *head, const char *unit_name)
{
	char name[UNIT_NAME_MAX];
	struct unit *unit;
	int r = broker->unit_count >= EXECUTOR_SLOTS ? -EBUSY : sweep_spare(broker, unit_name);

	unit_kept_name(unit_name, name);
	unit = unit_find(broker, name);
	if (r >= 0 && unit && unit->id == 0) {
		attach_again(unit, head->id);
		return;
	}
	if (r >= 0 && unit)
		r = -EBUSY;
	unit = r < 0 ? NULL : unit_new(broker, head, name);
	if (unit) {
		unit->keep = unit->attached = unit->unseen = true;
		r = unit_prepare(unit);
	} else if (r >= 0) {
		r = -ENOMEM;
	}
	if (r >= 0) {
		unit_look(unit);
		return;
	}
	broker_refuse(broker, head->id, -r, EXECUTOR_STAGE_RESOURCE, "");
	if (unit)
		unit_free(unit);
}

void unit_look_again(struct broker *broker)
{
	for (struct unit *unit = broker->units; unit; unit = unit->next)
		if (unit->generation != broker->generation) {
			watch(unit);
			unit->look[1] = sd_bus_slot_unref(unit->look[1]);
			unit_look(unit);
		}
}

/* It is gone, or it is only being read anew: PID 1 says the same of every unit when it reloads. */
void unit_removed(struct broker *broker, sd_bus_message *signal)
{
	const char *name;

	struct unit *unit;

	if (!broker->units || sd_bus_message_read(signal, "s", &name) < 0)
		return;
	unit = unit_find(broker, name);
	if (unit)
		unit_look(unit);
}

void unit_free_all(struct broker *broker)
{
	while (broker->units)
		unit_free(broker->units);
}
