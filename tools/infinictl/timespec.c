/* SPDX-License-Identifier: MIT */
/*
 * One form after the other is tried; each is recognised by its shape alone, so that no text has two meanings.
 */
#include "tools/infinictl/timespec.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <infiniservice/cleanup.h>

#include "agent/log/scan.h"

#define LATEST_MS 253402300799999 /* the end of the year 9999 */

/* From this on an integer counts milliseconds: 10^11 seconds would be the year 5138. */
#define EPOCH_MS_FROM 100000000000LL

static bool bounded(int64_t ms, int64_t *ret_ms)
{
	if (ms < 0 || ms > LATEST_MS)
		return false;
	*ret_ms = ms;
	return true;
}

static bool parse_epoch(const char *text, int64_t *ret_ms)
{
	int64_t value, fraction = 0, scale = 100;
	bool at = *text == '@';
	char *end;

	text += at;
	if (!isdigit((unsigned char)*text) || strlen(text) > 25)
		return false;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (at && *end == '.')
		for (end++; isdigit((unsigned char)*end); end++, scale /= 10)
			fraction += scale * (*end - '0');
	if (*end || errno || value > LATEST_MS)
		return false;
	return bounded(value >= EPOCH_MS_FROM ? value : value * 1000 + fraction, ret_ms);
}

/* The milliseconds of a unit, which is a word or its first letters as people shorten them; 0: none. */
static int64_t unit_ms(const char *at, size_t len)
{
	static const struct {
		const char *names; /* each followed by a blank */
		int64_t ms;
	} units[] = {
		{ "s sec secs second seconds ", 1000 }, { "m min mins minute minutes ", 60000 },
		{ "h hr hrs hour hours ", 3600000 },	{ "d day days ", 86400000 },
		{ "w week weeks ", 604800000 },
	};
	char name[12];

	if (len == 0 || len > sizeof(name) - 2)
		return 0;
	snprintf(name, sizeof(name), "%.*s ", (int)len, at);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		const char *found = strcasestr(units[i].names, name);

		if (found && (found == units[i].names || found[-1] == ' '))
			return units[i].ms;
	}
	return 0;
}

/* "3d2h", "10 minutes" up to `end`: pairs of a number and a unit. */
static bool parse_duration(const char *text, const char *end, int64_t *ret_ms)
{
	int64_t sum = 0;

	if (text == end)
		return false;
	while (text < end) {
		const char *unit;
		char *after;
		int64_t ms;
		long value;

		if (!isdigit((unsigned char)*text))
			return false;
		errno = 0;
		value = strtol(text, &after, 10);
		for (unit = after; unit < end && *unit == ' ';)
			unit++;
		for (text = unit; text < end && isalpha((unsigned char)*text);)
			text++;
		ms = unit_ms(unit, (size_t)(text - unit));
		if (errno || value > 1000000000 || ms == 0)
			return false;
		sum += value * ms;
		if (sum > LATEST_MS)
			return false;
		while (text < end && *text == ' ')
			text++;
	}
	*ret_ms = sum;
	return true;
}

/* "10m ago", -10m and +10m. */
static bool parse_relative(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	size_t len = strlen(text);
	const char *end = text + len - 3;
	int64_t duration;

	if (*text == '-' || *text == '+')
		return parse_duration(text + 1, text + len, &duration) &&
		       bounded(now_ms + (*text == '-' ? -duration : duration), ret_ms);
	if (len < 5 || strcasecmp(end, "ago") != 0)
		return false;
	while (end > text && end[-1] == ' ')
		end--;
	return parse_duration(text, end, &duration) && bounded(now_ms - duration, ret_ms);
}

/* "HH:MM[:SS]"; returns where it ends, NULL if it is none. */
static const char *parse_clock(const char *text, struct tm *tm)
{
	int fields[3] = { 0, 0, 0 };

	for (int i = 0; i < 3; i++) {
		if (i > 0 && *text != ':')
			return i == 2 ? text : NULL;
		text += i > 0;
		if (!isdigit((unsigned char)text[0]) || !isdigit((unsigned char)text[1]))
			return NULL;
		fields[i] = (text[0] - '0') * 10 + text[1] - '0';
		text += 2;
		if (i == 1)
			tm->tm_sec = 0;
		if (i == 0 ? fields[0] > 23 : fields[i] > 59)
			return NULL;
		*(i == 0 ? &tm->tm_hour : i == 1 ? &tm->tm_min : &tm->tm_sec) = fields[i];
	}
	return text;
}

/* Local calendar time to milliseconds; out-of-range days are what "yesterday" makes of the first of a month. */
static bool local_ms(struct tm tm, int64_t *ret_ms)
{
	time_t seconds;

	tm.tm_isdst = -1;
	seconds = mktime(&tm);
	return bounded((int64_t)seconds * 1000, ret_ms);
}

static struct tm midnight(int64_t now_ms)
{
	time_t seconds = (time_t)(now_ms / 1000);
	struct tm tm = { 0 };

	localtime_r(&seconds, &tm);
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	return tm;
}

/* today, yesterday and tomorrow, alone or with a time. */
static bool parse_day(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	static const struct {
		const char *name;
		int days;
	} names[] = { { "today", 0 }, { "yesterday", -1 }, { "tomorrow", 1 } };
	struct tm tm = midnight(now_ms);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t len = strlen(names[i].name);
		const char *rest = text + len;

		if (strncasecmp(text, names[i].name, len) != 0)
			continue;
		tm.tm_mday += names[i].days;
		if (*rest == '\0')
			return local_ms(tm, ret_ms);
		rest = *rest == ' ' ? parse_clock(rest + 1, &tm) : NULL;
		return rest && !*rest && local_ms(tm, ret_ms);
	}
	return false;
}

static bool parse_time_of_day(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	struct tm tm = midnight(now_ms);
	const char *end = parse_clock(text, &tm);
	int64_t ms;

	if (!end || *end || !local_ms(tm, &ms))
		return false;
	if (ms > now_ms)
		tm.tm_mday--;
	return local_ms(tm, ret_ms);
}

static bool parse_date(const char *text, struct tm *tm)
{
	static const char shape[] = "dddd-dd-dd";
	int year, month, day;

	for (int i = 0; shape[i]; i++)
		if (shape[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != shape[i])
			return false;
	year = atoi(text);
	month = atoi(text + 5);
	day = atoi(text + 8);
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > (int)stamp_month_days(year, (unsigned)month))
		return false;
	*tm = (struct tm){ .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day };
	return true;
}

/* "2026-01-02 03:04 UTC", as date(1) and journalctl(1) print it. */
static bool parse_utc(const char *text, int64_t *ret_ms)
{
	const char *rest;
	struct tm tm;

	if (!parse_date(text, &tm) || (text[10] != ' ' && text[10] != 'T'))
		return false;
	rest = parse_clock(text + 11, &tm);
	return rest && !strcasecmp(rest, " UTC") && bounded((int64_t)timegm(&tm) * 1000, ret_ms);
}

/* ISO 8601 as people write it: with a zone as RFC 3339 has it, else local, seconds and time optional. */
static bool parse_iso(const char *text, int64_t *ret_ms)
{
	const char *rest;
	struct tm tm;
	int64_t ms;
	unsigned fraction = 0, scale = 100;

	if (stamp_parse(text, strlen(text), ret_ms) || parse_utc(text, ret_ms))
		return true;
	if (!parse_date(text, &tm))
		return false;
	rest = text + 10;
	if (!*rest)
		return local_ms(tm, ret_ms);
	if (*rest != ' ' && *rest != 'T' && *rest != 't')
		return false;
	rest = parse_clock(rest + 1, &tm);
	if (rest && *rest == '.')
		for (rest++; isdigit((unsigned char)*rest); rest++, scale /= 10)
			fraction += scale * (unsigned)(*rest - '0');
	if (!rest || *rest || !local_ms(tm, &ms))
		return false;
	*ret_ms = ms + fraction;
	return true;
}

int timespec_parse(const char *text, int64_t now_ms, int64_t *ret_ms, struct err *err)
{
	while (*text == ' ')
		text++;
	if (!strcasecmp(text, "now")) {
		*ret_ms = now_ms;
		return 0;
	}
	if (parse_epoch(text, ret_ms) || parse_relative(text, now_ms, ret_ms) || parse_day(text, now_ms, ret_ms) ||
	    parse_time_of_day(text, now_ms, ret_ms) || parse_iso(text, ret_ms))
		return 0;
	return err_set(err, -EINVAL,
		       "\"%.60s\" is no time; use now, today, yesterday, tomorrow, HH:MM, \"10m ago\", -3d2h, @seconds "
		       "since 1970, or 2026-01-02T03:04:05Z",
		       text);
}

int timespec_duration(const char *text, int64_t *ret_ms, struct err *err)
{
	int64_t ms;

	if (!parse_duration(text, text + strlen(text), &ms) || ms == 0)
		return err_set(err, -EINVAL, "\"%.60s\" is no span of time; write one such as 30s, 5m, 1h30m or 1d",
			       text);
	*ret_ms = ms;
	return 0;
}
