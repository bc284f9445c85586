/* SPDX-License-Identifier: MIT */
/*
 * Starting a transient unit; see unit.h, org.freedesktop.systemd1(5), and for the properties systemd.service(5),
 * systemd.exec(5), systemd.kill(5) and systemd.resource-control(5).
 */
#include "agent/executor/unit_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/executor/launch.h"
#include "agent/rules/requests.h"

#define STOP_US		 (10 * 1000000ULL)
#define DETACHED_STOP_US (60 * 1000000ULL)
/* How long after a command's kill deadline PID 1 ends it, in case there is no executor to do it. */
#define LATE_MS 1500

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
	const struct config *config = &executor->guard.config;
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

int unit_request(struct unit *unit)
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
 * Fixes in the executor's message what the agent must not choose: a verb's program path, the environment of actions,
 * and the deadline of a detached run, which always has one. `command` is then the message's.
 */
static int command_pin(struct executor *executor, struct runner_command *command, const struct rules_verdict *verdict)
{
	static char packed[RUNNER_MESSAGE_MAX];
	struct runner_run *run = &command->run;
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + verdict->detached_s * NS_PER_S;
	int64_t len;

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
		return 0;
	}
	if (verdict->own_program)
		command->argv[0] = executor->options.program;
	len = runner_run_build(*run, (const char *const *)command->argv, runner_environment, NULL, NULL,
			       command->action, command->unit, packed, sizeof(packed));
	if (len < 0)
		return (int)len;
	memcpy(executor->message, packed, (size_t)len);
	return runner_run_parse(executor->message, (size_t)len, command);
}

/* Makes what the launcher gets: its stdin, with the command's input, and where it writes. 0 or -errno. */
static int files_make(struct unit *unit, const struct runner_command *command, const int files[PACKET_FDS], int permit)
{
	char *message = unit->executor->message;
	uint32_t size = command->run.head.size;
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
	unit->file = unit->detached ? launch_packet(message, size, files[2], permit) : launch_file(message, size);
	if (unit->file < 0 || !(command->run.flags & RUNNER_RUN_INPUT))
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
	uint64_t id = command->run.head.id;
	const char *words;
	int r = room_find(executor, command->unit, &permit, &words);
	char name[UNIT_NAME_MAX];
	struct unit *unit = executor->units;

	if (r >= 0)
		r = command_pin(executor, command, verdict);
	if (r >= 0 && command->unit)
		snprintf(name, sizeof(name), UNIT_DETACHED_PREFIX "%s.service", command->unit);
	else
		snprintf(name, sizeof(name), UNIT_PREFIX "%llx-%x.service", (unsigned long long)executor->next_number++,
			 (unsigned)getpid());
	while (unit && strcmp(unit->name, name) != 0)
		unit = unit->next;
	if (r >= 0 && unit)
		r = -EEXIST;
	unit = r < 0 ? NULL : unit_new(executor, &command->run.head, name);
	if (unit) {
		unit->detached = command->unit;
		unit->action = strdup(command->action);
		r = unit->action ? files_make(unit, command, files, permit) : -ENOMEM;
		if (r >= 0)
			r = unit_request(unit);
	}
	if (r < 0 || !unit) {
		executor_refuse(executor, id, r < 0 ? -r : ENOMEM, RUNNER_STAGE_RESOURCE, words);
		if (unit)
			unit_free(unit);
		return;
	}
	/* The launcher, with PID 1 as its backup, enforces the deadlines of a detached run. */
	if (unit->detached)
		unit->deadlines = deadlines_make(TIME_NEVER, TIME_NEVER);
	unit_deadline_arm(unit);
}
