/* SPDX-License-Identifier: MIT */
/* The small messages of the guest; the two that carry output are in response.c. */
#include "reply.h"

#include <infiniservice/moment.h>

#include "reply_parts.h"

void reply_text(struct sink *out, const char *key, const char *text, size_t max)
{
	if (text)
		sink_text(out, key, text, strlen(text), max);
	else
		sink_null(out, key);
}

void reply_time(struct sink *out, const char *key, int64_t wall_ms)
{
	char text[RFC3339_SIZE];
	size_t len = rfc3339_format(wall_ms, text);

	sink_text(out, key, text, len, len);
}

struct sink *reply_begin(struct json_writer *w, const char *type, int64_t wall_ms)
{
	struct sink *out = &w->sink;

	json_writer_reset(w);
	sink_object_begin(out, NULL);
	sink_str(out, "type", type);
	reply_time(out, "timestamp", wall_ms);
	return out;
}

int reply_end(struct json_writer *w)
{
	sink_object_end(&w->sink);
	return json_writer_finish(w, NULL, NULL);
}

int reply_handshake(struct json_writer *w, int64_t wall_ms, const char *vm_id, const char *version,
		    const char *generation, const char *const *capabilities)
{
	struct sink *out = reply_begin(w, "handshake", wall_ms);

	reply_text(out, "vm_id", vm_id, REPLY_TEXT_MAX);
	reply_text(out, "version", version, REPLY_TEXT_MAX);
	sink_str(out, "platform", "linux");
	sink_str(out, "generation", generation);
	sink_array_begin(out, "capabilities");
	for (; *capabilities; capabilities++)
		sink_str(out, NULL, *capabilities);
	sink_array_end(out);
	return reply_end(w);
}

int reply_keep_alive(struct json_writer *w, int64_t wall_ms, uint64_t sequence_number)
{
	struct sink *out = reply_begin(w, "keep_alive", wall_ms);

	sink_uint(out, "sequence_number", sequence_number);
	return reply_end(w);
}

int reply_error(struct json_writer *w, int64_t wall_ms, const struct reply_error *error)
{
	struct sink *out = reply_begin(w, "error", wall_ms);

	reply_text(out, "error", error->text ? error->text : code_name(error->code), REPLY_TEXT_MAX);
	sink_object_begin(out, "details");
	sink_str(out, "component", error->component);
	sink_str(out, "code", code_name(error->code));
	sink_str(out, "reason", error->reason);
	reply_text(out, "id", error->id, REPLY_TEXT_MAX);
	if (error->details)
		error->details(out, error->arg);
	sink_object_end(out);
	return reply_end(w);
}

int reply_error_report(struct json_writer *w, int64_t wall_ms, const struct reply_error_report *report)
{
	static const char *const names[] = {
		[REPLY_TEMPORARY] = "Temporary",
		[REPLY_RECOVERABLE] = "Recoverable",
		[REPLY_UNKNOWN] = "Unknown",
	};
	struct sink *out = reply_begin(w, "error_report", wall_ms);

	reply_text(out, "error_type", report->error_type, REPLY_TEXT_MAX);
	sink_str(out, "severity", names[report->severity]);
	sink_null(out, "windows_error_code");
	sink_uint(out, "retry_attempt", report->retry_attempt);
	sink_uint(out, "max_retries", report->max_retries);
	reply_text(out, "recovery_suggestion", report->recovery_suggestion, REPLY_TEXT_MAX);
	reply_text(out, "vm_id", report->vm_id, REPLY_TEXT_MAX);
	return reply_end(w);
}

int reply_circuit_breaker_state(struct json_writer *w, int64_t wall_ms, const struct reply_breaker_state *breaker)
{
	static const char *const names[] = {
		[REPLY_BREAKER_CLOSED] = "Closed",
		[REPLY_BREAKER_OPEN] = "Open",
		[REPLY_BREAKER_HALF_OPEN] = "HalfOpen",
	};
	struct sink *out = reply_begin(w, "circuit_breaker_state", wall_ms);

	sink_str(out, "state", names[breaker->state]);
	sink_uint(out, "failure_count", breaker->failure_count);
	if (breaker->last_failure_ms >= 0)
		reply_time(out, "last_failure_time", breaker->last_failure_ms);
	else
		sink_null(out, "last_failure_time");
	if (breaker->recovery_eta_s >= 0)
		sink_int(out, "recovery_eta_seconds", breaker->recovery_eta_s);
	else
		sink_null(out, "recovery_eta_seconds");
	return reply_end(w);
}

int reply_agent_event(struct json_writer *w, int64_t wall_ms, const struct reply_event *event)
{
	static const char *const names[] = {
		[REPLY_DEBUG] = "debug",
		[REPLY_INFO] = "info",
		[REPLY_WARN] = "warn",
		[REPLY_ERROR] = "error",
	};
	struct sink *out = reply_begin(w, "agent_event", wall_ms);

	sink_str(out, "severity", names[event->severity]);
	/* 61 and the "…" of a cut are the 64 bytes the host takes. */
	reply_text(out, "source", event->source, event->source && strlen(event->source) > 64 ? 61 : 64);
	reply_text(out, "message", event->message, REPLY_TEXT_MAX);
	reply_text(out, "executionId", event->execution_id, REPLY_TEXT_MAX);
	sink_object_begin(out, "context");
	if (event->context)
		event->context(out, event->arg);
	sink_object_end(out);
	return reply_end(w);
}

int reply_request_pending_scripts(struct json_writer *w, int64_t wall_ms, const char *vm_id)
{
	struct sink *out = reply_begin(w, "request_pending_scripts", wall_ms);

	reply_text(out, "vm_id", vm_id, REPLY_TEXT_MAX);
	reply_time(out, "request_timestamp", wall_ms);
	return reply_end(w);
}
