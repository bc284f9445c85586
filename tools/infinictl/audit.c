/* SPDX-License-Identifier: MIT */
/*
 * infinictl audit: the audit records of commands. They are in the journal or, without one, in the agent's own file;
 * both are read, sorted by time, and the last records printed.
 */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <infiniservice/audit.h>
#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/config/config.h"
#include "agent/log/guarded.h"
#include "agent/log/scan.h"
#include "tools/infinictl/access.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/text.h"
#include "tools/show/show.h"

#define LINES_DEFAULT  50
#define LINES_MAX      100000
#define LINE_BYTES_MAX 65536

/* Most entries of the journal that are searched for wanted records. */
#define JOURNAL_ENTRIES_MAX 1000000

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

struct entry {
	int64_t wall_ms;
	uint64_t order; /* order of reading, for records of the same time */
	struct json_object *record;
};

/* The newest `lines` of the records added, as a ring. */
struct records {
	const struct wanted *wanted;
	struct entry *entries;
	size_t count;
	uint64_t added;
};

static void records_free(struct records *records)
{
	for (size_t i = 0; records->entries && i < records->count; i++)
		json_object_put(records->entries[i].record);
	free(records->entries);
}

static int by_time(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	if (left->wall_ms != right->wall_ms)
		return left->wall_ms < right->wall_ms ? -1 : 1;
	return left->order < right->order ? -1 : 1;
}

static bool is_false(struct json_object *value)
{
	return json_object_is_type(value, json_type_boolean) && !json_object_get_boolean(value);
}

static bool has_failed(struct json_object *record)
{
	return is_false(text_member(record, "success", NULL)) || !strcmp(text_string(record, "phase"), "refused");
}

/*
 * True for the Status command of `infinictl status` and `ps`. A command of a host never counts, even with such an id.
 */
static bool is_own_look(struct json_object *record)
{
	return !strcmp(text_string(record, "action"), "Status") &&
	       !strncmp(text_string(record, "id"), "infinictl-", 10) &&
	       strcmp(text_string(record, "origin"), "host") != 0 && !has_failed(record);
}

/* The whole name, or its first words. */
static bool is_from(struct json_object *record, const char *origin)
{
	const char *text = text_string(record, "origin");
	size_t len = strlen(origin);

	return !strncmp(text, origin, len) && (text[len] == '\0' || text[len] == ' ');
}

static bool is_wanted(const struct wanted *wanted, int64_t wall_ms, struct json_object *record)
{
	if (wall_ms < wanted->begin_ms || wall_ms >= wanted->end_ms)
		return false;
	if (wanted->id && strcmp(text_string(record, "id"), wanted->id) != 0)
		return false;
	if (wanted->origin && !is_from(record, wanted->origin))
		return false;
	if (wanted->failed && !has_failed(record))
		return false;
	return wanted->all || wanted->id || !is_own_look(record);
}

/* Takes over the record. True if the record is wanted. */
static bool add(struct records *records, int64_t wall_ms, struct json_object *record)
{
	size_t limit = 2 * records->wanted->lines;

	if (!is_wanted(records->wanted, wall_ms, record)) {
		json_object_put(record);
		return false;
	}
	if (records->count == limit) {
		qsort(records->entries, records->count, sizeof(*records->entries), by_time);
		for (size_t i = 0; i < limit / 2; i++)
			json_object_put(records->entries[i].record);
		memmove(records->entries, records->entries + limit / 2,
			(limit - limit / 2) * sizeof(*records->entries));
		records->count = limit - limit / 2;
	}
	records->entries[records->count++] = (struct entry){ wall_ms, records->added++, record };
	return true;
}

/* ------------------------------------------------------------------------------------------------------------- file */

static void take_line(struct records *records, const char *line, size_t len)
{
	struct json_object *record = text_parse(line, len), *stamp = text_member(record, "timestamp", NULL);
	int64_t wall_ms;

	if (json_object_is_type(stamp, json_type_string) &&
	    stamp_parse(json_object_get_string(stamp), (size_t)json_object_get_string_len(stamp), &wall_ms))
		add(records, wall_ms, record);
	else
		json_object_put(record);
}

/* 0, or -errno with words when there is a file that cannot be read. */
static int read_file(struct records *records, const char *dir, int dir_fd, const char *name, struct err *err)
{
	_cleanup_(fclosep) FILE *file = NULL;
	_cleanup_(freep) char *line = NULL;
	size_t size = 0;
	ssize_t len;
	int fd = guarded_open_at(dir_fd, name, AUDIT_FILE_MAX, err);

	if (fd < 0)
		return fd == -ENOENT ? 0 : err_context(err, "%s", dir);
	file = fdopen(fd, "r");
	if (!file) {
		close(fd);
		return err_set(err, -ENOMEM, "out of memory");
	}
	while ((len = getline(&line, &size, file)) > 0)
		if (line[len - 1] == '\n' && len <= LINE_BYTES_MAX)
			take_line(records, line, (size_t)len - 1);
	return 0;
}

/* Reads both files; a file that cannot be read does not stop the other. */
static int read_files(struct records *records, const char *dir, struct err *err)
{
	_cleanup_(closep) int dir_fd = guarded_open_dir(dir, err);
	struct err newer_err = { 0 };
	int older, newer;

	if (dir_fd < 0)
		return dir_fd == -ENOENT ? 0 : dir_fd;
	older = read_file(records, dir, dir_fd, AUDIT_FILE_OLD, err);
	newer = read_file(records, dir, dir_fd, AUDIT_FILE, &newer_err);
	if (newer)
		*err = newer_err;
	return newer ? newer : older;
}

/* ---------------------------------------------------------------------------------------------------------- journal */

/* A field of the present entry as a new string object; NULL when it is not there. */
static struct json_object *journal_field(sd_journal *journal, const char *name)
{
	const void *data;
	size_t len, skip = strlen(name) + 1;

	if (sd_journal_get_data(journal, name, &data, &len) < 0 || len < skip)
		return NULL;
	return json_object_new_string_len((const char *)data + skip, (int)(len - skip));
}

static struct json_object *as_number(struct json_object *text)
{
	struct json_object *number = text ? json_object_new_int64(json_object_get_int64(text)) : NULL;

	json_object_put(text);
	return number;
}

static struct json_object *as_bool(struct json_object *text)
{
	struct json_object *value =
		text ? json_object_new_boolean(strcmp(json_object_get_string(text), "true") == 0) : NULL;

	json_object_put(text);
	return value;
}

/* The same keys as in the file. */
static struct json_object *journal_record(sd_journal *journal, int64_t wall_ms)
{
	static const char *const texts[][2] = {
		{ "phase", "INFINISERVICE_PHASE" },   { "id", "INFINISERVICE_ID" },
		{ "action", "INFINISERVICE_ACTION" }, { "origin", "INFINISERVICE_ORIGIN" },
		{ "detail", "INFINISERVICE_DETAIL" }, { "error_code", "INFINISERVICE_ERROR_CODE" },
	};
	struct json_object *record = json_object_new_object(), *value;
	char timestamp[RFC3339_SIZE];

	if (!record)
		return NULL;
	rfc3339_format(wall_ms, timestamp);
	json_object_object_add(record, "type", json_object_new_string("audit"));
	json_object_object_add(record, "timestamp", json_object_new_string(timestamp));
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		json_object_object_add(record, texts[i][0], journal_field(journal, texts[i][1]));
	if ((value = as_bool(journal_field(journal, "INFINISERVICE_SUCCESS"))))
		json_object_object_add(record, "success", value);
	if ((value = as_number(journal_field(journal, "INFINISERVICE_EXIT_CODE"))))
		json_object_object_add(record, "exit_code", value);
	if ((value = as_number(journal_field(journal, "INFINISERVICE_DURATION_MS"))))
		json_object_object_add(record, "duration_ms", value);
	return record;
}

static void match_uid(sd_journal *journal, uid_t uid)
{
	char match[32];

	snprintf(match, sizeof(match), "_UID=%u", (unsigned)uid);
	sd_journal_add_match(journal, match, 0);
}

/*
 * Any process may write entries with these fields, so the writer is checked by the trusted fields of the journal
 * (systemd.journal-fields(7)).
 */
static void match_writers(sd_journal *journal)
{
	const struct passwd *service = getpwnam("infiniservice");

	match_uid(journal, 0);
	match_uid(journal, getuid());
	if (service)
		match_uid(journal, service->pw_uid);
}

static void seek_end(sd_journal *journal, int64_t end_ms)
{
	if (end_ms == INT64_MAX)
		sd_journal_seek_tail(journal);
	else
		sd_journal_seek_realtime_usec(journal, (uint64_t)end_ms * 1000);
}

static void read_journal(struct records *records)
{
	char match[256];
	sd_journal *journal;
	size_t found = 0;
	uint64_t wall_us;

	if (sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY) < 0)
		return; /* a machine without one */
	sd_journal_add_match(journal, "MESSAGE_ID=" AUDIT_MESSAGE_ID, 0);
	match_writers(journal);
	if (records->wanted->id &&
	    snprintf(match, sizeof(match), "INFINISERVICE_ID=%s", records->wanted->id) < (int)sizeof(match))
		sd_journal_add_match(journal, match, 0);
	seek_end(journal, records->wanted->end_ms);
	for (size_t looked = 0; found < records->wanted->lines && sd_journal_previous(journal) > 0; looked++) {
		int64_t wall_ms;

		if (looked == JOURNAL_ENTRIES_MAX) {
			cli_fail("the journal has more than %d records; --begin and --end narrow the span",
				 JOURNAL_ENTRIES_MAX);
			break;
		}
		if (sd_journal_get_realtime_usec(journal, &wall_us) < 0)
			continue;
		wall_ms = (int64_t)(wall_us / 1000);
		if (wall_ms < records->wanted->begin_ms)
			break;
		found += add(records, wall_ms, journal_record(journal, wall_ms));
	}
	sd_journal_close(journal);
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
	size_t first;

	qsort(records->entries, records->count, sizeof(*records->entries), by_time);
	first = records->count > wanted->lines ? records->count - wanted->lines : 0;
	for (size_t i = first; i < records->count; i++)
		print_record(wanted, &records->entries[i]);
}

static int run(const struct wanted *wanted, const char *dir)
{
	_cleanup_(records_free) struct records records = { .wanted = wanted,
							   .entries = calloc(2 * wanted->lines, sizeof(struct entry)) };
	struct err err = { 0 };
	int r;

	if (!records.entries)
		return cli_fail("out of memory");
	r = read_files(&records, dir, &err);
	read_journal(&records);
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
