/* SPDX-License-Identifier: MIT */
#include "agent/packages/package.h"

#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#define CHUNK_SIZE 32768

/* Names of the guest's own architecture in dpkg, rpm and apk: that of this program. */
static const char *const own_architectures[] = {
#if defined(__x86_64__)
	"amd64",
	"x86_64",
#elif defined(__i386__)
	"i386", "i486", "i586", "i686", "x86",
#elif defined(__aarch64__)
	"arm64",
	"aarch64",
#elif defined(__arm__)
	"armhf", "armel", "armv7hl", "armv7hnl", "armv7l", "armv7", "armhfp",
#elif defined(__powerpc64__)
	"ppc64el",
	"ppc64le",
	"ppc64",
#elif defined(__s390x__)
	"s390x",
#elif defined(__riscv)
	"riscv64",
#endif
	NULL,
};

struct package_chunk {
	struct package_chunk *next;
	size_t used, size;
	char text[];
};

void package_list_done(struct package_list *list)
{
	while (list->chunks) {
		struct package_chunk *chunk = list->chunks;

		list->chunks = chunk->next;
		free(chunk);
	}
	free(list->rows);
	*list = (struct package_list){ .rows = NULL };
}

struct package *package_list_add(struct package_list *list)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 256;
		struct package *rows =
			list->count < PACKAGES_MAX ? reallocarray(list->rows, room, sizeof(*rows)) : NULL;

		if (!rows) {
			list->truncated = true;
			return NULL;
		}
		list->rows = rows;
		list->room = room;
	}
	list->rows[list->count] = (struct package){ .installed_kb = -1, .download_bytes = -1, .installed_s = -1 };
	return &list->rows[list->count++];
}

const char *package_list_text(struct package_list *list, const char *bytes, size_t len)
{
	struct package_chunk *chunk = list->chunks;
	char *copy;

	if (len == 0)
		return NULL;
	if (!chunk || chunk->size - chunk->used < len + 1) {
		size_t size = len + 1 > CHUNK_SIZE ? len + 1 : CHUNK_SIZE;

		chunk = malloc(sizeof(*chunk) + size);
		if (!chunk) {
			list->truncated = true;
			return NULL;
		}
		*chunk = (struct package_chunk){ .next = list->chunks, .size = size };
		list->chunks = chunk;
	}
	copy = chunk->text + chunk->used;
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	chunk->used += len + 1;
	return copy;
}

static int compare_texts(const char *a, const char *b)
{
	return !a || !b ? !!a - !!b : strcmp(a, b);
}

static int compare(const void *left, const void *right)
{
	const struct package *a = left, *b = right;
	int order = compare_texts(a->name, b->name);

	return order ? order : compare_texts(a->architecture, b->architecture);
}

void package_list_sort(struct package_list *list)
{
	if (list->count)
		qsort(list->rows, list->count, sizeof(*list->rows), compare);
}

/* The index of the first row whose name is not less than `name`. */
static size_t lower_bound(const struct package_list *list, const char *name)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_texts(list->rows[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct package *package_list_find(const struct package_list *list, const char *name, const char *architecture)
{
	for (size_t i = lower_bound(list, name); i < list->count && compare_texts(list->rows[i].name, name) == 0; i++)
		if (!architecture || compare_texts(list->rows[i].architecture, architecture) == 0)
			return &list->rows[i];
	return NULL;
}

/* ------------------------------------------------------------------------------------- across architectures */

static bool is_for_all(const struct package *row)
{
	return row->architecture && (strcmp(row->architecture, "all") == 0 || strcmp(row->architecture, "noarch") == 0);
}

static bool is_own(const struct package *row)
{
	for (const char *const *own = own_architectures; *own; own++)
		if (row->architecture && strcmp(row->architecture, *own) == 0)
			return true;
	return false;
}

/*
 * The row that represents a name in such a change: the one for all architectures, or else the one for the guest's own.
 */
static struct package *representative(const struct package_list *list, const char *name, bool for_all)
{
	struct package *found = NULL;

	for (size_t i = lower_bound(list, name); i < list->count && compare_texts(list->rows[i].name, name) == 0; i++)
		if (is_for_all(&list->rows[i]) == for_all && (!found || (!is_own(found) && is_own(&list->rows[i]))))
			found = &list->rows[i];
	return found;
}

struct package *package_list_counterpart(const struct package_list *list, const struct package_list *of,
					 const struct package *row)
{
	struct package *found = package_list_find(list, row->name, row->architecture);
	bool for_all = is_for_all(row);

	if (found || !row->name || representative(of, row->name, for_all) != row)
		return found;
	found = representative(list, row->name, !for_all);
	return found && !package_list_find(of, found->name, found->architecture) ? found : NULL;
}

void package_history_done(struct package_history *history)
{
	package_list_done(&history->texts);
	free(history->events);
	*history = (struct package_history){ .events = NULL };
}

struct package_event *package_history_add(struct package_history *history)
{
	if (history->count == history->room) {
		size_t room = history->room ? history->room * 2 : 64;
		struct package_event *events =
			history->count < PACKAGES_MAX ? reallocarray(history->events, room, sizeof(*events)) : NULL;

		if (!events)
			return NULL;
		history->events = events;
		history->room = room;
	}
	history->events[history->count] = (struct package_event){ .time_s = -1 };
	return &history->events[history->count++];
}

void package_history_reaches(struct package_history *history, int64_t time_s)
{
	if (time_s < 0 || (history->known && history->oldest_s <= time_s))
		return;
	history->known = true;
	history->oldest_s = time_s;
}

static bool alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool package_name_valid(const char *name)
{
	size_t len = strnlen(name, 129);

	if (len == 0 || len > 128 || !alphanumeric(name[0]) || name[len - 1] == '-')
		return false;
	for (size_t i = 1; i < len; i++)
		if (!alphanumeric(name[i]) && !memchr("+.:~_-", name[i], 6))
			return false;
	return true;
}

size_t package_words(const char *query, char *buffer, size_t size, const char *words[PACKAGE_WORDS_MAX])
{
	size_t count = 0, len = strnlen(query, size);
	char *save = NULL;

	if (len == size)
		return 0;
	memcpy(buffer, query, len + 1);
	for (char *word = strtok_r(buffer, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (count == PACKAGE_WORDS_MAX || !package_name_valid(word))
			return 0;
		words[count++] = word;
	}
	return count;
}
