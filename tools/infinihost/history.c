/* SPDX-License-Identifier: MIT */
/*
 * `history`: what the guest's log tells of a span, as it was sent, a line each, or as OpenMetrics for Prometheus'
 * backfilling. That is for old spans alone: blocks made of young ones make other series lose their newest samples when
 * Prometheus starts the next time; what was missed lately comes by itself, from the hub's /late.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/hub/metrics.h"
#include "tools/hub/parse.h"
#include "tools/hub/series.h"
#include "tools/infinihost/ask.h"
#include "tools/infinihost/commands.h"
#include "tools/infinihost/request.h"
#include "tools/infinihost/summary.h"
#include "tools/show/show.h"

#define DEFAULT_TIMEOUT_S 60.0
#define LIMIT_MAX	  100000
#define YOUNGEST_MS	  (3 * 3600 * INT64_C(1000))
#define USAGE		  "usage: history [--begin TIME] [--end TIME] [--limit N] [--openmetrics]"

struct history {
	int64_t begin_ms, end_ms; /* -1: not given */
	unsigned long limit;
	bool openmetrics;
	struct series_set **sets; /* for openmetrics: all that came */
	size_t len, size;
	unsigned long dropped;
	struct json_object *whole; /* of the last whole sample */
};

/* One value of one sample, for sorting. */
struct point {
	const struct series_set *set;
	const struct series *series;
};

static void json_putp(struct json_object **object)
{
	json_object_put(*object);
}

static void talk_closep(struct talk *talk)
{
	talk_close(talk);
}

static void history_done(struct history *history)
{
	for (size_t i = 0; i < history->len; i++)
		free(history->sets[i]);
	free(history->sets);
	json_object_put(history->whole);
}

/* "2026-01-02T03:04:05Z", or so long ago: "90s", "15m", "26h", "3d". */
static int parse_time(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 } };
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (end > text && *text != '-' && *end && !end[1] && number < 100000)
		for (size_t i = 0; i < ARRAY_SIZE(units); i++)
			if (*end == units[i].unit) {
				*ret_ms = now_ms - (int64_t)number * units[i].ms;
				return 0;
			}
	return rfc3339_parse(text, ret_ms) < 0 || text[strlen(text) - 1] != 'Z' ? -EINVAL : 0;
}

static int parse_options(int argc, char **argv, int64_t now_ms, struct history *out)
{
	static const struct option longs[] = { { "begin", required_argument, NULL, 'b' },
					       { "end", required_argument, NULL, 'e' },
					       { "limit", required_argument, NULL, 'n' },
					       { "openmetrics", no_argument, NULL, 'o' },
					       { 0 } };
	int option;
	char *end;

	while ((option = getopt_long(argc, argv, ":b:e:n:", longs, NULL)) != -1) {
		if (option == 'o') {
			out->openmetrics = true;
		} else if (option == 'n') {
			out->limit = strtoul(optarg, &end, 10);
			if (*end || out->limit == 0 || out->limit > LIMIT_MAX)
				return -EINVAL;
		} else if ((option != 'b' && option != 'e') ||
			   parse_time(optarg, now_ms, option == 'b' ? &out->begin_ms : &out->end_ms) < 0) {
			return -EINVAL;
		}
	}
	return optind == argc ? 0 : -EINVAL;
}

static struct json_object *question(const struct history *history, const char *id, double timeout_s)
{
	struct json_object *message = request_new("GetHistory", id, timeout_s);

	if (!message)
		return NULL;
	if (history->begin_ms >= 0)
		json_object_object_add(message, "begin", json_object_new_int64(history->begin_ms));
	if (history->end_ms >= 0)
		json_object_object_add(message, "end", json_object_new_int64(history->end_ms));
	json_object_object_add(message, "limit", json_object_new_int64((int64_t)history->limit));
	return message;
}

/* ----------------------------------------------------------------------------------------------------- openmetrics */

static int keep(struct history *history, struct json_object *sample)
{
	static const struct series_bounds bounds = { 1000, 24576 };
	struct series_set *set, **sets;

	if (json_object_get_boolean(json_at(sample, "whole")) || json_object_get_boolean(json_at(sample, "filled"))) {
		json_object_put(history->whole);
		history->whole = series_keep_whole(sample);
	}
	if (series_of_sample(sample, history->whole, &bounds, &set) < 0) {
		history->dropped++;
		return 0;
	}
	if (history->len == history->size) {
		size_t size = history->size ? 2 * history->size : 256;

		sets = reallocarray(history->sets, size, sizeof(struct series_set *));
		if (!sets) {
			free(set);
			return -ENOMEM;
		}
		history->sets = sets;
		history->size = size;
	}
	history->sets[history->len++] = set;
	return 0;
}

/* By row, labels and time: the format wants all of one series together, the oldest first. */
static int compare_points(const void *a, const void *b)
{
	const struct point *x = a, *y = b;
	uint32_t shorter =
		x->series->labels_len < y->series->labels_len ? x->series->labels_len : y->series->labels_len;
	int order = (int)x->series->metric - (int)y->series->metric;

	if (order == 0 && shorter > 0)
		order = memcmp(x->set->text + x->series->labels, y->set->text + y->series->labels, shorter);
	if (order == 0)
		order = (x->series->labels_len > y->series->labels_len) -
			(x->series->labels_len < y->series->labels_len);
	if (order == 0)
		order = (x->set->time_ms > y->set->time_ms) - (x->set->time_ms < y->set->time_ms);
	return order;
}

static void print_head(const struct metric *metric)
{
	static const char *const types[] = { "gauge", "counter", "unknown" };
	int len = (int)metric_family_len(metric);

	show(stdout, "# HELP %.*s %s\n", len, metric->name, metric->help);
	show(stdout, "# TYPE %.*s %s\n", len, metric->name, types[metric->type]);
}

static void print_points(const struct point *points, size_t count, const char *vm)
{
	const char *family = "";

	for (size_t i = 0; i < count; i++) {
		const struct series *series = points[i].series;
		const struct metric *metric = &metrics[series->metric];
		const char *labels = series->labels_len ? points[i].set->text + series->labels : "";

		if (strcmp(family, metric->name) != 0)
			print_head(metric);
		family = metric->name;
		show(stdout, "%s{vm=\"%s\"%s%.*s} %.15g %.3f\n", metric->name, vm, series->labels_len ? "," : "",
		     (int)series->labels_len, labels, series->value, (double)points[i].set->time_ms / 1000);
	}
	show(stdout, "# EOF\n");
}

static int print_openmetrics(const struct history *history, const char *vm)
{
	char name[2 * 256 + 1];
	struct point *points;
	size_t count = 0, at = 0;

	for (size_t i = 0; i < history->len; i++)
		count += history->sets[i]->count;
	points = calloc(count + 1, sizeof(*points));
	if (!points)
		return -ENOMEM;
	for (size_t i = 0; i < history->len; i++)
		for (size_t j = 0; j < history->sets[i]->count; j++)
			points[at++] = (struct point){ history->sets[i], &history->sets[i]->series[j] };
	qsort(points, count, sizeof(*points), compare_points);
	name[label_escape(name, vm, strlen(vm), 256)] = '\0';
	print_points(points, count, name);
	free(points);
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- the samples
 */

static int take_batch(const struct host_options *options, struct history *history, struct json_object *message)
{
	struct json_object *samples = json_at(message, "samples");
	size_t count = json_object_is_type(samples, json_type_array) ? json_object_array_length(samples) : 0;
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		struct json_object *sample = json_object_array_get_idx(samples, i);
		const char *text;

		if (history->openmetrics) {
			r = keep(history, sample);
		} else if (options->json) {
			text = json_object_to_json_string_ext(sample,
							      JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
			show_json_line(stdout, text, strlen(text));
		} else {
			show(stdout, "%s  ", json_text_at(sample, "timestamp"));
			summary_print(stdout, sample);
		}
	}
	return r;
}

/* The exit status, once the answer has come. */
static int end_of(const struct host_options *options, const struct history *history, struct json_object *answer)
{
	if (strcmp(json_text_at(answer, "type"), "response") != 0 ||
	    !json_object_get_boolean(json_at(answer, "success")))
		return ask_explain_failure(answer);
	if (history->openmetrics && print_openmetrics(history, options->vm ?: options->path) < 0)
		return HOST_FAILED;
	if (history->dropped > 0)
		show(stderr, "infinihost: %lu samples made no sense and were left out\n", history->dropped);
	if (!json_object_get_boolean(json_at(answer, "data.more")))
		return HOST_OK;
	show(stderr, "infinihost: there is more in this span: --limit, or a later --begin\n");
	return HOST_INCOMPLETE;
}

static int converse(struct talk *talk, const struct host_options *options, struct history *history, double timeout_s)
{
	_cleanup_(json_putp) struct json_object *asked = NULL;
	uint64_t deadline_ns;
	char id[TALK_ID_SIZE];
	int r, status = -1;

	talk_id(id);
	asked = question(history, id, timeout_s);
	deadline_ns = command_deadline(timeout_s);
	r = asked ? talk_send(talk, asked, deadline_ns) : -ENOMEM;
	while (r >= 0 && status < 0) {
		struct talk_message message;

		r = talk_next(talk, -1, deadline_ns, &message);
		if (r != LINK_LINE)
			break;
		if (!strcmp(json_text_at(message.json, "id"), id) &&
		    !strcmp(json_text_at(message.json, "type"), "metrics_batch"))
			r = take_batch(options, history, message.json);
		else if (!strcmp(json_text_at(message.json, "id"), id) || talk_refused(talk, message.json, id))
			status = end_of(options, history, message.json);
		talk_message_done(&message);
	}
	return status >= 0 ? status : talk_explain(options, r, "answer");
}

int command_history(const struct host_options *options, int argc, char **argv)
{
	_cleanup_(talk_closep) struct talk talk = { .link = { .fd = -1, .listen_fd = -1 } };
	_cleanup_(history_done) struct history history = { .begin_ms = -1, .end_ms = -1, .limit = 1000 };
	double timeout_s = options->timeout_s < 0 ? DEFAULT_TIMEOUT_S : options->timeout_s;
	int64_t now_ms = moment_now().wall_ms;
	int status;

	if (parse_options(argc, argv, now_ms, &history) < 0)
		return command_usage(USAGE "; a TIME is 2026-01-02T03:04:05Z, or so long ago: 90s, 15m, 26h, 3d");
	if (history.openmetrics && history.end_ms < 0)
		history.end_ms = now_ms - YOUNGEST_MS;
	if (history.openmetrics && history.end_ms > now_ms - YOUNGEST_MS)
		return command_usage(
			"--openmetrics is for spans that ended over 3 h ago: blocks made of younger ones make other "
			"series lose their newest samples when Prometheus starts the next time; what was missed "
			"lately comes by the hub's /late");
	if (talk_begin(&talk, options, command_deadline(timeout_s), &status) < 0)
		return status;
	return converse(&talk, options, &history, timeout_s);
}
