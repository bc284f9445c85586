/* SPDX-License-Identifier: MIT */
/*
 * Parsers of the package managers' lists and logs.
 *
 * apt(8) warns that its own output is not for programs; the formats of apt-get -s, apt-cache and dpkg-query have been
 * stable for decades. Those of rpm and dnf are set by the queries (package.h), so dnf 4 and 5 print the same; version 4
 * adds a newline to each record, which leaves empty lines. apk of Alpine prints "name-version" as one word; the version
 * begins at the last "-" before a digit ("-r1" is part of it).
 */
#include "agent/packages/package.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <infiniservice/cleanup.h>

#include "agent/packages/lines.h"

/* ----------------------------------------------------------------------------------------------------- dpkg and apt */

/*
 * Parses "half-configured install ok", "installed hold ok", "half-installed install reinstreq"; older output has the
 * first word only. False for a package without files: the states are those with files present, at least in part,
 * dpkg(1). The first three count as installed.
 */
static bool take_status(struct piece field, struct package *package)
{
	static const char *const states[] = { "installed",	 "triggers-pending", "triggers-awaited",
					      "half-configured", "unpacked",	     "half-installed" };
	struct piece state, want, flag;

	if (!word_cut(&field, &state))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(states) && !package->state; i++)
		if (piece_is(state, states[i])) {
			package->state = states[i];
			package->installed = i < 3;
		}
	package->held = word_cut(&field, &want) && piece_is(want, "hold");
	package->reinstall = word_cut(&field, &flag) && piece_is(flag, "reinstreq");
	return package->state;
}

/* Package, Version, Architecture, Status, Installed-Size (KiB), Last-Modified, Section, Source, Maintainer, Summary. */
int dpkg_list_parse(const char *text, size_t len, struct package_list *list)
{
	struct piece rest = { text, len }, line, field[10];

	while (line_cut(&rest, &line)) {
		struct package status = { .state = NULL }, *package;

		if (!fields_cut(line, field, ARRAY_SIZE(field)) || !field[0].len || !take_status(field[3], &status))
			continue;
		package = package_list_add(list);
		if (!package)
			break;
		package->state = status.state;
		package->held = status.held;
		package->reinstall = status.reinstall;
		package->installed = status.installed;
		package->name = package_list_text(list, field[0].at, field[0].len);
		package->version = package_list_text(list, field[1].at, field[1].len);
		package->architecture = package_list_text(list, field[2].at, field[2].len);
		package->installed_kb = piece_number(field[4]);
		package->installed_s = piece_number(field[5]);
		package->section = package_list_text(list, field[6].at, field[6].len);
		package->source = package_list_text(list, field[7].at, field[7].len);
		package->publisher = package_list_text(list, field[8].at, field[8].len);
		package->summary = package_list_text(list, field[9].at, field[9].len);
	}
	return list->truncated ? -ENOMEM : 0;
}

/* Takes "[…]" or "(…)" from the front of *text; false if the next word is not one. */
static bool bracket_cut(struct piece *text, char open, char close, struct piece *ret)
{
	blanks_skip(text);
	if (text->len == 0 || *text->at != open)
		return false;
	piece_skip(text, 1);
	return piece_cut(text, close, ret);
}

/* Cuts ":arch" from "name:arch". */
static struct piece without_architecture(struct piece name)
{
	const char *colon = memchr(name.at, ':', name.len);

	return (struct piece){ name.at, colon ? (size_t)(colon - name.at) : name.len };
}

/*
 * Inst bash [5.2.15-2+b8] (5.2.15-2+b13 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [amd64]) [further
 * words]; the origins may be missing.
 */
int apt_simulation_parse(const char *text, size_t len, struct package_list *list)
{
	struct piece rest = { text, len }, line, word, before, inside, version, architecture;

	while (line_cut(&rest, &line)) {
		struct package *package;
		const char *bracket;
		bool upgrade;

		if (!piece_starts(line, "Inst ") || !word_cut(&line, &word) || !word_cut(&line, &word))
			continue;
		upgrade = bracket_cut(&line, '[', ']', &before);
		if (!bracket_cut(&line, '(', ')', &inside))
			continue;
		package = package_list_add(list);
		if (!package)
			break;
		word = without_architecture(word);
		package->name = package_list_text(list, word.at, word.len);
		if (upgrade)
			package->version = package_list_text(list, before.at, before.len);
		package->installed = upgrade;
		architecture.len = 0;
		bracket = inside.len ? memrchr(inside.at, '[', inside.len) : NULL;
		if (bracket && inside.at[inside.len - 1] == ']') {
			architecture = (struct piece){ bracket + 1, inside.len - (size_t)(bracket - inside.at) - 2 };
			inside.len = (size_t)(bracket - inside.at);
		}
		if (!word_cut(&inside, &version))
			continue;
		blanks_skip(&inside);
		while (inside.len && inside.at[inside.len - 1] == ' ')
			inside.len--;
		package->candidate = package_list_text(list, version.at, version.len);
		package->repository = package_list_text(list, inside.at, inside.len);
		if (architecture.len)
			package->architecture = package_list_text(list, architecture.at, architecture.len);
		/* "Debian-Security:12/stable-security" and "Ubuntu:24.04/noble-security" */
		package->security = piece_has(inside, "-Security:") || piece_has(inside, "-security");
	}
	return list->truncated ? -ENOMEM : 0;
}

/* The value of "Key: value" when the line has this key. */
static bool value_of(struct piece line, const char *key, struct piece *ret)
{
	size_t len = strlen(key);

	if (!piece_starts(line, key) || line.len <= len || line.at[len] != ':')
		return false;
	*ret = line;
	piece_skip(ret, len + 1);
	blanks_skip(ret);
	return true;
}

/* Parses paragraphs as in deb-control(5); lines that begin with a blank continue a value and are skipped. */
int apt_records_parse(const char *text, size_t len, struct package_list *list)
{
	static const struct {
		const char *key;
		bool number;
		size_t at; /* in struct package; the first line of a text holds */
	} known[] = {
		{ "Version", false, offsetof(struct package, candidate) },
		{ "Architecture", false, offsetof(struct package, architecture) },
		{ "Maintainer", false, offsetof(struct package, publisher) },
		{ "Description", false, offsetof(struct package, summary) },
		{ "Description-en", false, offsetof(struct package, summary) },
		{ "Section", false, offsetof(struct package, section) },
		{ "Source", false, offsetof(struct package, source) },
		{ "Homepage", false, offsetof(struct package, homepage) },
		{ "Depends", false, offsetof(struct package, depends) },
		{ "Installed-Size", true, offsetof(struct package, installed_kb) },
		{ "Size", true, offsetof(struct package, download_bytes) },
	};
	struct piece rest = { text, len }, line, value;
	struct package *package = NULL;

	while (line_cut(&rest, &line)) {
		if (line.len == 0)
			package = NULL;
		if (value_of(line, "Package", &value) && value.len) {
			package = package_list_add(list);
			if (!package)
				break;
			package->name = package_list_text(list, value.at, value.len);
			continue;
		}
		for (size_t i = 0; package && i < ARRAY_SIZE(known); i++) {
			void *field = (char *)package + known[i].at;

			if (!value_of(line, known[i].key, &value))
				continue;
			if (known[i].number)
				*(int64_t *)field = piece_number(value);
			else if (!*(const char **)field)
				*(const char **)field = package_list_text(list, value.at, value.len);
			break;
		}
	}
	return list->truncated ? -ENOMEM : 0;
}

/* Parses "2025-06-24" and "14:36:25" as local time; seconds since 1970, or -1 when malformed. */
static int64_t local_time(struct piece date, struct piece clock)
{
	char words[32];
	struct tm tm = { .tm_isdst = -1 };
	const char *end;

	if (date.len != 10 || clock.len != 8)
		return -1;
	memcpy(words, date.at, 10);
	words[10] = ' ';
	memcpy(words + 11, clock.at, 8);
	words[19] = '\0';
	end = strptime(words, "%Y-%m-%d %H:%M:%S", &tm);
	return end && *end == '\0' ? (int64_t)mktime(&tm) : -1;
}

static const char *version_text(struct package_list *texts, struct piece version)
{
	return piece_is(version, "<none>") ? NULL : package_list_text(texts, version.at, version.len);
}

/*
 * How many events are searched for the event that a state completes: dpkg unpacks many packages before it configures
 * them.
 */
#define LOOK_BACK 4096

/* Whether a package in this state has completed the action. */
static bool is_end(const char *action, struct piece state)
{
	if (strcmp(action, "purge") == 0)
		return piece_is(state, "not-installed");
	if (strcmp(action, "remove") == 0)
		return piece_is(state, "config-files") || piece_is(state, "not-installed");
	return piece_is(state, "installed");
}

/* The last event of the package. `across`: also one of the package that changed between "all" and an architecture. */
static struct package_event *find_event(struct package_history *history, struct piece plain, struct piece architecture,
					bool across)
{
	size_t last = history->count > LOOK_BACK ? history->count - LOOK_BACK : 0;

	for (size_t i = history->count; i-- > last;) {
		struct package_event *event = &history->events[i];

		if (!event->name || !piece_is(plain, event->name))
			continue;
		if (!event->architecture || !architecture.len || piece_is(architecture, event->architecture) ||
		    (across && (piece_is(architecture, "all") || strcmp(event->architecture, "all") == 0)))
			return event;
	}
	return NULL;
}

static void take_state(struct package_history *history, struct piece state, struct piece name)
{
	struct piece plain = without_architecture(name), architecture = { name.at + plain.len, name.len - plain.len };
	struct package_event *event;

	if (architecture.len)
		piece_skip(&architecture, 1);
	event = find_event(history, plain, architecture, false);
	if (!event || event->done)
		event = find_event(history, plain, architecture, true);
	if (event)
		event->done = event->done || is_end(event->action, state);
}

/*
 * 2025-06-24 14:36:25 upgrade libsystemd0:amd64 252.36-1~deb12u1 252.38-1~deb12u1
 * 2025-06-24 14:36:26 status installed libsystemd0:amd64 252.38-1~deb12u1
 */
int dpkg_log_parse(const char *text, size_t len, int64_t since_s, struct package_history *history)
{
	static const char *const actions[] = { "install", "upgrade", "remove", "purge" };
	struct piece rest = { text, len }, line, word[6];

	while (line_cut(&rest, &line)) {
		struct package_event *event;
		struct piece name;
		const char *action;
		int64_t time_s;
		size_t words = 0;

		while (words < ARRAY_SIZE(word) && word_cut(&line, &word[words]))
			words++;
		if (words < ARRAY_SIZE(word))
			continue;
		if (!history->known)
			package_history_reaches(history, local_time(word[0], word[1]));
		if (piece_is(word[2], "status") && !piece_starts(word[3], "half-"))
			take_state(history, word[3], word[4]);
		action = NULL;
		for (size_t i = 0; i < ARRAY_SIZE(actions) && !action; i++)
			if (piece_is(word[2], actions[i]))
				action = actions[i];
		if (!action)
			continue;
		time_s = local_time(word[0], word[1]);
		if (time_s < 0 || time_s < since_s)
			continue;
		event = package_history_add(history);
		if (!event)
			return -ENOMEM;
		name = without_architecture(word[3]);
		event->time_s = time_s;
		event->action = action;
		event->name = package_list_text(&history->texts, name.at, name.len);
		if (name.len + 1 < word[3].len)
			event->architecture =
				package_list_text(&history->texts, name.at + name.len + 1, word[3].len - name.len - 1);
		event->before = version_text(&history->texts, word[4]);
		event->after = version_text(&history->texts, word[5]);
	}
	return history->texts.truncated ? -ENOMEM : 0;
}

/* ------------------------------------------------------------------------------------------------------ rpm and dnf */

/* rpm prints "(none)" for a missing value. */
static const char *text_of(struct package_list *list, struct piece field)
{
	return piece_is(field, "(none)") ? NULL : package_list_text(list, field.at, field.len);
}

static int64_t kib_of(struct piece bytes)
{
	int64_t value = piece_number(bytes);

	return value < 0 ? -1 : (value + 1023) / 1024;
}

/* NAME, EPOCH:VERSION-RELEASE, ARCH, SIZE (bytes), INSTALLTIME, GROUP, SOURCERPM, VENDOR, SUMMARY. */
int rpm_list_parse(const char *text, size_t len, struct package_list *list)
{
	struct piece rest = { text, len }, line, field[9];

	while (line_cut(&rest, &line)) {
		struct package *package;

		/* gpg-pubkey: keys that sign packages, not packages */
		if (!fields_cut(line, field, ARRAY_SIZE(field)) || !field[0].len || piece_is(field[0], "gpg-pubkey"))
			continue;
		package = package_list_add(list);
		if (!package)
			break;
		package->name = text_of(list, field[0]);
		package->version = text_of(list, field[1]);
		package->architecture = text_of(list, field[2]);
		package->installed = true;
		package->state = "installed";
		package->installed_kb = kib_of(field[3]);
		package->installed_s = piece_number(field[4]);
		package->section = text_of(list, field[5]);
		package->source = text_of(list, field[6]);
		package->publisher = text_of(list, field[7]);
		package->summary = text_of(list, field[8]);
	}
	return list->truncated ? -ENOMEM : 0;
}

/* name, evr, arch, repoid, downloadsize, installsize, url, summary. */
int dnf_query_parse(const char *text, size_t len, struct package_list *list)
{
	struct piece rest = { text, len }, line, field[8];

	while (line_cut(&rest, &line)) {
		struct package *package;

		if (!fields_cut(line, field, ARRAY_SIZE(field)) || !field[0].len)
			continue;
		package = package_list_add(list);
		if (!package)
			break;
		package->name = text_of(list, field[0]);
		package->candidate = text_of(list, field[1]);
		package->architecture = text_of(list, field[2]);
		package->repository = text_of(list, field[3]);
		package->download_bytes = piece_number(field[4]);
		package->installed_kb = kib_of(field[5]);
		package->homepage = text_of(list, field[6]);
		package->summary = text_of(list, field[7]);
	}
	return list->truncated ? -ENOMEM : 0;
}

static bool is_text(struct piece piece, const char *text)
{
	return text && piece_is(piece, text);
}

/* "bash-5.2.26-1.fc39.x86_64", with the epoch before the version or (dnf 5 and old versions) without. */
struct nevra {
	struct piece name, version, architecture; /* version: EPOCH:VERSION-RELEASE */
};

static bool cut_last(struct piece *text, char at, struct piece *ret)
{
	const char *found = text->len ? memrchr(text->at, at, text->len) : NULL;

	if (!found)
		return false;
	ret->at = found + 1;
	ret->len = text->len - (size_t)(found + 1 - text->at);
	text->len = (size_t)(found - text->at);
	return true;
}

static bool nevra_cut(struct piece word, struct nevra *ret)
{
	struct piece release, version;

	ret->name = word;
	if (!cut_last(&ret->name, '.', &ret->architecture) || !cut_last(&ret->name, '-', &release) ||
	    !cut_last(&ret->name, '-', &version))
		return false;
	ret->version = (struct piece){ version.at, version.len + 1 + release.len };
	return ret->name.len && version.len && release.len && ret->architecture.len;
}

static bool names(const struct nevra *nevra, const struct package *package)
{
	const char *version = package->candidate, *colon = version ? strchr(version, ':') : NULL;

	return is_text(nevra->name, package->name) && is_text(nevra->architecture, package->architecture) &&
	       (is_text(nevra->version, version) || (colon && is_text(nevra->version, colon + 1)));
}

/*
 * FEDORA-2024-0a1b2c3d4e Important/Sec. bind-32:9.18.21-1.fc39.x86_64        (dnf 4)
 * FEDORA-2024-0a1b2c3d4e security Important bash-5.2.26-1.fc39.x86_64 2024-02-01 …        (dnf 5)
 */
int dnf_security_parse(const char *text, size_t len, struct package_list *list)
{
	struct piece rest = { text, len }, line, word;
	struct nevra nevra;

	while (line_cut(&rest, &line))
		while (word_cut(&line, &word))
			for (size_t i = 0; nevra_cut(word, &nevra) && i < list->count; i++)
				if (!list->rows[i].security && names(&nevra, &list->rows[i]))
					list->rows[i].security = true;
	return 0;
}

static const struct {
	const char *word, *action;
	bool before; /* the line has the replaced version; the change has a line of its own before */
} verbs[] = {
	{ "Installed:", "install", false }, { "Reinstall:", "install", false }, { "Upgrade:", "upgrade", false },
	{ "Downgrade:", "upgrade", false }, { "Erase:", "remove", false },	{ "Obsoleted:", "remove", false },
	{ "Upgraded:", "upgrade", true },   { "Downgraded:", "upgrade", true },
};

/* "2026-11-27T00:05:17+0000", or with a "Z". -1 for anything else. */
static int64_t log_time(struct piece word)
{
	char text[32], sign = '+';
	int hours = 0, minutes = 0, end = 0;
	struct tm tm = { .tm_isdst = 0 };

	if (word.len >= sizeof(text))
		return -1;
	memcpy(text, word.at, word.len);
	text[word.len] = '\0';
	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
		   &tm.tm_sec, &end) != 6 ||
	    (strcmp(text + end, "Z") != 0 && sscanf(text + end, "%c%2d%2d", &sign, &hours, &minutes) != 3))
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return (int64_t)timegm(&tm) - (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

/* The change that a line with a replaced version belongs to: the last of that name without one. */
static struct package_event *find_change(struct package_history *history, const struct nevra *nevra)
{
	for (size_t i = history->count; i-- > 0;)
		if (!history->events[i].before && is_text(nevra->name, history->events[i].name))
			return strcmp(history->events[i].action, "upgrade") == 0 ? &history->events[i] : NULL;
	return NULL;
}

/*
 * 2026-11-27T00:05:17+0000 SUBDEBUG Upgrade: story-3:2.1-1.noarch
 * 2026-11-27T00:05:17+0000 SUBDEBUG Upgraded: story-3:2.0-1.noarch
 */
int dnf_log_parse(const char *text, size_t len, int64_t since_s, struct package_history *history)
{
	struct piece rest = { text, len }, line, when, level, verb, word;

	while (line_cut(&rest, &line)) {
		struct package_event *event;
		struct nevra nevra;
		const char *version;
		int64_t time_s;
		size_t i = 0;

		if (!word_cut(&line, &when) || !word_cut(&line, &level) || !word_cut(&line, &verb) ||
		    !word_cut(&line, &word))
			continue;
		time_s = log_time(when);
		package_history_reaches(history, time_s);
		while (i < ARRAY_SIZE(verbs) && !piece_is(verb, verbs[i].word))
			i++;
		if (time_s < 0 || time_s < since_s || i == ARRAY_SIZE(verbs) || !nevra_cut(word, &nevra))
			continue;
		event = verbs[i].before ? find_change(history, &nevra) : package_history_add(history);
		if (!event && verbs[i].before)
			continue;
		if (!event)
			return -ENOMEM;
		version = package_list_text(&history->texts, nevra.version.at, nevra.version.len);
		if (verbs[i].before) {
			event->before = version;
			continue;
		}
		event->action = verbs[i].action;
		event->time_s = time_s;
		event->done = true; /* lines are written after the change */
		event->name = package_list_text(&history->texts, nevra.name.at, nevra.name.len);
		event->architecture = package_list_text(&history->texts, nevra.architecture.at, nevra.architecture.len);
		*(strcmp(event->action, "remove") == 0 ? &event->before : &event->after) = version;
		if (!event->name || !event->architecture || !version)
			return -ENOMEM;
	}
	return 0;
}

/* -------------------------------------------------------------------------------------------------------------- apk */

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Splits "py3-foo-1.2.3-r0" into "py3-foo" and "1.2.3-r0". False if there is no version in it. */
static bool split(struct piece word, struct piece *name, struct piece *version)
{
	size_t end = word.len;

	/* the release, "-r" and digits at the end */
	while (end && digit(word.at[end - 1]))
		end--;
	if (end < 2 || word.at[end - 1] != 'r' || word.at[end - 2] != '-')
		end = word.len;
	else
		end -= 2;
	for (size_t i = end; i-- > 1;) {
		if (word.at[i] != '-' || i + 1 >= word.len || !digit(word.at[i + 1]))
			continue;
		*name = (struct piece){ word.at, i };
		*version = (struct piece){ word.at + i + 1, word.len - i - 1 };
		return true;
	}
	return false;
}

/*
 * musl-1.2.4-r2 x86_64 {musl} (MIT) [installed]
 * busybox-1.36.1-r2 x86_64 {busybox} (GPL-2.0-only) [upgradable from: busybox-1.36.1-r1]
 */
int apk_list_parse(const char *text, size_t len, struct package_list *list)
{
	static const char mark[] = "[upgradable from: ";
	struct piece rest = { text, len }, line, word, name, version;

	while (line_cut(&rest, &line)) {
		struct package *package;
		const char *from;

		if (!word_cut(&line, &word) || !split(word, &name, &version) || !word_cut(&line, &word))
			continue;
		package = package_list_add(list);
		if (!package)
			break;
		package->name = package_list_text(list, name.at, name.len);
		package->architecture = package_list_text(list, word.at, word.len);
		if (piece_has(line, "[installed]")) {
			package->installed = true;
			package->state = "installed";
			package->version = package_list_text(list, version.at, version.len);
			continue;
		}
		package->candidate = package_list_text(list, version.at, version.len);
		from = line.len ? memmem(line.at, line.len, mark, sizeof(mark) - 1) : NULL;
		if (!from)
			continue;
		piece_skip(&line, (size_t)(from + sizeof(mark) - 1 - line.at));
		package->installed = piece_cut(&line, ']', &word) && split(word, &name, &version);
		if (package->installed)
			package->version = package_list_text(list, version.at, version.len);
	}
	return list->truncated ? -ENOMEM : 0;
}

/* nginx-1.24.0-r7 - HTTP and reverse proxy server (stable version) */
int apk_search_parse(const char *text, size_t len, struct package_list *list)
{
	struct piece rest = { text, len }, line, word, name, version;

	while (line_cut(&rest, &line)) {
		struct package *package;

		if (!word_cut(&line, &word) || !split(word, &name, &version))
			continue;
		package = package_list_add(list);
		if (!package)
			break;
		package->name = package_list_text(list, name.at, name.len);
		package->candidate = package_list_text(list, version.at, version.len);
		if (piece_starts(line, " - "))
			package->summary = package_list_text(list, line.at + 3, line.len - 3);
	}
	return list->truncated ? -ENOMEM : 0;
}
