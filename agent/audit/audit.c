/* SPDX-License-Identifier: MIT */
/*
 * Audit records: redaction, encoding and delivery; see audit.h. The child's socket is the bounded queue: a datagram
 * that does not fit is counted and dropped, so that a frozen disk costs records and never blocks the loop. The child
 * needs no stopping: it exits at end of file.
 */
#include "agent/audit/audit.h"

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "agent/base/helper.h"
#include "transport/json_write.h"

#define HIDDEN	      "***"
#define DEPTH_MAX     8
#define RESTART_NS    (10 * NS_PER_S)
#define FINISH_TRIES  10
#define FINISH_TRY_MS 100

const char *audit_phase_name(enum audit_phase phase)
{
	static const char *const names[] = { "started", "program", "finished", "refused", "event" };

	return names[phase];
}

/* ------------------------------------------------------------------------------------------------------- redaction */

static bool names_secret(const char *name, size_t len)
{
	static const char *const words[] = {
		"passw",   "passphrase", "pwd",	       "secret",      "token",	    "apikey",
		"api_key", "api-key",	 "access_key", "private_key", "credential", "authorization",
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		for (size_t word = strlen(words[i]), at = 0; at + word <= len; at++)
			if (strncasecmp(name + at, words[i], word) == 0)
				return true;
	return false;
}

struct copier {
	char *at, *end;
};

static void put(struct copier *out, const char *bytes, size_t len)
{
	size_t room = (size_t)(out->end - out->at);

	if (len > room)
		len = room;
	memcpy(out->at, bytes, len);
	out->at += len;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* The quote that ends a text in quotes, or the end of all. '\'' and \" are quotes in the text, as for a shell. */
static const char *find_quote(const char *at, char quote)
{
	for (; *at; at++) {
		if (quote == '"' && *at == '\\' && at[1])
			at++;
		else if (quote == '\'' && strncmp(at, "'\\''", 4) == 0)
			at += 3;
		else if (*at == quote)
			break;
	}
	return at;
}

/*
 * The end of the value that begins at `at`: a quoted value ends at its quote, another at a blank or a shell separator.
 * `before` is the byte before its option: an option in quotes, '--password=a b', has its value up to its last quote.
 */
static const char *skip_value(const char *at, char before)
{
	if (before == '"' || before == '\'')
		return find_quote(at, before);
	if (*at != '"' && *at != '\'')
		return at + strcspn(at, " \t\n;|&,\"'");
	at = find_quote(at + 1, *at);
	return *at ? at + 1 : at;
}

/* Copies a name; if it names a secret, its value is redacted. *at moves past what was copied or redacted. */
static void redact_word(struct copier *out, const char **at, char before)
{
	static const char *const schemes[] = { "bearer ", "basic ", "token " };
	const char *name = *at, *value;

	while (is_name(**at))
		++*at;
	value = *at;
	if (!names_secret(name, (size_t)(value - name))) {
		put(out, name, (size_t)(value - name));
		return;
	}
	value += *value == '"' || *value == '\'';
	value += strspn(value, " \t");
	if (*value == '=' || *value == ':') {
		value += 1 + strspn(value + 1, " \t");
		for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
			if (strncasecmp(value, schemes[i], strlen(schemes[i])) == 0) {
				value += strlen(schemes[i]);
				break;
			}
	} else if (*name != '-' || value == *at || *value == '-' || !*value) {
		/* `--password X` has a value, `--password --verbose` has none. */
		put(out, name, (size_t)(*at - name));
		return;
	}
	put(out, name, (size_t)(value - name));
	*at = value;
	/* `password= --password X`: an option follows, not a value, and its own value is redacted. */
	if (*value == '-' && names_secret(value, strcspn(value, " \t\n=:")))
		return;
	put(out, HIDDEN, strlen(HIDDEN));
	*at = skip_value(value, *name == '-' ? before : ' ');
}

/* Redacts the password in "://user:password@". True when there was one. */
static bool redact_url(struct copier *out, const char **at)
{
	const char *host = *at + 3, *sign = host + strcspn(host, "@/ \t\n\"'"),
		   *colon = memchr(host, ':', (size_t)(sign - host));

	if (*sign != '@' || !colon)
		return false;
	put(out, *at, (size_t)(colon + 1 - *at));
	put(out, HIDDEN, strlen(HIDDEN));
	*at = sign;
	return true;
}

void audit_redact_text(const char *text, char *out, size_t size)
{
	struct copier copier = { out, out + size - 1 };
	bool mysql = strstr(text, "mysql") || strstr(text, "mariadb");

	if (strstr(text, "chpasswd")) { /* its input consists of passwords, in no recognizable form */
		snprintf(out, size, "%s", HIDDEN " (chpasswd)");
		return;
	}
	for (const char *at = text; *at && copier.at < copier.end;) {
		char before = at == text ? ' ' : at[-1];
		bool begins = !is_name(before);

		if (begins && mysql && strncmp(at, "-p", 2) == 0 && at[2] && !isspace((unsigned char)at[2])) {
			put(&copier, "-p" HIDDEN, strlen("-p" HIDDEN));
			at = skip_value(at + 2, before);
		} else if (begins && is_name(*at)) {
			redact_word(&copier, &at, before);
		} else if (strncmp(at, "://", 3) != 0 || !redact_url(&copier, &at)) {
			put(&copier, at++, 1);
		}
	}
	*copier.at = '\0';
}

/* Adds quotes where a shell would not read the word as one word with these characters. */
static void put_word(struct copier *out, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";

	if (*word && !word[strspn(word, plain)]) {
		put(out, word, strlen(word));
		return;
	}
	put(out, "'", 1);
	for (; *word; word++)
		if (*word == '\'')
			put(out, "'\\''", 4);
		else
			put(out, word, 1);
	put(out, "'", 1);
}

void audit_redact_argv(const char *const argv[], char *out, size_t size)
{
	char text[4 * AUDIT_DETAIL_MAX];
	struct copier copier = { text, text + sizeof(text) - 1 };

	for (size_t i = 0; argv[i] && copier.at < copier.end; i++) {
		if (i)
			put(&copier, " ", 1);
		put_word(&copier, argv[i]);
	}
	*copier.at = '\0';
	audit_redact_text(text, out, size);
	if (strlen(out) + 1 == size)
		memcpy(out + size - 4, "...", 4);
}

static void write_redacted(struct sink *sink, const char *key, struct json_object *value, unsigned depth)
{
	if (depth > DEPTH_MAX) {
		sink_null(sink, key);
	} else if (json_object_is_type(value, json_type_object)) {
		sink_object_begin(sink, key);
		json_object_object_foreach(value, name, member)
		{
			if (names_secret(name, strlen(name)))
				sink_str(sink, name, HIDDEN);
			else
				write_redacted(sink, name, member, depth + 1);
		}
		sink_object_end(sink);
	} else if (json_object_is_type(value, json_type_array)) {
		sink_array_begin(sink, key);
		for (size_t i = 0; i < json_object_array_length(value); i++)
			write_redacted(sink, NULL, json_object_array_get_idx(value, i), depth + 1);
		sink_array_end(sink);
	} else {
		json_write_object(sink, key, value);
	}
}

void audit_redact_object(struct json_object *object, char *out, size_t size)
{
	struct json_writer writer;
	size_t len;

	json_writer_init(&writer, out, size);
	write_redacted(&writer.sink, NULL, object, 0);
	if (json_writer_finish(&writer, NULL, &len) < 0)
		snprintf(out, size, "(too large to be recorded)");
	else
		out[len - 1] = '\0';
}

/* -------------------------------------------------------------------------------------------------------- encodings */

int audit_record_json(const struct audit_record *record, int64_t wall_ms, char *out, size_t size)
{
	struct json_writer writer;
	struct sink *sink = &writer.sink;
	char timestamp[RFC3339_SIZE];
	size_t len;

	json_writer_init(&writer, out, size);
	rfc3339_format(wall_ms, timestamp);
	sink_object_begin(sink, NULL);
	sink_str(sink, "type", "audit");
	sink_str(sink, "timestamp", timestamp);
	sink_str(sink, "phase", audit_phase_name(record->phase));
	sink_str(sink, "id", record->id);
	sink_str(sink, "action", record->action);
	sink_str(sink, "origin", record->origin);
	sink_str(sink, "detail", record->detail);
	if (record->phase == AUDIT_FINISHED)
		sink_bool(sink, "success", record->success);
	if (record->phase == AUDIT_FINISHED || record->phase == AUDIT_REFUSED)
		sink_str(sink, "error_code", record->error_code);
	if (record->severity)
		sink_str(sink, "severity", record->severity);
	if (record->has_exit_code)
		sink_int(sink, "exit_code", record->exit_code);
	if (record->phase == AUDIT_FINISHED)
		sink_uint(sink, "duration_ms", record->duration_ms);
	if (record->count)
		sink_uint(sink, "count", record->count);
	sink_object_end(sink);
	return json_writer_finish(&writer, NULL, &len) < 0 ? -ENOBUFS : (int)len;
}

/* A value with a newline in it is preceded by its length, as 64 bits little-endian. */
static void put_field(struct copier *out, const char *name, const char *value)
{
	size_t len = strlen(value);
	uint64_t size = htole64(len);

	put(out, name, strlen(name));
	if (strchr(value, '\n')) {
		put(out, "\n", 1);
		put(out, (const char *)&size, sizeof(size));
	} else {
		put(out, "=", 1);
	}
	put(out, value, len);
	put(out, "\n", 1);
}

static void put_number(struct copier *out, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	put_field(out, name, text);
}

int audit_record_journal(const struct audit_record *record, char *out, size_t size)
{
	struct copier copier = { out, out + size };
	const char *phase = audit_phase_name(record->phase), *error = record->error_code ? record->error_code : "",
		   *colon = record->error_code ? ": " : "";
	char text[512];
	int len = record->phase == AUDIT_EVENT
			  ? snprintf(text, sizeof(text), "event of %s: %s", record->action, record->detail)
			  : snprintf(text, sizeof(text), "command %s: %s from %s ", record->id, record->action,
				     record->origin);

	if (len >= (int)sizeof(text) || record->phase == AUDIT_EVENT)
		;
	else if (record->phase == AUDIT_FINISHED)
		snprintf(text + len, sizeof(text) - len, "%s after %" PRIu64 " ms%s%s",
			 record->success ? "succeeded" : "failed", record->duration_ms, colon, error);
	else if (record->phase == AUDIT_PROGRAM)
		snprintf(text + len, sizeof(text) - len, "runs %s", record->detail);
	else
		snprintf(text + len, sizeof(text) - len, "%s%s%s", phase, colon, error);
	put_field(&copier, "MESSAGE", text);
	put_field(&copier, "PRIORITY", record->phase == AUDIT_REFUSED ? "4" : "5");
	put_field(&copier, "SYSLOG_IDENTIFIER", "infiniservice");
	put_field(&copier, "MESSAGE_ID", AUDIT_MESSAGE_ID);
	put_field(&copier, "INFINISERVICE_PHASE", phase);
	put_field(&copier, "INFINISERVICE_ID", record->id);
	put_field(&copier, "INFINISERVICE_ACTION", record->action);
	put_field(&copier, "INFINISERVICE_ORIGIN", record->origin);
	if (record->detail)
		put_field(&copier, "INFINISERVICE_DETAIL", record->detail);
	if (record->phase == AUDIT_FINISHED)
		put_field(&copier, "INFINISERVICE_SUCCESS", record->success ? "true" : "false");
	if (record->error_code)
		put_field(&copier, "INFINISERVICE_ERROR_CODE", error);
	if (record->severity)
		put_field(&copier, "INFINISERVICE_SEVERITY", record->severity);
	if (record->has_exit_code)
		put_number(&copier, "INFINISERVICE_EXIT_CODE", record->exit_code);
	if (record->phase == AUDIT_FINISHED)
		put_number(&copier, "INFINISERVICE_DURATION_MS", (int64_t)record->duration_ms);
	if (record->count)
		put_number(&copier, "INFINISERVICE_COUNT", (int64_t)record->count);
	return copier.at == copier.end ? -ENOBUFS : (int)(copier.at - out);
}

/* --------------------------------------------------------------------------------------------------------- delivery */

static int open_file(int dir_fd)
{
	struct stat st;
	int fd = openat(dir_fd, AUDIT_FILE, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);

	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The file is opened for each record: log rotation may have moved it away. */
static int writer_main(int fd, void *data)
{
	_cleanup_(closep) int dir_fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char bytes[AUDIT_RECORD_MAX];

	for (;;) {
		ssize_t len = recv(fd, bytes, sizeof(bytes), 0);
		struct stat st;
		int file;

		if (len < 0 && errno == EINTR)
			continue;
		if (len <= 0)
			return len < 0;
		file = open_file(dir_fd);
		if (file >= 0 && fstat(file, &st) == 0 && st.st_size >= (off_t)AUDIT_FILE_BYTES &&
		    renameat(dir_fd, AUDIT_FILE, dir_fd, AUDIT_FILE_OLD) == 0) {
			close_fd(&file);
			file = open_file(dir_fd);
		}
		if (file < 0 || write(file, bytes, (size_t)len) != len)
			fprintf(stderr, "<4>an audit record could not be written: %s\n", strerror(errno));
		closep(&file);
	}
}

static bool send_to_writer(struct audit *audit, uint64_t now_ns, const char *bytes, size_t len)
{
	pid_t pid;

	if (audit->writer_fd < 0) {
		if (now_ns < audit->next_try_ns)
			return false;
		audit->next_try_ns = now_ns + RESTART_NS;
		if (helper_fork("infini-audit", writer_main, audit->dir, SOCK_SEQPACKET, &audit->writer_fd, &pid) < 0)
			return false;
	}
	if (send(audit->writer_fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len)
		return true;
	if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
		close_fd(&audit->writer_fd);
	return false;
}

/* A pending record. */
struct audit_kept {
	struct audit_kept *next;
	size_t len;
	char bytes[];
};

static bool keep(struct audit *audit, const char *bytes, size_t len)
{
	struct audit_kept *kept = audit->kept_bytes + len <= AUDIT_KEPT_BYTES ? malloc(sizeof(*kept) + len) : NULL;

	if (!kept)
		return false;
	kept->next = NULL;
	kept->len = len;
	memcpy(kept->bytes, bytes, len);
	*audit->kept_end = kept;
	audit->kept_end = &kept->next;
	audit->kept_bytes += len;
	return true;
}

static void drop_kept(struct audit *audit)
{
	struct audit_kept *kept = audit->kept;

	audit->kept = kept->next;
	if (!audit->kept)
		audit->kept_end = &audit->kept;
	audit->kept_bytes -= kept->len;
	free(kept);
}

bool audit_retry(struct audit *audit, const struct moment *now)
{
	while (audit->kept && send_to_writer(audit, now->mono_ns, audit->kept->bytes, audit->kept->len)) {
		audit->recorded++;
		drop_kept(audit);
	}
	return audit->kept != NULL;
}

void audit_init(struct audit *audit, const char *state_dir, const char *journal_path)
{
	const char *journal = journal_path ? journal_path : AUDIT_JOURNAL_SOCKET;

	*audit = (struct audit){ .writer_fd = -1, .journal_fd = -1, .journal.sun_family = AF_UNIX };
	audit->kept_end = &audit->kept;
	snprintf(audit->dir, sizeof(audit->dir), "%s", state_dir);
	if (strlen(journal) >= sizeof(audit->journal.sun_path))
		return;
	strcpy(audit->journal.sun_path, journal);
	audit->journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/*
 * Pending records are sent at the end, when the loop runs no more and waiting is allowed; the wait is bounded, in case
 * the disk is frozen.
 */
void audit_done(struct audit *audit)
{
	struct moment now = moment_now();

	if (!audit->kept_end) /* zeroed memory */
		return;
	audit_count(audit, &now);
	for (unsigned i = 0; i < FINISH_TRIES && audit_retry(audit, &now) && audit->writer_fd >= 0; i++) {
		struct pollfd writer = { .fd = audit->writer_fd, .events = POLLOUT };

		poll(&writer, 1, FINISH_TRY_MS);
		now = moment_now();
	}
	while (audit->kept) {
		audit->lost++;
		drop_kept(audit);
	}
	close_fd(&audit->journal_fd);
	close_fd(&audit->writer_fd);
}

/* Records for the writer are sent in their order: none before those that are pending. */
void audit_put(struct audit *audit, const struct moment *now, const struct audit_record *record)
{
	char bytes[AUDIT_RECORD_MAX];
	int len = audit->journal_fd < 0 ? -1 : audit_record_journal(record, bytes, sizeof(bytes));

	if (len >= 0 && sendto(audit->journal_fd, bytes, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL,
			       (const struct sockaddr *)&audit->journal, sizeof(audit->journal)) == len) {
		audit->recorded++;
		return;
	}
	len = audit_record_json(record, now->wall_ms, bytes, sizeof(bytes));
	if (len >= 0 && !audit_retry(audit, now) && send_to_writer(audit, now->mono_ns, bytes, (size_t)len))
		audit->recorded++;
	else if (len < 0 || !record->changes || !keep(audit, bytes, (size_t)len))
		audit->lost++;
}

bool audit_takes_read(struct audit *audit, const struct moment *now, enum audit_source source)
{
	if (token_bucket_take(&audit->reads[source], AUDIT_READS_PER_S, now->mono_ns))
		return true;
	audit->reads_left_out++;
	return false;
}

bool audit_takes_refusal(struct audit *audit, const struct moment *now, enum audit_source source)
{
	if (token_bucket_take(&audit->refusals[source], AUDIT_REFUSALS_PER_S, now->mono_ns))
		return true;
	audit->uncounted[source]++;
	audit->refusals_left_out++;
	return false;
}

bool audit_takes_event(struct audit *audit, const struct moment *now)
{
	if (token_bucket_take(&audit->events, AUDIT_EVENTS_PER_S, now->mono_ns))
		return true;
	audit->lost++;
	return false;
}

bool audit_owes_count(const struct audit *audit)
{
	for (unsigned source = 0; source < AUDIT_SOURCES; source++)
		if (audit->uncounted[source])
			return true;
	return false;
}

void audit_count(struct audit *audit, const struct moment *now)
{
	static const char *const origins[AUDIT_SOURCES] = { "host", "uid 0", "users" };

	for (unsigned source = 0; source < AUDIT_SOURCES; source++) {
		char detail[64];
		struct audit_record record = { .phase = AUDIT_REFUSED,
					       .id = "-",
					       .action = "(several)",
					       .origin = origins[source],
					       .detail = detail,
					       .count = audit->uncounted[source],
					       .changes = true };

		if (!record.count)
			continue;
		snprintf(detail, sizeof(detail), "%u more were refused", audit->uncounted[source]);
		audit->uncounted[source] = 0;
		audit_put(audit, now, &record);
	}
}

void audit_report(const struct audit *audit, struct sink *out)
{
	sink_uint(out, "recorded", audit->recorded);
	sink_uint(out, "lost", audit->lost);
	sink_uint(out, "reads_left_out", audit->reads_left_out);
	sink_uint(out, "refusals_left_out", audit->refusals_left_out);
}
