/* SPDX-License-Identifier: MIT */
/*
 * ProcessList and ProcessTop: the processes as they are now, not as in the last sample. Command lines come from the
 * prober (reading one may hang); the action waits for them, but never longer than the deadline of the probe. With many
 * processes it also waits for the scan, which is done in slices.
 *
 * ProcessKill: one signal to exactly the process that was named. The pidfd is opened first and the process is
 * identified afterwards: if the pid was reused in between, the signal finds the first process dead, see pidfd_open(2).
 */
#include "agent/actions/table.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/actions/run.h"
#include "agent/rules/requests.h"
#include "collectors/pidstat.h"
#include "collectors/processes.h"
#include "collectors/table.h"

#define LIST_LIMIT_MAX	   10000
#define LIST_LIMIT_DEFAULT 1000
#define TOP_LIMIT_DEFAULT  10
/* Command lines requested at once; a longer list has them for its first rows and for cached processes. */
#define ASK_MAX 200

#define PID_MAX_LIMIT 4194304 /* linux/threads.h */

/* ----------------------------------------------------------------------------------------- ProcessList, ProcessTop */

/* A command that waits for the scan, or for the prober. */
struct listing {
	struct sampling_waiter waiter;
	bool asked; /* the prober has been asked for the command lines */
};

struct list_answer {
	const struct process_row *rows;
	size_t count, all; /* rows; processes there are */
	struct response response;
};

static void emit_row(struct sink *out, const struct process_row *row)
{
	char started[RFC3339_SIZE];

	rfc3339_format(row->start_wall_ms, started);
	sink_object_begin(out, NULL);
	sink_int(out, "pid", row->pid);
	sink_int(out, "ppid", row->ppid);
	sink_text(out, "name", row->comm, row->comm_len, SINK_COMM_MAX);
	sink_real(out, "cpu_usage", row->cpu_percent, 2);
	sink_uint(out, "memory_kb", row->rss_kb);
	sink_str(out, "status", row->status);
	if (row->cmdline)
		sink_text(out, "cmd_line", row->cmdline, row->cmdline_len, SINK_CMDLINE_MAX);
	else
		sink_null(out, "cmd_line");
	if (row->user)
		sink_str(out, "user", row->user);
	else if (row->uid_known)
		sink_uint(out, "user", row->uid);
	else
		sink_null(out, "user");
	sink_str(out, "start_time", started);
	sink_object_end(out);
}

/* Rows that no longer fit are left out; the response says so, which turns out only here. */
static void emit_rows(struct sink *out, const char *key, const void *arg)
{
	struct list_answer *answer = *(struct list_answer *const *)arg;

	sink_array_begin(out, key);
	for (size_t i = 0; i < answer->count; i++) {
		struct sink_mark mark = sink_mark(out);

		emit_row(out, &answer->rows[i]);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			answer->response.data_truncated = true;
			answer->response.total_count = answer->all;
			break;
		}
	}
	sink_array_end(out);
}

static void on_ready(void *data)
{
	struct command *command = data;

	if (!command->end)
		command_run_action(command);
}

static void listing_free(void *work)
{
	struct listing *listing = work;

	sampling_leave(&listing->waiter);
	free(listing);
}

/* Runs again when the scan is over, and when the prober has answered. */
static void run_list(struct command *command)
{
	bool is_list = command->action == &action_process_list;
	enum processes_sort sort = is_list ? PROCESSES_BY_PID : PROCESSES_BY_CPU;
	int64_t limit = is_list ? LIST_LIMIT_DEFAULT : TOP_LIMIT_DEFAULT;
	struct listing *listing = command->work;
	struct action_env *env = command_env(command);
	struct collect_ctx ctx = env_context(env, &collector_processes);
	void *state = sampling_state(env->sampling, &collector_processes);
	_cleanup_(freep) struct process_row *table = NULL;
	struct list_answer answer = { .response = { .success = true, .data = emit_rows } }, *arg = &answer;
	struct message_fault fault;
	const char *sort_by = NULL;

	if (message_param_integer(&command->message, "limit", 1, LIST_LIMIT_MAX, &limit, &fault) < 0 ||
	    message_param_text(&command->message, "sort_by", &sort_by, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return;
	}
	if (sort_by && strcmp(sort_by, "cpu") != 0 && strcmp(sort_by, "memory") != 0) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value", "sort_by is \"cpu\" or \"memory\"");
		return;
	}
	if (sort_by)
		sort = strcmp(sort_by, "cpu") == 0 ? PROCESSES_BY_CPU : PROCESSES_BY_MEMORY;
	if (!listing && (listing = calloc(1, sizeof(*listing)))) {
		listing->waiter.ready = on_ready;
		listing->waiter.data = command;
		command->work = listing;
		command->work_free = listing_free;
		if (!sampling_scan(env->sampling, &listing->waiter))
			return;
	}
	table = listing ? calloc((size_t)limit, sizeof(*table)) : NULL;
	if (!table || !state) {
		command_fail(command, CODE_INTERNAL, "collector",
			     "the processes collector is off or failing (see Status)");
		return;
	}
	answer.rows = table;
	answer.count = processes_sorted(state, &ctx, sort, table, (size_t)limit);
	if (!listing->asked) {
		listing->asked = true;
		if (processes_ask(state, &ctx, table, answer.count < ASK_MAX ? answer.count : ASK_MAX) > 0 &&
		    !sampling_await_probes(env->sampling, &listing->waiter))
			return;
	}
	/* ProcessTop is limited by request; ProcessList is of all processes, and says when it is truncated. */
	answer.all = processes_count(state);
	answer.response.arg = &arg;
	answer.response.data_truncated = is_list && answer.count < answer.all;
	answer.response.total_count = answer.response.data_truncated ? answer.all : 0;
	command_answer(command, &answer.response);
}

const struct action action_process_list = { .name = "ProcessList", .group = GROUP_OBSERVE, .run = run_list };

const struct action action_process_top = { .name = "ProcessTop", .group = GROUP_OBSERVE, .run = run_list };

/* ----------------------------------------------------------------------------------------------------- ProcessKill */

struct target {
	int64_t pid;
	bool force;
	const char *start_time; /* NULL: not given */
	int64_t start_ms;
};

/* False: the command has been answered. */
static bool target_of(struct command *command, struct target *target)
{
	const struct message *message = &command->message;
	struct message_fault fault;
	int r = message_param_integer(message, "pid", 1, PID_MAX_LIMIT, &target->pid, &fault);

	if (r > 0) {
		command_fail(command, CODE_INVALID_PARAMETERS, "missing_field", "pid is missing");
		return false;
	}
	if (r < 0 || message_param_bool(message, "force", &target->force, &fault) < 0 ||
	    message_param_text(message, "start_time", &target->start_time, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return false;
	}
	if (target->start_time && !kill_rule_parse(target->start_time, &target->start_ms)) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "start_time is a time as ProcessList gives it");
		return false;
	}
	return true;
}

/* Why it must not be killed, or NULL. The helpers of the agent and the supervisors of its commands are its own. */
static const char *protection(const struct action_env *env, const struct pidstat *stat)
{
	pid_t executor = exec_stats(env->runner).executor;

	if (stat->pid == 1)
		return "pid 1 is not killed";
	if (pidstat_is_kernel(stat))
		return "it is a kernel thread";
	if (stat->pid == getpid() || stat->ppid == getpid() || (executor > 0 && stat->ppid == executor))
		return "it is the agent or one of its helpers";
	return NULL;
}

static void answer_error(struct command *command, int error)
{
	if (error == ESRCH)
		command_fail(command, CODE_NOT_FOUND, "no_such_process", "there is no such process (any more)");
	else
		command_fail(command, CODE_COMMAND_FAILED, NULL, "the signal could not be sent: %s", strerror(error));
}

static void on_killed(struct command *command, struct exec_outcome *outcome)
{
	if (run_succeeded(outcome))
		command_succeed(command, NULL, NULL);
	else if (outcome->exit_code == KILL_EXIT_GONE && outcome->started)
		answer_error(command, ESRCH);
	else if (outcome->exit_code == KILL_EXIT_PROTECTED && outcome->started)
		command_fail(command, CODE_PERMISSION_DENIED, "protected", "it is a thread of the kernel, or pid 1");
	else
		run_answer(command, outcome, NULL, NULL);
}

/*
 * The signal is sent by a program, which checks pid and start time of the process once more. A process of another user
 * needs rights.
 */
static void send_signal(struct command *command, const struct target *target, const struct pidstat *stat, bool rights)
{
	char path[4096], pid[16], ticks[24];
	const char *const argv[] = { exec_program_path(path, sizeof(path)), "kill", pid, ticks,
				     target->force ? "KILL" : "TERM",	    NULL };
	struct run run = { .argv = argv, .privileged = rights, .done = on_killed };

	snprintf(pid, sizeof(pid), "%d", (int)stat->pid);
	snprintf(ticks, sizeof(ticks), "%llu", (unsigned long long)stat->start_ticks);
	run_program(command, &run);
}

static void run_process_kill(struct command *command)
{
	struct action_env *env = command_env(command);
	struct collect_ctx ctx = env_context(env, &collector_processes);
	struct target target = { .force = false };
	_cleanup_(closep) int pidfd = -1;
	const char *reason;
	struct pidstat stat;
	int r;

	if (!target_of(command, &target))
		return;
	pidfd = (int)syscall(SYS_pidfd_open, (pid_t)target.pid, 0);
	/* EINVAL: the id of a thread */
	if (pidfd < 0) {
		answer_error(command, errno == EINVAL ? ESRCH : errno);
		return;
	}
	r = pidstat_read(ctx.proc_fd, (pid_t)target.pid, &stat);
	if (r < 0) {
		answer_error(command, r == -ENOENT ? ESRCH : -r);
		return;
	}
	reason = protection(env, &stat);
	if (reason)
		command_fail(command, CODE_PERMISSION_DENIED, "protected", "%s", reason);
	else if (target.start_time &&
		 !kill_rule_matches(target.start_ms, stat.start_ticks, (uint64_t)sysconf(_SC_CLK_TCK), &env->loop->now))
		command_fail(command, CODE_NOT_FOUND, "start_time",
			     "the process of that pid was started at another time");
	else if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0)
		send_signal(command, &target, &stat, false);
	else if (errno == EPERM)
		send_signal(command, &target, &stat, true);
	else
		answer_error(command, errno);
}

const struct action action_process_kill = { .name = "ProcessKill", .group = GROUP_CONTROL, .run = run_process_kill };
