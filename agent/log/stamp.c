/* SPDX-License-Identifier: MIT */
/*
 * The inverse of rfc3339_format. Day arithmetic after Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
 */
#include "agent/log/stamp.h"

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

/* Parses the digits of the fraction; those beyond milliseconds are dropped. */
static unsigned fraction_ms(struct cursor *c)
{
	unsigned ms = 0, scale = 100;

	if (c->at == c->end || *c->at != '.')
		return 0;
	c->at++;
	if (c->at == c->end || *c->at < '0' || *c->at > '9')
		c->bad = true;
	for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++, scale /= 10)
		ms += scale * (unsigned)(*c->at - '0');
	return ms;
}

static int64_t zone_minutes(struct cursor *c)
{
	unsigned hours, minutes;
	int64_t sign;

	if (c->at == c->end) {
		c->bad = true;
		return 0;
	}
	sign = *c->at == '-' ? -1 : 1;
	if (*c->at == 'Z' || *c->at == 'z') {
		c->at++;
		return 0;
	}
	expect(c, '+', '-', '+');
	hours = digits(c, 2);
	expect(c, ':', ':', ':');
	minutes = digits(c, 2);
	c->bad |= hours > 23 || minutes > 59;
	return sign * (int64_t)(hours * 60 + minutes);
}

bool stamp_parse(const char *text, size_t len, int64_t *ret_ms)
{
	struct cursor c = { text, text + len, false };
	unsigned year, month, day, hour, minute, second, ms;
	int64_t zone, result;

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
	ms = fraction_ms(&c);
	zone = zone_minutes(&c);
	if (c.bad || c.at != c.end || year < 1970 || month < 1 || month > 12 || day < 1)
		return false;
	if (day > stamp_month_days(year, month) || hour > 23 || minute > 59 || second > 60)
		return false;
	result = ((stamp_days(year, month, day) * 24 + hour) * 60 + minute - zone) * 60000 + second * 1000LL + ms;
	if (result < 0)
		return false;
	*ret_ms = result;
	return true;
}
