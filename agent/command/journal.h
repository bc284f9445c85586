/* SPDX-License-Identifier: MIT */
/*
 * The journal of pending commands (accepted and not answered yet): after a kill of the agent the next agent process
 * answers them. A small append-only file in runtime_dir (memory, by default), one line when a command is accepted and
 * one when it is answered; nothing is synced, so no command waits for a disk. A torn last line was never completed, and
 * is skipped.
 *
 *	+ 7 c unsafe id%20of%20the%20command
 *	- 7
 *
 * A detached run of a command is recorded too, with the values needed to wait for its end and to answer; the last such
 * line of a command counts.
 *
 *	k 8 UNIT BOOT STEP RECEIVED TERM DEADLINE MAX_OUTPUT PARAMETERS
 *
 * "-" is none; times are in nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef AGENT_COMMAND_JOURNAL_H
#define AGENT_COMMAND_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/runner/protocol.h"
#include "agent/base/identity.h"

#define JOURNAL_NAME "commands.journal"
/* Most open entries, those of an earlier agent process included; further commands are not recorded, but counted. */
#define JOURNAL_OPEN_MAX 12000
/* The file is written anew, with the open entries alone, when it has grown by this much. */
#define JOURNAL_SLACK_BYTES (256u << 10)

enum journal_kind {
	JOURNAL_COMMAND = 'c', /* its response is pending */
	JOURNAL_SCRIPT = 's',  /* its script_completion is pending */
};

/* Longest parameters recorded, in bytes of JSON; longer ones are left out. */
#define JOURNAL_REQUEST_MAX 1024
#define JOURNAL_STEP_SIZE   24

struct journal_run {
	char unit[RUNNER_UNIT_SIZE];
	char boot_id[BOOT_ID_SIZE];   /* times and unit are valid in this boot only */
	char step[JOURNAL_STEP_SIZE]; /* name of the action's step; "": the action has only one */
	uint64_t received_ns, term_ns, deadline_ns;
	uint64_t max_output; /* bytes kept of each stream */
	const char *request; /* the parameters of the command as JSON; NULL: not recorded */
};

struct journal_entry {
	struct journal_entry *next;
	uint64_t serial;
	enum journal_kind kind;
	char *action, *id;	 /* in one allocation with the entry */
	struct journal_run *run; /* owned; NULL: no detached run */
};

struct journal {
	int dir_fd, fd; /* -1: no file */
	uint64_t next_serial;
	struct journal_entry *open; /* of this agent process, newest first */
	struct journal_entry *lost; /* of an earlier agent process, oldest first, to be answered */
	unsigned open_count;
	size_t bytes, base_bytes; /* size of the file now, and after it was last rewritten */
	uint64_t unrecorded;
};

/*
 * Opens DIR/commands.journal, reads the open entries of an earlier agent process into `lost`, and rewrites the file. 0,
 * or -errno: the journal may be used all the same, but without a file.
 */
int journal_open(struct journal *journal, const char *dir);
/* Accepts zeroed memory. */
void journal_close(struct journal *journal);

/* Records an accepted command. Returns its serial for the functions below, 0 if it was not recorded. */
uint64_t journal_accepted(struct journal *journal, enum journal_kind kind, const char *action, const char *id);

/* Records the detached run of a command; `run` is copied. Ignores serial 0 and serials that are not open. */
void journal_detach(struct journal *journal, uint64_t serial, const struct journal_run *run);

/* Moves an entry of `lost`, whose command is resumed, to `open`. */
void journal_adopt(struct journal *journal, uint64_t serial);

/* Records that the command has been answered. Ignores serial 0 and serials that are not open. */
void journal_answered(struct journal *journal, uint64_t serial);

/*
 * Parses one line without its newline; pure. 1: an accepted command (*ret on the heap, the caller's), 2: an answer
 * (*ret_serial), 3: a detached run (*ret with `serial` and `run` alone), -EBADMSG or -ENOMEM.
 */
int journal_parse(const char *line, size_t len, struct journal_entry **ret, uint64_t *ret_serial);

/* Accepts NULL. */
void journal_entry_free(struct journal_entry *entry);

/* Writes the line of an entry, with its newline, into `out`; pure. Returns its length, or -ENOBUFS. */
int journal_format(const struct journal_entry *entry, char *out, size_t size);

/* The same for the detached run of the entry with this serial. */
int journal_format_run(uint64_t serial, const struct journal_run *run, char *out, size_t size);

#endif
