/* SPDX-License-Identifier: MIT */
/* The values of infinictl log: of each sample, of a process, or of spans of time. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/cli.h"
#include "tools/infinictl/log.h"
#include "tools/infinictl/suggest.h"
#include "tools/infinictl/text.h"
#include "tools/show/show.h"

static const char *const usual_metrics[] = {
	"system.cpu.usage_percent",
	"system.cpu.steal_percent",
	"system.cpu.iowait_percent",
	"system.memory.used_kb",
	"system.memory.available_kb",
	"system.memory.swap_used_kb",
	"system.disk.io_stats.read_bytes_per_sec",
	"system.disk.io_stats.write_bytes_per_sec",
	"system.load_average.load_1min",
	"system.pressure.cpu.some.avg60_percent",
	"system.pressure.memory.some.avg60_percent",
	"system.pressure.io.some.avg60_percent",
};

static const char *const process_members[] = {
	"pid", "name", "cpu_percent", "memory_kb", "disk_read_bytes", "disk_write_bytes"
};

bool log_wants_values(const struct log_options *o)
{
	return o->metric_count || o->process || o->every_ms || o->summary || o->form == ROWS_CSV ||
	       o->form == ROWS_OPENMETRICS;
}

static bool is_added_up(const struct log_options *o)
{
	return o->every_ms || o->summary;
}

static void name_columns(struct log_options *o)
{
	struct rows *rows = &o->rows;

	rows->count = 0;
	for (unsigned i = 0; o->process && i < ARRAY_SIZE(process_members); i++)
		rows->columns[rows->count++] = (struct rows_column){ .label = process_members[i] };
	for (unsigned i = 0; i < o->metric_count && !is_added_up(o); i++)
		rows->columns[rows->count++] =
			(struct rows_column){ o->metrics[i].label, catalog_find(o->metrics[i].label), NULL };
	for (unsigned i = 0; i < o->metric_count && is_added_up(o); i++)
		for (unsigned j = 0; j < o->function_count; j++) {
			char **label = &o->labels[rows->count];

			if (asprintf(label, "%s %s", o->metrics[i].label, o->function_names[j]) < 0)
				*label = NULL;
			rows->columns[rows->count++] = (struct rows_column){ .label = *label ? *label : "?" };
		}
}

int log_values_begin(struct log_options *o)
{
	struct err err = { 0 };
	bool percentiles = o->summary;

	for (unsigned i = 0; i < ARRAY_SIZE(usual_metrics) && !o->chosen && !o->process; i++)
		metric_parse(usual_metrics[i], &o->metrics[o->metric_count++], &err);
	for (unsigned i = 0; i < o->function_count; i++)
		percentiles |= o->functions[i].kind == AGGREGATE_PERCENTILE;
	for (unsigned i = 0; i < o->metric_count; i++)
		aggregate_init(&o->aggregates[i], percentiles);
	name_columns(o);
	o->rows.form = o->form;
	o->rows.out = stdout;
	o->rows.utc = o->reading.utc;
	o->rows.heading = o->process || o->every_ms;
	o->rows.width = o->process ? show_width(stdout) : 0;
	if (!o->summary && rows_begin(&o->rows, &err))
		return cli_fail("%s", err.text);
	return CLI_OK;
}

/* ----------------------------------------------------------------------------------------------------- a sample */

/* `number` holds the text of the cell when it is a number. */
struct rows_cell log_values_cell(struct json_object *value)
{
	struct rows_cell cell = { .kind = CELL_NULL };

	if (json_object_is_type(value, json_type_string)) {
		cell.kind = CELL_TEXT;
		cell.text = json_object_get_string(value);
	} else if (value) {
		cell.kind = text_number(value, &cell.number) ? CELL_NUMBER : CELL_JSON;
		cell.text =
			json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	}
	return cell;
}

static bool find_value(struct log_options *o, unsigned i, struct json_object *message, struct json_object **ret)
{
	struct json_object *data = text_member(message, "data", NULL);
	bool found = data && metric_find(&o->metrics[i], data, ret);

	if (!found)
		found = metric_find(&o->metrics[i], message, ret);
	o->seen[i] |= found;
	return found;
}

static void add_sample(struct log_options *o, int64_t wall_ms, struct json_object *message)
{
	struct rows_cell cells[LOG_METRICS_MAX];

	for (unsigned i = 0; i < o->metric_count; i++) {
		struct json_object *value = NULL;

		cells[i] = find_value(o, i, message, &value) ? log_values_cell(value)
							     : (struct rows_cell){ .kind = CELL_MISSING };
	}
	log_values_row(o, wall_ms, cells);
}

/* ---------------------------------------------------------------------------------------------------- a process */

static bool is_process(struct json_object *process, const char *wanted)
{
	struct json_object *pid = text_member(process, "pid", NULL);

	return !strcmp(text_string(process, "name"), wanted) ||
	       (json_object_is_type(pid, json_type_int) && !strcmp(json_object_get_string(pid), wanted));
}

static void add_process(struct log_options *o, int64_t wall_ms, struct json_object *message)
{
	struct json_object *list = text_member(message, "data", "processes", NULL);
	size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *process = json_object_array_get_idx(list, i);
		struct rows_cell cells[ARRAY_SIZE(process_members)];

		if (!json_object_is_type(process, json_type_object) || !is_process(process, o->process))
			continue;
		o->process_seen = true;
		for (unsigned j = 0; j < ARRAY_SIZE(process_members); j++)
			cells[j] = log_values_cell(text_member(process, process_members[j], NULL));
		rows_add(&o->rows, wall_ms, cells);
	}
}

/* ------------------------------------------------------------------------------------------------------- a span */

static void end_bucket(struct log_options *o)
{
	struct rows_cell cells[LOG_METRICS_MAX * LOG_FUNCTIONS_MAX];
	char texts[LOG_METRICS_MAX * LOG_FUNCTIONS_MAX][TEXT_NUMBER_SIZE];
	unsigned count = 0;

	if (!o->bucket_open || !o->every_ms)
		return;
	for (unsigned i = 0; i < o->metric_count; i++) {
		for (unsigned j = 0; j < o->function_count; j++, count++) {
			struct rows_cell *cell = &cells[count];

			*cell = (struct rows_cell){ .kind = CELL_NULL, .text = texts[count] };
			if (!aggregate_result(&o->aggregates[i], o->functions[j], &cell->number))
				continue;
			cell->kind = CELL_NUMBER;
			text_plain(cell->number, texts[count]);
		}
		aggregate_reset(&o->aggregates[i]);
	}
	rows_add(&o->rows, o->bucket_ms, cells);
	o->bucket_open = false;
}

static int64_t floor_to(int64_t ms, int64_t step)
{
	return ms - (ms % step + step) % step;
}

static void add_to_bucket(struct log_options *o, int64_t wall_ms, const struct rows_cell *cells)
{
	int64_t bucket_ms = o->every_ms ? floor_to(wall_ms, o->every_ms) : 0;

	if (bucket_ms != o->bucket_ms)
		end_bucket(o);
	o->bucket_ms = bucket_ms;
	o->bucket_open = true;
	for (unsigned i = 0; i < o->metric_count; i++)
		if (cells[i].kind == CELL_NUMBER)
			aggregate_add(&o->aggregates[i], cells[i].number);
}

void log_values_row(struct log_options *o, int64_t wall_ms, const struct rows_cell *cells)
{
	if (is_added_up(o))
		add_to_bucket(o, wall_ms, cells);
	else
		rows_add(&o->rows, wall_ms, cells);
}

static const struct {
	const char *name;
	struct aggregate_function function;
} summary[] = {
	{ "count", { AGGREGATE_COUNT, 0 } },	 { "average", { AGGREGATE_AVERAGE, 0 } },
	{ "min", { AGGREGATE_MIN, 0 } },	 { "p50", { AGGREGATE_PERCENTILE, 50 } },
	{ "p95", { AGGREGATE_PERCENTILE, 95 } }, { "p99", { AGGREGATE_PERCENTILE, 99 } },
	{ "max", { AGGREGATE_MAX, 0 } },	 { "sum", { AGGREGATE_SUM, 0 } },
};

/* The text of one number: "-" in a table, "null" in JSON, nothing in CSV for what is unknown. */
static void summary_text(struct log_options *o, unsigned metric, unsigned i, char out[TEXT_NUMBER_SIZE])
{
	double number;

	if (aggregate_result(&o->aggregates[metric], summary[i].function, &number))
		text_plain(number, out);
	else
		snprintf(out, TEXT_NUMBER_SIZE, "%s", o->form == ROWS_JSON ? "null" : o->form == ROWS_CSV ? "" : "-");
}

/* The sum goes first where it does not fit. */
static unsigned summary_shown(const struct log_options *o)
{
	unsigned width = o->form == ROWS_TABLE ? show_width(stdout) : 0;

	return (unsigned)ARRAY_SIZE(summary) - (width > 0 && width < 9 + 11 * (ARRAY_SIZE(summary) - 1));
}

static void print_summary_row(struct log_options *o, unsigned metric)
{
	_cleanup_(text_putp) struct json_object *label = json_object_new_string(o->metrics[metric].label);

	if (o->form == ROWS_JSON) {
		show_words(stdout, "{\"metric\":");
		show_json(stdout, json_object_to_json_string_ext(label, JSON_C_TO_STRING_NOSLASHESCAPE));
	} else {
		show(stdout, o->form == ROWS_CSV ? "\"%s\"" : "%s\n", o->metrics[metric].label);
	}
	for (unsigned i = 0; i < summary_shown(o); i++) {
		char text[TEXT_NUMBER_SIZE];

		summary_text(o, metric, i, text);
		if (o->form == ROWS_JSON)
			show(stdout, ",\"%s\":%s", summary[i].name, text);
		else
			show(stdout, o->form == ROWS_CSV ? ",%s" : i ? " %10s" : "%9s", text);
	}
	show(stdout, o->form == ROWS_JSON ? "}\n" : "\n");
}

static void print_summary(struct log_options *o)
{
	if (o->form == ROWS_CSV)
		show(stdout, "metric");
	for (unsigned i = 0; i < summary_shown(o) && o->form != ROWS_JSON; i++)
		show(stdout, o->form == ROWS_CSV ? ",%s" : i ? " %10s" : "%9s", summary[i].name);
	if (o->form != ROWS_JSON)
		show(stdout, "\n");
	for (unsigned i = 0; i < o->metric_count; i++)
		print_summary_row(o, i);
}

/* --------------------------------------------------------------------------------------------------------- all */

void log_values_add(struct log_options *o, const struct reader_line *line, struct json_object *message)
{
	json_object_put(o->sample);
	o->sample = json_object_get(text_member(message, "data", NULL));
	if (o->process)
		add_process(o, line->wall_ms, message);
	else
		add_sample(o, line->wall_ms, message);
	if (o->reading.follow) /* with --follow there is no end at which to report it */
		log_values_missing(o);
}

void log_values_end(struct log_options *o)
{
	end_bucket(o);
	if (o->summary)
		print_summary(o);
	else
		rows_end(&o->rows);
	for (unsigned i = 0; i < o->metric_count; i++)
		aggregate_done(&o->aggregates[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(o->labels); i++)
		free(o->labels[i]);
}

unsigned log_values_missing(struct log_options *o)
{
	unsigned count = 0;

	if (o->process && !o->process_seen && !o->reading.follow)
		count += cli_fail("\"%.60s\": no such process in the samples; each holds the busiest ones alone",
				  o->process) == CLI_FAILED;
	for (unsigned i = 0; i < o->metric_count && o->chosen; i++) {
		char likely[3 * METRIC_TEXT_MAX];

		if (o->seen[i])
			continue;
		count++;
		if (o->told[i])
			continue;
		o->told[i] = true;
		suggest_metrics(o->sample, o->metrics[i].label, likely, sizeof(likely));
		cli_fail("%s: in none of the samples%s%s", o->metrics[i].label, likely[0] ? "; perhaps " : "", likely);
	}
	return count;
}
