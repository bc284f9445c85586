/* SPDX-License-Identifier: MIT */
/*
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
#include <time.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/rules/kill_rule.h"
#include "agent/actions/privilege.h"
#include "agent/actions/run.h"
#include "collectors/pidstat.h"
#include "collectors/procfs.h"
#include "collectors/table.h"

#define PID_MAX_LIMIT 4194304 /* linux/threads.h */

struct target {
	int64_t pid;
	bool force;
	const char *start_time; /* NULL: not given */
	int64_t start_ms;
};

/* False: the command has been answered. */
static bool parameters(struct command *command, struct target *target)
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

/* True for the agent itself, its helpers and the supervisors of its commands. */
static bool is_ours(const struct action_env *env, const struct pidstat *stat)
{
	pid_t executor = exec_stats(env->runner).executor;

	return stat->pid == getpid() || stat->ppid == getpid() || (executor > 0 && stat->ppid == executor);
}

/* Why it must not be killed, or NULL. */
static const char *protection(const struct action_env *env, const struct pidstat *stat)
{
	if (stat->pid == 1)
		return "pid 1 is not killed";
	if (pidstat_is_kernel(stat))
		return "it is a kernel thread";
	if (is_ours(env, stat))
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

static bool start_matches(const struct action_env *env, const struct target *target, const struct pidstat *stat)
{

	return !target->start_time ||
	       kill_rule_matches(target->start_ms, stat->start_ticks, (uint64_t)sysconf(_SC_CLK_TCK), &env->loop->now);
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

/* The command is answered here in every case. */
static void kill_process(struct command *command, const struct target *target)
{
	struct action_env *env = command_env(command);
	struct collect_ctx ctx = env_context(env, &collector_processes);
	_cleanup_(closep) int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)target->pid, 0);
	const char *reason;
	struct pidstat stat;
	int r;

	/* EINVAL: the id of a thread */
	if (pidfd < 0) {
		answer_error(command, errno == EINVAL ? ESRCH : errno);
		return;
	}
	r = pidstat_read(ctx.proc_fd, (pid_t)target->pid, &stat);
	if (r < 0) {
		answer_error(command, r == -ENOENT ? ESRCH : -r);
		return;
	}
	reason = protection(env, &stat);
	if (reason) {
		command_fail(command, CODE_PERMISSION_DENIED, "protected", "%s", reason);
		return;
	}
	if (!start_matches(env, target, &stat)) {
		command_fail(command, CODE_NOT_FOUND, "start_time",
			     "the process of that pid was started at another time");
		return;
	}
	if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0)
		send_signal(command, target, &stat, false);
	else if (errno == EPERM)
		send_signal(command, target, &stat, true);
	else
		answer_error(command, errno);
}

static void run_process_kill(struct command *command)
{
	struct target target = { .force = false };

	if (parameters(command, &target))
		kill_process(command, &target);
}

const struct action action_process_kill = { .name = "ProcessKill", .group = GROUP_CONTROL, .run = run_process_kill };
