/* SPDX-License-Identifier: MIT */
/* A value missing in a sample is shown as "-", never as 0. */
#include "tools/infinictl/table.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/text.h"
#include "tools/show/show.h"

#define HEADING_EVERY 40

enum column {
	CPU,
	MEMORY,
	USED,
	SWAP,
	READ,
	WRITE,
	RECEIVED,
	SENT,
	LOAD,
	STEAL,
	IOWAIT,
	FULLEST,
	PSI_CPU,
	PSI_MEMORY,
	PSI_IO
};

#define TIME_WIDTH 19

static const struct {
	const char *name;
	int width;
	unsigned rank; /* the last goes first where the terminal is too narrow for all */
} columns[TABLE_COLUMNS] = {
	[CPU] = { "cpu%", 6, 0 },	[MEMORY] = { "mem%", 6, 1 },	   [USED] = { "used", 6, 7 },
	[SWAP] = { "swap", 6, 8 },	[READ] = { "read/s", 8, 3 },	   [WRITE] = { "write/s", 8, 4 },
	[RECEIVED] = { "rx/s", 8, 5 },	[SENT] = { "tx/s", 8, 6 },	   [LOAD] = { "load", 6, 2 },
	[STEAL] = { "steal%", 6, 9 },	[IOWAIT] = { "wait%", 6, 10 },	   [FULLEST] = { "disk%", 6, 11 },
	[PSI_CPU] = { "p.cpu", 6, 12 }, [PSI_MEMORY] = { "p.mem", 6, 13 }, [PSI_IO] = { "p.io", 6, 14 },
};

/* The width of a row with the columns up to this rank. */
static unsigned width_up_to(unsigned rank)
{
	unsigned width = TIME_WIDTH;

	for (unsigned i = 0; i < TABLE_COLUMNS; i++)
		width += columns[i].rank <= rank ? (unsigned)columns[i].width + 1 : 0;
	return width;
}

void table_init(struct table *table, FILE *out, bool utc, unsigned width, bool colored)
{
	memset(table, 0, sizeof(*table));
	table->out = out;
	table->utc = utc;
	table->width = width;
	table->colored = colored;
	for (unsigned i = 0; i < TABLE_COLUMNS; i++)
		table->shown[i] = !width || width_up_to(columns[i].rank) <= width;
}

static void print_heading(struct table *t)
{
	if (t->rows++ % HEADING_EVERY)
		return;
	show_style(t->out, t->colored, SHOW_BOLD);
	show(t->out, "%-*s", TIME_WIDTH, "time");
	for (unsigned i = 0; i < TABLE_COLUMNS; i++)
		if (t->shown[i])
			show(t->out, " %*s", columns[i].width, columns[i].name);
	show_style(t->out, t->colored, SHOW_PLAIN);
	show(t->out, "\n");
}

static void print_cell(struct table *t, enum column column, const char *text)
{
	if (t->shown[column])
		show(t->out, " %*s", columns[column].width, text);
}

static void print_number(struct table *t, enum column column, struct json_object *value, int decimals)
{
	char text[32] = "-";
	double number;

	if (text_number(value, &number))
		snprintf(text, sizeof(text), "%.*f", decimals, number);
	print_cell(t, column, text);
}

static void print_bytes(struct table *t, enum column column, struct json_object *value, double factor)
{
	char text[32];
	double number = 0;
	bool known = text_number(value, &number);

	text_bytes(number * factor, known && number >= 0, text, sizeof(text));
	print_cell(t, column, text);
}

static void print_memory(struct table *t, struct json_object *memory)
{
	double used, total;
	char text[32] = "-";

	if (text_number(text_member(memory, "used_kb", NULL), &used) &&
	    text_number(text_member(memory, "total_kb", NULL), &total) && total > 0)
		snprintf(text, sizeof(text), "%.1f", used * 100 / total);
	print_cell(t, MEMORY, text);
	print_bytes(t, USED, text_member(memory, "used_kb", NULL), 1024);
	print_bytes(t, SWAP, text_member(memory, "swap_used_kb", NULL), 1024);
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

/* Of the fullest file system, as df(1) counts it: of what an ordinary user could have. */
static void print_fullest(struct table *t, struct json_object *list)
{
	size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	double fullest = -1, used, available;
	char text[32] = "-";

	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (json_object_is_type(item, json_type_object) &&
		    text_number(text_member(item, "used_gb", NULL), &used) &&
		    text_number(text_member(item, "available_gb", NULL), &available) && used + available > 0 &&
		    used * 100 / (used + available) > fullest)
			fullest = used * 100 / (used + available);
	}
	if (fullest >= 0)
		snprintf(text, sizeof(text), "%.1f", fullest);
	print_cell(t, FULLEST, text);
}

static void print_pressure(struct table *t, struct json_object *pressure)
{
	static const char *const names[] = { "cpu", "memory", "io" };

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		print_number(t, PSI_CPU + i, text_member(pressure, names[i], "some", "avg10_percent", NULL), 1);
}

static void print_rate(struct table *t, enum column column, bool known, double difference, double seconds)
{
	char text[32];

	text_bytes(known ? difference / seconds : 0, known && difference >= 0, text, sizeof(text));
	print_cell(t, column, text);
}

static void note_traffic(struct table *t, int64_t wall_ms, const char *boot_id, bool known, double received,
			 double sent)
{
	t->known = known;
	t->wall_ms = wall_ms;
	t->received = received;
	t->sent = sent;
	snprintf(t->boot_id, sizeof(t->boot_id), "%s", boot_id);
}

static void print_traffic(struct table *t, int64_t wall_ms, struct json_object *message, struct json_object *network)
{
	const char *boot_id = text_string(message, "boot_id");
	double received, sent, seconds = (double)(wall_ms - t->wall_ms) / 1000;
	bool known = sum_traffic(text_member(network, "interfaces", NULL), &received, &sent);
	bool rate = known && t->known && seconds > 0 && !strncmp(boot_id, t->boot_id, sizeof(t->boot_id) - 1);

	print_rate(t, RECEIVED, rate, received - t->received, seconds);
	print_rate(t, SENT, rate, sent - t->sent, seconds);
	note_traffic(t, wall_ms, boot_id, known, received, sent);
}

/* Marks a row without a measurement before it: behind the row, or above it if there is no room. */
static void print_gap(struct table *t, struct json_object *message, bool above)
{
	const char *gap = text_string(message, "gap");
	unsigned width = TIME_WIDTH + (unsigned)strlen("  gap: ") + (unsigned)strlen(gap);

	for (unsigned i = 0; i < TABLE_COLUMNS; i++)
		width += t->shown[i] ? (unsigned)columns[i].width + 1 : 0;
	if (!*gap || above != (t->width && width > t->width))
		return;
	show_style(t->out, t->colored, SHOW_WARN);
	show(t->out, above ? "gap: " : "  gap: ");
	show_cut(t->out, gap, above && t->width > 8 ? t->width - 8 : strlen(gap));
	show_style(t->out, t->colored, SHOW_PLAIN);
	if (above)
		show(t->out, "\n");
}

static bool is_sample(struct json_object *message)
{
	return !strcmp(text_string(message, "type"), "metrics");
}

void table_skip(struct table *t, int64_t wall_ms, struct json_object *message)
{
	double received = 0, sent = 0;
	bool known;

	if (!message || !is_sample(message))
		return;
	known = sum_traffic(text_member(message, "data", "system", "network", "interfaces", NULL), &received, &sent);
	note_traffic(t, wall_ms, text_string(message, "boot_id"), known, received, sent);
}

void table_print(struct table *t, int64_t wall_ms, struct json_object *message)
{
	struct json_object *system = text_member(message, "data", "system", NULL), *io, *cpu;
	char time[TEXT_TIME_SIZE];

	if (!is_sample(message))
		return;
	cpu = text_member(system, "cpu", NULL);
	io = text_member(system, "disk", "io_stats", NULL);
	print_heading(t);
	print_gap(t, message, true);
	text_time(wall_ms, t->utc, true, time);
	show(t->out, "%s", time);
	print_number(t, CPU, text_member(cpu, "usage_percent", NULL), 1);
	print_memory(t, text_member(system, "memory", NULL));
	print_bytes(t, READ, text_member(io, "read_bytes_per_sec", NULL), 1);
	print_bytes(t, WRITE, text_member(io, "write_bytes_per_sec", NULL), 1);
	print_traffic(t, wall_ms, message, text_member(system, "network", NULL));
	print_number(t, LOAD, text_member(system, "load_average", "load_1min", NULL), 2);
	print_number(t, STEAL, text_member(cpu, "steal_percent", NULL), 1);
	print_number(t, IOWAIT, text_member(cpu, "iowait_percent", NULL), 1);
	print_fullest(t, text_member(system, "disk", "usage_stats", NULL));
	print_pressure(t, text_member(system, "pressure", NULL));
	print_gap(t, message, false);
	show(t->out, "\n");
}
