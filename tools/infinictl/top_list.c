/* SPDX-License-Identifier: MIT */
#include "tools/infinictl/top_list.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/text.h"

#define COLUMNS_MAX 12
#define CELL_MAX    512
#define DEPTH_MAX   24 /* of a tree; what is deeper stands at its end */

struct column {
	const char *title;
	const char *key[2]; /* a member, and a member of it */
	char unit;	    /* of top_number; 't': text */
	unsigned width;	    /* the last one, if it is text, takes what is left too */
	unsigned rank;	    /* the last goes first where the terminal is too narrow; 0 stays */
};

static const struct view {
	const char *name;
	const char *path[3]; /* of the list below `data` */
	unsigned sort;	     /* column at the beginning */
	struct column columns[COLUMNS_MAX];
} views[TOP_VIEWS] = {
	[TOP_PROCESSES] = { "processes",
			    { "processes" },
			    2,
			    { { "PID", { "pid" }, '1', 7, 0 },
			      { "USER", { "user" }, 't', 10, 3 },
			      { "CPU%", { "cpu_percent" }, '%', 6, 0 },
			      { "MEM", { "memory_kb" }, 'K', 6, 0 },
			      { "THR", { "threads" }, '1', 5, 6 },
			      { "READ", { "disk_read_bytes" }, 'B', 6, 4 },
			      { "WRITE", { "disk_write_bytes" }, 'B', 6, 4 },
			      { "STATE", { "status" }, 't', 10, 5 },
			      { "NAME", { "name" }, 't', 16, 0 },
			      { "COMMAND", { "cmd_line" }, 't', 10, 2 } } },
	[TOP_GROUPS] = { "control groups",
			 { "cgroup" },
			 0,
			 { { "CPU%", { "cpu_percent" }, '%', 6, 0 },
			   { "MEM", { "memory_kb" }, 'K', 6, 0 },
			   { "LIMIT", { "memory_max_kb" }, 'K', 6, 4 },
			   { "READ/s", { "read_bytes_per_sec" }, 'B', 7, 2 },
			   { "WRITE/s", { "write_bytes_per_sec" }, 'B', 7, 2 },
			   { "TASKS", { "tasks" }, '1', 6, 3 },
			   { "P.CPU", { "pressure", "cpu" }, '%', 6, 5 },
			   { "P.MEM", { "pressure", "memory" }, '%', 6, 5 },
			   { "P.IO", { "pressure", "io" }, '%', 6, 5 },
			   { "KIND", { "kind" }, 't', 10, 6 },
			   { "GROUP", { "path" }, 't', 32, 0 } } },
	[TOP_DISKS] = { "disks",
			{ "system", "disk", "devices" },
			1,
			{ { "DISK", { "name" }, 't', 12, 0 },
			  { "BUSY%", { "io_utilization_percent" }, '%', 6, 0 },
			  { "READ/s", { "read_bytes_per_sec" }, 'B', 7, 0 },
			  { "WRITE/s", { "write_bytes_per_sec" }, 'B', 7, 0 },
			  { "R.OPS", { "read_ops_per_sec" }, '1', 7, 1 },
			  { "W.OPS", { "write_ops_per_sec" }, '1', 7, 1 },
			  { "R.ms", { "read_await_ms" }, '%', 7, 2 },
			  { "W.ms", { "write_await_ms" }, '%', 7, 2 },
			  { "QUEUE", { "queue_length" }, '%', 6, 2 } } },
	[TOP_FILESYSTEMS] = { "file systems",
			      { "system", "disk", "usage_stats" },
			      0,
			      { { "USED%", { "used_percent" }, '%', 6, 0 },
				{ "USED", { "used_gb" }, 'G', 7, 0 },
				{ "AVAIL", { "available_gb" }, 'G', 7, 0 },
				{ "SIZE", { "total_gb" }, 'G', 7, 1 },
				{ "TYPE", { "filesystem" }, 't', 9, 2 },
				{ "MOUNTED ON", { "mount_point" }, 't', 20, 0 } } },
	[TOP_NETWORK] = { "network",
			  { "system", "network", "interfaces" },
			  1,
			  { { "INTERFACE", { "name" }, 't', 15, 0 },
			    { "IN/s", { "rx_bytes_per_sec" }, 'B', 7, 0 },
			    { "OUT/s", { "tx_bytes_per_sec" }, 'B', 7, 0 },
			    { "PK.IN", { "rx_packets_per_sec" }, '1', 7, 1 },
			    { "PK.OUT", { "tx_packets_per_sec" }, '1', 7, 1 },
			    { "ERR.IN", { "errors_in" }, '1', 7, 2 },
			    { "ERR.OUT", { "errors_out" }, '1', 7, 2 },
			    { "DROP.IN", { "drops_in" }, '1', 8, 2 },
			    { "DROP.OUT", { "drops_out" }, '1', 8, 2 } } },
};

const char *top_view_name(enum top_view view)
{
	return views[view].name;
}

unsigned top_columns(enum top_view view)
{
	unsigned count = 0;

	while (count < COLUMNS_MAX && views[view].columns[count].title)
		count++;
	return count;
}

const char *top_column_name(enum top_view view, unsigned column)
{
	return views[view].columns[column].title;
}

/* --------------------------------------------------------------------------------------------------------- cells */

void top_number(struct json_object *value, char unit, char *out, size_t size)
{
	double number = 0;
	bool known = text_number(value, &number);

	if (unit == 'K' || unit == 'G')
		number *= unit == 'K' ? 1024.0 : 1073741824.0;
	if (!known)
		snprintf(out, size, "-");
	else if (fabs(number) >= 1e18 || (strchr("1%", unit) && fabs(number) >= 1e7))
		snprintf(out, size, "%.0e", number);
	else if (strchr("1%", unit))
		snprintf(out, size, unit == '%' ? "%.1f" : "%.0f", number);
	else
		text_bytes(number, true, out, size);
}

static struct json_object *value_of(const struct column *column, struct json_object *item)
{
	return text_member(item, column->key[0], column->key[1], NULL);
}

static void fill_cell(const struct column *column, struct json_object *item, char out[CELL_MAX])
{
	struct json_object *value = value_of(column, item);

	if (column->unit != 't')
		top_number(value, column->unit, out, CELL_MAX);
	else
		snprintf(out, CELL_MAX, "%s",
			 json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "-");
}

/* ---------------------------------------------------------------------------------------------------------- rows */

struct row {
	struct json_object *item;
	unsigned place; /* in the sample */
	bool known;	/* the number to sort by */
	double number;
	const char *text; /* the text to sort by */
	double pid, ppid; /* of a process; -1: not known */
	const char *path; /* of a group; else "" */
	size_t path_len;
	int parent; /* of the rows, -1: none */
	bool told;
};

struct rows_of {
	struct row *rows;
	unsigned count;
	unsigned *order, *depth, told; /* as they are shown */
};

static bool contains(struct json_object *item, const struct view *view, const char *filter)
{
	char cell[CELL_MAX];

	for (unsigned i = 0; i < COLUMNS_MAX && view->columns[i].title; i++) {
		bool number = view->columns[i].unit != 't';

		if (number && strcmp(view->columns[i].title, "PID") != 0)
			continue;
		fill_cell(&view->columns[i], item, cell);
		if (number ? !strcmp(cell, filter) : strcasestr(cell, filter) != NULL)
			return true;
	}
	return false;
}

static int compare(const void *left, const void *right, void *data)
{
	const struct row *a = left, *b = right;
	bool reversed = *(const bool *)data;
	int order = 0;

	if (a->text && b->text)
		order = strcmp(a->text, b->text);
	else if (a->known != b->known)
		return a->known ? -1 : 1; /* what is not known stands behind, either way */
	else if (a->known)
		order = a->number > b->number ? -1 : a->number < b->number;
	if (order == 0)
		return a->place < b->place ? -1 : 1;
	return reversed ? -order : order;
}

static void take_rows(const struct top_state *state, struct json_object *list, struct rows_of *rows)
{
	const struct view *view = &views[state->view];
	const struct column *by = &view->columns[state->sort[state->view]];
	size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	bool reversed = state->reversed;

	for (size_t i = 0; i < count && i < TOP_ROWS_MAX; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		struct row row = { .item = item, .place = (unsigned)i, .parent = -1, .pid = -1, .ppid = -1 };

		if (!json_object_is_type(item, json_type_object) ||
		    (state->filter[0] && !contains(item, view, state->filter)))
			continue;
		if (by->unit == 't')
			row.text = text_string(item, by->key[0]);
		else
			row.known = text_number(value_of(by, item), &row.number);
		text_number(text_member(item, "pid", NULL), &row.pid);
		text_number(text_member(item, "ppid", NULL), &row.ppid);
		row.path = text_string(item, "path");
		row.path_len = strlen(row.path);
		rows->rows[rows->count++] = row;
	}
	qsort_r(rows->rows, rows->count, sizeof(*rows->rows), compare, &reversed);
}

/* ---------------------------------------------------------------------------------------------------------- tree */

/* Whether it is the process whose number is the other's ppid, or the group whose path the other's continues. */
static bool is_parent(enum top_view view, const struct row *above, const struct row *below)
{
	if (view == TOP_PROCESSES)
		return above->pid >= 0 && above->pid == below->ppid;
	if (above->path_len == 0 || strncmp(above->path, below->path, above->path_len) != 0)
		return false;
	return below->path[above->path_len] == '/' || (above->path_len == 1 && below->path_len > 1);
}

static void find_parents(enum top_view view, struct rows_of *rows)
{
	for (unsigned i = 0; i < rows->count; i++) {
		struct row *row = &rows->rows[i];

		for (unsigned j = 0; j < rows->count; j++)
			if (j != i && is_parent(view, &rows->rows[j], row) &&
			    (row->parent < 0 || rows->rows[j].path_len > rows->rows[row->parent].path_len))
				row->parent = (int)j;
	}
}

static void tell(struct rows_of *rows, unsigned row, unsigned depth)
{
	rows->rows[row].told = true;
	rows->order[rows->told] = row;
	rows->depth[rows->told++] = depth;
	for (unsigned i = 0; depth < DEPTH_MAX && i < rows->count; i++)
		if (rows->rows[i].parent == (int)row && !rows->rows[i].told)
			tell(rows, i, depth + 1);
}

/* Those without a parent and, below each, its children; then what is left: circles, and what is too deep. */
static void put_in_order(const struct top_state *state, struct rows_of *rows)
{
	bool tree = state->tree && (state->view == TOP_PROCESSES || state->view == TOP_GROUPS);

	if (tree)
		find_parents(state->view, rows);
	for (unsigned i = 0; i < rows->count; i++)
		if (rows->rows[i].parent < 0)
			tell(rows, i, 0);
	for (unsigned i = 0; i < rows->count; i++)
		if (!rows->rows[i].told)
			tell(rows, i, 0);
}

/* -------------------------------------------------------------------------------------------------------- layout */

struct layout {
	bool shown[COLUMNS_MAX];
	unsigned widths[COLUMNS_MAX];
};

static unsigned width_of_all(const struct view *view, const struct layout *layout)
{
	unsigned width = 0;

	for (unsigned i = 0; i < COLUMNS_MAX && view->columns[i].title; i++)
		if (layout->shown[i])
			width += view->columns[i].width + 1;
	return width ? width - 1 : 0;
}

static bool takes_rest(const struct view *view, unsigned column)
{
	return view->columns[column].unit == 't' && !view->columns[column + 1].title;
}

/* Where there is no room for all the columns of the highest ranks go; the last one takes what is left. */
static struct layout lay_out(const struct view *view, unsigned width)
{
	struct layout layout = { 0 };
	unsigned all;

	for (unsigned i = 0; i < COLUMNS_MAX && view->columns[i].title; i++)
		layout.shown[i] = true;
	for (unsigned rank = 9; rank > 0 && width_of_all(view, &layout) > width; rank--)
		for (unsigned i = 0; i < COLUMNS_MAX && view->columns[i].title; i++)
			layout.shown[i] &= view->columns[i].rank != rank;
	all = width_of_all(view, &layout);
	for (unsigned i = 0; i < COLUMNS_MAX && view->columns[i].title; i++)
		layout.widths[i] = view->columns[i].width + (takes_rest(view, i) && width > all ? width - all : 0);
	return layout;
}

static void put_heading(const struct top_state *state, const struct layout *layout, struct grid *grid, unsigned y)
{
	const struct view *view = &views[state->view];
	unsigned x = 0;

	for (unsigned i = 0; i < COLUMNS_MAX && view->columns[i].title; i++) {
		const struct column *column = &view->columns[i];
		unsigned width = layout->widths[i], len = (unsigned)strlen(column->title), pad;
		bool sorted = state->sort[state->view] == i;
		char title[32];

		if (!layout->shown[i])
			continue;
		/* The column that is sorted by is marked in characters too, for terminals without attributes. */
		snprintf(title, sizeof(title), "%s%s", column->title,
			 !sorted || len >= width		    ? ""
			 : state->reversed == (column->unit != 't') ? "^"
								    : "v");
		pad = column->unit == 't' || strlen(title) > width ? 0 : width - (unsigned)strlen(title);
		grid_text(grid, y, x + pad, width - pad, GRID_REVERSE, title);
		x += width + 1;
	}
	grid_paint(grid, y, 0, grid->width, GRID_REVERSE);
	for (unsigned i = 0, at = 0; i < COLUMNS_MAX && view->columns[i].title; i++) {
		if (layout->shown[i] && state->sort[state->view] == i)
			grid_paint(grid, y, at, layout->widths[i], GRID_BOLD);
		at += layout->shown[i] ? layout->widths[i] + 1 : 0;
	}
}

static void put_row(const struct view *view, const struct layout *layout, struct json_object *item, unsigned depth,
		    struct grid *grid, unsigned y)
{
	unsigned x = 0, named = 0;

	for (unsigned i = 0; i < COLUMNS_MAX && view->columns[i].title; i++)
		if (!strcmp(view->columns[i].title, "NAME") || !strcmp(view->columns[i].title, "GROUP"))
			named = i;
	for (unsigned i = 0; i < COLUMNS_MAX && view->columns[i].title; i++) {
		const struct column *column = &view->columns[i];
		unsigned width = layout->widths[i], pad = 0, cells;
		char cell[CELL_MAX];

		if (!layout->shown[i])
			continue;
		fill_cell(column, item, cell);
		cells = grid_width(cell);
		if (column->unit != 't' && cells < width)
			pad = width - cells;
		if (i == named && depth > 0)
			pad = depth < width / 2 ? depth : width / 2;
		grid_text(grid, y, x + pad, width - pad, GRID_PLAIN, cell);
		x += width + 1;
	}
}

static void put_rows(struct top_state *state, const struct rows_of *rows, struct grid *grid, unsigned y,
		     unsigned height)
{
	const struct view *view = &views[state->view];
	struct layout layout = lay_out(view, grid->width);
	unsigned last = rows->count > height ? rows->count - height : 0;

	if (state->scroll > last)
		state->scroll = last;
	put_heading(state, &layout, grid, y);
	for (unsigned i = 0; i < height && state->scroll + i < rows->count; i++) {
		unsigned at = state->scroll + i;

		put_row(view, &layout, rows->rows[rows->order[at]].item, rows->depth[at], grid, y + 1 + i);
	}
}

void top_list(struct top_state *state, struct json_object *data, struct grid *grid, unsigned y, unsigned height)
{
	const struct view *view = &views[state->view];
	struct json_object *list = text_member(data, view->path[0], view->path[1], view->path[2], NULL);
	_cleanup_(freep) struct row *rows = calloc(TOP_ROWS_MAX, sizeof(*rows));
	_cleanup_(freep) unsigned *order = calloc(2 * TOP_ROWS_MAX, sizeof(*order));
	struct rows_of all = { .rows = rows, .order = order, .depth = order ? order + TOP_ROWS_MAX : NULL };

	if (!rows || !order) {
		grid_text(grid, y, 0, grid->width, GRID_BAD, "out of memory");
		return;
	}
	take_rows(state, list, &all);
	put_in_order(state, &all);
	put_rows(state, &all, grid, y, height);
	if (!all.count && height > 0)
		grid_text(grid, y + 1, 0, grid->width, GRID_DIM,
			  state->filter[0] ? "no row holds the filter's text" : "the sample has none of them");
}
