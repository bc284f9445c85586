/* SPDX-License-Identifier: MIT */
/*
 * What is missing in a sample is "-", never 0.
 */
#include "tools/infinictl/table.h"

#include <json-c/json.h>
#include <string.h>

#include "tools/infinictl/text.h"
#include "tools/show/show.h"

#define HEADING_EVERY 40

void table_init(struct table *table, FILE *out, bool utc)
{
	memset(table, 0, sizeof(*table));
	table->out = out;
	table->utc = utc;
}

static void print_heading(struct table *t)
{
	if (t->rows++ % HEADING_EVERY)
		return;
	show(t->out, "%-19s %6s %6s %6s %6s %8s %8s %8s %8s %6s\n", "time", "cpu%", "mem%", "used", "swap", "read/s",
		"write/s", "rx/s", "tx/s", "load");
}

static void print_number(struct table *t, struct json_object *value, unsigned decimals)
{
	double number;

	if (text_number(value, &number))
		show(t->out, " %6.*f", (int)decimals, number);
	else
		show(t->out, " %6s", "-");
}

static void print_bytes(struct table *t, struct json_object *value, double factor, int width)
{
	char text[32];
	double number = 0;
	bool known = text_number(value, &number);

	text_bytes(number * factor, known && number >= 0, text, sizeof(text));
	show(t->out, " %*s", width, text);
}

static void print_memory(struct table *t, struct json_object *memory)
{
	double used, total;

	if (text_number(text_member(memory, "used_kb", NULL), &used) &&
	    text_number(text_member(memory, "total_kb", NULL), &total) && total > 0)
		show(t->out, " %6.1f", used * 100 / total);
	else
		show(t->out, " %6s", "-");
	print_bytes(t, text_member(memory, "used_kb", NULL), 1024, 6);
	print_bytes(t, text_member(memory, "swap_used_kb", NULL), 1024, 6);
}

static bool sum_traffic(struct json_object *interfaces, double *received, double *sent)
{
	*received = *sent = 0;
	if (!json_object_is_type(interfaces, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(interfaces); i++) {
		struct json_object *item = json_object_array_get_idx(interfaces, i);
		double rx, tx;

		if (!json_object_is_type(item, json_type_object) ||
		    !text_number(text_member(item, "bytes_received", NULL), &rx) ||
		    !text_number(text_member(item, "bytes_sent", NULL), &tx))
			return false;
		*received += rx;
		*sent += tx;
	}
	return true;
}

static void print_rate(struct table *t, bool known, double difference, double seconds)
{
	char text[32];

	text_bytes(known ? difference / seconds : 0, known && difference >= 0, text, sizeof(text));
	show(t->out, " %8s", text);
}

static void print_traffic(struct table *t, int64_t wall_ms, struct json_object *message, struct json_object *network)
{
	struct json_object *boot = text_member(message, "boot_id", NULL);
	const char *boot_id = json_object_is_type(boot, json_type_string) ? json_object_get_string(boot) : "";
	double received, sent, seconds = (double)(wall_ms - t->wall_ms) / 1000;
	bool known = sum_traffic(text_member(network, "interfaces", NULL), &received, &sent);
	bool rate = known && t->known && seconds > 0 && !strncmp(boot_id, t->boot_id, sizeof(t->boot_id) - 1);

	print_rate(t, rate, received - t->received, seconds);
	print_rate(t, rate, sent - t->sent, seconds);
	t->known = known;
	t->wall_ms = wall_ms;
	t->received = received;
	t->sent = sent;
	snprintf(t->boot_id, sizeof(t->boot_id), "%s", boot_id);
}

/* Where nothing was measured before this row. */
static void print_gap(struct table *t, struct json_object *message)
{
	struct json_object *gap = text_member(message, "gap", NULL);

	if (json_object_is_type(gap, json_type_string)) {
		show(t->out, "  gap: %s", json_object_get_string(gap));
	}
}

void table_print(struct table *t, int64_t wall_ms, struct json_object *message)
{
	struct json_object *type = text_member(message, "type", NULL), *system, *io;
	char time[TEXT_TIME_SIZE];

	if (!json_object_is_type(type, json_type_string) || strcmp(json_object_get_string(type), "metrics") != 0)
		return;
	system = text_member(message, "data", "system", NULL);
	io = text_member(system, "disk", "io_stats", NULL);
	print_heading(t);
	text_time(wall_ms, t->utc, true, time);
	show(t->out, "%s", time);
	print_number(t, text_member(system, "cpu", "usage_percent", NULL), 1);
	print_memory(t, text_member(system, "memory", NULL));
	print_bytes(t, text_member(io, "read_bytes_per_sec", NULL), 1, 8);
	print_bytes(t, text_member(io, "write_bytes_per_sec", NULL), 1, 8);
	print_traffic(t, wall_ms, message, text_member(system, "network", NULL));
	print_number(t, text_member(system, "load_average", "load_1min", NULL), 2);
	print_gap(t, message);
	show(t->out, "\n");
}
