/* SPDX-License-Identifier: MIT */
/*
 * OpenMetrics wants the lines of a metric together, and samples come by time: each column is written into a temporary
 * file of its own, and those follow each other at the end.
 */
#include "tools/infinictl/rows.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "tools/infinictl/text.h"
#include "tools/show/show.h"

#define NAME_MAX_BYTES 256
#define TIME_WIDTH     19
#define CELL_WIDTH     10

static void csv_text(FILE *out, const char *text)
{
	if (!strpbrk(text, ",\"\r\n")) {
		show(out, "%s", text);
		return;
	}
	show(out, "\"");
	for (const char *quote; (quote = strchr(text, '"')); text = quote + 1)
		show(out, "%.*s\"\"", (int)(quote - text), text);
	show(out, "%s\"", text);
}

static void json_text(FILE *out, const char *text)
{
	struct json_object *string = json_object_new_string(text);

	show_json(out, json_object_to_json_string_ext(string, JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(string);
}

/* "infiniservice_system_cpu_usage_percent": a path's names, without what stands in []. */
static void family_name(const char *path, char *out, size_t size)
{
	size_t len = (size_t)snprintf(out, size, "infiniservice_");
	bool inside = false;

	for (; *path && len + 1 < size; path++) {
		inside = *path == '[' || (inside && *path != ']');
		if (!inside && *path != ']')
			out[len++] = isalnum((unsigned char)*path) ? *path : '_';
	}
	out[len] = '\0';
}

static bool same_family(const struct rows_column *a, const struct rows_column *b)
{
	char left[NAME_MAX_BYTES], right[NAME_MAX_BYTES];

	family_name(a->label, left, sizeof(left));
	family_name(b->label, right, sizeof(right));
	return !strcmp(left, right);
}

/* The value of a label, in which \, " and newline are escaped; in runs, so that no character is taken apart. */
static void label_value(FILE *out, const char *text, size_t len)
{
	size_t begin = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && text[i] != '\\' && text[i] != '"' && text[i] != '\n')
			continue;
		show_text(out, text + begin, i - begin);
		if (i < len)
			show(out, text[i] == '\n' ? "\\n" : text[i] == '"' ? "\\\"" : "\\\\");
		begin = i + 1;
	}
}

static void openmetrics_labels(FILE *out, const struct rows_column *column)
{
	const char *open = strchr(column->label, '['), *close = open ? strchr(open, ']') : NULL;
	struct catalog_list list;

	if (!close)
		return;
	if (column->metric && catalog_list(column->metric, &list))
		show(out, "{%.*s=\"", (int)list.member_len, list.member);
	else
		show(out, "{item=\"");
	label_value(out, open + 1, (size_t)(close - open - 1));
	show(out, "\"}");
}

static bool is_counter(const struct rows_column *column)
{
	return column->metric && column->metric->flags & CATALOG_COUNTER;
}

static void openmetrics_head(FILE *out, const struct rows_column *column)
{
	char name[NAME_MAX_BYTES];

	family_name(column->label, name, sizeof(name));
	show(out, "# TYPE %s %s\n", name, is_counter(column) ? "counter" : column->metric ? "gauge" : "unknown");
	if (column->metric)
		show(out, "# HELP %s %s.\n", name, column->metric->meaning);
}

static void openmetrics_add(struct rows_column *column, int64_t wall_ms, const struct rows_cell *cell)
{
	char name[NAME_MAX_BYTES];

	if (cell->kind != CELL_NUMBER)
		return;
	family_name(column->label, name, sizeof(name));
	show(column->family, "%s%s", name, is_counter(column) ? "_total" : "");
	openmetrics_labels(column->family, column);
	show(column->family, " %s %lld.%03d\n", cell->text, (long long)(wall_ms / 1000), (int)(wall_ms % 1000));
}

/* On a terminal in columns, as many as fit; else behind a tab. */
static void table_text(struct rows *rows, unsigned column, const char *text)
{
	size_t width = TIME_WIDTH;

	if (!rows->width) {
		show_words(rows->out, "\t");
		show(rows->out, "%s", text);
		return;
	}
	for (unsigned i = 0; i <= column; i++)
		width +=
			1 + (strlen(rows->columns[i].label) > CELL_WIDTH ? strlen(rows->columns[i].label) : CELL_WIDTH);
	if (width <= rows->width)
		show(rows->out, " %*.40s",
		     (int)(strlen(rows->columns[column].label) > CELL_WIDTH ? strlen(rows->columns[column].label)
									    : CELL_WIDTH),
		     text);
}

int rows_begin(struct rows *rows, struct err *err)
{
	for (unsigned i = 0; i < rows->count && rows->form == ROWS_OPENMETRICS; i++) {
		rows->columns[i].family = tmpfile();
		if (!rows->columns[i].family)
			return err_set(err, -errno, "no temporary file can be made: %s", strerror(errno));
	}
	if (rows->form != ROWS_CSV && !(rows->form == ROWS_TABLE && rows->heading))
		return 0;
	show(rows->out, rows->form == ROWS_TABLE && rows->width ? "%-*s" : "%.*s", TIME_WIDTH, "time");
	for (unsigned i = 0; i < rows->count; i++) {
		if (rows->form == ROWS_CSV) {
			show(rows->out, ",");
			csv_text(rows->out, rows->columns[i].label);
		} else {
			table_text(rows, i, rows->columns[i].label);
		}
	}
	show(rows->out, "\n");
	return 0;
}

static void table_cell(struct rows *rows, unsigned column, const struct rows_cell *cell)
{
	table_text(rows, column, cell->kind == CELL_MISSING ? "-" : cell->kind == CELL_NULL ? "null" : cell->text);
}

static void csv_cell(FILE *out, const struct rows_cell *cell)
{
	show(out, ",");
	if (cell->kind != CELL_MISSING && cell->kind != CELL_NULL)
		csv_text(out, cell->text);
}

static void json_cell(FILE *out, const char *label, const struct rows_cell *cell)
{
	if (cell->kind == CELL_MISSING)
		return;
	show(out, ",");
	json_text(out, label);
	show(out, ":");
	if (cell->kind == CELL_TEXT)
		json_text(out, cell->text);
	else
		show_json(out, cell->kind == CELL_NULL ? "null" : cell->text);
}

void rows_add(struct rows *rows, int64_t wall_ms, const struct rows_cell *cells)
{
	char time[TEXT_TIME_SIZE];

	if (rows->form == ROWS_OPENMETRICS) {
		for (unsigned i = 0; i < rows->count; i++)
			openmetrics_add(&rows->columns[i], wall_ms, &cells[i]);
		return;
	}
	text_time(wall_ms, rows->utc, rows->form == ROWS_TABLE && rows->width, time);
	show(rows->out, rows->form == ROWS_JSON ? "{\"time\":\"%s\"" : "%s", time);
	for (unsigned i = 0; i < rows->count; i++)
		if (rows->form == ROWS_TABLE)
			table_cell(rows, i, &cells[i]);
		else if (rows->form == ROWS_CSV)
			csv_cell(rows->out, &cells[i]);
		else
			json_cell(rows->out, rows->columns[i].label, &cells[i]);
	show(rows->out, rows->form == ROWS_JSON ? "}\n" : "\n");
}

static void copy_family(FILE *from, FILE *to)
{
	char buffer[8192];
	size_t len;

	rewind(from);
	while ((len = fread(buffer, 1, sizeof(buffer), from)) > 0)
		show_stream(to, buffer, len);
}

/* The columns of one family, in their order, behind its head. */
static void end_families(struct rows *rows)
{
	for (unsigned i = 0; i < rows->count; i++) {
		if (!rows->columns[i].family)
			continue;
		openmetrics_head(rows->out, &rows->columns[i]);
		for (unsigned j = i; j < rows->count; j++) {
			if (!rows->columns[j].family || !same_family(&rows->columns[i], &rows->columns[j]))
				continue;
			copy_family(rows->columns[j].family, rows->out);
			fclose(rows->columns[j].family);
			rows->columns[j].family = NULL;
		}
	}
	show(rows->out, "# EOF\n");
}

void rows_end(struct rows *rows)
{
	if (rows->form == ROWS_OPENMETRICS)
		end_families(rows);
}
