/* SPDX-License-Identifier: MIT */
/*
 * The report of the verbs `clean` and `golden` of infiniservice-exec, read back: a pure parser, and its words as data.
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
	bool ended; /* the last line has been there: the totals below are the program's own */
	uint64_t freed_bytes, items, kept, errors;
	uint64_t directories; /* of the items; what was not told as one counts as a file */
	bool dry_run;	      /* set by the caller, and reported */
};

/* Reads the totals; without a last line they are those of the items that were told. */
void clean_report_parse(const char *text, size_t len, struct clean_report *ret);

/*
 * The keys freed_bytes, space_cleared_mb, files_deleted, cleaned_items[], kept_count, error_count, dry_run, into an
 * open object.
 */
void clean_report_emit(struct sink *out, const struct clean_report *report);

/* The array grants[] of what a golden image no longer grants, each with file and what, into an open object. */
void clean_report_emit_grants(struct sink *out, const struct clean_report *report);

#endif
