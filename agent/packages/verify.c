/* SPDX-License-Identifier: MIT */
#include "agent/packages/verify.h"

#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/packages/lines.h"

static void skip_blanks(struct piece *text)
{
	while (text->len && (*text->at == ' ' || *text->at == '\t')) {
		text->at++;
		text->len--;
	}
}

/* "/etc/ssl/private/key (Permission denied)": dpkg says so of what it may not look at. */
static bool cut_reason(struct piece *path)
{
	static const char reason[] = " (Permission denied)";

	if (path->len <= sizeof(reason) - 1 ||
	    memcmp(path->at + path->len - (sizeof(reason) - 1), reason, sizeof(reason) - 1) != 0)
		return false;
	path->len -= sizeof(reason) - 1;
	return true;
}

/*
 * ??5?????? c /etc/debuginfod/elfutils.urls        (dpkg: "c" for a configuration file)
 * S.5....T.  c /etc/ssh/sshd_config                (rpm: also d, g, l, m, n, r)
 * missing     /usr/lib/node_modules/npm/.npmrc
 */
bool verify_next(const char **text, size_t *len, struct verify_line *ret)
{
	struct piece rest = { *text, *len }, line, flags;

	while (line_cut(&rest, &line)) {
		*text = rest.at;
		*len = rest.len;
		if (!word_cut(&line, &flags) || (flags.len != 9 && !piece_is(flags, "missing")))
			continue;
		skip_blanks(&line);
		ret->mark = ' ';
		if (line.len > 2 && line.at[1] == ' ') {
			ret->mark = *line.at;
			line.at++;
			line.len--;
			skip_blanks(&line);
		}
		if (line.len == 0 || *line.at != '/')
			continue;
		ret->unreadable = cut_reason(&line);
		ret->config = ret->mark == 'c';
		ret->flags = flags.at;
		ret->flags_len = flags.len;
		ret->path = line.at;
		ret->path_len = line.len;
		ret->missing = flags.len == 7;
		return true;
	}
	return false;
}

const char *verify_kind_name(enum verify_kind kind)
{
	static const char *const names[VERIFY_KINDS] = {
		[VERIFY_DAMAGE] = "damage",	    [VERIFY_CONFIG] = "config",
		[VERIFY_EXCLUDED] = "excluded",	    [VERIFY_DOCUMENTATION] = "documentation",
		[VERIFY_GHOST] = "ghost",	    [VERIFY_TIME] = "time",
		[VERIFY_UNREADABLE] = "unreadable",
	};

	return names[kind];
}

/* dpkg reads only such names below dpkg.cfg.d, as run-parts(8) does: no backups of editors. */
static bool is_read(struct piece file)
{
	const char *slash = file.len ? memrchr(file.at, '/', file.len) : NULL;
	struct piece name = { slash ? slash + 1 : file.at,
			      slash ? file.len - (size_t)(slash + 1 - file.at) : file.len };

	if (!piece_has(file, "dpkg.cfg.d/"))
		return true;
	for (size_t i = 0; i < name.len; i++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", name.at[i]))
			return false;
	return name.len > 0;
}

/* "path-exclude=GLOB", "path-exclude GLOB", and the glob perhaps in quotes. */
static bool rule_cut(struct piece line, bool *ret_exclude, struct piece *ret_glob)
{
	*ret_exclude = piece_starts(line, "path-exclude");
	if (!*ret_exclude && !piece_starts(line, "path-include"))
		return false;
	line.at += sizeof("path-exclude") - 1;
	line.len -= sizeof("path-exclude") - 1;
	while (line.len && (*line.at == ' ' || *line.at == '\t' || *line.at == '=')) {
		line.at++;
		line.len--;
	}
	while (line.len && (line.at[line.len - 1] == ' ' || line.at[line.len - 1] == '\t'))
		line.len--;
	if (line.len >= 2 && (*line.at == '"' || *line.at == '\'') && line.at[line.len - 1] == *line.at) {
		line.at++;
		line.len -= 2;
	}
	*ret_glob = line;
	return line.len > 0;
}

static bool is_excluded(const struct verify_line *file, const char *rules, size_t len)
{
	struct piece all = { rules, len }, line, from, glob;
	char path[PATH_MAX], pattern[PATH_MAX];
	bool excluded = false, exclude;

	if ((size_t)snprintf(path, sizeof(path), "%.*s", (int)(file->path_len < PATH_MAX ? file->path_len : PATH_MAX),
			     file->path) >= sizeof(path))
		return false;
	while (line_cut(&all, &line)) {
		if (!piece_cut(&line, ':', &from) || !is_read(from))
			continue;
		skip_blanks(&line);
		if (!rule_cut(line, &exclude, &glob) || glob.len >= sizeof(pattern))
			continue;
		memcpy(pattern, glob.at, glob.len);
		pattern[glob.len] = '\0';
		if (fnmatch(pattern, path, 0) == 0)
			excluded = exclude;
	}
	return excluded;
}

/* Nothing of it differs but the time. */
static bool is_of_another_time(const struct verify_line *line)
{
	bool other = memchr(line->flags, 'T', line->flags_len) != NULL;

	for (size_t i = 0; i < line->flags_len; i++)
		other = other && (line->flags[i] == '.' || line->flags[i] == 'T');
	return other;
}

enum verify_kind verify_judge(const struct verify_line *line, const char *rules, size_t len)
{
	if (line->unreadable)
		return VERIFY_UNREADABLE;
	if (line->config)
		return VERIFY_CONFIG;
	if (line->mark == 'g' || (line->missing && line->mark == 'm'))
		return VERIFY_GHOST;
	if (line->missing && is_excluded(line, rules, len))
		return VERIFY_EXCLUDED;
	if (line->missing && (line->mark == 'd' || line->mark == 'l' || line->mark == 'r'))
		return VERIFY_DOCUMENTATION;
	if (!line->missing && is_of_another_time(line))
		return VERIFY_TIME;
	return VERIFY_DAMAGE;
}
