/* SPDX-License-Identifier: MIT */
#include "tools/infinictl/records.h"

#include <errno.h>
#include <json-c/json.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <infiniservice/audit.h>
#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/log/guarded.h"
#include "agent/log/scan.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/text.h"

#define LINE_BYTES_MAX 65536

/* Most entries of the journal that are searched for wanted records. */
#define JOURNAL_ENTRIES_MAX 1000000

void records_free(struct records *records)
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

bool record_has_failed(struct json_object *record)
{
	return is_false(text_member(record, "success", NULL)) || !strcmp(text_string(record, "phase"), "refused");
}

bool record_is_own_look(struct json_object *record)
{
	return !strcmp(text_string(record, "action"), "Status") &&
	       !strncmp(text_string(record, "id"), "infinictl-", 10) &&
	       strcmp(text_string(record, "origin"), "host") != 0 && !record_has_failed(record);
}

static bool is_wanted(const struct records_wanted *wanted, int64_t wall_ms, struct json_object *record)
{
	return wall_ms >= wanted->begin_ms && wall_ms < wanted->end_ms && wanted->wants(wanted->data, record);
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
	if ((value = journal_field(journal, "INFINISERVICE_SEVERITY")))
		json_object_object_add(record, "severity", value);
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

int records_read(struct records *records, const char *state_dir, bool journal, struct err *err)
{
	int r;

	records->entries = calloc(2 * records->wanted->lines, sizeof(struct entry));
	if (!records->entries)
		return err_set(err, -ENOMEM, "out of memory");
	r = read_files(records, state_dir, err);
	if (journal)
		read_journal(records);
	qsort(records->entries, records->count, sizeof(*records->entries), by_time);
	return r;
}
