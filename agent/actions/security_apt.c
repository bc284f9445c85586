/* SPDX-License-Identifier: MIT */
/*
 * apt's configuration, as apt reads it (apt.conf(5)), as far as automatic updates go; see security.h. Names are of any
 * case, blocks in braces lead to the same names, #clear takes back what was set, and of all values the last counts.
 */
#include "agent/actions/security.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_LEN  256
#define STATEMENT_MAX 1024
#define DEPTH_MAX     32

static const char *const setting_names[APT_SETTINGS] = {
	[APT_ENABLE] = "APT::Periodic::Enable",
	[APT_UPGRADE] = "APT::Periodic::Unattended-Upgrade",
	[APT_LISTS] = "APT::Periodic::Update-Package-Lists",
};

struct parser {
	struct apt_periodic *settings;
	char names[NAME_MAX_LEN]; /* of the blocks that are open: "APT::Periodic::" */
	size_t ends[DEPTH_MAX];	  /* where the name of each ends */
	unsigned depth;
	char statement[STATEMENT_MAX]; /* so far, blanks as they are */
	size_t len;
	bool lost; /* it is longer than is kept: nothing that is looked at here */
};

/* The next word without its quotes; *at moves past it. False if there is none: "" is one. */
static bool cut_word(const char **at, char *word, size_t size)
{
	bool quoted = false, found;
	size_t len = 0;

	*at += strspn(*at, " \t\n\r\f\v");
	found = **at;
	for (; **at && (quoted || !strchr(" \t\n\r\f\v", **at)); ++*at) {
		if (**at == '"')
			quoted = !quoted;
		else if (len + 1 < size)
			word[len++] = **at;
	}
	word[len] = '\0';
	return found;
}

/* "Name value": in a block below its name. */
static void take_statement(struct parser *parser)
{
	char name[NAME_MAX_LEN], value[NAME_MAX_LEN], whole[2 * NAME_MAX_LEN];
	struct apt_periodic *settings = parser->settings;
	const char *at = parser->statement;
	size_t len;

	if (!cut_word(&at, name, sizeof(name)) || !cut_word(&at, value, sizeof(value)))
		return;
	if (strcasecmp(name, "#include") == 0) {
		security_unread(settings->unread, "%.150s (not followed)", value);
		return;
	}
	if (strcasecmp(name, "#clear") == 0) { /* the name itself, and all below it */
		len = strlen(value);
		if (len >= 2 && memcmp(value + len - 2, "::", 2) == 0)
			len -= 2;
		for (int i = 0; i < APT_SETTINGS; i++)
			if (strncasecmp(setting_names[i], value, len) == 0 &&
			    (!setting_names[i][len] || strncmp(setting_names[i] + len, "::", 2) == 0))
				*settings->values[i] = '\0';
		return;
	}
	snprintf(whole, sizeof(whole), "%s%s", parser->names, name);
	for (int i = 0; i < APT_SETTINGS; i++)
		if (strcasecmp(setting_names[i], whole) == 0)
			snprintf(settings->values[i], sizeof(settings->values[i]), "%.32s", value);
}

/* The end of a statement: ';', '{' or '}'. */
static void end_statement(struct parser *parser, char byte)
{
	size_t len = strlen(parser->names), room = sizeof(parser->names) - len;
	char name[NAME_MAX_LEN], value[NAME_MAX_LEN];
	const char *at = parser->statement;

	parser->statement[parser->len] = '\0';
	if (byte == '{') {
		cut_word(&at, name, sizeof(name));
		if (cut_word(&at, value, sizeof(value)))
			take_statement(parser);
		if (parser->depth < DEPTH_MAX && snprintf(parser->names + len, room, "%s::", name) < (int)room) {
			parser->ends[parser->depth++] = len;
		} else {
			parser->names[len] = '\0';
			security_unread(parser->settings->unread, "%.100s (blocks too deep)", name);
		}
	} else if (!parser->lost) {
		take_statement(parser);
	}
	if (byte == '}' && parser->depth)
		parser->names[parser->ends[--parser->depth]] = '\0';
	parser->len = 0;
	parser->lost = false;
}

static bool begins(const char *at, const char *end, const char *word)
{
	size_t len = strlen(word);

	return (size_t)(end - at) >= len && strncasecmp(at, word, len) == 0;
}

/* Behind the comment that begins here, or `at`. */
static const char *skip_comment(const char *at, const char *end)
{
	const char *to = at;

	if (begins(at, end, "/*")) {
		to = memmem(at + 2, (size_t)(end - at - 2), "*/", 2);
		to = to ? to + 2 : end;
	} else if (begins(at, end, "//") ||
		   (*at == '#' && !begins(at, end, "#clear") && !begins(at, end, "#include"))) {
		to = memchr(at, '\n', (size_t)(end - at));
	}
	return to ? to : end;
}

void apt_periodic_parse(struct apt_periodic *settings, const char *text, size_t len)
{
	struct parser parser = { .settings = settings };
	const char *end = len ? text + len : text;
	bool quoted = false;

	for (const char *at = text; at < end; at++) {
		const char *behind = quoted ? at : skip_comment(at, end);

		if (behind > at) {
			at = behind - 1;
			continue;
		}
		/* A quote ends with its line at the latest. */
		quoted = *at != '\n' && quoted != (*at == '"');
		if (!quoted && *at && strchr(";{}", *at))
			end_statement(&parser, *at);
		else if (parser.len + 1 < sizeof(parser.statement))
			parser.statement[parser.len++] = *at;
		else
			parser.lost = true;
	}
}

/*
 * The meaning of a value, see /usr/lib/apt/apt.systemd.daily. Enable is a number: with 0 apt does nothing, and the
 * default is 1. The others are intervals: a day or more, with a unit of time or none, or "always"; "0" is never, and
 * so is the default.
 */
static bool is_on(const struct apt_periodic *settings, enum apt_setting setting, security_note unread)
{
	const char *value = settings->values[setting];
	size_t digits = strspn(value, "0123456789");
	bool zero = strspn(value, "0") == digits;

	if (!*value)
		return setting == APT_ENABLE;
	if (setting == APT_ENABLE) {
		if (digits && !value[digits])
			return !zero;
	} else if (strcmp(value, "0") == 0) {
		return false;
	} else if (strcmp(value, "always") == 0 ||
		   (!zero && (!value[digits] || (strchr("smhd", value[digits]) && !value[digits + 1])))) {
		return true;
	}
	security_unread(unread, "%s \"%.32s\", which is no number", setting_names[setting], value);
	return false;
}

void apt_periodic_judge(struct security_facts *facts, const struct apt_periodic *settings)
{
	bool on;

	if (*settings->unread)
		security_unread(facts->apt_unread, "%s", settings->unread);
	on = is_on(settings, APT_ENABLE, facts->apt_unread);
	facts->upgrades_on = is_on(settings, APT_UPGRADE, facts->apt_unread) && on;
	facts->lists_on = is_on(settings, APT_LISTS, facts->apt_unread) && on;
}

void security_take_apt(struct security_facts *facts, const char *text, size_t len, bool whole)
{
	struct apt_periodic settings = { .unread = "" };

	if (whole)
		*facts->apt_unread = '\0';
	facts->apt_asked = true;
	apt_periodic_parse(&settings, text, len);
	apt_periodic_judge(facts, &settings);
}

/*
 * Of a name in apt.conf.d, apt's GetListOfFilesInDir: letters, digits, '_', '-', ':' and '.', and either no extension
 * or "conf".
 */
bool apt_reads_name(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-:.";
	const char *extension = strrchr(name, '.');

	return *name && *name != '.' && !name[strspn(name, letters)] && (!extension || strcmp(extension, ".conf") == 0);
}
