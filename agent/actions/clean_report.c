/* SPDX-License-Identifier: MIT */
/* Parses the report of the cleaner; see clean_report.h. */
#include "agent/actions/clean_report.h"

#include "agent/packages/lines.h"

/* "item<TAB>bytes<TAB>path" */
static bool item_cut(struct piece *rest, uint64_t *bytes, struct piece *path)
{
	struct piece line, field[3];

	while (line_cut(rest, &line)) {
		if (!fields_cut(line, field, 3) || !piece_is(field[0], "item") || piece_number(field[1]) < 0)
			continue;
		*bytes = (uint64_t)piece_number(field[1]);
		*path = field[2];
		return true;
	}
	return false;
}

/* "directories<TAB>count": number of items that are directories; 0 when the line is missing. */
static uint64_t directories_of(const char *text, size_t len)
{
	struct piece rest = { text, len }, line, field[2];

	while (line_cut(&rest, &line))
		if (piece_starts(line, "directories\t") && fields_cut(line, field, 2) && piece_number(field[1]) >= 0)
			return (uint64_t)piece_number(field[1]);
	return 0;
}

static bool end_find(const char *text, size_t len, struct clean_report *ret)
{
	struct piece rest = { text, len }, line, field[5];

	while (line_cut(&rest, &line)) {
		if (!piece_starts(line, "end\t") || !fields_cut(line, field, 5))
			continue;
		for (size_t i = 1; i < 5; i++)
			if (piece_number(field[i]) < 0)
				return false;
		ret->freed_bytes = (uint64_t)piece_number(field[1]);
		ret->items = (uint64_t)piece_number(field[2]);
		ret->kept = (uint64_t)piece_number(field[3]);
		ret->errors = (uint64_t)piece_number(field[4]);
		return true;
	}
	return false;
}

void clean_report_parse(const char *text, size_t len, struct clean_report *ret)
{
	struct piece rest = { text, len }, path;
	uint64_t bytes;

	*ret = (struct clean_report){ .text = text, .len = len };
	ret->ended = end_find(text, len, ret);
	while (!ret->ended && item_cut(&rest, &bytes, &path)) {
		ret->freed_bytes += bytes;
		ret->items++;
	}
	ret->directories = directories_of(text, len);
	if (ret->directories > ret->items)
		ret->directories = 0;
}

void clean_report_emit(struct sink *out, const struct clean_report *report)
{
	struct piece rest = { report->text, report->len }, path;
	uint64_t bytes, written = 0;

	sink_uint(out, "freed_bytes", report->freed_bytes);
	sink_real(out, "space_cleared_mb", (double)report->freed_bytes / (1 << 20), 2);
	sink_uint(out, "files_deleted", report->items - report->directories);
	sink_bool(out, "dry_run", report->dry_run);
	sink_uint(out, "kept_count", report->kept);
	sink_uint(out, "error_count", report->errors);
	sink_array_begin(out, "cleaned_items");
	while (item_cut(&rest, &bytes, &path)) {
		struct sink_mark mark = sink_mark(out);

		sink_text(out, NULL, path.at, path.len, SINK_PATH_MAX);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			break;
		}
		written++;
	}
	sink_array_end(out);
	if (written < report->items) {
		sink_bool(out, "truncated", true);
		sink_uint(out, "total_count", report->items);
	}
}

/* "grant<TAB>path<TAB>what" */
void clean_report_emit_grants(struct sink *out, const struct clean_report *report)
{
	struct piece rest = { report->text, report->len }, line, field[3];

	sink_array_begin(out, "grants");
	while (line_cut(&rest, &line)) {
		struct sink_mark mark = sink_mark(out);

		if (!piece_starts(line, "grant\t") || !fields_cut(line, field, 3))
			continue;
		sink_object_begin(out, NULL);
		sink_text(out, "file", field[1].at, field[1].len, SINK_PATH_MAX);
		sink_text(out, "what", field[2].at, field[2].len, SINK_PATH_MAX);
		sink_object_end(out);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			break;
		}
	}
	sink_array_end(out);
}
