/* SPDX-License-Identifier: MIT */
#include "agent/qga/qga.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/command.h"
#include "agent/qga/frame.h"
#include "agent/qga/programs.h"
#include "agent/qga/table.h"

/* A request that waits for the one under way. */
struct waiting {
	struct waiting *next;
	size_t len;
	char text[];
};

struct qga_stats {
	uint64_t requests, answers, refused, broken, abandoned;
};

struct qga {
	struct qga_env env;
	struct qga_frames frames;
	struct qga_call *call; /* under way; NULL: none */
	bool running;	       /* within the run of call */
	struct waiting *first, **end;
	size_t waiting_bytes;
	struct deadline next; /* the next one that waits is begun */
	struct qga_stats stats;
};

static const struct qga_command *const commands[] = {
#define QGA_ADDRESS(name) &qga_command_##name,
	QGA_COMMANDS(QGA_ADDRESS)
#undef QGA_ADDRESS
};

const struct qga_command *qga_command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static bool allowed(const struct qga *qga, const struct qga_rule *rule)
{
	const struct config *config = qga->env.config;
	struct qga_policy policy = { .allow = config->qga.allow,
				     .deny = config->qga.deny,
				     .allow_unsafe = config->qga.allow_unsafe,
				     .signatures = qga->env.signatures(qga->env.data),
				     .unsigned_ok = config->auth.unsigned_qga };

	return qga_policy_allows(&policy, rule);
}

/* While file systems are frozen only that which leads out of it is done, as by qemu-ga. */
static bool leads_out(const struct qga_rule *rule)
{
	return rule->group == QGA_BASIC || strcmp(rule->name, "guest-fsfreeze-status") == 0 ||
	       strcmp(rule->name, "guest-fsfreeze-thaw") == 0;
}

bool qga_enabled(const struct qga *qga, const struct qga_rule *rule)
{
	const struct qga_command *command = qga_command_find(rule->name);

	if (freeze_is_frozen(qga->env.freeze) && !leads_out(rule))
		return false;
	return command && (!command->possible || command->possible(&qga->env)) && allowed(qga, rule);
}

/* ----------------------------------------------------------------------------------------------------- the record */

static const char *describe(const struct qga_call *call, char *out, size_t size)
{
	*out = '\0';
	if (call->request.arguments && !call->command->secret)
		audit_redact_object(call->request.arguments, out, size);
	return *out ? out : NULL;
}

static struct audit_record record_of(const struct qga_call *call, enum audit_phase phase, const struct qga_rule *rule)
{
	return (struct audit_record){
		.phase = phase,
		.id = "",
		.action = rule->name,
		.origin = "host (qga)",
		.changes = rule->group != QGA_BASIC && rule->group != QGA_OBSERVE,
		.duration_ms = (call->env->loop->now.mono_ns - call->begun.mono_ns) / NS_PER_MS,
	};
}

/* What only keeps the two sides in step is not recorded. */
static void record_start(struct qga_call *call, const struct qga_rule *rule)
{
	struct audit_record record = record_of(call, AUDIT_STARTED, rule);
	char detail[AUDIT_DETAIL_MAX];

	call->audited = record.changes || (rule->group == QGA_OBSERVE && call->env->records_read(call->env->data));
	if (!call->audited)
		return;
	record.detail = describe(call, detail, sizeof(detail));
	call->env->record(call->env->data, &record);
}

static void record_end(const struct qga_call *call, bool success)
{
	struct audit_record record;

	if (!call->audited)
		return;
	record = record_of(call, AUDIT_FINISHED, qga_rule_find(call->command->name));
	record.success = success;
	record.error_code = success ? NULL : "COMMAND_FAILED";
	call->env->record(call->env->data, &record);
}

/* --------------------------------------------------------------------------------------------------- calls end */

static void call_free(struct qga_call *call)
{
	if (call->command->drop)
		call->command->drop(call);
	qga_request_free(&call->request);
	free(call);
}

static void on_ended(struct qga_call *call, bool success)
{
	struct qga *qga = call->qga;

	qga->stats.answers += !call->silent;
	call->answered = true;
	record_end(call, success);
	if (qga->running)
		return;
	qga->call = NULL;
	call_free(call);
	deadline_after(&qga->next, 0);
}

/* ------------------------------------------------------------------------------------------------------ calls begin */

static void refuse(struct qga *qga, const struct qga_request *request, const char *class, const char *text)
{
	qga->stats.refused++;
	qga->stats.answers++;
	qga_answer_fault(&qga->env, request, class, text);
}

static void record_refusal(struct qga *qga, const struct qga_rule *rule)
{
	struct audit_record record = { .phase = AUDIT_REFUSED,
				       .id = "",
				       .action = rule->name,
				       .origin = "host (qga)",
				       .error_code = "POLICY_DENIED" };

	qga->env.record(qga->env.data, &record);
}

static void call_begin(struct qga *qga, struct qga_request *request, const struct qga_rule *rule)
{
	struct qga_call *call = calloc(1, sizeof(*call));

	if (!call) {
		refuse(qga, request, QGA_CLASS_GENERIC, "out of memory");
		qga_request_free(request);
		return;
	}
	*call = (struct qga_call){ .env = &qga->env,
				   .qga = qga,
				   .ended = on_ended,
				   .enabled = qga_enabled,
				   .command = qga_command_find(rule->name),
				   .request = *request,
				   .begun = qga->env.loop->now };
	qga->call = call;
	qga->running = true;
	record_start(call, rule);
	call->command->run(call);
	qga->running = false;
	if (!call->answered)
		return;
	qga->call = NULL;
	call_free(call);
}

/* One request, from its text to its answer, or to a call that is under way. */
static void handle(struct qga *qga, const char *text, size_t len)
{
	struct qga_request request;
	const struct qga_rule *rule = NULL;
	const char *class = QGA_CLASS_GENERIC;
	char fault[QGA_FAULT_SIZE] = "";

	qga->stats.requests++;
	if (qga_request_parse(text, len, &request, fault) == 0) {
		rule = qga_rule_find(request.command);
		class = QGA_CLASS_NOT_FOUND;
		if (!rule) {
			snprintf(fault, sizeof(fault), "The command %.100s has not been found", request.command);
		} else if (!qga_enabled(qga, rule)) {
			snprintf(fault, sizeof(fault), "Command %s has been disabled", rule->name);
			if (qga_command_find(rule->name) && !allowed(qga, rule))
				record_refusal(qga, rule);
		} else {
			class = QGA_CLASS_GENERIC;
			qga_request_check(&request, qga_command_find(rule->name)->params, fault);
		}
	}
	if (rule && !*fault) {
		call_begin(qga, &request, rule);
		return;
	}
	refuse(qga, &request, class, fault);
	qga_request_free(&request);
}

/* ------------------------------------------------------------------------------------------------- what waits */

static void drop_waiting(struct qga *qga)
{
	while (qga->first) {
		struct waiting *waiting = qga->first;

		qga->first = waiting->next;
		free(waiting);
	}
	qga->end = &qga->first;
	qga->waiting_bytes = 0;
}

/* The command under way is answered to nobody; what it does in the guest goes on. */
static void abandon(struct qga *qga)
{
	struct qga_call *call = qga->call;

	drop_waiting(qga);
	deadline_stop(&qga->next);
	if (!call || qga->running)
		return;
	qga->stats.abandoned++;
	record_end(call, false);
	qga->call = NULL;
	call_free(call);
}

static void on_next(void *data)
{
	struct qga *qga = data;

	while (!qga->call && qga->first) {
		struct waiting *waiting = qga->first;

		qga->first = waiting->next;
		if (!qga->first)
			qga->end = &qga->first;
		qga->waiting_bytes -= waiting->len;
		handle(qga, waiting->text, waiting->len);
		free(waiting);
	}
}

static void wait(struct qga *qga, const char *text, size_t len)
{
	struct waiting *waiting = qga->waiting_bytes + len <= QGA_WAITING_BYTES ? malloc(sizeof(*waiting) + len) : NULL;

	if (!waiting) {
		refuse(qga, NULL, QGA_CLASS_GENERIC, "too many requests wait for the one under way");
		return;
	}
	waiting->next = NULL;
	waiting->len = len;
	memcpy(waiting->text, text, len);
	*qga->end = waiting;
	qga->end = &waiting->next;
	qga->waiting_bytes += len;
}

static bool is_sync(const char *text, size_t len)
{
	struct qga_request request;
	char fault[QGA_FAULT_SIZE];
	bool sync = qga_request_parse(text, len, &request, fault) == 0 &&
		    strncmp(request.command, "guest-sync", strlen("guest-sync")) == 0;

	qga_request_free(&request);
	return sync;
}

static void on_object(void *data, const char *text, size_t len)
{
	struct qga *qga = data;

	if (qga->call && qga->env.loop->now.mono_ns - qga->call->begun.mono_ns >= QGA_PATIENCE_NS && is_sync(text, len))
		abandon(qga);
	if (qga->call || qga->first)
		wait(qga, text, len);
	else
		handle(qga, text, len);
}

static void on_broken(void *data, enum json_reason reason)
{
	struct qga *qga = data;
	char text[64];

	qga->stats.broken++;
	snprintf(text, sizeof(text), "JSON parse error, %s", json_fault_reason(reason));
	for (char *at = text; (at = strchr(at, '_'));)
		*at = ' ';
	qga->stats.answers++;
	qga_answer_fault(&qga->env, NULL, QGA_CLASS_GENERIC,
			 reason == JSON_NOT_OBJECT ? "QMP input must be a JSON object" : text);
}

static void on_flushed(void *data)
{
	abandon(data);
}

static const struct qga_frame_events frame_events = { on_object, on_broken, on_flushed };

/* ------------------------------------------------------------------------------------------------------- the life */

struct qga *qga_new(const struct qga_env *env)
{
	struct qga *qga = calloc(1, sizeof(*qga));

	if (!qga)
		return NULL;
	qga->env = *env;
	qga->env.programs = qga_programs_new();
	if (!qga->env.programs) {
		free(qga);
		return NULL;
	}
	qga->end = &qga->first;
	qga_frames_init(&qga->frames, env->check, QGA_REQUEST_MAX, &frame_events, qga);
	deadline_init(&qga->next, env->loop, on_next, qga);
	return qga;
}

struct qga *qga_free(struct qga *qga)
{
	if (!qga)
		return NULL;
	abandon(qga);
	qga_programs_free(qga->env.programs);
	qga_frames_done(&qga->frames);
	free(qga);
	return NULL;
}

void qga_host_left(struct qga *qga)
{
	qga_frames_reset(&qga->frames);
	abandon(qga);
}

void qga_border(struct qga *qga, uint64_t gone_ns)
{
	if (qga->call && qga->call->begun.mono_ns < gone_ns)
		abandon(qga);
}

void qga_receive(struct qga *qga, const char *bytes, size_t len)
{
	qga_frames_feed(&qga->frames, bytes, len);
}

void qga_report(const struct qga *qga, struct sink *out)
{
	sink_uint(out, "requests", qga->stats.requests);
	sink_uint(out, "answers", qga->stats.answers);
	sink_uint(out, "refused", qga->stats.refused);
	sink_uint(out, "broken", qga->stats.broken);
	sink_uint(out, "abandoned", qga->stats.abandoned);
	sink_bool(out, "under_way", qga->call != NULL);
}
