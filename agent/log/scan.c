/* SPDX-License-Identifier: MIT */
/*
 * A stamp is read by the inverse of rfc3339_format, a line by a walk over its outermost object: strings are skipped as
 * strings, brackets only counted. Messages carry the three keys first, so usually a few dozen bytes are read.
 */
#include "agent/log/scan.h"

#include <string.h>

#include "transport/json_walk.h"

/*
 * ---------------------------------------------------------------------------------------------------------- stamps
 * Day arithmetic after Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
 */

int64_t stamp_days(int64_t year, unsigned month, unsigned day)
{
	int64_t y = year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

unsigned stamp_month_days(int64_t year, unsigned month)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month == 2 && leap ? 29 : days[(month - 1) % 12];
}

struct cursor {
	const char *at, *end;
	bool bad;
};

static unsigned digits(struct cursor *c, unsigned count)
{
	unsigned value = 0;

	for (; count > 0; count--, c->at++) {
		if (c->at == c->end || *c->at < '0' || *c->at > '9') {
			c->bad = true;
			return 0;
		}
		value = value * 10 + (unsigned)(*c->at - '0');
	}
	return value;
}

static void expect(struct cursor *c, char a, char b, char other)
{
	if (c->at == c->end || (*c->at != a && *c->at != b && *c->at != other))
		c->bad = true;
	else
		c->at++;
}

bool stamp_parse(const char *text, size_t len, int64_t *ret_ms)
{
	struct cursor c = { text, text + len, false };
	unsigned year, month, day, hour, minute, second, ms = 0, zone_hours = 0, zone_minutes = 0;
	int64_t sign, result;

	year = digits(&c, 4);
	expect(&c, '-', '-', '-');
	month = digits(&c, 2);
	expect(&c, '-', '-', '-');
	day = digits(&c, 2);
	expect(&c, 'T', 't', ' ');
	hour = digits(&c, 2);
	expect(&c, ':', ':', ':');
	minute = digits(&c, 2);
	expect(&c, ':', ':', ':');
	second = digits(&c, 2);
	if (c.at < c.end && *c.at == '.') {
		unsigned scale = 100; /* digits beyond milliseconds are dropped */

		c.bad |= ++c.at == c.end || *c.at < '0' || *c.at > '9';
		for (; c.at < c.end && *c.at >= '0' && *c.at <= '9'; c.at++, scale /= 10)
			ms += scale * (unsigned)(*c.at - '0');
	}
	sign = c.at < c.end && *c.at == '-' ? -1 : 1;
	if (c.at < c.end && (*c.at == 'Z' || *c.at == 'z')) {
		c.at++;
	} else {
		expect(&c, '+', '-', '+');
		zone_hours = digits(&c, 2);
		expect(&c, ':', ':', ':');
		zone_minutes = digits(&c, 2);
	}
	if (c.bad || zone_hours > 23 || zone_minutes > 59 || c.at != c.end || year < 1970 || month < 1 || month > 12 ||
	    day < 1)
		return false;
	if (day > stamp_month_days(year, month) || hour > 23 || minute > 59 || second > 60)
		return false;
	result = (stamp_days(year, month, day) * 24 + hour) * 60 + minute -
		 sign * (int64_t)(zone_hours * 60 + zone_minutes);
	result = result * 60000 + second * 1000LL + ms;
	if (result < 0)
		return false;
	*ret_ms = result;
	return true;
}

/* ----------------------------------------------------------------------------------------------------------- lines */

struct walk {
	const char *at, *end;
};

static void skip_blanks(struct walk *w)
{
	w->at = json_skip_space(w->at, w->end);
}

/* At a '"': the text between the quotes, escapes not resolved. False if the string does not end. */
static bool take_string(struct walk *w, const char **ret, size_t *ret_len)
{
	const char *behind = json_skip_string(w->at, w->end);

	if (behind[-1] != '"' || behind - w->at < 2)
		return false;
	*ret = w->at + 1;
	*ret_len = (size_t)(behind - w->at) - 2;
	w->at = behind;
	return true;
}

static bool skip_value(struct walk *w)
{
	const char *behind = json_skip_value(w->at, w->end);

	if (behind)
		w->at = behind;
	return behind != NULL;
}

static bool take_number(struct walk *w, uint64_t *ret)
{
	uint64_t value = 0;
	const char *start = w->at;

	for (; w->at < w->end && *w->at >= '0' && *w->at <= '9'; w->at++)
		if (__builtin_mul_overflow(value, 10U, &value) ||
		    __builtin_add_overflow(value, (unsigned)(*w->at - '0'), &value))
			return false;
	if (w->at == start)
		return false;
	*ret = value;
	return true;
}

static bool is_key(const char *key, size_t len, const char *name)
{
	return len == strlen(name) && !memcmp(key, name, len);
}

static bool take_member(struct walk *w, struct scan *scan)
{
	const char *key, *text;
	size_t key_len, len;

	if (w->at >= w->end || *w->at != '"' || !take_string(w, &key, &key_len))
		return false;
	skip_blanks(w);
	if (w->at >= w->end || *w->at++ != ':')
		return false;
	skip_blanks(w);
	if (w->at >= w->end)
		return false;
	if (*w->at == '"' && (is_key(key, key_len, "type") || is_key(key, key_len, "timestamp"))) {
		if (!take_string(w, &text, &len))
			return false;
		if (key_len == strlen("timestamp"))
			stamp_parse(text, len, &scan->wall_ms);
		else if (len < sizeof(scan->type))
			memcpy(scan->type, text, len);
		return true;
	}
	if ((is_key(key, key_len, "seq") || is_key(key, key_len, "last_seq")) && take_number(w, &scan->seq))
		return true;
	return skip_value(w);
}

static bool has_all(const struct scan *scan)
{
	return scan->type[0] && scan->wall_ms >= 0 && scan->seq;
}

bool scan_line(const char *text, size_t len, struct scan *ret)
{
	struct walk w = { text, text + len };
	struct scan scan = { .wall_ms = -1 };

	if (len && text[len - 1] == '\r')
		w.end--;
	if (w.end - w.at < 2 || *w.at != '{' || w.end[-1] != '}' || memchr(text, '\0', len))
		return false;
	w.at++;
	do {
		skip_blanks(&w);
		if (!take_member(&w, &scan))
			return false;
		skip_blanks(&w);
	} while (!has_all(&scan) && w.at < w.end && *w.at++ == ',');
	if (!scan.type[0] || scan.wall_ms < 0)
		return false;
	*ret = scan;
	return true;
}
