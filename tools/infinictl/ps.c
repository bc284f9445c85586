/* SPDX-License-Identifier: MIT */
/*
 * infinictl ps: the commands of hosts and clients that run or wait in the agent.
 */
#include <json-c/json.h>
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
	"asked, action, id.\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong use, 3 the agent does not run.\n";

static void print_field(struct json_object *row, const char *key, int width)
{
	struct json_object *value = text_member(row, key, NULL);
	const char *text = value ? json_object_get_string(value) : "-";

	show(stdout, "%s%*s  ", text, width > (int)strlen(text) ? width - (int)strlen(text) : 0, "");
}

static void print_row(struct json_object *row)
{
	char bytes[32];
	double age_ms = 0, written = 0;
	bool known = text_number(text_member(row, "bytes", NULL), &written);

	text_number(text_member(row, "age_ms", NULL), &age_ms);
	text_bytes(written, known, bytes, sizeof(bytes));
	print_field(row, "state", 8);
	show(stdout, "%8.1f s  ", age_ms / 1000);
	print_field(row, "pid", 8);
	show(stdout, "%8s  ", bytes);
	print_field(row, "origin", 12);
	print_field(row, "action", 22);
	print_field(row, "id", 0);
	show(stdout, "\n");
}

static int print_list(struct json_object *data, bool json)
{
	struct json_object *list = text_member(data, "commands", "list", NULL);

	if (!json_object_is_type(list, json_type_array))
		return cli_fail("the agent does not say what it runs");
	if (json) {
		text_json(list, JSON_C_TO_STRING_PRETTY);
		return CLI_OK;
	}
	if (json_object_array_length(list) > 0)
		show(stdout, "%-8s  %10s  %-8s  %8s  %-12s  %-22s  %s\n", "STATE", "AGE", "PID", "BYTES", "ORIGIN", "ACTION",
		       "ID");
	for (size_t i = 0; i < json_object_array_length(list); i++)
		print_row(json_object_array_get_idx(list, i));
	return CLI_OK;
}

int ps_main(int argc, char **argv)
{
	return ask_main(argc, argv, help, print_list);
}
