/* SPDX-License-Identifier: MIT */
/*
 * Parsers for dpkg and apt: lists, simulations, records and the log. apt(8) warns that its own output is not for
 * programs; the formats of apt-get -s, apt-cache and dpkg-query have been stable for decades.
 */
#include "agent/packages/package.h"

#include <errno.h>
#include <time.h>

#include <infiniservice/cleanup.h>

#include "agent/packages/lines.h"

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

/* "5.2.15-2+b13 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [amd64]"; the origins may be missing. */
static void candidate_parse(struct piece inside, struct package *package, struct package_list *list)
{
	struct piece version, architecture = { NULL, 0 };
	const char *bracket = inside.len ? memrchr(inside.at, '[', inside.len) : NULL;

	if (bracket && inside.at[inside.len - 1] == ']') {
		architecture = (struct piece){ bracket + 1, inside.len - (size_t)(bracket - inside.at) - 2 };
		inside.len = (size_t)(bracket - inside.at);
	}
	if (!word_cut(&inside, &version))
		return;
	blanks_skip(&inside);
	while (inside.len && inside.at[inside.len - 1] == ' ')
		inside.len--;
	package->candidate = package_list_text(list, version.at, version.len);
	package->repository = package_list_text(list, inside.at, inside.len);
	package->architecture = package_list_text(list, architecture.at, architecture.len);
	/* "Debian-Security:12/stable-security" and "Ubuntu:24.04/noble-security" */
	package->security = piece_has(inside, "-Security:") || piece_has(inside, "-security");
}

/* Inst bash [5.2.15-2+b8] (5.2.15-2+b13 Debian:12.15/oldstable [amd64]) [further words] */
int apt_simulation_parse(const char *text, size_t len, struct package_list *list)
{
	struct piece rest = { text, len }, line, word, before, inside;

	while (line_cut(&rest, &line)) {
		struct package *package;
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
		candidate_parse(inside, package, list);
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
