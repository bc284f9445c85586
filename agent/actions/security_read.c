/* SPDX-License-Identifier: MIT */
/*
 * Parsers of the files behind the security checks; see security.h. Which files, and what could not be read:
 * security_files.c.
 */
#include "agent/actions/security.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <infiniservice/cleanup.h>

#include "collectors/procfs.h"

/* The next line without its comment ('#') and without leading blanks. */
static bool next_line(struct scan *text, struct scan *line)
{
	const char *hash;

	if (!scan_line(text, line))
		return false;
	hash = memchr(line->at, '#', scan_len(line));
	if (hash)
		line->end = hash;
	scan_blanks(line);
	return true;
}

static void copy_word(char *to, size_t size, const struct scan *word)
{
	size_t len = scan_len(word) < size ? scan_len(word) : size - 1;

	memcpy(to, word->at, len);
	to[len] = '\0';
}

/*
 * ------------------------------------------------------------------------------------------------------------ parsers
 */

/*
 * What may be quoted by either quote, in whole or in part; before a quote, a backslash and a blank a backslash takes
 * their meaning away; a
 * '#' that begins an argument begins a comment: argv_split() of OpenSSH. 1, 0 at the end of the line, -1: a quote that
 * does not end.
 */
static int sshd_argument(struct scan *line, char *argument, size_t size)
{
	char quote = '\0';
	size_t len = 0;

	scan_blanks(line);
	if (line->at == line->end || *line->at == '#')
		return 0;
	for (; line->at < line->end && (quote || (*line->at != ' ' && *line->at != '\t')); line->at++) {
		char byte = *line->at, next = line->at + 1 < line->end ? line->at[1] : '\0';

		if (quote ? byte == quote : byte == '"' || byte == '\'') {
			quote = quote ? '\0' : byte;
			continue;
		}
		if (byte == '\\' && next && (strchr("\"'\\", next) || (!quote && next == ' ')))
			byte = *++line->at;
		if (len + 1 < size)
			argument[len++] = byte;
	}
	argument[len] = '\0';
	return quote ? -1 : 1;
}

/* The keyword, which a blank, a '=' or both part from its arguments. False: the line has none. */
static bool sshd_keyword(struct scan *line, char *key, size_t size)
{
	struct scan word;

	while (line->end > line->at && strchr(" \t\r\f", line->end[-1]))
		line->end--;
	scan_blanks(line);
	word = *line;
	while (line->at < line->end && !strchr(" \t=\"", *line->at))
		line->at++;
	word.end = line->at;
	if (scan_len(&word) == 0 || *word.at == '#')
		return false;
	copy_word(key, size, &word);
	scan_blanks(line);
	scan_byte(line, '=');
	return true;
}

static void sshd_set(struct sshd_settings *settings, const char *key, const char *value)
{
	const struct {
		const char *key;
		char *to;
	} wanted[] = {
		{ "PermitRootLogin", settings->permit_root_login },
		{ "PasswordAuthentication", settings->password_authentication },
		{ "PermitEmptyPasswords", settings->permit_empty_passwords },
		{ "X11Forwarding", settings->x11_forwarding },
		{ "KbdInteractiveAuthentication", settings->kbd_interactive },
		{ "ChallengeResponseAuthentication", settings->kbd_interactive },
		{ "UsePAM", settings->use_pam },
	};

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (strcasecmp(wanted[i].key, key) == 0 && !*wanted[i].to)
			snprintf(wanted[i].to, sizeof(settings->permit_root_login), "%.31s", value);
}

/* True if the setting permits passwords to the users of its Match block. */
static bool lets_in(const char *key, const char *value)
{
	static const char *const keys[] = { "PasswordAuthentication", "KbdInteractiveAuthentication",
					    "ChallengeResponseAuthentication", "PermitEmptyPasswords" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcasecmp(keys[i], key) == 0)
			return strcasecmp(value, "yes") == 0;
	return false;
}

void sshd_settings_parse(struct sshd_settings *settings, const char *text, size_t len,
			 void (*include)(void *data, const char *pattern), void *data)
{
	struct scan all = scan_text(text, len), line;
	char key[64], value[512];

	while (scan_line(&all, &line)) {
		if (!sshd_keyword(&line, key, sizeof(key)))
			continue;
		if (sshd_argument(&line, value, sizeof(value)) <= 0) {
			settings->malformed = true;
			continue;
		}
		if (strcasecmp(key, "Match") == 0) {
			settings->in_match = strcasecmp(value, "all") != 0;
			settings->match_blocks += settings->in_match;
		} else if (strcasecmp(key, "Include") == 0) {
			int more = 1;

			for (; include && more > 0; more = sshd_argument(&line, value, sizeof(value)))
				include(data, value);
			settings->malformed = settings->malformed || more < 0;
		} else if (settings->in_match) {
			settings->match_passwords = settings->match_passwords || lets_in(key, value);
		} else {
			sshd_set(settings, key, value);
		}
	}
}

/* A boolean as dnf reads it, libdnf's OptionBool. */
static bool dnf_bool(const char *value, bool *ret)
{
	static const char *const words[][2] = { { "0", "1" }, { "no", "yes" }, { "false", "true" }, { "off", "on" } };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		for (int on = 0; on < 2; on++)
			if (strcasecmp(words[i][on], value) == 0) {
				*ret = on;
				return true;
			}
	return false;
}

bool dnf_applies_parse(const char *text, size_t len, bool *ret)
{
	struct scan all = scan_text(text, len), line;
	bool commands = false, known = true;

	*ret = false;
	while (scan_line(&all, &line)) {
		char value[16];

		while (line.end > line.at && strchr(" \t\r", line.end[-1]))
			line.end--;
		if (line.at < line.end && *line.at == '[')
			commands = scan_equals(&line, "[commands]");
		if (!commands || !scan_key(&line, "apply_updates"))
			continue;
		scan_blanks(&line);
		if (!scan_byte(&line, '='))
			continue;
		scan_blanks(&line);
		copy_word(value, sizeof(value), &line);
		known = dnf_bool(value, ret);
	}
	return known;
}

static bool is_name_byte(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
	       byte == '_' || byte == '-' || byte == '.';
}

/* The word itself, not a part of another, and not in quotes. */
static bool has_word(const struct scan *line, const char *word)
{
	size_t len = strlen(word);
	bool quoted = false;

	for (const char *at = line->at; at < line->end; at++) {
		quoted = quoted != (*at == '"');
		if (!quoted && (size_t)(line->end - at) >= len && memcmp(at, word, len) == 0 &&
		    (at == line->at || !is_name_byte(at[-1])) && (at + len == line->end || !is_name_byte(at[len])))
			return true;
	}
	return false;
}

/*
 * True for a rule that does not match a stranger: about listed senders, about no new connections, or about limited
 * rates.
 */
static bool passes_strangers(const struct scan *line)
{
	const char *sender = memmem(line->at, scan_len(line), "saddr ", 6);

	if (has_word(line, "state") && !has_word(line, "new"))
		return true;
	return (sender && line->end - sender > 6 && sender[6] != '!') || has_word(line, "over");
}

bool nft_filters_input(const char *text, size_t len)
{
	struct scan all = scan_text(text, len), line;
	bool input = false, dormant = false, found = false;

	while (next_line(&all, &line)) {
		struct scan head = line;

		/* Chains without a hook do not count: it is not known which chains jump to them. */
		if (scan_key(&head, "table ")) {
			/* These are of the link layer. */
			dormant = scan_key(&head, "arp ") || scan_key(&head, "bridge ") || scan_key(&head, "netdev ");
			input = false;
		}
		if (scan_key(&head, "chain "))
			input = false;
		dormant = dormant || (has_word(&line, "flags") && has_word(&line, "dormant"));
		if (has_word(&line, "hook"))
			input = has_word(&line, "filter") && has_word(&line, "input");
		found = found || (input && !dormant && !passes_strangers(&line) &&
				  (has_word(&line, "drop") || has_word(&line, "reject")));
	}
	return found;
}

void ufw_setting(const char *text, size_t len, const char *key, char *value, size_t size)
{
	struct scan all = scan_text(text, len), line;

	*value = '\0';
	while (next_line(&all, &line)) {
		struct scan word;

		if (!scan_key(&line, key) || !scan_byte(&line, '='))
			continue;
		while (line.at < line.end && (*line.at == '"' || *line.at == '\''))
			line.at++;
		word = line;
		while (word.at < word.end && !strchr(" \t\"'\r;", *word.at))
			word.at++;
		word = (struct scan){ line.at, word.at };
		copy_word(value, size, &word);
	}
}

bool inet6_addressed(const char *text, size_t len)
{
	struct scan all = scan_text(text, len), line, name;

	while (scan_line(&all, &line))
		if (scan_skip(&line, 5) && scan_field(&line, &name) && !scan_equals(&name, "lo"))
			return true;
	return false;
}

/* The table "nat" changes addresses and refuses nothing. */
enum security_tables iptables_names(const char *text, size_t len)
{
	struct scan all = scan_text(text, len), line;

	while (scan_line(&all, &line))
		if (scan_len(&line) && !scan_equals(&line, "nat"))
			return TABLES_THERE;
	return TABLES_NONE;
}

bool lsm_has(const char *lsm, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = lsm; *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ','))
		if (strncmp(at, name, len) == 0 && (!at[len] || at[len] == ','))
			return true;
	return false;
}

void apparmor_count(const char *text, size_t len, unsigned *ret_enforce, unsigned *ret_complain)
{
	struct scan all = scan_text(text, len), line;
	unsigned enforce = 0, complain = 0;

	while (scan_line(&all, &line)) {
		/* A profile's name may hold anything: the mode is what the line ends with. */
		enforce += scan_len(&line) >= 9 && memcmp(line.end - 9, "(enforce)", 9) == 0;
		complain += scan_len(&line) >= 10 && memcmp(line.end - 10, "(complain)", 10) == 0;
	}
	*ret_enforce = enforce;
	*ret_complain = complain;
}
