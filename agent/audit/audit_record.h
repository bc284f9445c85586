/* SPDX-License-Identifier: MIT */
/*
 * One audit record as bytes: an NDJSON line for the file, the native protocol for the journal (systemd, "Native Journal
 * Protocol"), and the redaction that both go through. Pure.
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
	const char *detail;	/* what was asked, or the argv that runs, redacted; NULL: none */
	bool success;		/* of AUDIT_FINISHED */
	const char *error_code; /* NULL: none */
	bool has_exit_code;
	int exit_code;
	uint64_t duration_ms;
	uint64_t count; /* of refusals that have no record of their own; 0: this is one command */
	bool changes;	/* it is of what changes something: it waits for room rather than being lost */
};

/* "started", "program", "finished", "refused" */
const char *audit_phase_name(enum audit_phase phase);

/* The line with its newline; its length, or -ENOBUFS. */
int audit_record_json(const struct audit_record *record, int64_t wall_ms, char *out, size_t size);

/* The datagram for the journal; its length, or -ENOBUFS. */
int audit_record_journal(const struct audit_record *record, char *out, size_t size);

/*
 * Copies a command line with what looks like a secret replaced by "***": the value after a word such as password,
 * token, secret, key or authorization (with '=', ':' or a blank between), -pPASSWORD of mysql, and the password in a
 * URL. Cut to fit, always ended.
 */
void audit_redact_text(const char *text, char *out, size_t size);

/* The same for an argv, its words as a shell would take them; one that is cut ends with "...". */
void audit_redact_argv(const char *const argv[], char *out, size_t size);

/* The same for parameters: members whose name says that they hold a secret, at any depth. As compact JSON. */
void audit_redact_object(struct json_object *object, char *out, size_t size);

#endif
