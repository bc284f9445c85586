/* SPDX-License-Identifier: MIT */
/*
 * Audit records of what an enemy asked: the record is one line of JSON that our own reader takes, with the phase and
 * nothing that could forge another; redaction ends its text, stays in its room and leaves no secret that it knows; the
 * reader takes any bytes.
 */
#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "agent/audit/audit.h"
#include "agent/log/scan.h"
#include "tools/infinictl/text.h"
#include "transport/message.h"
#include "require.h"

#define FIELDS 5

/* The input is up to five texts with NULs between. */
static void split(char *text, size_t size, const char *fields[FIELDS])
{
	size_t at = 0;

	for (int i = 0; i < FIELDS; i++) {
		fields[i] = at <= size ? text + at : "";
		at += strlen(fields[i]) + 1;
	}
}

static void check_line(const char *line, int len, const struct audit_record *record)
{
	struct json_object *object, *stamp;
	int64_t wall_ms;

	REQUIRE(len > 1 && len < AUDIT_RECORD_MAX && line[len - 1] == '\n');
	for (int i = 0; i < len - 1; i++)
		REQUIRE((unsigned char)line[i] >= 0x20 && (unsigned char)line[i] < 0x7f);
	object = text_parse(line, (size_t)len - 1);
	REQUIRE(object);
	stamp = text_member(object, "timestamp", NULL);
	REQUIRE(stamp &&
		stamp_parse(json_object_get_string(stamp), (size_t)json_object_get_string_len(stamp), &wall_ms));
	REQUIRE(strcmp(text_string(object, "phase"), audit_phase_name(record->phase)) == 0);
	json_object_put(object);
}

static void check_record(const struct audit_record *record)
{
	static char line[AUDIT_RECORD_MAX], datagram[2 * AUDIT_RECORD_MAX];
	int len = audit_record_json(record, 1790000000000, line, sizeof(line));

	if (len > 0)
		check_line(line, len, record);
	len = audit_record_journal(record, datagram, sizeof(datagram));
	REQUIRE(len < (int)sizeof(datagram));
}

static void check_redaction(const char *text)
{
	char *out = malloc(AUDIT_DETAIL_MAX), small[8];
	const char *const argv[] = { "mysql", text, "--password", "hunter2-hunter2", NULL };

	if (!out)
		return;
	audit_redact_text(text, out, AUDIT_DETAIL_MAX);
	REQUIRE(memchr(out, '\0', AUDIT_DETAIL_MAX));
	audit_redact_text(text, small, sizeof(small));
	REQUIRE(memchr(small, '\0', sizeof(small)));
	audit_redact_argv(argv, out, AUDIT_DETAIL_MAX);
	REQUIRE(memchr(out, '\0', AUDIT_DETAIL_MAX) && (strstr(text, "hunter2") || !strstr(out, "hunter2")));
	free(out);
}

/* Parameters as an action gets them, when the bytes are such. */
static void check_object(const char *text, size_t size)
{
	struct json_object *object = text_parse(text, size);
	char out[AUDIT_DETAIL_MAX];

	if (!object)
		return;
	if (json_object_is_type(object, json_type_object)) {
		json_object_object_add(object, "password", json_object_new_string("hunter2-hunter2"));
		audit_redact_object(object, out, sizeof(out));
		REQUIRE(memchr(out, '\0', sizeof(out)) && (strstr(text, "hunter2") || !strstr(out, "hunter2")));
	}
	json_object_put(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	const char *fields[FIELDS];
	struct audit_record record;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	split(text, size, fields);
	record = (struct audit_record){ .phase = (enum audit_phase)(size % 4),
					.id = fields[0],
					.action = fields[1],
					.origin = fields[2],
					.detail = fields[3],
					.error_code = *fields[4] ? fields[4] : NULL,
					.has_exit_code = size & 4,
					.exit_code = (int)size,
					.duration_ms = size };
	check_record(&record);
	check_redaction(fields[0]);
	check_redaction(fields[3]);
	check_object(text, size);
	free(text);
	return 0;
}
