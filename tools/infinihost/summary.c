/* SPDX-License-Identifier: MIT */
/*
 * One readable line per message. A guest may send anything: every member is looked up by path and
 * its type tested, and its text goes through tools/show/, because a process may be called ESC ] … (terminals obey
 * that).
 */
#include "summary.h"

#include <stdbool.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/hub/parse.h"
#include "tools/show/show.h"

#define TEXT_MAX 160

struct json_object *summary_find(struct json_object *from, const char *path)
{
	return json_at(from, path);
}

const char *summary_find_text(struct json_object *from, const char *path)
{
	return json_text_at(from, path);
}

static const char *value_text(struct json_object *value)
{
	return json_object_is_type(value, json_type_string)
		       ? json_object_get_string(value)
		       : json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

static void print_field(FILE *out, const char *label, struct json_object *message, const char *path)
{
	struct json_object *value = summary_find(message, path);

	if (!value)
		return;
	show(out, "  %s ", label);
	show_cut(out, value_text(value), TEXT_MAX);
}

static double number(struct json_object *from, const char *path)
{
	return json_object_get_double(summary_find(from, path));
}

static size_t array_length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

static void print_handshake(FILE *out, struct json_object *m)
{
	print_field(out, "vm", m, "vm_id");
	print_field(out, "version", m, "version");
	print_field(out, "platform", m, "platform");
	show(out, "  %zu capabilities", array_length(summary_find(m, "capabilities")));
}

static void print_filesystems(FILE *out, struct json_object *list)
{
	for (size_t i = 0; i < array_length(list) && i < 2; i++) {
		struct json_object *fs = json_object_array_get_idx(list, i);
		double total = number(fs, "total_gb");

		show(out, "  ");
		show_cut(out, summary_find_text(fs, "mount_point"), 32);
		show(out, " %.0f%%", total > 0 ? 100 * number(fs, "used_gb") / total : 0);
	}
}

static void print_interfaces(FILE *out, struct json_object *list)
{
	unsigned shown = 0;

	for (size_t i = 0; i < array_length(list) && shown < 2; i++) {
		struct json_object *interface = json_object_array_get_idx(list, i);
		struct json_object *addresses = summary_find(interface, "ip_addresses");

		if (array_length(addresses) == 0 && !json_object_get_boolean(summary_find(interface, "is_up")))
			continue;
		shown++;
		show(out, "  ");
		show_cut(out, summary_find_text(interface, "name"), 16);
		if (array_length(addresses) > 0) {
			show(out, " ");
			show_cut(out, json_object_get_string(json_object_array_get_idx(addresses, 0)), 48);
		}
	}
}

static void print_metrics(FILE *out, struct json_object *m)
{
	struct json_object *system = summary_find(m, "data.system");
	const double kb_per_gb = 1048576;

	print_field(out, "seq", m, "seq");
	show(out, "  cpu %.1f%% of %zu", number(system, "cpu.usage_percent"),
	     array_length(summary_find(system, "cpu.cores_usage")));
	show(out, "  memory %.1f/%.1f GiB", number(system, "memory.used_kb") / kb_per_gb,
	     number(system, "memory.total_kb") / kb_per_gb);
	print_filesystems(out, summary_find(system, "disk.usage_stats"));
	print_interfaces(out, summary_find(system, "network.interfaces"));
	show(out, "  load %.2f", number(system, "load_average.load_1min"));
	show(out, "  %zu processes  %zu ports", array_length(summary_find(m, "data.processes")),
	     array_length(summary_find(m, "data.ports")));
}

static void print_response(FILE *out, struct json_object *m)
{
	bool success = json_object_get_boolean(summary_find(m, "success"));

	print_field(out, "id", m, "id");
	print_field(out, "to", m, "command_type");
	show(out, success ? "  success" : "  failed");
	if (!success)
		print_field(out, "as", m, "error_code");
	print_field(out, "exit code", m, "exit_code");
	if (summary_find(m, "execution_time_ms"))
		show(out, "  in %lld ms", (long long)json_object_get_int64(summary_find(m, "execution_time_ms")));
	print_field(out, "error:", m, "error");
	print_field(out, "data", m, "data");
}

static void print_error(FILE *out, struct json_object *m)
{
	print_field(out, "code", m, "details.code");
	print_field(out, "reason", m, "details.reason");
	print_field(out, "error:", m, "error");
}

static void print_event(FILE *out, struct json_object *m)
{
	print_field(out, "severity", m, "severity");
	print_field(out, "from", m, "source");
	print_field(out, "message:", m, "message");
}

static void print_keep_alive(FILE *out, struct json_object *m)
{
	print_field(out, "sequence number", m, "sequence_number");
}

/* Any other type: its members as they are. */
static void print_other(FILE *out, struct json_object *m)
{
	show(out, "  ");
	show_cut(out, value_text(m), TEXT_MAX);
}

static const struct {
	const char *type;
	void (*print)(FILE *out, struct json_object *message);
} printers[] = {
	{ "handshake", print_handshake }, { "metrics", print_metrics },	  { "response", print_response },
	{ "error", print_error },	  { "agent_event", print_event }, { "keep_alive", print_keep_alive },
};

void summary_print(FILE *out, struct json_object *message)
{
	const char *type = summary_find_text(message, "type");
	void (*print)(FILE * out, struct json_object * message) = print_other;

	for (size_t i = 0; i < ARRAY_SIZE(printers); i++)
		if (!strcmp(printers[i].type, type))
			print = printers[i].print;
	show_cut(out, *type ? type : "(no type)", TEXT_MAX);
	print(out, message);
	show(out, "\n");
	fflush(out);
}
