/* SPDX-License-Identifier: MIT */
#include "agent/qga/root.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/rules/policy.h"
#include "agent/rules/requests.h"
#include "agent/runner/protocol.h"

#define WORDS_MAX 40

struct root_work {
	struct qga_call *call; /* NULL: its host has left */
	qga_root_fn done;
};

bool qga_root_possible(const struct qga_env *env)
{
	return env->executor(env->data);
}

static void on_done(void *data, struct exec_outcome *outcome)
{
	struct root_work *work = data;
	struct qga_call *call = work->call;
	qga_root_fn done = work->done;

	free(work);
	if (!call)
		return;
	call->work = NULL;
	done(call, outcome);
}

void qga_root_drop(struct qga_call *call)
{
	struct root_work *work = call->work;

	if (work)
		work->call = NULL; /* freed when it has ended */
	call->work = NULL;
}

static void begin(struct qga_call *call, const struct exec_request *request, qga_root_fn done)
{
	static const struct exec_callbacks callbacks = { .done = on_done };
	struct root_work *work = malloc(sizeof(*work));
	struct exec_job *job;
	int r = work ? 0 : -ENOMEM;

	if (work) {
		*work = (struct root_work){ .call = call, .done = done };
		r = exec_start(call->env->root, request, &callbacks, work, &job);
	}
	if (r == 0) {
		call->work = work;
		return;
	}
	free(work);
	qga_fail(call, "%s",
		 r == -ENOTCONN	   ? "the executor of this guest is off (infiniservice-exec.socket)"
		 : r == -EHOSTDOWN ? exec_fault(call->env->root)
				   : strerror(-r));
}

void qga_root_run(struct qga_call *call, const char *const *words, const char *input, size_t len, qga_root_fn done)
{
	char path[4096];
	const char *argv[WORDS_MAX + 2] = { exec_program_path(path, sizeof(path)) };
	_cleanup_(closep) int input_fd = input ? input_new(input, len) : -1;
	struct exec_request request = { .argv = argv,
					.envp = runner_environment,
					.action = call->command->name,
					.group = GROUP_CONTROL,
					.input = input ? &input_fd : NULL };

	for (size_t i = 0; i < WORDS_MAX && words[i]; i++)
		argv[i + 1] = words[i];
	request.kill_ns = call->env->loop->now.mono_ns + QGA_ROOT_S * NS_PER_S;
	request.term_ns = request.kill_ns;
	if (input && input_fd < 0)
		qga_fail(call, "%s", strerror(-input_fd));
	else
		begin(call, &request, done);
}

void qga_root_operation(struct qga_call *call, unsigned operation, qga_root_fn done)
{
	struct exec_request request = { .operation = operation, .action = call->command->name, .group = GROUP_CONTROL };

	request.kill_ns = call->env->loop->now.mono_ns + QGA_ROOT_S * NS_PER_S;
	request.term_ns = request.kill_ns;
	begin(call, &request, done);
}

bool qga_root_succeeded(struct qga_call *call, const struct exec_outcome *outcome)
{
	int len = (int)(outcome->err.len < 200 ? outcome->err.len : 200);

	if (!outcome->started)
		qga_fail(call, "%s", *outcome->words ? outcome->words : strerror(outcome->spawn_errno));
	else if (outcome->operation_error < 0)
		qga_fail(call, "%s", *outcome->words ? outcome->words : strerror(-outcome->operation_error));
	else if (outcome->timed_out || outcome->lost || outcome->stuck)
		qga_fail(call, "%s", outcome->lost ? "the executor has ended" : "it took too long");
	else if (outcome->exit_code > 0) {
		while (len > 0 && outcome->err.bytes[len - 1] == '\n')
			len--;
		qga_fail(call, "%.*s", len, len ? outcome->err.bytes : "");
	} else
		return true;
	return false;
}
