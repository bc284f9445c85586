/* SPDX-License-Identifier: MIT */
/* What the writers of the package actions' data share; see package_emit.h. */
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
	uint64_t known_total;		       /* when more were counted than the list holds; 0: not */
	const char *truncated_key, *total_key; /* NULL: "truncated", "total_count" */
};

/* The rows, as many as fit; then that they were cut and how many there are, if they are not all. */
void package_rows_emit(struct sink *out, const struct package_job *job, const struct package_rows *rows);

/* Seconds since 1970 as RFC 3339, or a number; negative: null. */
void package_emit_time(struct sink *out, const char *key, int64_t time_s);
void package_emit_known(struct sink *out, const char *key, int64_t value);

/* warnings[]: what the answer cannot tell of; into an open object. */
void package_emit_warnings(struct sink *out, const struct package_job *job);

/* What an update would install anew (a dependency) is no update. With job->security_only none but those of security. */
bool package_is_update(const struct package_job *job, const struct package *row);
uint64_t package_count_updates(const struct package_job *job, bool security);

/* The keys of the history, and those of package_emit_updates, into an open object. */
void package_emit_history_keys(struct sink *out, const struct package_job *job);
void package_emit_updates_keys(struct sink *out, const struct package_job *job);

#endif
