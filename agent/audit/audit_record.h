/* SPDX-License-Identifier: MIT */
/*
 * Formats one audit record: an NDJSON line for the file, the native protocol for the journal (systemd, "Native Journal
 * Protocol"), and the redaction common to both. Pure functions.
 */
#ifndef AGENT_AUDIT_AUDIT_RECORD_H
#define AGENT_AUDIT_AUDIT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/audit.h>

struct json_object;

#define AUDIT_DETAIL_MAX 1024
#define AUDIT_RECORD_MAX 12288

enum audit_phase {
	AUDIT_STARTED,
	AUDIT_PROGRAM,
	AUDIT_FINISHED,
	AUDIT_REFUSED,
};

struct audit_record {
	enum audit_phase phase;
	const char *id, *action, *origin;
	const char *detail;	/* the parameters of the request, or the argv that runs, redacted; NULL: none */
	bool success;		/* of AUDIT_FINISHED */
	const char *error_code; /* NULL: none */
	bool has_exit_code;
	int exit_code;
	uint64_t duration_ms;
	uint64_t count; /* number of refusals summed up in this record; 0: a record of one command */
	bool changes;	/* about a change: it becomes pending rather than being lost */
};

/* "started", "program", "finished" or "refused". */
const char *audit_phase_name(enum audit_phase phase);

/* Formats the line, newline included; its length, or -ENOBUFS. */
int audit_record_json(const struct audit_record *record, int64_t wall_ms, char *out, size_t size);

/* Formats the datagram for the journal; its length, or -ENOBUFS. */
int audit_record_journal(const struct audit_record *record, char *out, size_t size);

/*
 * Copies a command line with apparent secrets replaced by "***": the value after a word such as password,
 * token, secret, key or authorization (with '=', ':' or a blank between), -pPASSWORD of mysql, and the password in a
 * URL. Cut to fit, always ended by NUL.
 */
void audit_redact_text(const char *text, char *out, size_t size);

/* Redacts an argv, its words quoted as for a shell; a text that is cut ends with "...". */
void audit_redact_argv(const char *const argv[], char *out, size_t size);

/* Redacts parameters: members whose name suggests a secret, at any depth. The result is compact JSON. */
void audit_redact_object(struct json_object *object, char *out, size_t size);

#endif
