/* SPDX-License-Identifier: MIT */
#include "attr.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include <infiniservice/cleanup.h>

#include "procfs.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

int attr_text(int dir_fd, const char *path, char *out, size_t size)
{
	char text[ATTR_TEXT_MAX];
	ssize_t n = procfs_read_once(dir_fd, path, text, sizeof(text));
	struct scan rest = scan_text(text, n > 0 ? (size_t)n : 0), line;
	size_t len;

	out[0] = '\0';
	if (n < 0)
		return (int)n;
	if (!scan_line(&rest, &line))
		return -ENODATA;
	while (line.at < line.end && blank(*line.at))
		line.at++;
	len = strnlen(line.at, scan_len(&line));
	if (len >= size)
		len = size - 1;
	while (len > 0 && blank(line.at[len - 1]))
		len--;
	memcpy(out, line.at, len);
	out[len] = '\0';
	return len > 0 ? 0 : -ENODATA;
}

int attr_u64(int dir_fd, const char *path, uint64_t *ret)
{
	char text[ATTR_TEXT_MAX];
	int r = attr_text(dir_fd, path, text, sizeof(text));
	struct scan line = scan_text(text, strlen(text));

	*ret = ATTR_ABSENT;
	if (r < 0 && r != -ENODATA)
		return r;
	if (!scan_u64(&line, ret) || scan_len(&line) > 0 || *ret == ATTR_ABSENT) {
		*ret = ATTR_ABSENT;
		return -EBADMSG;
	}
	return 0;
}

int attr_i64(int dir_fd, const char *path, int64_t *ret)
{
	char text[ATTR_TEXT_MAX];
	int r = attr_text(dir_fd, path, text, sizeof(text));
	struct scan line = scan_text(text, strlen(text));
	int64_t value;

	if (r < 0 && r != -ENODATA)
		return r;
	if (!scan_i64(&line, &value) || scan_len(&line) > 0)
		return -EBADMSG;
	*ret = value;
	return 0;
}

/* The number between prefix and suffix: no more than six digits. */
static bool number_of(const char *name, const char *prefix, const char *suffix, unsigned *ret)
{
	struct scan rest = scan_text(name, strlen(name));
	uint64_t number;

	if (!scan_key(&rest, prefix) || !scan_digits(&rest, &number) || number > 999999 || !scan_equals(&rest, suffix))
		return false;
	*ret = (unsigned)number;
	return true;
}

int attr_numbers(int dir_fd, const char *path, const char *prefix, const char *suffix, unsigned *out, unsigned max)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), total = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	unsigned count = 0;

	if (!dir) {
		int error = -errno;

		close_fd(&fd);
		return error;
	}
	while ((entry = readdir(dir))) {
		unsigned number, at;

		if (!number_of(entry->d_name, prefix, suffix, &number))
			continue;
		total++;
		if (count == max && (max == 0 || number > out[count - 1]))
			continue;
		count += count < max;
		for (at = count - 1; at > 0 && out[at - 1] > number; at--)
			out[at] = out[at - 1];
		out[at] = number;
	}
	closedir(dir);
	return total;
}

const char *attr_reason(int error)
{
	switch (error) {
	case 0:
		return NULL;
	case -ENOENT:
	case -EOPNOTSUPP:
	case -ENODEV:
	case -ENOSYS:
		return "unsupported";
	case -EACCES:
	case -EPERM:
		return "denied";
	case -EBADMSG:
	case -ENODATA:
		return "invalid";
	default:
		return "unreadable";
	}
}
