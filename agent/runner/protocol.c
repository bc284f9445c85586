/* SPDX-License-Identifier: MIT */
#include "agent/runner/protocol.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

int runner_request_parse(const void *message, size_t len, struct runner_request *ret)
{
	struct runner_request r;

	if (len < sizeof(r) || len > RUNNER_MESSAGE_MAX)
		return -EBADMSG;
	memcpy(&r, message, sizeof(r));
	if (r.version != RUNNER_VERSION)
		return -EPROTO;
	if (r.size != len || r.op < RUNNER_RUN || r.op > RUNNER_CANCEL_DETACHED || r.kill_ns < r.term_ns)
		return -EBADMSG;
	if ((r.id == 0) != (r.op == RUNNER_STOP) ||
	    ((r.op == RUNNER_CANCEL || r.op == RUNNER_STOP) && len != sizeof(r)))
		return -EBADMSG;
	*ret = r;
	return 0;
}

/*
 * Points `count` entries of `list` at consecutive strings from *at. 0, or -EBADMSG when a string does not end before
 * `end`.
 */
static int strings_split(char **at, char *end, char **list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *stop = memchr(*at, '\0', (size_t)(end - *at));

		if (!stop)
			return -EBADMSG;
		list[i] = *at;
		*at = stop + 1;
	}
	return 0;
}

static int environment_check(char *const *envp, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (envp[i][0] == '=' || !strchr(envp[i], '='))
			return -EINVAL;
	return 0;
}

static int run_check(const struct runner_run *run, size_t len)
{
	if (run->head.op != RUNNER_RUN || run->strings != len - sizeof(*run) || run->strings > RUNNER_STRINGS_MAX)
		return -EBADMSG;
	if (run->argc < 1 || run->argc > RUNNER_ARGS_MAX || run->envc > RUNNER_ARGS_MAX)
		return -EBADMSG;
	if (run->oom_score_adj < -1000 || run->oom_score_adj > 1000)
		return -EINVAL;
	return 0;
}

/* The number of hexadecimal digits that `text` begins with, 1 to 16; 0 for anything else. */
static size_t digits(const char *text)
{
	size_t len = strspn(text, "0123456789abcdef");

	return len <= 16 ? len : 0;
}

bool runner_unit_valid(const char *unit)
{
	size_t first = digits(unit), second = first && unit[first] == '-' ? digits(unit + first + 1) : 0;

	return second && unit[first + 1 + second] == '\0';
}

int runner_run_parse(char *message, size_t len, struct runner_command *ret)
{
	struct runner_request head;
	char *at = message + sizeof(ret->run), *end = message + len, *rest[4];
	int error = runner_request_parse(message, len, &head);

	if (error < 0)
		return error;
	if (len < sizeof(ret->run))
		return -EBADMSG;
	memcpy(&ret->run, message, sizeof(ret->run));
	error = run_check(&ret->run, len);
	if (error < 0)
		return error;
	if (strings_split(&at, end, ret->argv, ret->run.argc) < 0 ||
	    strings_split(&at, end, ret->envp, ret->run.envc) < 0 ||
	    strings_split(&at, end, rest, ARRAY_SIZE(rest)) < 0 || at != end)
		return -EBADMSG;
	ret->argv[ret->run.argc] = NULL;
	ret->envp[ret->run.envc] = NULL;
	ret->cwd = *rest[0] ? rest[0] : NULL;
	ret->user = *rest[1] ? rest[1] : NULL;
	ret->action = *rest[2] ? rest[2] : NULL;
	ret->unit = *rest[3] ? rest[3] : NULL;
	if ((ret->run.flags & ~(RUNNER_RUN_DETACHED | RUNNER_RUN_INPUT)) ||
	    ret->run.flags == (RUNNER_RUN_DETACHED | RUNNER_RUN_INPUT))
		return -EBADMSG;
	if (!(ret->run.flags & RUNNER_RUN_DETACHED) != !ret->unit || (ret->unit && !runner_unit_valid(ret->unit)))
		return -EBADMSG;
	if (ret->argv[0][0] != '/' || (ret->cwd && ret->cwd[0] != '/'))
		return -EINVAL;
	return environment_check(ret->envp, ret->run.envc);
}

struct writer {
	char *out;
	size_t len, size;
};

static int string_put(struct writer *w, const char *str)
{
	size_t len = strlen(str) + 1;

	if (len > w->size - w->len)
		return -E2BIG;
	memcpy(w->out + w->len, str, len);
	w->len += len;
	return 0;
}

static int64_t strings_put(struct writer *w, const char *const *list)
{
	size_t count = 0;

	for (; list && list[count]; count++)
		if (count >= RUNNER_ARGS_MAX || string_put(w, list[count]) < 0)
			return -E2BIG;
	return (int64_t)count;
}

int64_t runner_run_build(struct runner_run run, const char *const argv[], const char *const envp[], const char *cwd,
			 const char *user, const char *action, const char *unit, void *out, size_t size)
{
	struct writer w = { .out = out, .len = sizeof(run), .size = size };
	int64_t argc, envc;

	if (size > sizeof(run) + RUNNER_STRINGS_MAX)
		w.size = sizeof(run) + RUNNER_STRINGS_MAX;
	if (size < sizeof(run))
		return -E2BIG;
	argc = strings_put(&w, argv);
	envc = strings_put(&w, envp);
	if (argc < 0 || envc < 0 || string_put(&w, cwd ? cwd : "") < 0 || string_put(&w, user ? user : "") < 0 ||
	    string_put(&w, action ? action : "") < 0 || string_put(&w, unit ? unit : "") < 0)
		return -E2BIG;
	if (argc == 0)
		return -EINVAL;
	run.head.version = RUNNER_VERSION;
	run.head.op = RUNNER_RUN;
	run.head.size = (uint32_t)w.len;
	run.argc = (uint32_t)argc;
	run.envc = (uint32_t)envc;
	run.strings = (uint32_t)(w.len - sizeof(run));
	memcpy(out, &run, sizeof(run));
	return (int64_t)w.len;
}

int runner_detached_cancel_parse(const void *message, size_t len, struct runner_detached_cancel *ret)
{
	struct runner_request head;
	int error = runner_request_parse(message, len, &head);

	if (error < 0)
		return error;
	if (head.op != RUNNER_CANCEL_DETACHED || len != sizeof(*ret))
		return -EBADMSG;
	memcpy(ret, message, sizeof(*ret));
	if (ret->unit[sizeof(ret->unit) - 1] != '\0' || !runner_unit_valid(ret->unit))
		return -EBADMSG;
	return 0;
}

struct runner_detached_cancel runner_detached_cancel_make(uint64_t id, const char *unit)
{
	struct runner_detached_cancel cancel = {
		.head = { .version = RUNNER_VERSION, .op = RUNNER_CANCEL_DETACHED, .size = sizeof(cancel), .id = id }
	};

	snprintf(cancel.unit, sizeof(cancel.unit), "%s", unit);
	return cancel;
}

int runner_operation_parse(char *message, size_t len, struct runner_call *ret)
{
	char *at = message + sizeof(ret->operation), *end = message + len, *rest[2];
	int error = runner_request_parse(message, len, &ret->operation.head);

	if (error < 0)
		return error;
	if (len < sizeof(ret->operation))
		return -EBADMSG;
	memcpy(&ret->operation, message, sizeof(ret->operation));
	if (ret->operation.head.op != RUNNER_OPERATION || ret->operation.strings != len - sizeof(ret->operation) ||
	    ret->operation.reserved != 0 || ret->operation.operation == RUNNER_OPERATION_NONE ||
	    ret->operation.operation >= RUNNER_OPERATIONS)
		return -EBADMSG;
	if (strings_split(&at, end, rest, ARRAY_SIZE(rest)) < 0 || at != end)
		return -EBADMSG;
	ret->action = rest[0];
	ret->argument = rest[1];
	return 0;
}

int64_t runner_operation_build(struct runner_operation_request operation, const char *action, const char *argument,
			       void *out, size_t size)
{
	struct writer w = { .out = out, .len = sizeof(operation), .size = size };

	if (size < sizeof(operation) || string_put(&w, action) < 0 || string_put(&w, argument) < 0 ||
	    w.len > RUNNER_MESSAGE_MAX)
		return -E2BIG;
	operation.head.version = RUNNER_VERSION;
	operation.head.op = RUNNER_OPERATION;
	operation.head.size = (uint32_t)w.len;
	operation.strings = (uint32_t)(w.len - sizeof(operation));
	operation.reserved = 0;
	memcpy(out, &operation, sizeof(operation));
	return (int64_t)w.len;
}

int runner_reply_parse(const void *message, size_t len, struct runner_answer *ret)
{
	struct runner_answer answer = { .text = "" };
	struct runner_reply *r = &answer.reply;

	if (len < sizeof(*r) || len > sizeof(answer))
		return -EBADMSG;
	memcpy(&answer, message, len);
	if (r->version != RUNNER_VERSION || r->op < RUNNER_STARTED || r->op > RUNNER_ANSWERED || r->id == 0)
		return -EBADMSG;
	if (r->text != len - sizeof(*r) || (r->text && answer.text[r->text - 1] != '\0'))
		return -EBADMSG;
	*ret = answer;
	return 0;
}

size_t runner_answer_fill(struct runner_answer *answer, const char *text)
{
	size_t len = strnlen(text, sizeof(answer->text) - 1);

	memcpy(answer->text, text, len);
	answer->text[len] = '\0';
	answer->reply.version = RUNNER_VERSION;
	answer->reply.text = (uint32_t)len + 1;
	return sizeof(answer->reply) + len + 1;
}
