/* SPDX-License-Identifier: MIT */
#include "agent/actions/package_emit_parts.h"

#include <string.h>

#include <infiniservice/moment.h>

void package_emit_time(struct sink *out, const char *key, int64_t time_s)
{
	char text[RFC3339_SIZE];

	if (time_s < 0) {
		sink_null(out, key);
		return;
	}
	rfc3339_format(time_s * 1000, text);
	sink_str(out, key, text);
}

void package_emit_known(struct sink *out, const char *key, int64_t value)
{
	if (value < 0)
		sink_null(out, key);
	else
		sink_int(out, key, value);
}

static void emit_cut(struct sink *out, const struct package_job *job, const struct package_rows *rows, uint64_t total)
{
	const char *total_key = rows->total_key ? rows->total_key : "total_count";

	sink_bool(out, rows->truncated_key ? rows->truncated_key : "truncated", true);
	if (job->truncated && rows->known_total == 0)
		sink_null(out, total_key); /* the output was truncated, too: the total is unknown */
	else
		sink_uint(out, total_key, total);
}

void package_rows_emit(struct sink *out, const struct package_job *job, const struct package_rows *rows)
{
	uint64_t total = 0, written = 0;
	bool cut = false;

	sink_array_begin(out, rows->key);
	for (size_t i = 0; i < rows->list->count; i++) {
		struct sink_mark mark = sink_mark(out);

		if (rows->wanted && !rows->wanted(job, &rows->list->rows[i]))
			continue;
		total++;
		cut = cut || (rows->most && written == rows->most);
		if (cut)
			continue;
		rows->emit(out, job, &rows->list->rows[i]);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			cut = true;
		} else {
			written++;
		}
	}
	sink_array_end(out);
	if (rows->known_total > total)
		total = rows->known_total;
	if (written < total || job->truncated)
		emit_cut(out, job, rows, total);
}

void package_emit_warnings(struct sink *out, const struct package_job *job)
{
	sink_array_begin(out, "warnings");
	if (*job->warning)
		sink_text(out, NULL, job->warning, strcspn(job->warning, "\n"), sizeof(job->warning));
	sink_array_end(out);
}

bool package_is_update(const struct package_job *job, const struct package *row)
{
	return row->candidate && row->name &&
	       (row->version || package_list_counterpart(&job->installed, &job->pending, row)) &&
	       (!job->security_only || row->security);
}

uint64_t package_count_updates(const struct package_job *job, bool security)
{
	uint64_t count = 0;

	for (size_t i = 0; i < job->pending.count; i++)
		count += package_is_update(job, &job->pending.rows[i]) && (!security || job->pending.rows[i].security);
	return count;
}
