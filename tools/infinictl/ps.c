/* SPDX-License-Identifier: MIT */
/*
 * infinictl ps: the commands of hosts and clients that run or wait in the agent.
 */
#include <json-c/json.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/infinictl/ask.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/text.h"
#include "tools/show/show.h"

static const char help[] =
	"infinictl ps [--socket PATH] [--json]\n"
	"\n"
	"  --socket PATH   the agent's socket (default: socket.path of the configuration)\n"
	"  --json          print the rows as a JSON array\n"
	"\n"
	"Columns: state, age since the command was received, pid of what runs for it, bytes of output so far, who\n"
	"asked, action, id; on a narrow terminal those that fit.\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong use, 3 the agent does not run.\n";

enum { STATE, AGE, PID, BYTES, ORIGIN, ACTION, ID, COLUMNS };

#define CELL_MAX 256

static const struct {
	const char *title, *key; /* NULL: made of something else */
	bool right;
	unsigned rank; /* the last goes first where the terminal is too narrow for all */
} columns[COLUMNS] = {
	[STATE] = { "STATE", "state", false, 0 },
	[AGE] = { "AGE", NULL, true, 3 },
	[PID] = { "PID", "pid", true, 5 },
	[BYTES] = { "BYTES", NULL, true, 6 },
	[ORIGIN] = { "ORIGIN", "origin", false, 4 },
	[ACTION] = { "ACTION", "action", false, 1 },
	[ID] = { "ID", "id", false, 2 },
};

static void fill_cell(struct json_object *row, unsigned column, char out[CELL_MAX])
{
	double number = 0;
	bool known;

	if (columns[column].key) {
		struct json_object *value = text_member(row, columns[column].key, NULL);

		snprintf(out, CELL_MAX, "%s", value ? json_object_get_string(value) : "-");
	} else if (column == AGE) {
		text_number(text_member(row, "age_ms", NULL), &number);
		snprintf(out, CELL_MAX, "%.1f s", number / 1000);
	} else {
		known = text_number(text_member(row, "bytes", NULL), &number);
		text_bytes(number, known, out, CELL_MAX);
	}
}

struct layout {
	unsigned widths[COLUMNS];
	bool shown[COLUMNS];
};

static unsigned total_width(const struct layout *layout)
{
	unsigned total = 0;

	for (unsigned i = 0; i < COLUMNS; i++)
		total += layout->shown[i] ? layout->widths[i] + 2 : 0;
	return total - 2;
}

/* Each column as wide as its widest cell; then those of the lowest rank go, and at last the id is cut. */
static struct layout lay_out(struct json_object *list, unsigned width)
{
	struct layout layout = { 0 };
	char cell[CELL_MAX];

	for (unsigned i = 0; i < COLUMNS; i++) {
		layout.shown[i] = true;
		layout.widths[i] = (unsigned)strlen(columns[i].title);
		for (size_t row = 0; row < json_object_array_length(list); row++) {
			fill_cell(json_object_array_get_idx(list, row), i, cell);
			if (strlen(cell) > layout.widths[i])
				layout.widths[i] = (unsigned)strlen(cell);
		}
	}
	for (unsigned rank = COLUMNS - 1; width && rank > 2 && total_width(&layout) > width; rank--)
		for (unsigned i = 0; i < COLUMNS; i++)
			layout.shown[i] &= columns[i].rank != rank;
	if (width && total_width(&layout) > width) {
		unsigned others = total_width(&layout) - layout.widths[ID];

		layout.widths[ID] = width > others + 4 ? width - others : 4;
	}
	return layout;
}

static void print_row(struct json_object *row, const struct layout *layout)
{
	for (unsigned i = 0; i < COLUMNS; i++) {
		char cell[CELL_MAX];
		int pad;

		if (!layout->shown[i])
			continue;
		if (row)
			fill_cell(row, i, cell);
		else
			snprintf(cell, sizeof(cell), "%s", columns[i].title);
		pad = (int)layout->widths[i] - (int)strlen(cell);
		if (i == ID && pad < 0)
			show_cut(stdout, cell, layout->widths[i] - 3);
		else if (i == ID)
			show(stdout, "%s", cell);
		else
			show(stdout, "%*s%s%*s  ", columns[i].right ? pad : 0, "", cell, columns[i].right ? 0 : pad,
			     "");
	}
	show(stdout, "\n");
}

static int print_list(struct json_object *data, bool json, bool flagged)
{
	struct json_object *list = text_member(data, "commands", "list", NULL);
	struct layout layout;

	(void)flagged;
	if (!json_object_is_type(list, json_type_array))
		return cli_fail("the agent does not say what it runs");
	if (json) {
		text_json(list, JSON_C_TO_STRING_PRETTY);
		return CLI_OK;
	}
	if (json_object_array_length(list) == 0)
		return CLI_OK;
	layout = lay_out(list, show_width(stdout));
	print_row(NULL, &layout);
	for (size_t i = 0; i < json_object_array_length(list); i++)
		print_row(json_object_array_get_idx(list, i), &layout);
	return CLI_OK;
}

int ps_main(int argc, char **argv)
{
	static const struct ask_way way = { .help = help, .print = print_list };

	return ask_main(argc, argv, &way);
}
