/* SPDX-License-Identifier: MIT */
/*
 * One form after the other is tried; each is recognised by its shape alone, so that no text has two meanings.
 */
#include "tools/infinictl/timespec.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

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
	int64_t value;
	char *end;

	if (*text == '@')
		text++;
	if (!isdigit((unsigned char)*text) || strlen(text) > 15)
		return false;
	value = strtoll(text, &end, 10);
	if (*end)
		return false;
	return bounded(value >= EPOCH_MS_FROM ? value : value * 1000, ret_ms);
}

/* "3d2h" up to `end`: pairs of a number and a unit. */
static bool parse_duration(const char *text, const char *end, int64_t *ret_ms)
{
	static const char units[] = "smhdw";
	static const int64_t factors[] = { 1000, 60000, 3600000, 86400000, 604800000 };
	int64_t sum = 0;

	if (text == end)
		return false;
	while (text < end) {
		const char *unit;
		char *after;
		long value;

		if (!isdigit((unsigned char)*text))
			return false;
		errno = 0;
		value = strtol(text, &after, 10);
		unit = after < end ? strchr(units, *after) : NULL;
		if (errno || value > 1000000000 || !unit || !*unit)
			return false;
		sum += value * factors[unit - units];
		if (sum > LATEST_MS)
			return false;
		for (text = after + 1; text < end && *text == ' ';)
			text++;
	}
	*ret_ms = sum;
	return true;
}

static bool parse_ago(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	size_t len = strlen(text);
	const char *end = text + len - 3;
	int64_t duration;

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

/* today and yesterday, alone or with a time. */
static bool parse_day(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	static const char *const names[] = { "today", "yesterday" };
	struct tm tm = midnight(now_ms);

	for (int i = 0; i < 2; i++) {
		size_t len = strlen(names[i]);
		const char *rest = text + len;

		if (strncasecmp(text, names[i], len) != 0)
			continue;
		tm.tm_mday -= i;
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

/* ISO 8601 as people write it: with a zone as RFC 3339 has it, else local, seconds and time optional. */
static bool parse_iso(const char *text, int64_t *ret_ms)
{
	const char *rest;
	struct tm tm;
	int64_t ms;
	unsigned fraction = 0, scale = 100;

	if (stamp_parse(text, strlen(text), ret_ms))
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
	if (parse_epoch(text, ret_ms) || parse_ago(text, now_ms, ret_ms) || parse_day(text, now_ms, ret_ms) ||
	    parse_time_of_day(text, now_ms, ret_ms) || parse_iso(text, ret_ms))
		return 0;
	return err_set(
		err, -EINVAL,
		"\"%.60s\" is no time; use now, today, yesterday, HH:MM, \"10m ago\", \"3d2h ago\", seconds since "
		"1970, or 2026-01-02T03:04:05Z",
		text);
}
