/* SPDX-License-Identifier: MIT */
/*
 * The log writer as a separate process: a frozen or dying disk blocks no other process. One blocking loop over a stream
 * socket: messages from the agent in, one acknowledgement for each out. Both sides are the same binary, so the structs
 * are sent as they are.
 */
#ifndef AGENT_LOG_CHILD_H
#define AGENT_LOG_CHILD_H

#include <limits.h>
#include <stdint.h>

#include "agent/log/writer.h"

enum log_message_type {
	LOG_LINE = 1, /* payload: the line */
	/*
	 * Like LOG_LINE, for a line sent to an earlier child that died before it acknowledged: skipped if it is in the
	 * log.
	 */
	LOG_LINE_AGAIN,
	LOG_LATEST, /* payload: the text for runtime_dir/latest.json */
	LOG_STOP,   /* acknowledged when all earlier lines are on disk; then the child exits */
};

struct log_message {
	uint32_t len; /* bytes of the payload that follows, at most LOG_PAYLOAD_MAX */
	uint32_t type;
	uint64_t id;	 /* counts up; repeated in the acknowledgement */
	uint64_t seq;	 /* of the sample */
	int64_t wall_ms; /* time of the sample */
};

#define LOG_PAYLOAD_MAX (8u << 20)

struct log_ack {
	uint64_t id;	      /* of the message just handled; 0: the first acknowledgement, sent at start */
	uint64_t last_seq;    /* in the log */
	int32_t error;	      /* 0, or -errno: this message's line or file failed, or the sync of LOG_STOP */
	uint32_t wants_whole; /* 1: the next sample should be a whole one (writer_wants_whole); 0 before any line */
	/* -errno of what failed beside this message, whose line was written: a periodic sync, or a summary. */
	int32_t sync_error;
};

struct log_child_config {
	struct writer_config writer; /* of the whole log */
	bool tiers;		     /* keep summaries beside the samples, see tiers.h */
	char runtime_dir[PATH_MAX];  /* for LOG_LATEST */
	struct log_readers latest_readers;
};

/*
 * latest.json: the last sample, for readers without a socket; always whole because it is replaced by rename. Not
 * synced: it need not outlive a reboot.
 */
#define LATEST_NAME "latest.json"

/* Replaces DIR/latest.json (0640, or 0600 without a viewing group). 0 or -errno. Blocks if the disk does. */
int latest_write(const char *dir, const struct log_readers *readers, const char *text, size_t len);

/*
 * False if something of that name is not a regular file, such as a FIFO: it belongs to another program, and would be
 * replaced.
 */
bool latest_is_free(const char *dir);

/* True if the directory is in memory (tmpfs, ramfs), where writing never blocks on a disk. */
bool latest_in_memory(const char *dir);

/*
 * For helper_fork; `config` is a struct log_child_config. Runs until end of file or LOG_STOP. Returns the exit status:
 * 0, or 1 when the socket failed or a message was malformed. Ignores SIGINT, SIGTERM, SIGHUP, SIGPIPE and SIGXFSZ: the
 * agent decides when it ends.
 */
int log_child_main(int fd, void *config);

#endif
