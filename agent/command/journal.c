/* SPDX-License-Identifier: MIT */
/*
 * The journal of accepted commands; see journal.h. Ids are any text, so they are written as %XX where they are not
 * plain.
 */
#include "agent/command/journal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define TEMPORARY "." JOURNAL_NAME ".new"
/* An id has at most 128 bytes, an action 64, recorded parameters JOURNAL_REQUEST_MAX; three characters each. */
#define LINE_MAX_BYTES 4096
#define WORD_MAX_BYTES 640 /* of the widths below */
/* scanf makes a huge number of one with a minus sign; real serials never get near it. */
#define SERIAL_MAX     1000000000000000000U
#define FILE_MAX_BYTES (16u << 20)

/* ------------------------------------------------------------------------------------------------------------ lines */

static bool is_plain(unsigned char c)
{
	return isalnum(c) || strchr("-_.:+", c);
}

static const char hex[] = "0123456789ABCDEF";

/* False when the text does not fit. */
static bool escape(char *out, size_t size, const char *text)
{
	size_t at = 0;

	for (; *text && at + 4 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (is_plain(c)) {
			out[at++] = (char)c;
			continue;
		}
		out[at++] = '%';
		out[at++] = hex[c >> 4];
		out[at++] = hex[c & 15];
	}
	out[at] = '\0';
	return !*text;
}

/* Decodes in place; false for text that escape does not write. */
static bool unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (*text == '%') {
			const char *high = text[1] ? strchr(hex, text[1]) : NULL;
			const char *low = high && text[2] ? strchr(hex, text[2]) : NULL;

			if (!low || (high == hex && low == hex))
				return false;
			*to++ = (char)((high - hex) * 16 + (low - hex));
			text += 2;
		} else if (is_plain((unsigned char)*text)) {
			*to++ = *text;
		} else {
			return false;
		}
	}
	*to = '\0';
	return true;
}

int journal_format(const struct journal_entry *entry, char *out, size_t size)
{
	char action[256], id[512];
	int len;

	if (!escape(action, sizeof(action), entry->action) || !escape(id, sizeof(id), entry->id))
		return -ENOBUFS;
	len = snprintf(out, size, "+ %" PRIu64 " %c %s %s\n", entry->serial, (char)entry->kind, action, id);
	return len < (int)size ? len : -ENOBUFS;
}

int journal_format_run(uint64_t serial, const struct journal_run *run, char *out, size_t size)
{
	char request[LINE_MAX_BYTES] = "-", step[4 * JOURNAL_STEP_SIZE] = "-";
	int len;

	if ((run->request && !escape(request, sizeof(request), run->request)) ||
	    (*run->step && !escape(step, sizeof(step), run->step)))
		return -ENOBUFS;
	len = snprintf(out, size, "k %" PRIu64 " %s %s %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", serial,
		       run->unit, run->boot_id, step, run->received_ns, run->term_ns, run->deadline_ns, run->max_output,
		       request);
	return len < (int)size && len <= LINE_MAX_BYTES ? len : -ENOBUFS;
}

/* Its request is behind the copy, in the same allocation. */
static struct journal_run *run_copy(const struct journal_run *run)
{
	size_t size = run->request ? strlen(run->request) + 1 : 0;
	struct journal_run *copy = malloc(sizeof(*copy) + size);

	if (!copy)
		return NULL;
	*copy = *run;
	if (size)
		copy->request = memcpy(copy + 1, run->request, size);
	return copy;
}

void journal_entry_free(struct journal_entry *entry)
{
	if (entry)
		free(entry->run);
	free(entry);
}

static struct journal_entry *entry_new(uint64_t serial, enum journal_kind kind, const char *action, const char *id)
{
	size_t action_size = strlen(action) + 1, id_size = strlen(id) + 1;
	struct journal_entry *entry = calloc(1, sizeof(*entry) + action_size + id_size);

	if (!entry)
		return NULL;
	entry->serial = serial;
	entry->kind = kind;
	entry->action = (char *)(entry + 1);
	entry->id = entry->action + action_size;
	memcpy(entry->action, action, action_size);
	memcpy(entry->id, id, id_size);
	return entry;
}

static int parse_run(const char *text, size_t len, struct journal_entry **ret)
{
	char unit[RUNNER_UNIT_SIZE], boot[BOOT_ID_SIZE], step[4 * JOURNAL_STEP_SIZE], request[LINE_MAX_BYTES + 1];
	struct journal_run run = { .unit = "" };
	struct journal_entry *entry;
	uint64_t serial;
	int used = 0;

	if (sscanf(text, "k %19" SCNu64 " %33s %32s %95s %20" SCNu64 " %20" SCNu64 " %20" SCNu64 " %19" SCNu64 " %s%n",
		   &serial, unit, boot, step, &run.received_ns, &run.term_ns, &run.deadline_ns, &run.max_output,
		   request, &used) != 9 ||
	    used != (int)len || serial == 0 || serial > SERIAL_MAX || !runner_unit_valid(unit) ||
	    boot[strspn(boot, "0123456789abcdef-")] || run.deadline_ns < run.term_ns || run.term_ns < run.received_ns)
		return -EBADMSG;
	if ((strcmp(step, "-") != 0 && !unescape(step)) || strlen(step) >= JOURNAL_STEP_SIZE ||
	    (strcmp(request, "-") != 0 && !unescape(request)))
		return -EBADMSG;
	strcpy(run.unit, unit);
	strcpy(run.boot_id, boot);
	strcpy(run.step, strcmp(step, "-") == 0 ? "" : step);
	run.request = strcmp(request, "-") == 0 ? NULL : request;
	entry = entry_new(serial, JOURNAL_COMMAND, "", "");
	if (entry)
		entry->run = run_copy(&run);
	if (!entry || !entry->run) {
		free(entry);
		return -ENOMEM;
	}
	*ret = entry;
	return 3;
}

int journal_parse(const char *line, size_t len, struct journal_entry **ret, uint64_t *ret_serial)
{
	char text[LINE_MAX_BYTES + 1], action[WORD_MAX_BYTES + 1], id[WORD_MAX_BYTES + 1], kind;
	uint64_t serial;
	int used = 0;

	if (len > LINE_MAX_BYTES || memchr(line, '\0', len))
		return -EBADMSG;
	memcpy(text, line, len);
	text[len] = '\0';
	if (sscanf(text, "- %19" SCNu64 "%n", &serial, &used) == 1 && used == (int)len && serial <= SERIAL_MAX) {
		*ret_serial = serial;
		return 2;
	}
	if (*text == 'k')
		return parse_run(text, len, ret);
	used = 0;
	if (sscanf(text, "+ %19" SCNu64 " %c %640s %640s%n", &serial, &kind, action, id, &used) != 4 ||
	    used != (int)len || serial == 0 || serial > SERIAL_MAX ||
	    (kind != JOURNAL_COMMAND && kind != JOURNAL_SCRIPT) || !unescape(action) || !unescape(id))
		return -EBADMSG;
	*ret = entry_new(serial, (enum journal_kind)kind, action, id);
	return *ret ? 1 : -ENOMEM;
}

/* ------------------------------------------------------------------------------------------------------------ lists */

static struct journal_entry **find(struct journal_entry **list, uint64_t serial)
{
	while (*list && (*list)->serial != serial)
		list = &(*list)->next;
	return list;
}

static bool drop(struct journal *journal, struct journal_entry **list, uint64_t serial)
{
	struct journal_entry **at = find(list, serial), *entry = *at;

	if (!entry)
		return false;
	*at = entry->next;
	journal_entry_free(entry);
	journal->open_count--;
	return true;
}

/* ------------------------------------------------------------------------------------------------------------- file */

/*
 * False when the line was not written whole: then the file cannot be trusted, and the journal goes on without a file.
 */
static bool append(struct journal *journal, const char *line, size_t len)
{
	if (journal->fd < 0)
		return false;
	if (write(journal->fd, line, len) == (ssize_t)len) {
		journal->bytes += len;
		return true;
	}
	close_fd(&journal->fd);
	return false;
}

static void append_run(struct journal *journal, const struct journal_entry *entry)
{
	char line[LINE_MAX_BYTES + 64];
	int len = entry->run ? journal_format_run(entry->serial, entry->run, line, sizeof(line)) : 0;

	if (len > 0)
		append(journal, line, (size_t)len);
}

/* Writes a new file with the open entries alone and renames it over the old one. */
static int rewrite(struct journal *journal)
{
	const struct journal_entry *const lists[] = { journal->lost, journal->open };
	char line[LINE_MAX_BYTES + 64];
	int fd;

	/* A file that another process left by this name is never written to. */
	unlinkat(journal->dir_fd, TEMPORARY, 0);
	fd = openat(journal->dir_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	close_fd(&journal->fd);
	journal->fd = fd;
	journal->bytes = 0;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		for (const struct journal_entry *entry = lists[i]; entry; entry = entry->next) {
			int len = journal_format(entry, line, sizeof(line));

			if (len > 0)
				append(journal, line, (size_t)len);
			append_run(journal, entry);
		}
	}
	journal->base_bytes = journal->bytes;
	if (journal->fd >= 0 && renameat(journal->dir_fd, TEMPORARY, journal->dir_fd, JOURNAL_NAME) == 0)
		return 0;
	close_fd(&journal->fd);
	return -EIO;
}

static int read_old(struct journal *journal)
{
	_cleanup_(closep) int fd =
		openat(journal->dir_fd, JOURNAL_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct journal_entry **end = &journal->lost, **at, *entry;
	_cleanup_(freep) char *text = NULL;
	const char *line, *newline;
	uint64_t serial;
	struct stat st;
	ssize_t len;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0) ||
	    st.st_size > FILE_MAX_BYTES)
		return -EPERM;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	len = read(fd, text, (size_t)st.st_size);
	for (line = text;
	     len > 0 && (newline = memchr(line, '\n', (size_t)len)) && journal->open_count < JOURNAL_OPEN_MAX;
	     len -= newline + 1 - line, line = newline + 1) {
		switch (journal_parse(line, (size_t)(newline - line), &entry, &serial)) {
		case 1:
			*end = entry;
			end = &entry->next;
			journal->open_count++;
			if (entry->serial >= journal->next_serial)
				journal->next_serial = entry->serial + 1;
			break;
		case 2:
			drop(journal, &journal->lost, serial);
			for (end = &journal->lost; *end;)
				end = &(*end)->next;
			break;
		case 3:
			/* The run is of the entry of its serial, if that is still open. */
			at = find(&journal->lost, entry->serial);
			if (*at) {
				free((*at)->run);
				(*at)->run = TAKE_PTR(entry->run);
			}
			journal_entry_free(entry);
			break;
		}
	}
	return 0;
}

int journal_open(struct journal *journal, const char *dir)
{
	int r;

	*journal = (struct journal){ .fd = -1, .next_serial = 1 };
	journal->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (journal->dir_fd < 0)
		return -errno;
	r = read_old(journal);
	return r < 0 ? r : rewrite(journal);
}

void journal_close(struct journal *journal)
{
	if (journal->next_serial == 0)
		return;
	while (journal->open)
		drop(journal, &journal->open, journal->open->serial);
	while (journal->lost)
		drop(journal, &journal->lost, journal->lost->serial);
	close_fd(&journal->fd);
	close_fd(&journal->dir_fd);
}

uint64_t journal_accepted(struct journal *journal, enum journal_kind kind, const char *action, const char *id)
{
	char line[LINE_MAX_BYTES + 64];
	struct journal_entry *entry = NULL;
	int len = -1;

	if (journal->fd >= 0 && journal->open_count < JOURNAL_OPEN_MAX)
		entry = entry_new(journal->next_serial, kind, action, id);
	if (entry)
		len = journal_format(entry, line, sizeof(line));
	if (len < 0 || !append(journal, line, (size_t)len)) {
		journal_entry_free(entry);
		journal->unrecorded++;
		return 0;
	}
	entry->next = journal->open;
	journal->open = entry;
	journal->open_count++;
	return journal->next_serial++;
}

void journal_detach(struct journal *journal, uint64_t serial, const struct journal_run *run)
{
	struct journal_entry *entry = serial ? *find(&journal->open, serial) : NULL;
	struct journal_run *copy = entry ? run_copy(run) : NULL;

	if (!copy)
		return;
	free(entry->run);
	entry->run = copy;
	append_run(journal, entry);
}

void journal_adopt(struct journal *journal, uint64_t serial)
{
	struct journal_entry **at = find(&journal->lost, serial), *entry = *at;

	if (!entry)
		return;
	*at = entry->next;
	entry->next = journal->open;
	journal->open = entry;
}

void journal_answered(struct journal *journal, uint64_t serial)
{
	char line[40];

	if (serial == 0 || (!drop(journal, &journal->open, serial) && !drop(journal, &journal->lost, serial)))
		return;
	append(journal, line, (size_t)snprintf(line, sizeof(line), "- %" PRIu64 "\n", serial));
	if (journal->fd >= 0 && journal->bytes > journal->base_bytes + JOURNAL_SLACK_BYTES)
		rewrite(journal);
}
