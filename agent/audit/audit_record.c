/* SPDX-License-Identifier: MIT */
/* Audit records as bytes; see audit_record.h. */
#include "agent/audit/audit_record.h"

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>
#include <json-c/json.h>

#include "transport/json_write.h"

#define HIDDEN	  "***"
#define DEPTH_MAX 8

const char *audit_phase_name(enum audit_phase phase)
{
	static const char *const names[] = { "started", "program", "finished", "refused" };

	return names[phase];
}

/* ------------------------------------------------------------------------------------------------------- redaction */

static const char *const secret_words[] = {
	"passw",   "passphrase", "pwd",	       "secret",      "token",	    "apikey",
	"api_key", "api-key",	 "access_key", "private_key", "credential", "authorization",
};

static bool names_secret(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(secret_words); i++) {
		size_t word = strlen(secret_words[i]);

		for (size_t at = 0; at + word <= len; at++)
			if (strncasecmp(name + at, secret_words[i], word) == 0)
				return true;
	}
	return false;
}

struct copier {
	char *at, *end;
};

static void put(struct copier *out, const char *bytes, size_t len)
{
	size_t room = (size_t)(out->end - out->at);

	if (len > room)
		len = room;
	memcpy(out->at, bytes, len);
	out->at += len;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/*
 * The end of the value that begins at `at`: a quoted value ends at its quote, another at a blank or a shell separator.
 */
static const char *skip_value(const char *at)
{
	if (*at == '"' || *at == '\'') {
		const char *close = strchr(at + 1, *at);

		return close ? close + 1 : at + strlen(at);
	}
	return at + strcspn(at, " \t\n;|&,\"'");
}

/* Skips a scheme such as "Bearer" or "Basic" before the secret. */
static const char *skip_scheme(const char *at)
{
	static const char *const schemes[] = { "bearer ", "basic ", "token " };

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (strncasecmp(at, schemes[i], strlen(schemes[i])) == 0)
			return at + strlen(schemes[i]);
	return at;
}

/* Where the value begins that follows a secret's name, or NULL when there is none. */
static const char *find_value(const char *name, const char *behind)
{
	const char *at = behind;

	if (*at == '"' || *at == '\'')
		at++;
	at += strspn(at, " \t");
	if (*at == '=' || *at == ':')
		return skip_scheme(at + 1 + strspn(at + 1, " \t"));
	/* `--password X`, but not `--password --verbose`. */
	return *name == '-' && at > behind && *at != '-' && *at ? at : NULL;
}

static void redact_word(struct copier *out, const char **at)
{
	const char *name = *at, *behind = name, *value;

	while (is_name(*behind))
		behind++;
	value = names_secret(name, (size_t)(behind - name)) ? find_value(name, behind) : NULL;
	if (!value) {
		put(out, name, (size_t)(behind - name));
		*at = behind;
		return;
	}
	put(out, name, (size_t)(value - name));
	*at = value;
	/* `password= --password X`: an option follows, not a value, and its own value is redacted. */
	if (*value == '-' && names_secret(value, strcspn(value, " \t\n=:")))
		return;
	put(out, HIDDEN, strlen(HIDDEN));
	*at = skip_value(value);
}

/* Redacts the password in "://user:password@". True when there was one. */
static bool redact_url(struct copier *out, const char **at)
{
	const char *host = *at + 3, *sign = host + strcspn(host, "@/ \t\n\"'"),
		   *colon = memchr(host, ':', (size_t)(sign - host));

	if (*sign != '@' || !colon)
		return false;
	put(out, *at, (size_t)(colon + 1 - *at));
	put(out, HIDDEN, strlen(HIDDEN));
	*at = sign;
	return true;
}

void audit_redact_text(const char *text, char *out, size_t size)
{
	struct copier copier = { out, out + size - 1 };
	bool mysql = strstr(text, "mysql") || strstr(text, "mariadb");

	if (strstr(text, "chpasswd")) { /* its input consists of passwords, in no recognizable form */
		put(&copier, HIDDEN " (chpasswd)", strlen(HIDDEN " (chpasswd)"));
		*copier.at = '\0';
		return;
	}
	for (const char *at = text; *at && copier.at < copier.end;) {
		bool begins = at == text || !is_name(at[-1]);

		if (begins && mysql && strncmp(at, "-p", 2) == 0 && at[2] && !isspace((unsigned char)at[2])) {
			put(&copier, "-p" HIDDEN, strlen("-p" HIDDEN));
			at = skip_value(at + 2);
		} else if (begins && is_name(*at)) {
			redact_word(&copier, &at);
		} else if (strncmp(at, "://", 3) != 0 || !redact_url(&copier, &at)) {
			put(&copier, at++, 1);
		}
	}
	*copier.at = '\0';
}

static bool is_plain(const char *word)
{
	return *word &&
	       word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")] == '\0';
}

/* Adds quotes where a shell would not read the word as one word with these characters. */
static void put_word(struct copier *out, const char *word)
{
	if (is_plain(word)) {
		put(out, word, strlen(word));
		return;
	}
	put(out, "'", 1);
	for (; *word; word++)
		if (*word == '\'')
			put(out, "'\\''", 4);
		else
			put(out, word, 1);
	put(out, "'", 1);
}

void audit_redact_argv(const char *const argv[], char *out, size_t size)
{
	char text[4 * AUDIT_DETAIL_MAX];
	struct copier copier = { text, text + sizeof(text) - 1 };

	for (size_t i = 0; argv[i] && copier.at < copier.end; i++) {
		if (i)
			put(&copier, " ", 1);
		put_word(&copier, argv[i]);
	}
	*copier.at = '\0';
	audit_redact_text(text, out, size);
	if (strlen(out) + 1 == size)
		memcpy(out + size - 4, "...", 4);
}

static void write_redacted(struct sink *sink, const char *key, struct json_object *value, unsigned depth)
{
	if (depth > DEPTH_MAX) {
		sink_null(sink, key);
	} else if (json_object_is_type(value, json_type_object)) {
		sink_object_begin(sink, key);
		json_object_object_foreach(value, name, member)
		{
			if (names_secret(name, strlen(name)))
				sink_str(sink, name, HIDDEN);
			else
				write_redacted(sink, name, member, depth + 1);
		}
		sink_object_end(sink);
	} else if (json_object_is_type(value, json_type_array)) {
		sink_array_begin(sink, key);
		for (size_t i = 0; i < json_object_array_length(value); i++)
			write_redacted(sink, NULL, json_object_array_get_idx(value, i), depth + 1);
		sink_array_end(sink);
	} else {
		json_write_object(sink, key, value);
	}
}

void audit_redact_object(struct json_object *object, char *out, size_t size)
{
	struct json_writer writer;
	size_t len;

	json_writer_init(&writer, out, size);
	write_redacted(&writer.sink, NULL, object, 0);
	if (json_writer_finish(&writer, NULL, &len) < 0)
		snprintf(out, size, "(too large to be recorded)");
	else
		out[len - 1] = '\0';
}

/*
 * --------------------------------------------------------------------------------------------------------- encodings
 */

int audit_record_json(const struct audit_record *record, int64_t wall_ms, char *out, size_t size)
{
	struct json_writer writer;
	struct sink *sink = &writer.sink;
	char timestamp[RFC3339_SIZE];
	size_t len;

	json_writer_init(&writer, out, size);
	rfc3339_format(wall_ms, timestamp);
	sink_object_begin(sink, NULL);
	sink_str(sink, "type", "audit");
	sink_str(sink, "timestamp", timestamp);
	sink_str(sink, "phase", audit_phase_name(record->phase));
	sink_str(sink, "id", record->id);
	sink_str(sink, "action", record->action);
	sink_str(sink, "origin", record->origin);
	sink_str(sink, "detail", record->detail);
	if (record->phase == AUDIT_FINISHED)
		sink_bool(sink, "success", record->success);
	if (record->phase == AUDIT_FINISHED || record->phase == AUDIT_REFUSED)
		sink_str(sink, "error_code", record->error_code);
	if (record->has_exit_code)
		sink_int(sink, "exit_code", record->exit_code);
	if (record->phase == AUDIT_FINISHED)
		sink_uint(sink, "duration_ms", record->duration_ms);
	if (record->count)
		sink_uint(sink, "count", record->count);
	sink_object_end(sink);
	return json_writer_finish(&writer, NULL, &len) < 0 ? -ENOBUFS : (int)len;
}

/* A value with a newline in it is preceded by its length, as 64 bits little-endian. */
static void put_field(struct copier *out, const char *name, const char *value)
{
	size_t len = strlen(value);
	uint64_t size = htole64(len);

	put(out, name, strlen(name));
	if (strchr(value, '\n')) {
		put(out, "\n", 1);
		put(out, (const char *)&size, sizeof(size));
	} else {
		put(out, "=", 1);
	}
	put(out, value, len);
	put(out, "\n", 1);
}

static void put_number(struct copier *out, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	put_field(out, name, text);
}

static void put_message(struct copier *out, const struct audit_record *record)
{
	char text[512];

	if (record->phase == AUDIT_FINISHED)
		snprintf(text, sizeof(text), "command %s: %s from %s %s after %" PRIu64 " ms%s%s", record->id,
			 record->action, record->origin, record->success ? "succeeded" : "failed", record->duration_ms,
			 record->error_code ? ": " : "", record->error_code ? record->error_code : "");
	else if (record->phase == AUDIT_PROGRAM)
		snprintf(text, sizeof(text), "command %s: %s from %s runs %s", record->id, record->action,
			 record->origin, record->detail);
	else
		snprintf(text, sizeof(text), "command %s: %s from %s %s%s%s", record->id, record->action,
			 record->origin, audit_phase_name(record->phase), record->error_code ? ": " : "",
			 record->error_code ? record->error_code : "");
	put_field(out, "MESSAGE", text);
}

int audit_record_journal(const struct audit_record *record, char *out, size_t size)
{
	struct copier copier = { out, out + size };

	put_message(&copier, record);
	put_field(&copier, "PRIORITY", record->phase == AUDIT_REFUSED ? "4" : "5");
	put_field(&copier, "SYSLOG_IDENTIFIER", "infiniservice");
	put_field(&copier, "MESSAGE_ID", AUDIT_MESSAGE_ID);
	put_field(&copier, "INFINISERVICE_PHASE", audit_phase_name(record->phase));
	put_field(&copier, "INFINISERVICE_ID", record->id);
	put_field(&copier, "INFINISERVICE_ACTION", record->action);
	put_field(&copier, "INFINISERVICE_ORIGIN", record->origin);
	if (record->detail)
		put_field(&copier, "INFINISERVICE_DETAIL", record->detail);
	if (record->phase == AUDIT_FINISHED)
		put_field(&copier, "INFINISERVICE_SUCCESS", record->success ? "true" : "false");
	if (record->error_code)
		put_field(&copier, "INFINISERVICE_ERROR_CODE", record->error_code);
	if (record->has_exit_code)
		put_number(&copier, "INFINISERVICE_EXIT_CODE", record->exit_code);
	if (record->phase == AUDIT_FINISHED)
		put_number(&copier, "INFINISERVICE_DURATION_MS", (int64_t)record->duration_ms);
	if (record->count)
		put_number(&copier, "INFINISERVICE_COUNT", (int64_t)record->count);
	return copier.at == copier.end ? -ENOBUFS : (int)(copier.at - out);
}
