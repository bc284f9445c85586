/* SPDX-License-Identifier: MIT */
#include "agent/runner/end_record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

size_t end_record_format(const struct end_record *record, char out[END_RECORD_MAX])
{
	return (size_t)snprintf(out, END_RECORD_MAX,
				"end 1 %" PRIu32 " %" PRId32 " %" PRId32 " %" PRId32 " %" PRIu64 "\n", record->flags,
				record->status, record->error, record->stage, record->end_ns);
}

int end_record_parse(const char *text, size_t len, struct end_record *ret)
{
	char line[END_RECORD_MAX], again[END_RECORD_MAX];
	struct end_record record;

	if (len >= sizeof(line))
		return -EBADMSG;
	memcpy(line, text, len);
	line[len] = '\0';
	if (sscanf(line, "end 1 %10" SCNu32 " %11" SCNd32 " %11" SCNd32 " %11" SCNd32 " %20" SCNu64, &record.flags,
		   &record.status, &record.error, &record.stage, &record.end_ns) != 5)
		return -EBADMSG;
	/*
	 * scanf accepts other spellings (signs, leading zeros, numbers out of range): the record has to format to the
	 * same bytes.
	 */
	if (end_record_format(&record, again) != len || memcmp(line, again, len) != 0 || record.error < 0)
		return -EBADMSG;
	*ret = record;
	return 0;
}
