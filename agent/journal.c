/* SPDX-License-Identifier: MIT */
/* The journal of accepted commands; see journal.h. Ids are any text, so they are written as %XX where they are not
 * plain. */
#include "agent/journal.h"

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
/* An id has at most 128 bytes (three characters each), an action 64. */
#define LINE_MAX_BYTES 640
/* scanf takes a minus sign and makes a huge number of it; ours never come near. */
#define SERIAL_MAX 1000000000000000000U
#define FILE_MAX_BYTES (16u << 20)

/* ------------------------------------------------------------------------------------------------------------ lines */

static bool is_plain(unsigned char c)
{
	return isalnum(c) || strchr("-_.:+", c);
}

static size_t put_escaped(char *out, size_t size, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
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
	return *text ? size : at;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In place; false for what put_escaped does not write. */
static bool unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (*text == '%') {
			int high = hex_value(text[1]), low = high < 0 ? -1 : hex_value(text[2]);

			if (low < 0 || high * 16 + low == 0)
				return false;
			*to++ = (char)(high * 16 + low);
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

	if (put_escaped(action, sizeof(action), entry->action) == sizeof(action) ||
	    put_escaped(id, sizeof(id), entry->id) == sizeof(id))
		return -ENOBUFS;
	len = snprintf(out, size, "+ %" PRIu64 " %c %s %s\n", entry->serial, (char)entry->kind, action, id);
	return len < (int)size ? len : -ENOBUFS;
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

int journal_parse(const char *line, size_t len, struct journal_entry **ret, uint64_t *ret_serial)
{
	char text[LINE_MAX_BYTES + 1], action[LINE_MAX_BYTES + 1], id[LINE_MAX_BYTES + 1], kind;
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
	used = 0;
	if (sscanf(text, "+ %19" SCNu64 " %c %s %s%n", &serial, &kind, action, id, &used) != 4 || used != (int)len ||
	    serial == 0 || serial > SERIAL_MAX || (kind != JOURNAL_COMMAND && kind != JOURNAL_SCRIPT) || !unescape(action) || !unescape(id))
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
	free(entry);
	journal->open_count--;
	return true;
}

static void clear(struct journal_entry **list)
{
	while (*list) {
		struct journal_entry *entry = *list;

		*list = entry->next;
		free(entry);
	}
}

/* ------------------------------------------------------------------------------------------------------------- file */

/* False when the line did not get in whole: then the journal is not to be trusted any more, and is kept no longer. */
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

static void write_list(struct journal *journal, const struct journal_entry *entry)
{
	char line[LINE_MAX_BYTES + 64];

	for (; entry; entry = entry->next) {
		int len = journal_format(entry, line, sizeof(line));

		if (len > 0)
			append(journal, line, (size_t)len);
	}
}

/* A new file with the open entries alone takes the place of the old one by rename. */
static int rewrite(struct journal *journal)
{
	int fd = openat(journal->dir_fd, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
			0600);

	if (fd < 0)
		return -errno;
	close_fd(&journal->fd);
	journal->fd = fd;
	journal->bytes = 0;
	write_list(journal, journal->lost);
	write_list(journal, journal->open);
	journal->base_bytes = journal->bytes;
	if (journal->fd >= 0 && renameat(journal->dir_fd, TEMPORARY, journal->dir_fd, JOURNAL_NAME) == 0)
		return 0;
	close_fd(&journal->fd);
	return -EIO;
}

static void take_line(struct journal *journal, struct journal_entry ***end, const char *line, size_t len)
{
	struct journal_entry *entry;
	uint64_t serial;

	switch (journal_parse(line, len, &entry, &serial)) {
	case 1:
		**end = entry;
		*end = &entry->next;
		journal->open_count++;
		if (entry->serial >= journal->next_serial)
			journal->next_serial = entry->serial + 1;
		break;
	case 2:
		drop(journal, &journal->lost, serial);
		for (*end = &journal->lost; **end;)
			*end = &(**end)->next;
		break;
	default:
		break;
	}
}

static int read_old(struct journal *journal)
{
	_cleanup_(closep) int fd =
		openat(journal->dir_fd, JOURNAL_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct journal_entry **end = &journal->lost;
	_cleanup_(freep) char *text = NULL;
	const char *at, *newline;
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
	at = text;
	for (; len > 0 && (newline = memchr(at, '\n', (size_t)len)) && journal->open_count < JOURNAL_OPEN_MAX;
	     at = newline + 1) {
		take_line(journal, &end, at, (size_t)(newline - at));
		len -= newline + 1 - at;
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
	clear(&journal->open);
	clear(&journal->lost);
	journal->open_count = 0;
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
		free(entry);
		journal->unrecorded++;
		return 0;
	}
	entry->next = journal->open;
	journal->open = entry;
	journal->open_count++;
	return journal->next_serial++;
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
