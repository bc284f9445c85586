/* SPDX-License-Identifier: MIT */
/* Functions shared by the writers of the package actions' data; see package_emit.h. */
#ifndef AGENT_ACTIONS_PACKAGE_EMIT_PARTS_H
#define AGENT_ACTIONS_PACKAGE_EMIT_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/sink.h>

#include "agent/actions/package_job.h"

/* A list of packages in the data. */
struct package_rows {
	const char *key;
	const struct package_list *list;
	size_t most;								  /* rows written; 0: as many as fit */
	bool (*wanted)(const struct package_job *job, const struct package *row); /* NULL: all of them */
	void (*emit)(struct sink *out, const struct package_job *job, const struct package *row);
	uint64_t known_total;		       /* the number counted, if the list does not hold all; 0: it holds all */
	const char *truncated_key, *total_key; /* NULL: "truncated", "total_count" */
};

/* Writes the rows, as many as fit; then the keys for "truncated" and the total, if rows were left out. */
void package_rows_emit(struct sink *out, const struct package_job *job, const struct package_rows *rows);

/* Seconds since 1970 as RFC 3339, or a number; negative: null. */
void package_emit_time(struct sink *out, const char *key, int64_t time_s);
void package_emit_known(struct sink *out, const char *key, int64_t value);

/* Writes warnings[], the limits of what the answer covers, into an open object. */
void package_emit_warnings(struct sink *out, const struct package_job *job);

/*
 * True if the row is an update: not a new dependency that an update would install, and with job->security_only a
 * security update.
 */
bool package_is_update(const struct package_job *job, const struct package *row);
uint64_t package_count_updates(const struct package_job *job, bool security);

/* Write the keys of the history, and those of package_emit_updates, into an open object. */
void package_emit_history_keys(struct sink *out, const struct package_job *job);
void package_emit_updates_keys(struct sink *out, const struct package_job *job);

#endif
