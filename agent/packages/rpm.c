/* SPDX-License-Identifier: MIT */
/*
 * Parsers for rpm and dnf. The formats are set by the queries (package.h), so dnf 4 and 5 print the same; version 4
 * adds a newline to each record, which leaves empty lines.
 */
#include "agent/packages/package.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <infiniservice/cleanup.h>

#include "agent/packages/lines.h"

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

/* ---------------------------------------------------------------------------------------------------------- history */

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

static int take_line(struct package_history *history, struct piece verb, struct piece word, int64_t time_s)
{
	struct package_event *event;
	const char *version;
	struct nevra nevra;
	size_t i = 0;

	while (i < ARRAY_SIZE(verbs) && !piece_is(verb, verbs[i].word))
		i++;
	if (i == ARRAY_SIZE(verbs) || !nevra_cut(word, &nevra))
		return 0;
	event = verbs[i].before ? find_change(history, &nevra) : package_history_add(history);
	if (!event)
		return verbs[i].before ? 0 : -ENOMEM;
	version = package_list_text(&history->texts, nevra.version.at, nevra.version.len);
	if (verbs[i].before) {
		event->before = version;
		return 0;
	}
	event->action = verbs[i].action;
	event->time_s = time_s;
	event->done = true; /* lines are written after the change */
	event->name = package_list_text(&history->texts, nevra.name.at, nevra.name.len);
	event->architecture = package_list_text(&history->texts, nevra.architecture.at, nevra.architecture.len);
	if (strcmp(event->action, "remove") == 0)
		event->before = version;
	else
		event->after = version;
	return event->name && event->architecture && version ? 0 : -ENOMEM;
}

/*
 * 2026-11-27T00:05:17+0000 SUBDEBUG Upgrade: story-3:2.1-1.noarch
 * 2026-11-27T00:05:17+0000 SUBDEBUG Upgraded: story-3:2.0-1.noarch
 */
int dnf_log_parse(const char *text, size_t len, int64_t since_s, struct package_history *history)
{
	struct piece rest = { text, len }, line, when, level, verb, word;

	while (line_cut(&rest, &line)) {
		int64_t time_s;

		if (!word_cut(&line, &when) || !word_cut(&line, &level) || !word_cut(&line, &verb) ||
		    !word_cut(&line, &word))
			continue;
		time_s = log_time(when);
		package_history_reaches(history, time_s);
		if (time_s >= 0 && time_s >= since_s && take_line(history, verb, word, time_s) < 0)
			return -ENOMEM;
	}
	return 0;
}
