/* SPDX-License-Identifier: MIT */
/* The verbs about all VMs of the hub at once, and the hub itself. */
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/hub/parse.h"
#include "tools/hub/serve.h"
#include "tools/infinihost/commands.h"
#include "tools/infinihost/dial.h"
#include "tools/show/show.h"

#define NAME_WIDTH_MAX 40

static int by_name(const void *a, const void *b)
{
	struct json_object *const *x = a, *const *y = b;

	return strcmp(json_text_at(*x, "vm"), json_text_at(*y, "vm"));
}

/* A number of the row in `width` columns, "-" where it is not known. */
static void print_number(struct json_object *row, const char *key, int width, int digits, const char *unit)
{
	struct json_object *value = json_at(row, key);

	if (value)
		show(stdout, "  %*.*f%s", width - (int)strlen(unit), digits, json_object_get_double(value), unit);
	else
		show(stdout, "  %*s", width, "-");
}

static void print_row(struct json_object *row, int width)
{
	const char *state = json_text_at(row, "state");

	show(stdout, "%-*.*s  %-7s", width, width, json_text_at(row, "vm"), *state ? state : "-");
	print_number(row, "age_s", 7, 1, "s");
	print_number(row, "cpu_percent", 6, 1, "%");
	print_number(row, "memory_percent", 6, 1, "%");
	print_number(row, "disk_percent", 6, 1, "%");
	print_number(row, "load", 6, 2, "");
	show(stdout, "  ");
	show_cut(stdout, json_text_at(row, "reason"), 80);
	show(stdout, "\n");
}

static void print_table(struct json_object *vms)
{
	int width = 4;

	for (size_t i = 0; i < json_object_array_length(vms); i++) {
		int len = (int)strlen(json_text_at(json_object_array_get_idx(vms, i), "vm"));

		width = len > width ? len : width;
	}
	width = width > NAME_WIDTH_MAX ? NAME_WIDTH_MAX : width;
	show(stdout, "%-*s  STATE        AGE     CPU     MEM    DISK    LOAD  \n", width, "VM");
	for (size_t i = 0; i < json_object_array_length(vms); i++)
		print_row(json_object_array_get_idx(vms, i), width);
}

int command_vms(const struct host_options *options, int argc, char **argv)
{
	struct err e = { 0 };
	struct json_object *vms;

	(void)argv;
	if (argc != 1)
		return command_usage("usage: vms");
	vms = dial_vms(options, &e);
	if (!vms) {
		show(stderr, "infinihost: %s\n", e.text);
		return HOST_NOT_CONNECTED;
	}
	json_object_array_sort(vms, by_name);
	for (size_t i = 0; options->json && i < json_object_array_length(vms); i++) {
		const char *text = json_object_to_json_string_ext(
			json_object_array_get_idx(vms, i), JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

		show_json_line(stdout, text, strlen(text));
	}
	if (!options->json)
		print_table(vms);
	json_object_put(vms);
	return HOST_OK;
}

int command_serve(const struct host_options *options, int argc, char **argv)
{
	(void)options;
	link_restore_signals();
	return serve_main(argc, argv);
}
