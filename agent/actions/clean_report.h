/* SPDX-License-Identifier: MIT */
/*
 * The report that the verbs `clean` and `golden` of infiniservice-exec print: a pure parser, and its output as JSON
 * data.
 */
#ifndef AGENT_ACTIONS_CLEAN_REPORT_H
#define AGENT_ACTIONS_CLEAN_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/sink.h>

struct clean_report {
	const char *text; /* borrowed: the items are read from it */
	size_t len;
	bool ended; /* the last line was found: the totals below are the program's own */
	uint64_t freed_bytes, items, kept, errors;
	uint64_t directories; /* items reported as directories; all other items count as files */
	bool dry_run;	      /* set by the caller, and reported */
};

/* Parses the report. Without a last line the totals are summed up from the items reported. */
void clean_report_parse(const char *text, size_t len, struct clean_report *ret);

/*
 * The keys freed_bytes, space_cleared_mb, files_deleted, cleaned_items[], kept_count, error_count, dry_run, into an
 * open object.
 */
void clean_report_emit(struct sink *out, const struct clean_report *report);

/* The array grants[] of what a golden image no longer grants, each with file and what, into an open object. */
void clean_report_emit_grants(struct sink *out, const struct clean_report *report);

#endif
