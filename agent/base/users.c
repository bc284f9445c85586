/* SPDX-License-Identifier: MIT */
/* etc/passwd; see users.h. */
#include "agent/base/users.h"

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
	if (*out->name.at == '+' || *out->name.at == '-' || *out->name.at == '#')
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

static bool ends_with(const struct user_text *text, const char *end)
{
	size_t len = strlen(end);

	return text->len >= len && memcmp(text->at + text->len - len, end, len) == 0;
}

/* An empty shell field means /bin/sh. */
bool user_can_login(const struct user *user)
{
	return !ends_with(&user->shell, "/nologin") && !ends_with(&user->shell, "/false") &&
	       !ends_with(&user->shell, "/sync") && !ends_with(&user->shell, "/shutdown") &&
	       !ends_with(&user->shell, "/halt");
}
