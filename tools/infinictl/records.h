/* SPDX-License-Identifier: MIT */
/*
 * The audit records: what was asked of the agent, and its events. They are in the journal or, without one, in the
 * agent's own files; both are read and sorted by time.
 */
#ifndef TOOLS_INFINICTL_RECORDS_H
#define TOOLS_INFINICTL_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/err.h>

struct json_object;

struct entry {
	int64_t wall_ms;
	uint64_t order; /* order of reading, for records of the same time */
	struct json_object *record;
};

/* Which of them: the newest `lines` for which `wants` is true. */
struct records_wanted {
	size_t lines;
	const char *id; /* of one command; NULL: all */
	int64_t begin_ms, end_ms;
	bool (*wants)(void *data, struct json_object *record);
	void *data;
};

/* A ring; the newest `lines` of the `count` entries are wanted, in order after records_read. */
struct records {
	const struct records_wanted *wanted;
	struct entry *entries;
	size_t count;
	uint64_t added;
};

/*
 * Reads the files of `state_dir`, and the journal if `journal` is set, into entries sorted by time. 0, or -errno with
 * words for what could not be read; what was found stands in `records` even so.
 */
int records_read(struct records *records, const char *state_dir, bool journal, struct err *err);
void records_free(struct records *records);

/* The command was refused, or failed. */
bool record_has_failed(struct json_object *record);
/* A look of `infinictl status` or `ps`. A command of a host never counts, even with such an id. */
bool record_is_own_look(struct json_object *record);

#endif
