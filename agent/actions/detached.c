/* SPDX-License-Identifier: MIT */
/*
 * Detached runs of an earlier agent process; see detached.h. Last in it: package runs that version 0.1.0 began and that
 * are still there after the upgrade. Their files have another name, and no file holds their end, which PID 1 remembers
 * instead. PID 1 is asked until the run has ended; then its end is written to the end record of a detached run. To be
 * removed with the version after this one.
 */
#include "agent/actions/detached.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/line.h>
#include <json-c/json.h>

#include "agent/actions/bus_work.h"
#include "agent/actions/env.h"
#include "agent/actions/run.h"
#include "agent/base/report.h"
#include "agent/bus/unit_state.h"
#include "agent/peer/session.h"
#include "agent/run/detached_files.h"
#include "agent/run/exec.h"

#define LEGACY_PREFIX  "keep-"
#define LEGACY_ASK_S   1.0
#define LEGACY_CALL_NS (25 * NS_PER_S)

struct held_answer {
	struct held_answer *next;
	uint64_t serial;
	char unit[RUNNER_UNIT_SIZE];
	struct line *line;
};

/* ------------------------------------------------------------------------------------------------- runs of 0.1.0 */

static const char *const endings[] = { "out", "err", "note" };

struct legacy_run {
	struct legacy_run *next;
	struct detached *detached;
	char unit[RUNNER_UNIT_SIZE];
	uint64_t term_ns;
	int end; /* locked, so that the run counts as going on */
	char path[512];
	ev_timer timer;
	struct bus_call *call;
};

static void ask(struct legacy_run *run);

static void run_free(struct legacy_run *run)
{
	struct legacy_run **at = &run->detached->legacy;

	while (*at != run)
		at = &(*at)->next;
	*at = run->next;
	ev_timer_stop(run->detached->commands->loop->ev, &run->timer);
	bus_cancel(run->call);
	close_fd(&run->end);
	free(run);
}

/* `record` NULL: PID 1 does not know the unit. */
static void over(struct legacy_run *run, const struct end_record *record)
{
	struct exec *exec = run->detached->executor;
	char line[END_RECORD_MAX], name[64];
	ssize_t len = record ? (ssize_t)end_record_format(record, line) : 0;

	if (len > 0 && write(run->end, line, (size_t)len) != len)
		report(LOG_ERR, "%s: the end of the run could not be written: %s", run->unit, strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		snprintf(name, sizeof(name), LEGACY_PREFIX "%s.%s", run->unit, endings[i]);
		unlinkat(exec_detached_dir(exec), name, 0);
	}
	exec_cancel_unit(exec, run->unit);
	run_free(run);
}

/* The agent that sent the signal at the deadline is gone, so a time-out is told from the end time. */
static struct end_record record_of(const struct legacy_run *run, const struct unit_state *state)
{
	struct end_record record = { .end_ns = state->exit_us * NS_PER_US,
				     .status = state->code == CLD_EXITED ? (state->status & 0xff) << 8
									 : state->status & 0x7f };

	if (strcmp(state->result, "oom-kill") == 0)
		record.flags |= RUNNER_OOM;
	if (strcmp(state->result, "timeout") == 0 || record.end_ns >= run->term_ns)
		record.flags |= RUNNER_TIMED_OUT;
	return record;
}

static void on_properties(void *data, const struct bus_reply *reply)
{
	struct legacy_run *run = data;
	struct unit_state state = { .load = "" };
	struct end_record record;

	run->call = NULL;
	if (reply->error || unit_state_read(reply->message, &state) < 0) {
		ev_timer_again(run->detached->commands->loop->ev, &run->timer);
		return;
	}
	record = record_of(run, &state);
	if (strcmp(state.load, "not-found") == 0 || (strcmp(state.state, "inactive") == 0 && state.code == 0))
		over(run, NULL);
	else if (state.code && (strcmp(state.state, "failed") == 0 || strcmp(state.sub, "exited") == 0))
		over(run, &record);
	else
		ev_timer_again(run->detached->commands->loop->ev, &run->timer);
}

static int call(struct legacy_run *run, const char *path, const char *interface, const char *member,
		const char *argument, bus_reply_fn done)
{
	return bus_ask(run->detached->bus, LEGACY_CALL_NS, done, run, &run->call, SYSTEMD_NAME, path, interface, member,
		       "s", argument);
}

static void on_path(void *data, const struct bus_reply *reply)
{
	struct legacy_run *run = data;
	const char *path;

	run->call = NULL;
	if (reply->error == 0 && sd_bus_message_read(reply->message, "o", &path) >= 0 &&
	    snprintf(run->path, sizeof(run->path), "%s", path) < (int)sizeof(run->path))
		ask(run);
	else
		ev_timer_again(run->detached->commands->loop->ev, &run->timer);
}

/* Properties of all interfaces at once. */
static void ask(struct legacy_run *run)
{
	char name[64];
	int r;

	snprintf(name, sizeof(name), "infiniservice-keep-%s.service", run->unit);
	ev_timer_stop(run->detached->commands->loop->ev, &run->timer);
	r = *run->path ? call(run, run->path, DBUS_PROPERTIES, "GetAll", "", on_properties)
		       : call(run, SYSTEMD_PATH, SYSTEMD_MANAGER, "LoadUnit", name, on_path);
	if (r < 0)
		ev_timer_again(run->detached->commands->loop->ev, &run->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	ask(timer->data);
}

/* The old names stay until the run is over: by them the next agent process finds it. */
static int files_adopt(int dir_fd, const char *unit)
{
	char old[64], new[64];
	int fd;

	snprintf(old, sizeof(old), LEGACY_PREFIX "%s.out", unit);
	if (faccessat(dir_fd, old, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		snprintf(old, sizeof(old), LEGACY_PREFIX "%s.%s", unit, endings[i]);
		snprintf(new, sizeof(new), DETACHED_FILES_PREFIX "%s.%s", unit, endings[i]);
		if (linkat(dir_fd, old, dir_fd, new, 0) < 0 && errno != EEXIST && errno != ENOENT)
			return -errno;
	}
	snprintf(new, sizeof(new), DETACHED_FILES_PREFIX "%s.end", unit);
	unlinkat(dir_fd, new, 0);
	fd = openat(dir_fd, new, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	close_fd(&fd);
	return -errno;
}

static void legacy_run_adopt(struct detached *detached, const char *unit, uint64_t term_ns)
{
	int dir_fd = exec_detached_dir(detached->executor), end = dir_fd < 0 ? -ENOENT : files_adopt(dir_fd, unit);
	struct legacy_run *run = end < 0 ? NULL : calloc(1, sizeof(*run));

	if (!run) {
		close_fd(&end);
		return;
	}
	*run = (struct legacy_run){ .next = detached->legacy, .detached = detached, .term_ns = term_ns, .end = end };
	snprintf(run->unit, sizeof(run->unit), "%s", unit);
	detached->legacy = run;
	ev_timer_init(&run->timer, on_timer, 0., LEGACY_ASK_S);
	run->timer.data = run;
	ask(run);
}

/*
 * ---------------------------------------------------------------------------------------------------- after a restart
 */

/* The message of a journal entry. NULL: it was not recorded or cannot be parsed. */
static struct json_object *message_of(const struct journal_entry *entry)
{
	struct json_object *root =
		entry->run->request ? json_tokener_parse(entry->run->request) : json_object_new_object();
	struct json_object *type = NULL;

	if (!json_object_is_type(root, json_type_object)) {
		json_object_put(root);
		return NULL;
	}
	if (!json_object_object_get_ex(root, "command_type", &type)) {
		type = json_object_new_object();
		json_object_object_add(type, "action", json_object_new_string(entry->action));
		json_object_object_add(root, "command_type", type);
	}
	json_object_object_add(root, "type", json_object_new_string("SafeCommand"));
	json_object_object_add(root, "id", json_object_new_string(entry->id));
	return root;
}

/* Creates the command of an entry, in the list and in its slot. NULL: it cannot be created. */
static struct command *command_of(struct detached *detached, const struct journal_entry *entry)
{
	struct json_object *root = message_of(entry);
	const struct action *action = NULL;
	struct message_fault fault;
	struct message message;
	struct command *command;
	int r = root ? message_from_object(root, &message, &fault) : -EBADMSG;

	json_object_put(root);
	if (r < 0)
		return NULL;
	if (strcmp(message.action, entry->action) != 0 ||
	    action_find(detached->commands->actions, entry->action, &action) != ACTION_KNOWN || !action->slot) {
		message_free(&message);
		return NULL;
	}
	command = commands_adopt(detached->commands, &message, action);
	if (!command)
		message_free(&message);
	return command;
}

static void resume(struct detached *detached, const struct journal_entry *entry)
{
	const struct journal_run *run = entry->run;
	struct detached_unit *unit;
	struct command *command;

	if (strcmp(run->boot_id, detached->boot_id) != 0)
		return;
	unit = calloc(1, sizeof(*unit));
	command = unit ? command_of(detached, entry) : NULL;
	if (!command) {
		free(unit);
		return;
	}
	legacy_run_adopt(detached, run->unit, run->term_ns);
	command->serial = entry->serial;
	command->received_ns = run->received_ns;
	command->term_ns = run->term_ns;
	command->deadline_ns = run->deadline_ns;
	command->attempts = 1;
	command->unit = unit;
	*unit = (struct detached_unit){ .attach = true, .max_output = run->max_output };
	memcpy(unit->name, run->unit, sizeof(unit->name));
	memcpy(unit->step, run->step, sizeof(unit->step));
	report(LOG_NOTICE, "%s %s goes on: it outlived the agent", entry->action, entry->id);
	journal_adopt(detached->commands->record.journal, entry->serial);
	/* Without known parameters the command only waits for the end of its run. */
	if (run->request)
		command->action->run(command);
	else
		run_program(command, &(struct run){ .privileged = true });
}

static bool is_wanted(void *data, const char *unit)
{
	const struct journal *journal = data;

	for (const struct journal_entry *entry = journal->open; entry; entry = entry->next)
		if (entry->run && strcmp(entry->run->unit, unit) == 0)
			return true;
	return false;
}

void detached_resume(struct detached *detached)
{
	for (struct journal_entry *entry = detached->commands->record.journal->lost, *next; entry; entry = next) {
		next = entry->next;
		if (entry->run)
			resume(detached, entry);
	}
	if (exec_detached_dir(detached->executor) >= 0)
		detached_files_clean(exec_detached_dir(detached->executor), is_wanted,
				     detached->commands->record.journal);
}

/* ------------------------------------------------------------------------------------------- without a host to tell */

static void hold(struct detached *detached, struct command *command)
{
	const struct json_writer *writer = command->commands->peers->writer;
	struct held_answer *answer = calloc(1, sizeof(*answer)), **end = &detached->held;
	struct line *line = answer ? line_new(LINE_REPLY, writer->buf, writer->len) : NULL;

	if (line) {
		*answer = (struct held_answer){ .serial = command->serial, .line = line };
		if (command->unit)
			memcpy(answer->unit, command->unit->name, sizeof(answer->unit));
		while (*end)
			end = &(*end)->next;
		*end = TAKE_PTR(answer);
	}
	free(answer);
	/* Out of memory: the journal entry stays, and the next agent process will answer. */
	command->serial = 0;
	free(command->unit);
	command->unit = NULL;
}

void detached_deliver(struct detached *detached, struct command *command)
{
	if (detached->host->present)
		session_answer(detached->host, command_line_class(command));
	else
		hold(detached, command);
}

static struct held_answer *answer_free(struct held_answer *answer)
{
	struct held_answer *next = answer->next;

	line_unref(answer->line);
	free(answer);
	return next;
}

void detached_session_began(struct detached *detached)
{
	while (detached->held && detached->host->send(detached->host, detached->held->line) == 0) {
		journal_answered(detached->commands->record.journal, detached->held->serial);
		exec_forget(detached->executor, detached->held->unit);
		detached->held = answer_free(detached->held);
	}
}

void detached_done(struct detached *detached)
{
	while (detached->held)
		detached->held = answer_free(detached->held);
	while (detached->legacy)
		run_free(detached->legacy);
}
