/* SPDX-License-Identifier: MIT */
/* Reading back what was cleaned; see clean_report.h. */
#include "agent/clean_report.h"

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
}

void clean_report_emit(struct sink *out, const struct clean_report *report)
{
	struct piece rest = { report->text, report->len }, path;
	uint64_t bytes, written = 0;

	sink_uint(out, "freed_bytes", report->freed_bytes);
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
