/* SPDX-License-Identifier: MIT */
#include "expose.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/hub/metrics.h"

static const struct {
	const char *name, *help;
	enum metric_type type;
} figures[FIGURES] = {
	[FIGURE_UP] = { "infiniservice_up", "1 while the VM's samples come, 0 when it is silent or away.",
			METRIC_GAUGE },
	[FIGURE_CONNECTED] = { "infiniservice_connected", "1 while the hub is connected to the VM's channel.",
			       METRIC_GAUGE },
	[FIGURE_AGE_S] = { "infiniservice_sample_age_seconds", "Time since the last sample came.", METRIC_GAUGE },
	[FIGURE_TIME_S] = { "infiniservice_sample_timestamp_seconds",
			    "When the last sample was taken, by the guest's clock, in unixtime.", METRIC_GAUGE },
	[FIGURE_INTERVAL_S] = { "infiniservice_sample_interval_seconds", "How often samples are expected.",
				METRIC_GAUGE },
	[FIGURE_CLOCK_OFFSET_S] = { "infiniservice_clock_offset_seconds",
				    "The guest's clock less the host's, when the last message came.", METRIC_GAUGE },
	[FIGURE_SESSIONS] = { "infiniservice_sessions_total", "Connections on which the VM's agent spoke.",
			      METRIC_COUNTER },
	[FIGURE_SAMPLES] = { "infiniservice_samples_total", "Samples that came.", METRIC_COUNTER },
	[FIGURE_BYTES] = { "infiniservice_received_bytes_total", "Bytes that came from the VM.", METRIC_COUNTER },
	[FIGURE_INVALID] = { "infiniservice_invalid_lines_total",
			     "Lines of the VM that were no message, and were dropped.", METRIC_COUNTER },
	[FIGURE_SERIES_DROPPED] = { "infiniservice_dropped_series_total",
				    "Series of samples beyond the hub's bounds, which were dropped.", METRIC_COUNTER },
	[FIGURE_LOST] = { "infiniservice_lost_samples_total", "Samples that the agent says it could not send.",
			  METRIC_COUNTER },
	[FIGURE_THROTTLED] = { "infiniservice_throttled_total",
			       "How often the VM was not read for a while because it sent too much.", METRIC_COUNTER },
	[FIGURE_LATE_WAITING] = { "infiniservice_late_samples", "Samples of gaps that wait to be scraped under /late.",
				  METRIC_GAUGE },
	[FIGURE_LATE_DROPPED] = { "infiniservice_dropped_late_samples_total",
				  "Samples of gaps that could not be kept or fetched.", METRIC_COUNTER },
};

/* Families come in this order: the figures, vm_info, then the rows of the table. */
#define FAMILY_INFO    FIGURES
#define FAMILY_METRICS (FIGURES + 1)

const char *figure_name(enum figure figure)
{
	return figures[figure].name;
}

const char *figure_help(enum figure figure)
{
	return figures[figure].help;
}

void expose_init(struct expose *expose, struct expose_source source, enum expose_format format, bool late)
{
	*expose = (struct expose){ .source = source, .format = format, .late = late };
	if (late)
		expose->family = FAMILY_METRICS;
}

/* A number, the shortest of what has 15 digits. `out` has 32 bytes. Most are small integers. */
static size_t put_number(char *out, double value)
{
	char digits[24];
	uint64_t rest;
	size_t len = 0, at = 0;

	if (!(value >= 0 && value < 1e15) || value != floor(value))
		return (size_t)snprintf(out, 32, "%.15g", value);
	rest = (uint64_t)value;
	do
		digits[len++] = (char)('0' + rest % 10);
	while (rest /= 10);
	while (len > 0)
		out[at++] = digits[--len];
	return at;
}

static size_t put(char *out, const char *text, size_t len)
{
	memcpy(out, text, len);
	return len;
}

static size_t put_line(char *out, const char *name, const char *labels, const char *more, size_t more_len, double value,
		       int64_t time_ms)
{
	size_t len = put(out, name, strlen(name));

	out[len++] = '{';
	len += put(out + len, labels, strlen(labels));
	if (more_len > 0)
		out[len++] = ',';
	len += put(out + len, more, more_len);
	len += put(out + len, "} ", 2);
	len += put_number(out + len, value);
	if (time_ms)
		len += (size_t)snprintf(out + len, 32, " %lld", (long long)time_ms);
	out[len++] = '\n';
	return len;
}

static size_t put_head(const struct expose *expose, char *out, const char *name, size_t name_len, const char *help,
		       enum metric_type type)
{
	static const char *const types[] = { "gauge", "counter", "untyped" };
	bool open = expose->format == EXPOSE_OPENMETRICS;
	const char *word = type == METRIC_UNTYPED && open ? "unknown" : types[type];

	if (!open)
		name_len = strlen(name);
	return (size_t)snprintf(out, EXPOSE_LINE_MAX, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)name_len, name, help,
				(int)name_len, name, word);
}

/* The last row of the family that begins with this one. */
static size_t family_end(size_t row)
{
	size_t end = row + 1;

	while (end < metrics_count && !strcmp(metrics[end].name, metrics[row].name))
		end++;
	return end;
}

static size_t head_of_family(const struct expose *expose, char *out)
{
	struct metric figure = { 0 };

	if (expose->family == FAMILY_INFO)
		return put_head(expose, out, "infiniservice_vm_info", strlen("infiniservice_vm_info"),
				"What a VM's agent says about itself: always 1.", METRIC_GAUGE);
	if (expose->family < FAMILY_INFO) {
		figure.name = figures[expose->family].name;
		figure.help = figures[expose->family].help;
		figure.type = figures[expose->family].type;
	} else {
		figure = metrics[expose->family - FAMILY_METRICS];
	}
	return put_head(expose, out, figure.name, metric_family_len(&figure), figure.help, figure.type);
}

/* One series of a sample. Sets *ret_done when the VM has no more of this family. */
static size_t put_series(struct expose *expose, const struct expose_vm *vm, char *out, bool *ret_done)
{
	size_t row = expose->family - FAMILY_METRICS, end = family_end(row);

	for (; expose->set < vm->sets_len; expose->set++, expose->index = 0) {
		const struct series_set *set = vm->sets[expose->set];
		const struct series *series;

		if (expose->index == 0) {
			expose->index = series_find(set, row);
			expose->seq = set->seq;
		}
		if (expose->seq != set->seq || expose->index >= set->count || set->series[expose->index].metric >= end)
			continue;
		series = &set->series[expose->index++];
		*ret_done = false;
		return put_line(out, metrics[row].name, vm->labels,
				series->labels == SERIES_NO_LABELS ? "" : set->text + series->labels,
				series->labels_len, series->value, expose->late ? set->time_ms : 0);
	}
	*ret_done = true;
	return 0;
}

/* What comes next of this VM in this family. */
static size_t put_of_vm(struct expose *expose, const struct expose_vm *vm, char *out, bool *ret_done)
{
	double value;

	if (expose->family >= FAMILY_METRICS)
		return put_series(expose, vm, out, ret_done);
	*ret_done = true;
	if (expose->family == FAMILY_INFO)
		return vm->info ? put_line(out, "infiniservice_vm_info", vm->labels, vm->info, strlen(vm->info), 1, 0)
				: 0;
	value = vm->figures[expose->family];
	return isnan(value) ? 0 : put_line(out, figures[expose->family].name, vm->labels, "", 0, value, 0);
}

/* Goes on to the next family; false: that was the last one. */
static bool next_family(struct expose *expose)
{
	size_t row = expose->family - FAMILY_METRICS;

	expose->family = expose->family < FAMILY_METRICS ? expose->family + 1 : family_end(row) + FAMILY_METRICS;
	expose->after = 0;
	expose->opened = false;
	return expose->family < FAMILY_METRICS + metrics_count;
}

/* Writes one VM's part of the family. False when the buffer has no room for another line. */
static bool write_vm(struct expose *expose, const struct expose_vm *vm, char *buffer, size_t size, size_t *len)
{
	char line[EXPOSE_LINE_MAX];
	bool done = false;
	size_t n;

	if (expose->inside != vm->serial)
		expose->set = expose->index = 0;
	expose->inside = vm->serial;
	while (!done) {
		if (size - *len < 2 * (size_t)EXPOSE_LINE_MAX)
			return false;
		n = put_of_vm(expose, vm, line, &done);
		if (n > 0 && !expose->opened)
			*len += head_of_family(expose, buffer + *len);
		expose->opened |= n > 0;
		*len += put(buffer + *len, line, n);
	}
	expose->after = vm->serial;
	expose->inside = 0;
	return true;
}

size_t expose_some(struct expose *expose, char *buffer, size_t size)
{
	struct expose_vm vm;
	size_t len = 0;

	while (!expose->ended) {
		uint64_t before = expose->after;

		if (expose->source.next(expose->source.arg, before, &vm)) {
			if (!write_vm(expose, &vm, buffer, size, &len))
				return len;
		} else if (size - len < EXPOSE_LINE_MAX) {
			return len;
		} else if (!next_family(expose)) {
			expose->ended = true;
			if (expose->format == EXPOSE_OPENMETRICS)
				len += put(buffer + len, "# EOF\n", 6);
		}
	}
	return len;
}
