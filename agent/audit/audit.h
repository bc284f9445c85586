/* SPDX-License-Identifier: MIT */
/*
 * The record of what was asked of this guest and what came of it, kept where a host cannot reach: in the journal, as
 * structured fields (one datagram, never waited for), or, where no journal takes it, in state_dir/audit.ndjson, written
 * by a child on a bounded socket. What changes something and finds no room waits, within a bound, until there is some;
 * of what only asked or was refused so many a second are recorded, for each kind of source, and of the others how many
 * they were. Secrets in commands are made unreadable first.
 */
#ifndef AGENT_AUDIT_H
#define AGENT_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <infiniservice/moment.h>
#include <infiniservice/sink.h>

#include "agent/audit/audit_record.h"
#include "agent/base/token_bucket.h"

/* Two files of at most this much each: audit.ndjson and, once that is full, audit.ndjson.1. */
#define AUDIT_FILE_BYTES (4u << 20)
/*
 * Reads recorded in a second. Journals limit what one service writes (10000 messages in 30 s), and files are bounded: a
 * host must not be able to push the record of what it changed out of them with questions that cost it nothing.
 */
#define AUDIT_READS_PER_S 20
/* Likewise of what was refused. */
#define AUDIT_REFUSALS_PER_S 20
/* Bytes of records that wait for room. */
#define AUDIT_KEPT_BYTES     (1u << 20)
#define AUDIT_KEPT_RETRY_S   0.1
#define AUDIT_COUNT_S	     1.0
#define AUDIT_JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Whose records they are: none takes another's room. */
enum audit_source {
	AUDIT_HOST,
	AUDIT_ROOT,  /* on the local socket */
	AUDIT_USERS, /* all others there */
	AUDIT_SOURCES,
};

struct audit_kept;

struct audit {
	char dir[4096];
	const char *journal_path;
	int journal_fd;	      /* -1: none */
	int writer_fd;	      /* -1: the child does not run */
	uint64_t next_try_ns; /* of starting the child again */
	struct token_bucket reads[AUDIT_SOURCES], refusals[AUDIT_SOURCES];
	unsigned uncounted[AUDIT_SOURCES];   /* refusals without a record since the last count of them */
	struct audit_kept *kept, **kept_end; /* records that wait for room, the oldest first */
	size_t kept_bytes;
	uint64_t recorded, lost, reads_left_out, refusals_left_out;
};

/* Opens what is there. `journal_path` NULL: AUDIT_JOURNAL_SOCKET. Nothing of it can fail for good. */
void audit_init(struct audit *audit, const char *state_dir, const char *journal_path);
void audit_done(struct audit *audit);

void audit_put(struct audit *audit, const struct moment *now, const struct audit_record *record);

/* True when one more command that only reads is to be recorded; else it has been counted. */
bool audit_takes_read(struct audit *audit, const struct moment *now, enum audit_source source);

/* The same for one that is refused; audit_count says later how many were left out. */
bool audit_takes_refusal(struct audit *audit, const struct moment *now, enum audit_source source);

/* A record for each source of which refusals were left out since the last time, with their number. */
void audit_count(struct audit *audit, const struct moment *now);

/* Is there something for audit_count to tell? */
bool audit_owes_count(const struct audit *audit);

/* Tries once more what waits for room. True when something still does. */
bool audit_retry(struct audit *audit, const struct moment *now);

/* Keys of Status, into an open object. */
void audit_report(const struct audit *audit, struct sink *out);

#endif
