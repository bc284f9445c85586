/* SPDX-License-Identifier: MIT */
/* The one answer to a request, written and sent. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/command.h"

static struct sink *answer_begin(const struct qga_env *env)
{
	json_writer_reset(env->writer);
	sink_object_begin(&env->writer->sink, NULL);
	return &env->writer->sink;
}

/* Sends the answer that was begun, with the id of the request. 0, or -EMSGSIZE: it is too long, and was not sent. */
static int answer_end(const struct qga_env *env, const struct qga_request *request, bool delimited)
{
	struct json_writer *writer = env->writer;
	const char *text;
	size_t len;
	int r;

	if (request && request->has_id)
		json_write_object(&writer->sink, "id", request->id);
	sink_object_end(&writer->sink);
	r = json_writer_finish(writer, &text, &len);
	if (r < 0)
		return r;
	if (delimited) {
		_cleanup_(freep) char *marked = malloc(len + 1);

		if (!marked)
			return -ENOMEM;
		marked[0] = (char)0xFF;
		memcpy(marked + 1, text, len);
		env->send(env->data, marked, len + 1);
	} else {
		env->send(env->data, text, len);
	}
	return 0;
}

void qga_answer_fault(const struct qga_env *env, const struct qga_request *request, const char *class, const char *text)
{
	struct sink *out = answer_begin(env);

	sink_object_begin(out, "error");
	sink_str(out, "class", class);
	sink_str(out, "desc", text);
	sink_object_end(out);
	/* Where the id leaves no room it is left out. */
	if (answer_end(env, request, false) == -EMSGSIZE && request)
		qga_answer_fault(env, NULL, class, text);
}

static void return_value(struct qga_call *call, qga_emit_fn emit, const void *arg, bool delimited)
{
	struct sink *out = answer_begin(call->env);
	int r;

	emit(out, "return", arg);
	r = answer_end(call->env, &call->request, delimited);
	if (r < 0)
		qga_answer_fault(call->env, &call->request, QGA_CLASS_GENERIC,
				 r == -EMSGSIZE ? "the answer is too long" : "out of memory");
	call->ended(call, r == 0);
}

static void emit_nothing(struct sink *out, const char *key, const void *arg)
{
	(void)arg;
	sink_object_begin(out, key);
	sink_object_end(out);
}

void qga_return(struct qga_call *call, qga_emit_fn emit, const void *arg)
{
	return_value(call, emit, arg, false);
}

void qga_return_delimited(struct qga_call *call, qga_emit_fn emit, const void *arg)
{
	return_value(call, emit, arg, true);
}

void qga_return_nothing(struct qga_call *call)
{
	return_value(call, emit_nothing, NULL, false);
}

void qga_return_silently(struct qga_call *call)
{
	call->silent = true;
	call->ended(call, true);
}

void qga_fail(struct qga_call *call, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	qga_answer_fault(call->env, &call->request, QGA_CLASS_GENERIC, text);
	call->ended(call, false);
}
