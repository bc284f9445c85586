/* SPDX-License-Identifier: MIT */
#include "agent/packages/verify.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/packages/lines.h"

/*
 * ??5?????? c /etc/debuginfod/elfutils.urls        (dpkg: "c" for a configuration file)
 * S.5....T.  c /etc/ssh/sshd_config                (rpm: also d, g, l, m, n, r)
 * missing     /usr/lib/node_modules/npm/.npmrc
 */
bool verify_next(const char **text, size_t *len, struct verify_line *ret)
{
	static const char reason[] = " (Permission denied)";
	struct piece rest = { *text, *len }, line, flags;

	while (line_cut(&rest, &line)) {
		*text = rest.at;
		*len = rest.len;
		if (!word_cut(&line, &flags) || (flags.len != 9 && !piece_is(flags, "missing")))
			continue;
		blanks_skip(&line);
		ret->mark = ' ';
		if (line.len > 2 && line.at[1] == ' ') {
			ret->mark = *line.at;
			piece_skip(&line, 1);
			blanks_skip(&line);
		}
		if (line.len == 0 || *line.at != '/')
			continue;
		/* "/etc/ssl/private/key (Permission denied)", as dpkg prints it for unreadable files */
		ret->unreadable = line.len > sizeof(reason) - 1 &&
				  memcmp(line.at + line.len - (sizeof(reason) - 1), reason, sizeof(reason) - 1) == 0;
		if (ret->unreadable)
			line.len -= sizeof(reason) - 1;
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

/* dpkg reads only such names below dpkg.cfg.d, as run-parts(8) does: no editor backups. */
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

/* Parses "path-exclude=GLOB" or "path-exclude GLOB", the glob possibly in quotes. */
static bool rule_cut(struct piece line, bool *ret_exclude, struct piece *ret_glob)
{
	*ret_exclude = piece_starts(line, "path-exclude");
	if (!*ret_exclude && !piece_starts(line, "path-include"))
		return false;
	piece_skip(&line, sizeof("path-exclude") - 1);
	while (line.len && (*line.at == ' ' || *line.at == '\t' || *line.at == '='))
		piece_skip(&line, 1);
	while (line.len && (line.at[line.len - 1] == ' ' || line.at[line.len - 1] == '\t'))
		line.len--;
	if (line.len >= 2 && (*line.at == '"' || *line.at == '\'') && line.at[line.len - 1] == *line.at) {
		piece_skip(&line, 1);
		line.len--;
	}
	*ret_glob = line;
	return line.len > 0;
}

int verify_rules_read(const char *text, size_t len, struct verify_rules *ret)
{
	struct piece all = { text, len }, line, from, glob;
	struct verify_rules rules = { .texts = malloc(len + 1) };
	char *at = rules.texts;
	bool exclude;

	if (!at)
		return -ENOMEM;
	while (line_cut(&all, &line)) {
		if (!piece_cut(&line, ':', &from) || !is_read(from))
			continue;
		blanks_skip(&line);
		if (!rule_cut(line, &exclude, &glob))
			continue;
		if (rules.count == VERIFY_RULES_MAX) {
			rules.truncated = true;
			break;
		}
		memcpy(at, glob.at, glob.len);
		at[glob.len] = '\0';
		rules.rules[rules.count++] =
			(struct verify_rule){ .exclude = exclude, .glob = at, .literal = strcspn(at, "*?[\\") };
		at += glob.len + 1;
	}
	*ret = rules;
	return 0;
}

void verify_rules_done(struct verify_rules *rules)
{
	free(rules->texts);
	*rules = (struct verify_rules){ .count = 0 };
}

/* The last matching rule wins. The literal beginning is compared first, which excludes most rules. */
static bool is_excluded(const struct verify_line *file, const struct verify_rules *rules)
{
	char path[PATH_MAX];

	if (rules->count == 0 || file->path_len >= sizeof(path))
		return false;
	memcpy(path, file->path, file->path_len);
	path[file->path_len] = '\0';
	for (size_t i = rules->count; i-- > 0;) {
		const struct verify_rule *rule = &rules->rules[i];

		if (strncmp(rule->glob, path, rule->literal) == 0 && fnmatch(rule->glob, path, 0) == 0)
			return rule->exclude;
	}
	return false;
}

enum verify_kind verify_judge(const struct verify_line *line, const struct verify_rules *rules)
{
	bool time;

	if (line->unreadable)
		return VERIFY_UNREADABLE;
	if (line->config)
		return VERIFY_CONFIG;
	if (line->mark == 'g' || (line->missing && line->mark == 'm'))
		return VERIFY_GHOST;
	if (line->missing && is_excluded(line, rules))
		return VERIFY_EXCLUDED;
	if (line->missing && (line->mark == 'd' || line->mark == 'l' || line->mark == 'r'))
		return VERIFY_DOCUMENTATION;
	if (line->missing)
		return VERIFY_DAMAGE;
	/* Whether only the modification time differs. */
	time = memchr(line->flags, 'T', line->flags_len) != NULL;
	for (size_t i = 0; i < line->flags_len; i++)
		time = time && (line->flags[i] == '.' || line->flags[i] == 'T');
	return time ? VERIFY_TIME : VERIFY_DAMAGE;
}
