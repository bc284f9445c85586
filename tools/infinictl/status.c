/* SPDX-License-Identifier: MIT */
/* infinictl status: asks the agent over its local socket. Without an agent it tells how old the last sample is. */
#include <json-c/json.h>

#include "tools/infinictl/ask.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/text.h"
#include "tools/show/show.h"

#define NESTING_MAX 8

static const char help[] = "infinictl status [--socket PATH] [--loop] [--json]\n"
			   "\n"
			   "  --socket PATH   the agent's socket (default: socket.path of the configuration)\n"
			   "  --loop          what the turns of its loop cost, by the work done in them\n"
			   "  --json          print the answer's data as JSON\n"
			   "\n"
			   "Exit status: 0 done, 1 failed, 2 wrong use, 3 the agent does not run.\n";

/* ----------------------------------------------------------------------------------------------------- output */

static void print_indent(unsigned depth)
{
	show(stdout, "%*s", (int)depth * 2, "");
}

static bool is_nested(struct json_object *value)
{
	return json_object_is_type(value, json_type_object) ||
	       (json_object_is_type(value, json_type_array) && json_object_array_length(value) > 0 &&
		json_object_is_type(json_object_array_get_idx(value, 0), json_type_object));
}

static void print_scalar(struct json_object *value)
{
	const char *text = "-";

	if (json_object_is_type(value, json_type_string))
		text = json_object_get_string(value);
	else if (value)
		text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_SPACED);
	show(stdout, "%s\n", text);
}

static void print_object(struct json_object *object, unsigned depth);

static void print_nested(const char *name, struct json_object *value, unsigned depth)
{
	print_indent(depth);
	show(stdout, "%s:\n", name);
	if (json_object_is_type(value, json_type_object)) {
		print_object(value, depth + 1);
		return;
	}
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		print_indent(depth + 1);
		show(stdout, "%zu:\n", i);
		print_object(json_object_array_get_idx(value, i), depth + 2);
	}
}

/* Plain values first, then objects and lists. */
static void print_object(struct json_object *object, unsigned depth)
{
	if (!json_object_is_type(object, json_type_object) || depth > NESTING_MAX) {
		print_indent(depth);
		print_scalar(object);
		return;
	}
	json_object_object_foreach(object, key, value)
	{
		if (is_nested(value))
			continue;
		print_indent(depth);
		show(stdout, "%s: ", key);
		print_scalar(value);
	}
	json_object_object_foreach(object, name, nested) if (is_nested(nested)) print_nested(name, nested, depth);
}

/* ------------------------------------------------------------------------------------------------------ the loop */

/* CPU in milliseconds, which reads better than microseconds from 10 of them to 10 million. */
static void print_ms(struct json_object *row, const char *name)
{
	double us;

	if (text_number(text_member(row, name, NULL), &us))
		show(stdout, " %9.3f", us / 1000);
	else
		show(stdout, " %9s", "-");
}

static void print_turns(const char *name, struct json_object *row)
{
	double turns;

	show(stdout, "%-28.28s", name);
	if (text_number(text_member(row, "turns", NULL), &turns))
		show(stdout, " %10.0f", turns);
	else
		show(stdout, " %10s", "-");
	print_ms(row, "p50_us");
	print_ms(row, "p99_us");
	print_ms(row, "p999_us");
	print_ms(row, "max_us");
	print_ms(row, "total_us");
	show(stdout, "\n");
}

static int print_loop(struct json_object *data, bool json)
{
	struct json_object *loop = text_member(data, "loop", NULL), *work = text_member(loop, "work", NULL);
	double us;

	if (!json_object_is_type(work, json_type_array))
		return cli_fail("the agent does not say what its turns cost");
	if (json) {
		text_json(loop, JSON_C_TO_STRING_PRETTY);
		return CLI_OK;
	}
	show(stdout, "%-28s %10s %9s %9s %9s %9s %9s\n", "CPU of a turn (ms), by work", "turns", "p50", "p99", "p99.9",
	     "max", "total");
	print_turns("all", text_member(loop, "turn_cpu", NULL));
	for (size_t i = 0; i < json_object_array_length(work); i++) {
		struct json_object *row = json_object_array_get_idx(work, i);

		print_turns(text_string(row, "name"), row);
	}
	if (text_number(text_member(data, "bus", "open_us", NULL), &us) && us > 0)
		show(stdout, "libsystemd was opened in %.3f ms\n", us / 1000);
	return CLI_OK;
}

/* The list of works is long, and for who asks for it. */
static int print_data(struct json_object *data, bool json, bool loop)
{
	if (loop)
		return print_loop(data, json);
	if (json) {
		text_json(data, JSON_C_TO_STRING_PRETTY);
		return CLI_OK;
	}
	json_object_object_del(text_member(data, "loop", NULL), "work");
	print_object(data, 0);
	return CLI_OK;
}

int status_main(int argc, char **argv)
{
	static const struct ask_way way = { .help = help, .flag = "loop", .print = print_data };

	return ask_main(argc, argv, &way);
}
