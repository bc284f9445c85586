/* SPDX-License-Identifier: MIT */
/*
 * apt's configuration, as apt reads it (apt.conf(5)), as far as automatic updates go; see security.h. Names are of any
 * case, blocks in braces lead to the same names, #clear takes back what was set, and of all values the last counts.
 */
#include "agent/actions/security.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <infiniservice/cleanup.h>

#define NAME_MAX_LEN  256
#define STATEMENT_MAX 1024
#define DEPTH_MAX     32

struct parser {
	struct apt_periodic *settings;
	char names[NAME_MAX_LEN]; /* of the blocks that are open: "APT::Periodic::" */
	size_t ends[DEPTH_MAX];	  /* where the name of each ends */
	unsigned depth;
	char statement[STATEMENT_MAX]; /* so far, blanks as they are */
	size_t len;
	bool lost; /* it is longer than is kept: nothing that is looked at here */
};

enum interval { INTERVAL_NEVER, INTERVAL_SOME, INTERVAL_UNKNOWN };

static char *setting_of(struct apt_periodic *settings, const char *name, size_t *ret_size)
{
	static const char prefix[] = "APT::Periodic::";

	*ret_size = sizeof(settings->enable);
	if (strncasecmp(name, prefix, sizeof(prefix) - 1) != 0)
		return NULL;
	name += sizeof(prefix) - 1;
	if (strcasecmp(name, "Enable") == 0)
		return settings->enable;
	if (strcasecmp(name, "Unattended-Upgrade") == 0)
		return settings->upgrade;
	return strcasecmp(name, "Update-Package-Lists") == 0 ? settings->lists : NULL;
}

static void set(struct apt_periodic *settings, const char *name, const char *value)
{
	size_t size;
	char *to = setting_of(settings, name, &size);

	if (to)
		snprintf(to, size, "%s", value);
}

/* The name itself, and all below it. */
static void clear(struct apt_periodic *settings, const char *name)
{
	static const char *const all[] = { "APT::Periodic::Enable", "APT::Periodic::Unattended-Upgrade",
					   "APT::Periodic::Update-Package-Lists" };
	size_t len = strlen(name);

	if (len >= 2 && memcmp(name + len - 2, "::", 2) == 0)
		len -= 2;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (strncasecmp(all[i], name, len) == 0 && (!all[i][len] || strncmp(all[i] + len, "::", 2) == 0))
			set(settings, all[i], "");
}

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r' || byte == '\f' || byte == '\v';
}

/* The next word without its quotes; *at moves past it. False if there is none: "" is one. */
static bool cut_word(const char **at, char *word, size_t size)
{
	bool quoted = false, found;
	size_t len = 0;

	while (is_blank(**at))
		++*at;
	found = **at;
	for (; **at && (quoted || !is_blank(**at)); ++*at) {
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
	const char *at = parser->statement;

	parser->statement[parser->len] = '\0';
	if (!cut_word(&at, name, sizeof(name)) || !cut_word(&at, value, sizeof(value)))
		return;
	if (strcasecmp(name, "#clear") == 0) {
		clear(parser->settings, value);
	} else if (strcasecmp(name, "#include") == 0) {
		security_unread(&parser->settings->unread, "%.150s (not followed)", value);
	} else {
		snprintf(whole, sizeof(whole), "%s%s", parser->names, name);
		set(parser->settings, whole, value);
	}
}

static void open_block(struct parser *parser)
{
	char name[NAME_MAX_LEN], value[NAME_MAX_LEN];
	const char *at = parser->statement;
	size_t len = strlen(parser->names);
	bool room = false;

	parser->statement[parser->len] = '\0';
	cut_word(&at, name, sizeof(name));
	if (cut_word(&at, value, sizeof(value)))
		take_statement(parser);
	if (parser->depth < DEPTH_MAX)
		room = snprintf(parser->names + len, sizeof(parser->names) - len, "%s::", name) <
		       (int)(sizeof(parser->names) - len);
	if (!room) {
		parser->names[len] = '\0';
		security_unread(&parser->settings->unread, "%.100s (blocks too deep)", name);
		return;
	}
	parser->ends[parser->depth++] = len;
}

static void close_block(struct parser *parser)
{
	if (parser->depth)
		parser->names[parser->ends[--parser->depth]] = '\0';
}

/* The end of a statement: ';', '{' or '}'. */
static void end_statement(struct parser *parser, char byte)
{
	if (byte == '{')
		open_block(parser);
	else if (!parser->lost)
		take_statement(parser);
	if (byte == '}')
		close_block(parser);
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
	const char *to;

	if (begins(at, end, "/*")) {
		to = memmem(at + 2, (size_t)(end - at - 2), "*/", 2);
		return to ? to + 2 : end;
	}
	if (begins(at, end, "//") || (*at == '#' && !begins(at, end, "#clear") && !begins(at, end, "#include"))) {
		to = memchr(at, '\n', (size_t)(end - at));
		return to ? to : end;
	}
	return at;
}

void apt_periodic_parse(struct apt_periodic *settings, const char *text, size_t len)
{
	struct parser parser = { .settings = settings };
	const char *end = len ? text + len : text;
	bool quoted = false;

	for (const char *at = text; at < end; at++) {
		if (!quoted) {
			const char *behind = skip_comment(at, end);

			if (behind > at) {
				at = behind - 1;
				continue;
			}
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

/* A day or more, with a unit of time or none, or "always", see /usr/lib/apt/apt.systemd.daily. "0" is never. */
static enum interval interval_of(const char *value)
{
	size_t digits = strspn(value, "0123456789");

	if (!*value || strcmp(value, "0") == 0)
		return INTERVAL_NEVER;
	if (strcmp(value, "always") == 0)
		return INTERVAL_SOME;
	return digits && strspn(value, "0") < digits &&
			       (!value[digits] || (strchr("smhd", value[digits]) && !value[digits + 1]))
		       ? INTERVAL_SOME
		       : INTERVAL_UNKNOWN;
}

/* With 0 apt does nothing; the default is 1. */
static enum interval enabled(const char *value)
{
	size_t digits = strspn(value, "0123456789");

	if (!*value)
		return INTERVAL_SOME;
	if (!digits || value[digits])
		return INTERVAL_UNKNOWN;
	return strspn(value, "0") == digits ? INTERVAL_NEVER : INTERVAL_SOME;
}

static bool is_on(const char *name, const char *value, enum interval on, struct security_unread *unread)
{
	if (on == INTERVAL_UNKNOWN)
		security_unread(unread, "APT::Periodic::%s \"%.32s\", which is no number", name, value);
	return on == INTERVAL_SOME;
}

void apt_periodic_judge(struct security_facts *facts, const struct apt_periodic *settings)
{
	bool on;

	if (*settings->unread.what)
		security_unread(&facts->apt_unread, "%s", settings->unread.what);
	on = is_on("Enable", settings->enable, enabled(settings->enable), &facts->apt_unread);
	facts->upgrades_on =
		is_on("Unattended-Upgrade", settings->upgrade, interval_of(settings->upgrade), &facts->apt_unread) &&
		on;
	facts->lists_on =
		is_on("Update-Package-Lists", settings->lists, interval_of(settings->lists), &facts->apt_unread) && on;
}

/*
 * Of a name in apt.conf.d, apt's GetListOfFilesInDir: letters, digits, '_', '-', ':' and '.', and either no extension
 * or "conf".
 */
bool apt_reads_name(const char *name)
{
	const char *extension = strrchr(name, '.');

	for (const char *at = name; *at; at++)
		if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') ||
		      strchr("_-:.", *at)))
			return false;
	return *name && *name != '.' && (!extension || strcmp(extension, ".conf") == 0);
}
