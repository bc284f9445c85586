/* SPDX-License-Identifier: MIT */
/* The names stay where they are in a copy of the text, each ended by a NUL in the place of its colon. */
#include "passwd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "procfs.h"

/* As many as UserList counts: beyond that the numbers stand for the names. */
#define PASSWD_TEXT_MAX	 (32U << 20)
#define PASSWD_USERS_MAX 524288U

/* name:password:uid:… */
static bool line_parse(struct scan line, struct scan *ret_name, uint64_t *ret_uid)
{
	struct scan password;

	return scan_until(&line, ':', ret_name) && scan_len(ret_name) > 0 && scan_until(&line, ':', &password) &&
	       scan_digits(&line, ret_uid) && *ret_uid <= UINT32_MAX && scan_byte(&line, ':');
}

static int compare_users(const void *a, const void *b)
{
	const struct passwd_user *left = a, *right = b;

	if (left->uid != right->uid)
		return left->uid < right->uid ? -1 : 1;
	return left->name < right->name ? -1 : left->name > right->name;
}

static size_t lines_count(const char *text, size_t len)
{
	struct scan all = scan_text(text, len), line;
	size_t count = 0;

	while (scan_line(&all, &line))
		count++;
	return count < PASSWD_USERS_MAX ? count : PASSWD_USERS_MAX;
}

int passwd_parse(struct passwd *passwd, const char *text, size_t len)
{
	size_t max = lines_count(text, len), count = 0;
	_cleanup_(freep) struct passwd_user *users = calloc(max + 1, sizeof(*users));
	_cleanup_(freep) char *copy = malloc(len + 1);
	struct scan all, line, name;
	uint64_t uid;

	if (!users || !copy)
		return -ENOMEM;
	memcpy(copy, text, len);
	copy[len] = '\0';
	all = scan_text(copy, len);
	while (count < max && scan_line(&all, &line)) {
		if (!line_parse(line, &name, &uid) || memchr(name.at, '\0', scan_len(&name)))
			continue;
		copy[name.end - copy] = '\0';
		users[count++] = (struct passwd_user){ .uid = (uint32_t)uid, .name = (uint32_t)(name.at - copy) };
	}
	qsort(users, count, sizeof(*users), compare_users);
	free(passwd->users);
	free(passwd->text);
	passwd->users = TAKE_PTR(users);
	passwd->text = TAKE_PTR(copy);
	passwd->count = count;
	return 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int passwd_refresh(struct passwd *passwd, int root_fd)
{
	_cleanup_(procfs_buffer_free) struct procfs_buffer buffer = { .max = PASSWD_TEXT_MAX };
	_cleanup_(procfs_close) struct procfs_file file = PROCFS_FILE;
	struct stat now;
	int r;

	if (fstatat(root_fd, "etc/passwd", &now, 0) < 0)
		return -errno;
	if (same_file(&now, &passwd->seen))
		return 0;
	r = procfs_read(&file, root_fd, "etc/passwd", &buffer);
	if (r < 0)
		return r;
	r = passwd_parse(passwd, buffer.text, buffer.len);
	if (r < 0)
		return r;
	passwd->seen = now;
	return 0;
}

const char *passwd_find(const struct passwd *passwd, uint32_t uid)
{
	size_t low = 0, high = passwd->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (passwd->users[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < passwd->count && passwd->users[low].uid == uid ? passwd->text + passwd->users[low].name : NULL;
}

void passwd_free(struct passwd *passwd)
{
	free(passwd->users);
	free(passwd->text);
	*passwd = (struct passwd){ 0 };
}
