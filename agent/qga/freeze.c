/* SPDX-License-Identifier: MIT */
/* fsfreeze-status, -freeze, -freeze-list, -thaw and fstrim, which a host needs for a backup. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/root.h"
#include "agent/qga/table.h"
#include "agent/run/freeze.h"

static const struct qga_param freeze_list_params[] = { { "mountpoints", QGA_LIST, false }, { NULL, QGA_TEXT, false } };
static const struct qga_param trim_params[] = { { "minimum", QGA_INTEGER, false }, { NULL, QGA_TEXT, false } };

/* A call that waits for the freeze helper; a host that leaves takes its call along, and the freeze stays. */
struct freeze_work {
	struct qga_call *call; /* NULL: gone */
};

static void drop(struct qga_call *call)
{
	struct freeze_work *work = call->work;

	if (work)
		work->call = NULL; /* freed when the helper has answered */
	call->work = NULL;
}

static struct freeze_work *work_new(struct qga_call *call)
{
	struct freeze_work *work = malloc(sizeof(*work));

	if (work)
		work->call = call;
	else
		qga_fail(call, "out of memory");
	call->work = work;
	return work;
}

/* The call of the work, which is freed; NULL: its host has left. */
static struct qga_call *work_end(struct freeze_work *work)
{
	struct qga_call *call = work->call;

	free(work);
	if (call)
		call->work = NULL;
	return call;
}

static void work_failed(struct freeze_work *work, int error)
{
	struct qga_call *call = work_end(work);

	qga_fail(call, "%s",
		 error == -ENOTCONN    ? "the executor of this guest is off (infiniservice-exec.socket)"
		 : error == -EHOSTDOWN ? exec_fault(call->env->root)
		 : error == -EALREADY  ? "the file systems are frozen already"
		 : error == -EBUSY     ? "the file systems are being frozen or thawed"
				       : strerror(-error));
}

static void emit_count(struct sink *out, const char *key, const void *arg)
{
	sink_uint(out, key, *(const unsigned *)arg);
}

static void on_counted(void *data, const struct freeze_answer *answer)
{
	struct qga_call *call = work_end(data);

	if (!call)
		return;
	if (answer->error < 0)
		qga_fail(call, "%s", answer->words);
	else
		qga_return(call, emit_count, &answer->count);
}

static void emit_status(struct sink *out, const char *key, const void *arg)
{
	sink_str(out, key, arg);
}

static void on_status(void *data, const struct freeze_answer *answer)
{
	struct qga_call *call = work_end(data);

	if (call)
		qga_return(call, emit_status, answer->count ? "frozen" : "thawed");
}

static void run_status(struct qga_call *call)
{
	struct freeze_work *work = work_new(call);
	int r = work ? freeze_status(call->env->freeze, on_status, work) : 0;

	/* It is being asked by a call whose host has left. */
	if (r < 0)
		on_status(work, &(struct freeze_answer){ .count = freeze_is_frozen(call->env->freeze) });
}

static void begin(struct qga_call *call, const char *mounts)
{
	struct freeze_work *work = work_new(call);
	int r = work ? freeze_begin(call->env->freeze, call->command->name, mounts, on_counted, work) : 0;

	if (r < 0)
		work_failed(work, r);
}

static void run_freeze(struct qga_call *call)
{
	begin(call, "");
}

static void run_freeze_list(struct qga_call *call)
{
	struct json_object *list = NULL;
	_cleanup_(freep) char *text = NULL;
	size_t count, len = 0, size = 1;

	json_object_object_get_ex(call->request.arguments, "mountpoints", &list);
	count = list ? json_object_array_length(list) : 0;
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		const char *path = json_object_is_type(item, json_type_string) ? json_object_get_string(item) : "";

		if (*path != '/' || strchr(path, '\n')) {
			qga_fail(call, "Parameter 'mountpoints' is no list of absolute paths");
			return;
		}
		size += strlen(path) + 1;
	}
	text = calloc(1, size);
	for (size_t i = 0; text && i < count; i++) {
		const char *path = json_object_get_string(json_object_array_get_idx(list, i));

		memcpy(text + len, path, strlen(path));
		len += strlen(path);
		text[len++] = '\n';
	}
	if (!text)
		qga_fail(call, "out of memory");
	else if (size > sizeof(((struct freeze_order *)0)->text))
		qga_fail(call, "Parameter 'mountpoints' is too long");
	else
		begin(call, text);
}

static void run_thaw(struct qga_call *call)
{
	struct freeze_work *work = work_new(call);
	int r = work ? freeze_thaw(call->env->freeze, on_counted, work) : 0;

	if (r < 0)
		work_failed(work, r);
}

/* ------------------------------------------------------------------------------------------------------------ trim */

/* Undoes the octal escapes of infiniservice-exec trim, in place. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; to++) {
		if (*text == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
			*to = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 4;
		} else {
			*to = *text++;
		}
	}
	*to = '\0';
}

/* One line of the verb: "PATH TRIMMED MINIMUM" or "PATH - ERROR". */
static void emit_trimmed(struct sink *out, char *line)
{
	char *rest = strchr(line, ' '), *end;
	unsigned long long trimmed, minimum;

	if (!rest)
		return;
	*rest++ = '\0';
	unescape(line);
	sink_object_begin(out, NULL);
	sink_str(out, "path", line);
	if (strncmp(rest, "- ", 2) == 0) {
		sink_str(out, "error", rest + 2);
	} else {
		trimmed = strtoull(rest, &end, 10);
		minimum = strtoull(end, NULL, 10);
		sink_uint(out, "trimmed", trimmed);
		sink_uint(out, "minimum", minimum);
	}
	sink_object_end(out);
}

static void emit_paths(struct sink *out, const char *key, const void *arg)
{
	const struct exec_output *output = arg;
	char *at = output->bytes, *line;

	sink_object_begin(out, key);
	sink_array_begin(out, "paths");
	while (at && *at && (line = strsep(&at, "\n")))
		emit_trimmed(out, line);
	sink_array_end(out);
	sink_object_end(out);
}

static void on_trimmed(struct qga_call *call, const struct exec_outcome *outcome)
{
	struct exec_output text = outcome->out;

	if (!qga_root_succeeded(call, outcome))
		return;
	/* The last byte of output is a newline, and becomes the end. */
	if (text.len)
		text.bytes[text.len - 1] = '\0';
	qga_return(call, emit_paths, &text);
}

static void run_trim(struct qga_call *call)
{
	int64_t minimum = qga_request_integer(&call->request, "minimum", 0);
	char number[24];
	const char *const words[] = { "trim", number, NULL };

	snprintf(number, sizeof(number), "%lld", (long long)(minimum < 0 ? 0 : minimum));
	qga_root_run(call, words, NULL, 0, on_trimmed);
}

const struct qga_command qga_command_fsfreeze_status = { .name = "guest-fsfreeze-status",
							 .run = run_status,
							 .drop = drop };
const struct qga_command qga_command_fsfreeze_freeze = {
	.name = "guest-fsfreeze-freeze", .run = run_freeze, .drop = drop, .possible = qga_root_possible
};
const struct qga_command qga_command_fsfreeze_freeze_list = { .name = "guest-fsfreeze-freeze-list",
							      .params = freeze_list_params,
							      .run = run_freeze_list,
							      .drop = drop,
							      .possible = qga_root_possible };
const struct qga_command qga_command_fsfreeze_thaw = {
	.name = "guest-fsfreeze-thaw", .run = run_thaw, .drop = drop /* also without an executor: see freeze_thaw */
};
const struct qga_command qga_command_fstrim = { .name = "guest-fstrim",
						.params = trim_params,
						.run = run_trim,
						.drop = qga_root_drop,
						.possible = qga_root_possible };
