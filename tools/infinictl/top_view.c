/* SPDX-License-Identifier: MIT */
/* The upper part of the screen, and how its parts share the rows. A part that does not fit into its row is left out. */
#include "tools/infinictl/top_view.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/text.h"
#include "tools/infinictl/top_list.h"

#define WIDTH_MIN   20
#define HEIGHT_MIN  6
#define NUMBER_SIZE 40
#define TALL	    40 /* rows from which there is one for each disk, file system and interface */
#define TALL_ITEMS  3

struct pen {
	struct grid *grid;
	unsigned y, x;
};

/* A part of a row, or nothing when there is no room for all of it. */
__attribute__((format(printf, 3, 4))) static void put(struct pen *pen, enum grid_style style, const char *format, ...)
{
	unsigned space = pen->x ? 2 : 0, width;
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	width = grid_width(text);
	if (pen->x + space + width <= pen->grid->width)
		pen->x += space + grid_text(pen->grid, pen->y, pen->x + space, width, style, text);
}

static enum grid_style alarming(struct json_object *value, double warn, double bad)
{
	double number;

	if (!text_number(value, &number) || number < warn)
		return GRID_PLAIN;
	return number < bad ? GRID_WARN : GRID_BAD;
}

/* "name 12.5", coloured from `warn` and `bad` on. */
static void put_value(struct pen *pen, const char *name, struct json_object *value, char unit, double warn, double bad)
{
	char number[NUMBER_SIZE];

	top_number(value, unit, number, sizeof(number));
	put(pen, alarming(value, warn, bad), "%s %s", name, number);
}

static void put_bar(struct pen *pen, struct json_object *value, double warn, double bad)
{
	unsigned width = pen->grid->width >= 120 ? 30 : 10, filled;
	char bar[32] = "", number[NUMBER_SIZE];
	double percent = 0;

	top_number(value, '%', number, sizeof(number));
	text_number(value, &percent);
	percent = percent < 0 ? 0 : percent > 100 ? 100 : percent;
	filled = (unsigned)(percent * width / 100 + 0.5);
	memset(bar, ' ', width);
	memset(bar, '|', filled);
	put(pen, alarming(value, warn, bad), "[%s] %5s%%", bar, number);
}

/* "pressure 1.0 0.2": at least one task waited, all of them waited; of the last ten seconds. */
static void put_pressure(struct pen *pen, struct json_object *pressure)
{
	struct json_object *some = text_member(pressure, "some", "avg10_percent", NULL);
	char one[NUMBER_SIZE], all[NUMBER_SIZE];

	top_number(some, '%', one, sizeof(one));
	top_number(text_member(pressure, "full", "avg10_percent", NULL), '%', all, sizeof(all));
	put(pen, alarming(some, 10, 40), "pressure %s %s", one, all);
}

/* --------------------------------------------------------------------------------------------------------- head */

static void put_title(struct pen *pen, const struct top_state *state, struct json_object *message)
{
	struct json_object *system = text_member(message, "data", "system", NULL),
			   *load = text_member(system, "load_average", NULL);
	const char *gap = text_string(message, "gap"), *source = state->paused	 ? "PAUSED"
								 : state->replay ? "replay"
										 : state->source;
	char time[TEXT_TIME_SIZE];
	double up, one, five, fifteen;

	text_time(state->wall_ms, state->utc, true, time);
	put(pen, GRID_BOLD, "%s%s", time, state->utc ? "Z" : "");
	put(pen, GRID_PLAIN, "%.40s", text_string(system, "hostname"));
	/* Of a long reason its beginning; the whole stands in the last line. */
	put(pen, state->paused ? GRID_WARN : GRID_GOOD, "%.*s", (int)strcspn(source, ",;:"), source);
	if (text_number(text_member(load, "load_1min", NULL), &one) &&
	    text_number(text_member(load, "load_5min", NULL), &five) &&
	    text_number(text_member(load, "load_15min", NULL), &fifteen))
		put(pen, GRID_PLAIN, "load %.2f %.2f %.2f", one, five, fifteen);
	if (text_number(text_member(system, "uptime_seconds", NULL), &up) && up >= 0 && up < 1e12)
		put(pen, GRID_PLAIN, "up %lldd %02lld:%02lld", (long long)up / 86400, (long long)up / 3600 % 24,
		    (long long)up / 60 % 60);
	if (gap[0])
		put(pen, GRID_WARN, "gap: %.20s", gap);
}

static void put_cpu(struct pen *pen, struct json_object *system)
{
	struct json_object *cpu = text_member(system, "cpu", NULL);
	size_t cores = 0;

	if (json_object_is_type(text_member(cpu, "cores_usage", NULL), json_type_array))
		cores = json_object_array_length(text_member(cpu, "cores_usage", NULL));
	put(pen, GRID_BOLD, "CPU ");
	put_bar(pen, text_member(cpu, "usage_percent", NULL), 75, 90);
	put_value(pen, "steal", text_member(cpu, "steal_percent", NULL), '%', 3, 10);
	put_pressure(pen, text_member(system, "pressure", "cpu", NULL));
	put_value(pen, "user", text_member(cpu, "user_percent", NULL), '%', 1e9, 1e9);
	put_value(pen, "sys", text_member(cpu, "system_percent", NULL), '%', 50, 80);
	put_value(pen, "iowait", text_member(cpu, "iowait_percent", NULL), '%', 20, 50);
	put_value(pen, "nice", text_member(cpu, "nice_percent", NULL), '%', 1e9, 1e9);
	put_value(pen, "irq", text_member(cpu, "irq_percent", NULL), '%', 10, 30);
	put_value(pen, "softirq", text_member(cpu, "softirq_percent", NULL), '%', 10, 30);
	if (cores)
		put(pen, GRID_DIM, "of %zu", cores);
}

static void put_memory(struct pen *pen, struct json_object *system)
{
	struct json_object *memory = text_member(system, "memory", NULL), *percent = NULL;
	char used[NUMBER_SIZE], total[NUMBER_SIZE];
	double in_use, all;

	if (text_number(text_member(memory, "used_kb", NULL), &in_use) &&
	    text_number(text_member(memory, "total_kb", NULL), &all) && all > 0)
		percent = json_object_new_double(100 * in_use / all);
	top_number(text_member(memory, "used_kb", NULL), 'K', used, sizeof(used));
	top_number(text_member(memory, "total_kb", NULL), 'K', total, sizeof(total));
	put(pen, GRID_BOLD, "MEM ");
	put_bar(pen, percent, 80, 92);
	json_object_put(percent);
	put(pen, GRID_PLAIN, "%s of %s", used, total);
	put_pressure(pen, text_member(system, "pressure", "memory", NULL));
	put_value(pen, "free", text_member(memory, "available_kb", NULL), 'K', 1e30, 1e30);
	put_value(pen, "swap", text_member(memory, "swap_used_kb", NULL), 'K', 1e30, 1e30);
	put_value(pen, "cached", text_member(memory, "cached_kb", NULL), 'K', 1e30, 1e30);
	put_value(pen, "dirty", text_member(memory, "dirty_kb", NULL), 'K', 1e30, 1e30);
	put_value(pen, "slab", text_member(memory, "slab_kb", NULL), 'K', 1e30, 1e30);
	put_value(pen, "faults/s", text_member(system, "vmstat", "major_faults_per_sec", NULL), '1', 100, 1000);
	put_value(pen, "oom kills", text_member(system, "vmstat", "oom_kills", NULL), '1', 1, 1e9);
}

static void put_disks(struct pen *pen, struct json_object *system)
{
	struct json_object *io = text_member(system, "disk", "io_stats", NULL);

	put(pen, GRID_BOLD, "DISK");
	put_bar(pen, text_member(io, "io_utilization_percent", NULL), 70, 90);
	put_value(pen, "read/s", text_member(io, "read_bytes_per_sec", NULL), 'B', 1e30, 1e30);
	put_value(pen, "write/s", text_member(io, "write_bytes_per_sec", NULL), 'B', 1e30, 1e30);
	put_pressure(pen, text_member(system, "pressure", "io", NULL));
	put_value(pen, "r.ops/s", text_member(io, "read_ops_per_sec", NULL), '1', 1e30, 1e30);
	put_value(pen, "w.ops/s", text_member(io, "write_ops_per_sec", NULL), '1', 1e30, 1e30);
}

/* The item of a list with the greatest number in `key`; NULL when no item has one. */
static struct json_object *greatest(struct json_object *list, const char *key)
{
	size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	struct json_object *found = NULL;
	double most = 0, number;

	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (!json_object_is_type(item, json_type_object) ||
		    !text_number(text_member(item, key, NULL), &number) || (found && number <= most))
			continue;
		found = item;
		most = number;
	}
	return found;
}

static void put_filesystem(struct pen *pen, struct json_object *item)
{
	put_bar(pen, text_member(item, "used_percent", NULL), 85, 95);
	put_value(pen, "left", text_member(item, "available_gb", NULL), 'G', 1e30, 1e30);
	put_value(pen, "of", text_member(item, "total_gb", NULL), 'G', 1e30, 1e30);
	put(pen, GRID_PLAIN, "%.200s", text_string(item, "mount_point"));
}

/* A sum of a member over a list; NULL, which is not known, when no item has it. */
static struct json_object *sum_of(struct json_object *list, const char *key)
{
	size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	double sum = 0, number;
	bool known = false;

	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (!json_object_is_type(item, json_type_object) || !text_number(text_member(item, key, NULL), &number))
			continue;
		sum += number;
		known = true;
	}
	return known ? json_object_new_double(sum) : NULL;
}

static void put_network(struct pen *pen, struct json_object *system)
{
	struct json_object *list = text_member(system, "network", "interfaces", NULL),
			   *in = sum_of(list, "rx_bytes_per_sec"), *out = sum_of(list, "tx_bytes_per_sec"),
			   *busiest = greatest(list, "rx_bytes_per_sec"), *drops = sum_of(list, "drops_in"),
			   *errors = sum_of(list, "errors_in");

	put(pen, GRID_BOLD, "NET ");
	put_value(pen, "in/s", in, 'B', 1e30, 1e30);
	put_value(pen, "out/s", out, 'B', 1e30, 1e30);
	if (busiest)
		put(pen, GRID_PLAIN, "most: %.15s", text_string(busiest, "name"));
	put_value(pen, "drops in", drops, '1', 1e30, 1e30);
	put_value(pen, "errors in", errors, '1', 1e30, 1e30);
	json_object_put(in);
	json_object_put(out);
	json_object_put(drops);
	json_object_put(errors);
}

/* ---------------------------------------------------------------------------------------------------- tall screens */

static void put_disk(struct pen *pen, struct json_object *item)
{
	put_bar(pen, text_member(item, "io_utilization_percent", NULL), 70, 90);
	put_value(pen, "read/s", text_member(item, "read_bytes_per_sec", NULL), 'B', 1e30, 1e30);
	put_value(pen, "write/s", text_member(item, "write_bytes_per_sec", NULL), 'B', 1e30, 1e30);
	put(pen, GRID_PLAIN, "%.40s", text_string(item, "name"));
}

static void put_interface(struct pen *pen, struct json_object *item)
{
	put_value(pen, "in/s", text_member(item, "rx_bytes_per_sec", NULL), 'B', 1e30, 1e30);
	put_value(pen, "out/s", text_member(item, "tx_bytes_per_sec", NULL), 'B', 1e30, 1e30);
	put(pen, GRID_PLAIN, "%.40s", text_string(item, "name"));
}

/* A row for each of the first items of a list. Returns the next row. */
static unsigned put_items(struct grid *grid, unsigned y, struct json_object *list,
			  void (*put_item)(struct pen *, struct json_object *))
{
	size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < count && i < TALL_ITEMS; i++) {
		struct pen pen = { grid, y++, 4 };

		put_item(&pen, json_object_array_get_idx(list, i));
	}
	return y;
}

/* The rows of the head below the title. Returns the next row. */
static unsigned put_head(struct grid *grid, struct json_object *system)
{
	static void (*const lines[])(struct pen *, struct json_object *) = { put_cpu, put_memory, put_disks,
									     put_network };
	struct json_object *filesystems = text_member(system, "disk", "usage_stats", NULL), *fullest;
	bool tall = grid->height >= TALL;
	unsigned y = 1;

	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
		struct pen pen = { grid, y++, 0 };

		lines[i](&pen, system);
		if (tall && lines[i] == put_disks)
			y = put_items(grid, y, text_member(system, "disk", "devices", NULL), put_disk);
		if (tall && lines[i] == put_network)
			y = put_items(grid, y, text_member(system, "network", "interfaces", NULL), put_interface);
	}
	fullest = greatest(filesystems, "used_percent");
	if (fullest) {
		struct pen pen = { grid, y++, 0 };

		put(&pen, GRID_BOLD, "FULL");
		put_filesystem(&pen, fullest);
	}
	return y;
}

/* ---------------------------------------------------------------------------------------------------------- frame */

static void put_tabs(const struct top_state *state, struct json_object *data, struct grid *grid, unsigned y)
{
	struct pen pen = { grid, y, 0 };
	double total;

	for (unsigned i = 0; i < TOP_VIEWS; i++)
		put(&pen, state->view == i ? GRID_BOLD : GRID_DIM, state->view == i ? "[%u %s]" : "%u %s", i + 1,
		    top_view_name((enum top_view)i));
	if (state->filter[0])
		put(&pen, GRID_WARN, "filter: %s", state->filter);
	if (state->tree && state->view <= TOP_GROUPS)
		put(&pen, GRID_PLAIN, "tree");
	if (state->view == TOP_PROCESSES && text_number(text_member(data, "processes_total", NULL), &total))
		put(&pen, GRID_DIM, "of %.0f", total);
}

static void put_bottom(const struct top_state *state, struct grid *grid)
{
	static const char *const prompts[] = {
		[TOP_PROMPT_FILTER] = "rows with: ", [TOP_PROMPT_TIME] = "go to: ", [TOP_PROMPT_WHERE] = "next where: "
	};
	unsigned y = grid->height - 1, x;

	if (state->prompt != TOP_PROMPT_NONE) {
		size_t len = strlen(state->input), most = grid->width > 16 ? grid->width - 16 : 1;

		x = grid_text(grid, y, 0, grid->width, GRID_BOLD, prompts[state->prompt]);
		/* Of a long text its end, where it is typed. */
		x += grid_text(grid, y, x, grid->width - x, GRID_PLAIN, state->input + (len > most ? len - most : 0));
		grid_text(grid, y, x, 1, GRID_REVERSE, " ");
	} else if (state->message[0]) {
		grid_text(grid, y, 0, grid->width, GRID_WARN, state->message);
	} else {
		grid_text(grid, y, 0, grid->width, GRID_DIM,
			  state->replay
				  ? "? keys  q quit  j k sample  J K minute  L H hour  g time  / where  f filter"
				  : "? keys  q quit  space pause  s sort  r reverse  f filter  t tree  1-5 lists");
	}
}

static void put_help(const struct top_state *state, struct grid *grid)
{
	const char *const *lines = top_help(state->replay);

	for (unsigned y = 0; lines[y] && y + 1 < grid->height; y++)
		grid_text(grid, y, 0, grid->width, y ? GRID_PLAIN : GRID_BOLD, lines[y]);
	grid_text(grid, grid->height - 1, 0, grid->width, GRID_DIM, "any key goes back");
}

void top_layout(struct top_state *state, struct json_object *message, struct grid *grid)
{
	struct json_object *data = text_member(message, "data", NULL);
	struct pen title = { grid, 0, 0 };
	unsigned y = 1;

	if (grid->width < WIDTH_MIN || grid->height < HEIGHT_MIN) {
		grid_text(grid, 0, 0, grid->width, GRID_PLAIN, "too small: 20x6");
		return;
	}
	if (state->help) {
		put_help(state, grid);
		return;
	}
	if (!message) {
		grid_text(grid, 0, 0, grid->width, GRID_BOLD, "no sample yet");
		grid_text(grid, 1, 0, grid->width, GRID_PLAIN, state->source);
		put_bottom(state, grid);
		return;
	}
	put_title(&title, state, message);
	/* On a low terminal the list goes first: it is what can be scrolled. */
	if (grid->height >= 14)
		y = put_head(grid, text_member(data, "system", NULL));
	put_tabs(state, data, grid, y);
	top_list(state, data, grid, y + 1, grid->height - y - 3);
	put_bottom(state, grid);
}
