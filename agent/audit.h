/* SPDX-License-Identifier: MIT */
/*
 * The record of what was asked of this guest and what came of it, kept where a host cannot reach: in the journal, as
 * structured fields (one datagram, never waited for), or, where no journal takes it, in state_dir/audit.ndjson, written
 * by a child on a bounded socket. What neither takes is counted. Secrets in commands are made unreadable first.
 */
#ifndef AGENT_AUDIT_H
#define AGENT_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <infiniservice/moment.h>
#include <infiniservice/sink.h>

#include "agent/audit_record.h"
#include "agent/policy.h"

/* Two files of at most this much each: audit.ndjson and, once that is full, audit.ndjson.1. */
#define AUDIT_FILE_BYTES     (4u << 20)
/*
 * Reads recorded in a second. Journals limit what one service writes (10000 messages in 30 s), and files are bounded: a host
 * must not be able to push the record of what it changed out of them with questions that cost it nothing.
 */
#define AUDIT_READS_PER_S    20
#define AUDIT_JOURNAL_SOCKET "/run/systemd/journal/socket"

struct audit {
	char dir[4096];
	const char *journal_path;
	int journal_fd;	      /* -1: none */
	int writer_fd;	      /* -1: the child does not run */
	uint64_t next_try_ns; /* of starting the child again */
	struct token_bucket reads;
	uint64_t recorded, lost, reads_left_out;
};

/* Opens what is there. `journal_path` NULL: AUDIT_JOURNAL_SOCKET. Nothing of it can fail for good. */
void audit_init(struct audit *audit, const char *state_dir, const char *journal_path);
void audit_done(struct audit *audit);

void audit_put(struct audit *audit, const struct moment *now, const struct audit_record *record);

/* True when one more command that only reads is to be recorded; else it has been counted. */
bool audit_takes_read(struct audit *audit, const struct moment *now);

/* Keys of Status, into an open object. */
void audit_report(const struct audit *audit, struct sink *out);

#endif
