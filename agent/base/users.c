/* SPDX-License-Identifier: MIT */
#include "agent/base/users.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "collectors/procfs.h"

/* Takes the text before the next colon or, for the last field, the rest of the line. */
static bool field(struct scan *line, bool last, struct user_text *out)
{
	struct scan part = *line;

	if (!last && !scan_until(line, ':', &part))
		return false;
	*out = (struct user_text){ .at = part.at, .len = scan_len(&part) };
	return true;
}

static bool number(struct scan *line, uint32_t *out)
{
	uint64_t value;

	if (!scan_digits(line, &value) || value > UINT32_MAX || !scan_byte(line, ':'))
		return false;
	*out = (uint32_t)value;
	return true;
}

/* name:password:uid:gid:comment:home:shell; the comment up to its first comma is the person's name. */
static bool parse_line(struct scan line, struct user *out)
{
	struct user_text password;
	const char *comma;

	if (!field(&line, false, &out->name) || out->name.len == 0 || !field(&line, false, &password) ||
	    !number(&line, &out->uid) || !number(&line, &out->gid) || !field(&line, false, &out->full_name) ||
	    !field(&line, false, &out->home) || !field(&line, true, &out->shell))
		return false;
	/* Entries for NIS ("+", "-user") are no users. */
	if (memchr("+-#", *out->name.at, 3))
		return false;
	comma = memchr(out->full_name.at, ',', out->full_name.len);
	if (comma)
		out->full_name.len = (size_t)(comma - out->full_name.at);
	return true;
}

bool users_next(const char **text, size_t *len, struct user *out)
{
	struct scan all = scan_text(*text, *len), line;
	bool found = false;

	while (!found && scan_line(&all, &line))
		found = parse_line(line, out);
	*text = all.at;
	*len = scan_len(&all);
	return found;
}

/* An empty shell field means /bin/sh. */
bool user_can_login(const struct user *user)
{
	static const char *const refusing[] = { "/nologin", "/false", "/sync", "/shutdown", "/halt" };
	const struct user_text *shell = &user->shell;

	for (size_t i = 0; i < ARRAY_SIZE(refusing); i++) {
		size_t len = strlen(refusing[i]);

		if (shell->len >= len && memcmp(shell->at + shell->len - len, refusing[i], len) == 0)
			return false;
	}
	return true;
}

void passwd_names_of(const char *path, uid_t uid, char out[][PASSWD_NAME_SIZE], size_t count)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	const struct passwd *user;
	size_t found = 0;

	memset(out, 0, count * sizeof(out[0]));
	while (file && found < count && (user = fgetpwent(file)))
		if (user->pw_uid == uid && strlen(user->pw_name) < PASSWD_NAME_SIZE)
			memcpy(out[found++], user->pw_name, strlen(user->pw_name) + 1);
}

int passwd_uid_of(const char *path, const char *name, uid_t *ret)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	const struct passwd *user;

	if (!file)
		return -errno;
	while ((user = fgetpwent(file))) {
		if (strcmp(user->pw_name, name) != 0)
			continue;
		*ret = user->pw_uid;
		return 0;
	}
	return -ENOENT;
}

int passwd_gid_of(const char *path, const char *name, gid_t *ret)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	const struct group *group;

	if (!file)
		return -errno;
	while ((group = fgetgrent(file))) {
		if (strcmp(group->gr_name, name) != 0)
			continue;
		*ret = group->gr_gid;
		return 0;
	}
	return -ENOENT;
}
