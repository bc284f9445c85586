/* SPDX-License-Identifier: MIT */
/*
 * Appends lines to the newest segment of a directory, begins a new one when a line would not fit, and limits the total
 * size. A line is in the file whole or not at all: the rest of a failed write is cut off, and a file that cannot be
 * trusted any more (failed sync, failed cut, changed from outside) is never written again. It blocks: it belongs into a
 * process of its own. Time is an argument.
 */
#ifndef AGENT_LOG_WRITER_H
#define AGENT_LOG_WRITER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <infiniservice/moment.h>

#include "agent/log/names.h"

/*
 * Who may read measurements besides the owner: the viewing group, independent of the group of the agent's user (for an
 * agent started by hand that group may contain everybody).
 */
enum log_readers_kind {
	LOG_READERS_OWN,   /* the file's group as it is */
	LOG_READERS_GROUP, /* `gid`, set on each file */
	LOG_READERS_NOBODY,
};

struct log_readers {
	enum log_readers_kind kind;
	gid_t gid;
};

/*
 * Whether files can be given to the group: this process is a member, and no sandbox forbids it. 0 or -errno. The test
 * file is removed.
 */
int log_readers_try(gid_t gid);

/* Sets `mode` on an open file, with the group's bits only if the group is that of the readers. 0 or -errno. */
int log_readers_give(const struct log_readers *readers, int fd, mode_t mode);

enum log_sync {
	LOG_SYNC_NONE,
	LOG_SYNC_INTERVAL, /* after a write, at most once in sync_interval_ns, and at rotation and stop */
	LOG_SYNC_ALWAYS,   /* after every line */
};

/* What the configuration's sync_interval_s is where nothing else is said. */
#define LOG_SYNC_INTERVAL_NS (60 * NS_PER_S)
/* When the clock goes back further than this (ms) a new segment begins, so that readers may bisect within one. */
#define LOG_BACKWARDS_MS 1000
/*
 * A whole sample begins a new segment when less than so many lines of its length would fit into this one: so a segment
 * begins with one, if whoever writes sees to it that one comes in time (writer_wants_whole).
 */
#define LOG_LINES_AHEAD	 4
#define LOG_SCHEMA	 1
#define LOG_BOOT_ID_SIZE 37

struct writer_config {
	char dir[PATH_MAX];
	uint64_t segment_bytes;
	uint64_t max_total_bytes; /* including the segment being written */
	uint64_t min_free_bytes;  /* see writer_append; 0: not looked at */
	bool compress;		  /* closed segments, by writer_work */
	enum log_sync sync;
	uint64_t sync_interval_ns;	/* 0: LOG_SYNC_INTERVAL_NS */
	char boot_id[LOG_BOOT_ID_SIZE]; /* for the header line */
	struct log_readers readers;	/* of the files, and of the directory when created */
};

/* Counts since writer_init. */
struct writer_stats {
	uint64_t lines;		 /* written whole */
	uint64_t bytes;		 /* bytes of those lines */
	uint64_t segments;	 /* begun */
	uint64_t removed;	 /* deleted to keep the bound */
	uint64_t packed;	 /* compressed */
	uint64_t pack_errors;	 /* compressions that failed; the segments stay plain */
	uint64_t syncs;		 /* successful calls of fdatasync */
	uint64_t abandoned;	 /* given up after an error or a change from outside */
	uint64_t repaired_bytes; /* cut off at start */
};

struct writer {
	struct writer_config config;
	struct writer_stats stats;
	int dir_fd; /* -1: not open */
	dev_t dir_dev;
	ino_t dir_ino;
	int fd; /* of the segment; -1: none open */
	ino_t ino;
	char file[NAMES_SIZE];
	char generation[17];	    /* as in the last line; "": none */
	struct segment_name newest; /* number 0: none yet */
	uint64_t size;
	uint64_t lines; /* in the open segment, without its header */
	size_t last_len;
	bool has_whole; /* a whole sample stands in the open segment */
	int64_t last_wall_ms;
	uint64_t last_seq;
	struct pack *pack;		/* a segment that is being compressed */
	struct segment_name pack_after; /* no segment up to this one is looked at again */
	bool pack_due;			/* there may be a closed segment that is plain */
	bool pack_again;		/* one failed: it is tried again after the next rotation */
	bool dirty;			/* written since the last sync */
	uint64_t synced_ns;		/* mono time of the last sync */
};

/* Initializes the struct; touches no file. */
void writer_init(struct writer *writer, const struct writer_config *config);

/*
 * Opens the directory (created with 0750 if missing, when its parent is safe) and repairs the log. writer_append calls
 * it when needed; calling it early makes last_seq known. 0 or -errno: -EPERM when directory or parent is unsafe,
 * -ENOTDIR or -ELOOP when the path is no directory.
 */
int writer_open(struct writer *writer);

/*
 * Appends one line (with its '\n'). `now.wall_ms` is the line's time; seq 0 means none. 0: the whole line is in the
 * file (on the disk with LOG_SYNC_ALWAYS). -errno: nothing of it is; -EFBIG: it can never fit. The next call begins
 * anew, so the writer recovers when the cause is gone. A positive return is the errno of a failed periodic sync: the
 * line is written, but earlier ones may not be on the disk.
 *
 * While less than min_free_bytes of the file system is free (or a twentieth of it, where that is less), the log does
 * not grow: for a new segment as much of the oldest ones is removed, and with none left it is -ENOSPC.
 */
int writer_append(struct writer *writer, const char *line, size_t len, uint64_t seq, struct moment now);

/* True if the next sample should be a whole one: the segment has none, or ends soon. */
bool writer_wants_whole(const struct writer *writer);

/*
 * Does a piece of what is not urgent, a few milliseconds long: compresses a frame of the oldest closed segment that is
 * plain, unless the space for it would cost that segment. True if there is more to do now.
 */
bool writer_work(struct writer *writer);

/*
 * Calls fdatasync if anything was written since the last one (not with LOG_SYNC_NONE). 0 or -errno; the segment is then
 * abandoned.
 */
int writer_sync(struct writer *writer, struct moment now);

/*
 * Syncs and closes; the segment stays plain and is continued by the next writer. Accepts a struct that was never
 * opened.
 */
int writer_close(struct writer *writer, struct moment now);

#endif
