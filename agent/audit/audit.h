/* SPDX-License-Identifier: MIT */
/*
 * The record of requests to this guest and their results, stored where a host cannot change it: in the journal, as
 * structured fields (one datagram, sent without blocking), or, where no journal accepts it, in state_dir/audit.ndjson,
 * written by a child on a bounded socket. A record of a change that finds no room is pending, within a bound, until
 * there is room. Records of reads and of refusals are limited to so many a second for each kind of source; the rest is
 * counted. Secrets in commands are redacted first.
 */
#ifndef AGENT_AUDIT_H
#define AGENT_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include <infiniservice/audit.h>
#include <infiniservice/moment.h>
#include <infiniservice/sink.h>

#include "agent/base/pace.h"

struct json_object;

#define AUDIT_DETAIL_MAX 1024
#define AUDIT_RECORD_MAX 12288

enum audit_phase {
	AUDIT_STARTED,
	AUDIT_PROGRAM,
	AUDIT_FINISHED,
	AUDIT_REFUSED,
	AUDIT_EVENT, /* of the agent itself: a warning, an error, an alert */
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
	uint64_t count;	      /* number of refusals summed up in this record; 0: a record of one command */
	const char *severity; /* of AUDIT_EVENT: as in agent_event */
	bool changes;	      /* about a change: it becomes pending rather than being lost */
};

/* "started", "program", "finished", "refused" or "event". */
const char *audit_phase_name(enum audit_phase phase);

/* Upper bound of each of two files: audit.ndjson and, once that is full, audit.ndjson.1. */
#define AUDIT_FILE_BYTES (4u << 20)
/*
 * Reads recorded a second and source. Journals limit the messages of one service (10000 in 30 s), and the files are
 * bounded: a host must not be able to push the records of its changes out by reads, which cost it nothing.
 */
#define AUDIT_READS_PER_S 20
/* Refusals recorded a second and source, for the same reason. */
#define AUDIT_REFUSALS_PER_S 20
/* Events of the agent recorded a second. */
#define AUDIT_EVENTS_PER_S 5
/* Bytes of pending records. */
#define AUDIT_KEPT_BYTES     (1u << 20)
#define AUDIT_KEPT_RETRY_NS  (100 * NS_PER_MS)
#define AUDIT_COUNT_NS	     NS_PER_S
#define AUDIT_JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Kinds of sources; the records of one take no room of another. */
enum audit_source {
	AUDIT_HOST,
	AUDIT_ROOT,  /* root on the local socket */
	AUDIT_USERS, /* all other users of the local socket */
	AUDIT_SOURCES,
};

struct audit_kept;

struct audit {
	char dir[4096];
	struct sockaddr_un journal;
	int journal_fd;	      /* -1: none */
	int writer_fd;	      /* -1: the child is not running */
	uint64_t next_try_ns; /* when the child is started again */
	struct token_bucket reads[AUDIT_SOURCES], refusals[AUDIT_SOURCES], events;
	unsigned uncounted[AUDIT_SOURCES];   /* refusals without a record since the last audit_count */
	struct audit_kept *kept, **kept_end; /* pending records, the oldest first */
	size_t kept_bytes;
	uint64_t recorded, lost, reads_left_out, refusals_left_out;
};

/*
 * Opens the journal's socket. `journal_path` NULL: AUDIT_JOURNAL_SOCKET. Never fails: without a journal the file is
 * used.
 */
void audit_init(struct audit *audit, const char *state_dir, const char *journal_path);
void audit_done(struct audit *audit);

void audit_put(struct audit *audit, const struct moment *now, const struct audit_record *record);

/* True when one more read is to be recorded; else it has been counted. */
bool audit_takes_read(struct audit *audit, const struct moment *now, enum audit_source source);

/* True when one more refusal is to be recorded; else it has been counted, for audit_count to record. */
bool audit_takes_refusal(struct audit *audit, const struct moment *now, enum audit_source source);

/* True when one more event is to be recorded; else it is lost, and counted as such. */
bool audit_takes_event(struct audit *audit, const struct moment *now);

/* Records the number of refusals without a record since the last call, one record for each source that has some. */
void audit_count(struct audit *audit, const struct moment *now);

/* Whether audit_count has something to record. */
bool audit_owes_count(const struct audit *audit);

/* Sends pending records again. True when some are still pending. */
bool audit_retry(struct audit *audit, const struct moment *now);

/* Writes the keys of Status into an open object. */
void audit_report(const struct audit *audit, struct sink *out);

/* ------------------------------------------------------------------------------------------- pure functions */

/* Formats the line, newline included; its length, or -ENOBUFS. */
int audit_record_json(const struct audit_record *record, int64_t wall_ms, char *out, size_t size);

/* Formats the datagram for the journal (systemd, "Native Journal Protocol"); its length, or -ENOBUFS. */
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
