/* SPDX-License-Identifier: MIT */
#include "owned.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#define TABLE_MAX    (16U << 20)
#define STATE_FIELD  6 /* Num: RefCount Protocol Flags Type St Inode Path; St as in enum socket_state of linux/net.h */
#define PATH_FIELD   8
#define SS_CONNECTED "03"

static uint64_t hash(const char *bytes, size_t len)
{
	uint64_t value = 0xCBF29CE484222325ULL;

	for (size_t i = 0; i < len; i++)
		value = (value ^ (unsigned char)bytes[i]) * 0x100000001B3ULL;
	return value;
}

/* The path of a connection's accepted end; 0 bytes: the line is none. */
static size_t path_of_line(const char *line, size_t len, const char **ret)
{
	size_t at = 0;

	for (unsigned field = 1; field < PATH_FIELD; field++) {
		const char *space = memchr(line + at, ' ', len - at);

		if (!space)
			return 0;
		if (field == STATE_FIELD &&
		    ((size_t)(space - line) - at != 2 || memcmp(line + at, SS_CONNECTED, 2) != 0))
			return 0;
		at = (size_t)(space - line) + 1;
		while (at < len && line[at] == ' ')
			at++;
	}
	*ret = line + at;
	return len - at;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int owned_parse(struct owned *owned, const char *text, size_t len)
{
	owned->count = 0;
	for (size_t at = 0; at < len;) {
		const char *newline = memchr(text + at, '\n', len - at), *path;
		size_t line = newline ? (size_t)(newline - text) - at : len - at;
		size_t path_len = path_of_line(text + at, line, &path);

		at += line + 1;
		if (path_len == 0)
			continue;
		if (owned->count == owned->size) {
			size_t size = owned->size ? 2 * owned->size : 256;
			uint64_t *hashes = reallocarray(owned->hashes, size, sizeof(*hashes));

			if (!hashes)
				return -ENOMEM;
			owned->hashes = hashes;
			owned->size = size;
		}
		owned->hashes[owned->count++] = hash(path, path_len);
	}
	if (owned->count > 0)
		qsort(owned->hashes, owned->count, sizeof(*owned->hashes), compare);
	return 0;
}

bool owned_has(const struct owned *owned, const char *path)
{
	uint64_t wanted = hash(path, strlen(path));

	return owned->count > 0 &&
	       bsearch(&wanted, owned->hashes, owned->count, sizeof(*owned->hashes), compare) != NULL;
}

static int read_table(struct owned *owned)
{
	_cleanup_(closep) int fd = open("/proc/net/unix", O_RDONLY | O_CLOEXEC);
	_cleanup_(freep) char *text = NULL;
	size_t len = 0, size = 0;
	ssize_t n = 1;

	while (fd >= 0 && n > 0 && len < TABLE_MAX) {
		if (size - len < 65536) {
			char *more = realloc(text, size + 262144);

			if (!more)
				return -ENOMEM;
			text = more;
			size += 262144;
		}
		n = read(fd, text + len, size - len);
		len += n > 0 ? (size_t)n : 0;
	}
	return fd < 0 || n < 0 ? -errno : owned_parse(owned, text, len);
}

bool owned_look(struct owned *owned, const char *path, uint64_t since_ns, uint64_t now_ns)
{
	if (owned->read_ns == 0 || now_ns - owned->read_ns > NS_PER_S || owned->read_ns <= since_ns) {
		owned->read_ns = now_ns;
		if (read_table(owned) < 0)
			owned->count = 0;
	}
	return owned_has(owned, path);
}

void owned_free(struct owned *owned)
{
	free(owned->hashes);
	*owned = (struct owned){ 0 };
}
