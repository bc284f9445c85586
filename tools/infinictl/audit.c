/* SPDX-License-Identifier: MIT */
/*
 * infinictl audit: the audit records of commands. They are in the journal or, without one, in the agent's own file;
 * both are read, sorted by time, and the last records printed.
 */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/config/config.h"
#include "tools/infinictl/access.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/records.h"
#include "tools/infinictl/text.h"
#include "tools/show/show.h"

#define LINES_DEFAULT 50
#define LINES_MAX     100000

static const char help[] =
	"infinictl audit [OPTION]...\n"
	"\n"
	"  --lines N         at most the last N records (default 50)\n"
	"  --begin TIME      from this time on (as with infinictl log)\n"
	"  --end TIME        up to this time, not included\n"
	"  --origin ORIGIN   what this one asked: host, or as the records name it, such as \"uid 1000\" (or uid: any "
	"user)\n"
	"  --failed          what was refused or failed\n"
	"  --id ID           those of one command\n"
	"  --all             the looks of infinictl status and ps as well, which are left out otherwise\n"
	"  --utc             times in UTC\n"
	"  --json            one JSON object a line\n"
	"\n"
	"Reads the system's journal and the agent's audit.ndjson; the agent need not run.\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong use.\n";

struct wanted {
	size_t lines;
	const char *id, *origin;
	int64_t begin_ms, end_ms;
	bool failed, all, utc, json;
};

/* The whole name, or its first words. */
static bool is_from(struct json_object *record, const char *origin)
{
	const char *text = text_string(record, "origin");
	size_t len = strlen(origin);

	return !strncmp(text, origin, len) && (text[len] == '\0' || text[len] == ' ');
}

static bool is_wanted(void *data, struct json_object *record)
{
	const struct wanted *wanted = data;

	if (wanted->id && strcmp(text_string(record, "id"), wanted->id) != 0)
		return false;
	if (wanted->origin && !is_from(record, wanted->origin))
		return false;
	if (wanted->failed && !record_has_failed(record))
		return false;
	if (wanted->all || wanted->id)
		return true;
	/* Events of the agent are no requests: `infinictl events` lists them. */
	return !record_is_own_look(record) && strcmp(text_string(record, "phase"), "event") != 0;
}

/* ----------------------------------------------------------------------------------------------------------- output */

static void print_member(struct json_object *record, const char *key)
{
	struct json_object *value = text_member(record, key, NULL);
	const char *text = value ? json_object_get_string(value) : "-";

	show(stdout, "%s ", text);
}

static void print_result(struct json_object *record)
{
	struct json_object *code = text_member(record, "error_code", NULL),
			   *exit_code = text_member(record, "exit_code", NULL);
	double ms;

	if (code)
		print_member(record, "error_code");
	else if (text_member(record, "success", NULL))
		show(stdout, "ok ");
	if (exit_code)
		show(stdout, "exit %d ", json_object_get_int(exit_code));
	if (text_number(text_member(record, "duration_ms", NULL), &ms))
		show(stdout, "%.3f s ", ms / 1000);
}

static void print_record(const struct wanted *wanted, const struct entry *entry)
{
	char when[TEXT_TIME_SIZE];

	if (wanted->json) {
		text_json(entry->record, JSON_C_TO_STRING_PLAIN);
		return;
	}
	text_time(entry->wall_ms, wanted->utc, true, when);
	show(stdout, "%s ", when);
	print_member(entry->record, "phase");
	print_member(entry->record, "origin");
	print_member(entry->record, "action");
	print_member(entry->record, "id");
	print_result(entry->record);
	if (text_member(entry->record, "detail", NULL))
		print_member(entry->record, "detail");
	show(stdout, "\n");
}

static void print_all(const struct wanted *wanted, struct records *records)
{
	size_t first = records->count > wanted->lines ? records->count - wanted->lines : 0;

	for (size_t i = first; i < records->count; i++)
		print_record(wanted, &records->entries[i]);
}

static int run(struct wanted *wanted, const char *dir)
{
	const struct records_wanted which = { wanted->lines,  wanted->id, wanted->begin_ms,
					      wanted->end_ms, is_wanted,  wanted };
	_cleanup_(records_free) struct records records = { .wanted = &which };
	struct err err = { 0 };
	int r = records_read(&records, dir, true, &err);

	if (r == -ENOMEM && !records.entries)
		return cli_fail("out of memory");
	print_all(wanted, &records);
	/* If the journal has the records, its readers need no access to the file. */
	if (r == 0 || (r == -EACCES && records.count > 0))
		return CLI_OK;
	cli_fail("%s", err.text);
	if (r == -EACCES)
		access_hint(dir, "infiniservice");
	return CLI_FAILED;
}

static bool parse_lines(const char *text, size_t *ret)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value == 0 || value > LINES_MAX)
		return false;
	*ret = value;
	return true;
}

static int take_option(int option, char **argv, struct wanted *wanted)
{
	switch (option) {
	case 'n':
		return parse_lines(optarg, &wanted->lines)
			       ? CLI_OK
			       : cli_usage("--lines takes a number from 1 to %d", LINES_MAX);
	case 'b':
		return cli_time_option("begin", optarg, &wanted->begin_ms);
	case 'e':
		return cli_time_option("end", optarg, &wanted->end_ms);
	case 'o':
		wanted->origin = optarg;
		return CLI_OK;
	case 'f':
		wanted->failed = true;
		return CLI_OK;
	case 'i':
		wanted->id = optarg;
		return CLI_OK;
	case 'a':
		wanted->all = true;
		return CLI_OK;
	case 'u':
		wanted->utc = true;
		return CLI_OK;
	case 'j':
		wanted->json = true;
		return CLI_OK;
	default:
		return cli_wrong_option(option, argv);
	}
}

int audit_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "lines", required_argument, NULL, 'n' },
		{ "id", required_argument, NULL, 'i' },
		{ "begin", required_argument, NULL, 'b' },
		{ "end", required_argument, NULL, 'e' },
		{ "origin", required_argument, NULL, 'o' },
		{ "failed", no_argument, NULL, 'f' },
		{ "all", no_argument, NULL, 'a' },
		{ "utc", no_argument, NULL, 'u' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct wanted wanted = { .lines = LINES_DEFAULT, .begin_ms = INT64_MIN, .end_ms = INT64_MAX };
	struct config config;
	int option, rc;

	while ((option = getopt_long(argc, argv, ":n:h", options, NULL)) != -1) {
		if (option == 'h')
			return cli_help(help);
		rc = take_option(option, argv, &wanted);
		if (rc)
			return rc;
	}
	if (optind < argc)
		return cli_usage("audit takes no \"%.50s\"", argv[optind]);
	rc = cli_time_span(wanted.begin_ms, wanted.end_ms);
	if (rc)
		return rc;
	if (config_init(&config))
		return cli_fail("out of memory");
	config_load(&config, NULL, NULL, NULL, NULL);
	rc = run(&wanted, config.agent.state_dir);
	config_free(&config);
	return rc;
}
