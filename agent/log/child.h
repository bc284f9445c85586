/* SPDX-License-Identifier: MIT */
/*
 * The log writer as a process of its own: a frozen or dying disk stops it and nobody else. One blocking loop over a
 * stream socket: messages from the agent in, one acknowledgement for each out. Both sides are one binary, so the
 * structs go over the socket as they are.
 */
#ifndef AGENT_LOG_CHILD_H
#define AGENT_LOG_CHILD_H

#include <limits.h>
#include <stdint.h>

#include "agent/log/writer.h"

enum log_message_type {
	LOG_LINE = 1,	/* payload: the line */
	LOG_LINE_AGAIN, /* the same, sent to an earlier child that died before it answered: skipped if it is in the log
			 */
	LOG_LATEST,	/* payload: the text for runtime_dir/latest.json */
	LOG_SYNC,	/* answered when all before it is on the disk */
	LOG_STOP,	/* the same, then the child ends */
};

struct log_message {
	uint32_t len; /* of the payload that follows, at most LOG_PAYLOAD_MAX */
	uint32_t type;
	uint64_t id;	 /* counts up; the acknowledgement repeats it */
	uint64_t seq;	 /* of the sample */
	int64_t wall_ms; /* its time */
};

#define LOG_PAYLOAD_MAX (8u << 20)

struct log_ack {
	uint64_t id;	   /* of the message just handled; 0: said once at start */
	uint32_t type;	   /* of that message */
	int32_t error;	   /* 0, or -errno: this message's line (or file, or sync) failed */
	uint64_t last_seq; /* in the log */
	uint64_t written;  /* lines by this child */
	uint64_t dropped;
	uint64_t duplicates; /* LOG_LINE_AGAIN that were in the log already: counted in `written` too */
	uint64_t segments, removed, abandoned, repaired_bytes; /* as in struct writer_stats */
	int32_t sync_error; /* -errno of a periodic sync that failed at this message; the line itself is written */
	int32_t unused;
};

struct log_child_config {
	struct writer_config writer;
	char runtime_dir[PATH_MAX]; /* for LOG_LATEST */
	struct log_readers latest_readers;
};

/*
 * Runs until end of file or LOG_STOP. Returns the exit status: 0, or 1 when the socket failed or a message made no
 * sense. Ignores SIGINT, SIGTERM, SIGHUP, SIGPIPE and SIGXFSZ: the agent says when it is over.
 */
int log_child_main(int fd, const struct log_child_config *config);

#endif
