/* SPDX-License-Identifier: MIT */
/*
 * What was accepted and not answered yet, on record: if the agent is killed, the next one knows whom it owes an answer.
 * A small append-only file in runtime_dir (memory, by default), one line when a command is accepted and one when it is
 * answered; nothing is synced, so no command waits for a disk. A torn last line is one that was never completed, and is
 * passed over.
 *
 *	+ 7 c unsafe id%20of%20the%20command
 *	- 7
 *
 * What runs for a command and outlives the agent is on record too, with what is needed to wait for its end and to
 * answer: the last such line of a command counts.
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
/* Open entries, those of an earlier run included; what comes beyond it is not recorded (and counted). */
#define JOURNAL_OPEN_MAX 12000
/* The file is written anew, with the open entries alone, when it has grown by this much. */
#define JOURNAL_SLACK_BYTES (256u << 10)

enum journal_kind {
	JOURNAL_COMMAND = 'c', /* owed a response */
	JOURNAL_SCRIPT = 's',  /* owed a script_completion */
};

/* Longer parameters are not recorded. */
#define JOURNAL_REQUEST_MAX 1024
#define JOURNAL_STEP_SIZE   24

struct journal_run {
	char unit[RUNNER_UNIT_SIZE];
	char boot_id[BOOT_ID_SIZE];   /* the times and the unit mean nothing after another boot */
	char step[JOURNAL_STEP_SIZE]; /* of the action, in its own words; "": it has but one */
	uint64_t received_ns, term_ns, deadline_ns;
	uint64_t max_output; /* kept of each stream */
	char *request;	     /* the parameters of the command as JSON; NULL: not recorded */
};

struct journal_entry {
	struct journal_entry *next;
	uint64_t serial;
	enum journal_kind kind;
	char *action, *id;	 /* in one allocation with the entry */
	struct journal_run *run; /* owned; NULL: nothing outlives us */
};

struct journal {
	int dir_fd, fd; /* -1: not kept */
	uint64_t next_serial;
	struct journal_entry *open; /* of this run, newest first */
	struct journal_entry *lost; /* of an earlier run, oldest first: answer and journal_answered each */
	unsigned open_count;
	size_t bytes, base_bytes; /* of the file; after it was last written anew */
	uint64_t unrecorded;
};

/*
 * Opens DIR/commands.journal, reads what an earlier run left open into `lost`, and writes the file anew. 0 or -errno;
 * the journal may be used in either case (then it is kept in no file).
 */
int journal_open(struct journal *journal, const char *dir);
/* Accepts a zeroed one. */
void journal_close(struct journal *journal);

/* Records an accepted command; the serial that journal_answered wants, 0 if it could not be recorded. */
uint64_t journal_accepted(struct journal *journal, enum journal_kind kind, const char *action, const char *id);

/* Something runs for it now that outlives us; `run` is copied. 0 is accepted, and a serial that is not open. */
void journal_detach(struct journal *journal, uint64_t serial, const struct journal_run *run);

/* An entry of `lost` is worked on again: it is one of `open` now. */
void journal_adopt(struct journal *journal, uint64_t serial);

/* It has been answered. 0 is accepted, and a serial that is not open. */
void journal_answered(struct journal *journal, uint64_t serial);

/*
 * Pure: one line without its newline. 1 for an accepted command (*ret is on the heap), 2 for an answer (*ret_serial), 3
 * for what runs for a command (*ret with serial and `run` alone), -EBADMSG, -ENOMEM.
 */
int journal_parse(const char *line, size_t len, struct journal_entry **ret, uint64_t *ret_serial);

/* Accepts NULL. */
void journal_entry_free(struct journal_entry *entry);

/* Pure: the line of an entry, newline included, into `out`; its length, or -ENOBUFS. */
int journal_format(const struct journal_entry *entry, char *out, size_t size);

/* The same of what runs for the entry of this serial. */
int journal_format_run(uint64_t serial, const struct journal_run *run, char *out, size_t size);

#endif
