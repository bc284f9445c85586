/* SPDX-License-Identifier: MIT */
/* infinictl events: the list of what happened. */
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/config/config.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/events.h"
#include "tools/infinictl/text.h"
#include "tools/show/show.h"

static const char help[] =
	"infinictl events [OPTION]... [FILE]...\n"
	"\n"
	"What happened, by time: gaps in which nothing was measured, starts of the agent, reboots, clocks that were "
	"set,\n"
	"snapshots, processes killed for want of memory, faults, alerts, commands and what was refused.\n"
	"\n"
	"  --dir DIR       the log of another directory (default: log.dir of the configuration)\n"
	"  --records DIR   the audit records of another directory (default: the agent's and the journal's; with --dir "
	"or\n"
	"                  files: none)\n"
	"  --begin TIME    from this time on\n"
	"  --end TIME      up to this time, not included\n"
	"  --kind KINDS    of gap, start, reboot, clock, snapshot, oom, fault, alert, command, refused, note; with "
	"commas\n"
	"  --lines N       the newest N alone\n"
	"  --json          one JSON object a line\n"
	"  --color WHEN    auto, always or never\n"
	"  --no-pager      print straight to the terminal\n"
	"  --utc           times in UTC\n"
	"\n"
	"TIME: as with infinictl log.\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong use.\n";

struct options {
	struct reading reading;
	struct events events;
	const char *records, *color;
	size_t lines;
	bool json, pager;
};

static int take_kinds(struct options *o, const char *text)
{
	memset(o->events.wanted, 0, sizeof(o->events.wanted));
	for (; *text; text += *text == ',') {
		size_t len = strcspn(text, ",");
		unsigned kind = 0;

		while (kind < EVENT_KINDS &&
		       (strlen(event_kind_name(kind)) != len || strncmp(event_kind_name(kind), text, len) != 0))
			kind++;
		if (kind == EVENT_KINDS)
			return cli_usage("--kind: \"%.*s\" is none of those that `infinictl events --help` lists",
					 (int)(len < 40 ? len : 40), text);
		o->events.wanted[kind] = true;
		text += len;
	}
	return CLI_OK;
}

static int take_lines(struct options *o, const char *text)
{
	char *end;
	unsigned long lines = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || lines < 1 || lines > EVENTS_MAX)
		return cli_usage("--lines needs a number from 1 to %d", EVENTS_MAX);
	o->lines = lines;
	return CLI_OK;
}

static int take_option(struct options *o, int option, char *const argv[])
{
	switch (option) {
	case 'r':
		o->records = optarg;
		return CLI_OK;
	case 'k':
		return take_kinds(o, optarg);
	case 'n':
		return take_lines(o, optarg);
	case 'j':
		o->json = true;
		return CLI_OK;
	case 'P':
		o->pager = false;
		return CLI_OK;
	case 'c':
		return cli_color_option(optarg, &o->color);
	default:
		return cli_wrong_option(option, argv);
	}
}

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		READING_OPTIONS,
		{ "records", required_argument, NULL, 'r' },
		{ "kind", required_argument, NULL, 'k' },
		{ "lines", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ "color", required_argument, NULL, 'c' },
		{ "no-pager", no_argument, NULL, 'P' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option, rc = CLI_OK;

	while (!rc && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (option == 'h')
			return cli_help(help) ? CLI_FAILED : -1;
		rc = reading_option(&o->reading, option, optarg);
		if (rc < 0)
			rc = take_option(o, option, argv);
	}
	return rc;
}

/* The records of this machine belong to its own log alone. */
static int read_records(struct options *o)
{
	bool own = o->reading.dir == o->reading.config_dir;
	struct config config;
	int rc;

	if (o->records)
		return events_from_records(&o->events, o->records, false, o->reading.begin_ms, o->reading.end_ms);
	if (!own)
		return CLI_OK;
	if (config_init(&config))
		return cli_fail("out of memory");
	config_load(&config, NULL, NULL, NULL, NULL);
	rc = events_from_records(&o->events, config.agent.state_dir, true, o->reading.begin_ms, o->reading.end_ms);
	config_free(&config);
	return rc;
}

static void print_json(const struct options *o, const struct event *event)
{
	static const char *const weights[] = { "info", "warn", "error" };
	_cleanup_(text_putp) struct json_object *object = json_object_new_object();
	char time[TEXT_TIME_SIZE];

	text_time(event->wall_ms, o->reading.utc, false, time);
	json_object_object_add(object, "time", json_object_new_string(time));
	if (event->end_ms) {
		text_time(event->end_ms, o->reading.utc, false, time);
		json_object_object_add(object, "end", json_object_new_string(time));
	}
	json_object_object_add(object, "kind", json_object_new_string(event_kind_name(event->kind)));
	json_object_object_add(object, "severity", json_object_new_string(weights[event->weight]));
	json_object_object_add(object, "text", json_object_new_string(event->text));
	text_json(object, JSON_C_TO_STRING_PLAIN);
}

static void print_event(const struct options *o, const struct event *event, unsigned width, bool colored)
{
	static const unsigned styles[] = { SHOW_PLAIN, SHOW_WARN, SHOW_BAD };
	char time[TEXT_TIME_SIZE];

	if (o->json) {
		print_json(o, event);
		return;
	}
	text_time(event->wall_ms, o->reading.utc, true, time);
	show(stdout, "%s ", time);
	show_style(stdout, colored && event->weight, styles[event->weight]);
	show(stdout, "%-8s ", event_kind_name(event->kind));
	show_cut(stdout, event->text, width > 40 ? width - 32 : EVENT_TEXT);
	show_style(stdout, colored && event->weight, SHOW_PLAIN);
	show(stdout, "\n");
}

static void print_all(struct options *o)
{
	size_t first = o->lines && o->events.count > o->lines ? o->events.count - o->lines : 0;
	unsigned width = show_width(stdout);
	bool colored = show_colored(stdout, o->color);

	if (o->pager)
		show_pager_begin();
	for (size_t i = first; i < o->events.count; i++)
		print_event(o, &o->events.list[i], width, colored);
	show_pager_end();
	if (o->events.dropped)
		cli_fail("the oldest are left out: %llu", (unsigned long long)o->events.dropped);
}

int events_main(int argc, char **argv)
{
	_cleanup_(freep) struct options *o = calloc(1, sizeof(*o));
	int rc, records, reported;

	if (!o)
		return cli_fail("out of memory");
	reading_init(&o->reading);
	events_init(&o->events);
	o->color = "auto";
	o->pager = true;
	rc = parse_options(argc, argv, o);
	if (!rc)
		rc = reading_open(&o->reading, argc - optind, argv + optind);
	if (rc)
		return rc < 0 ? CLI_OK : rc;
	rc = events_from_log(&o->events, &o->reading);
	records = read_records(o);
	events_sort(&o->events);
	print_all(o);
	reported = reading_report(&o->reading, false);
	events_done(&o->events);
	reading_close(&o->reading);
	return rc ? rc : records ? records : reported;
}
