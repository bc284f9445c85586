/* SPDX-License-Identifier: MIT */
/* See kill_rule.h. */
#include "agent/rules/kill_rule.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static bool in_range(const struct tm *tm)
{
	return tm->tm_year >= 70 && tm->tm_mon >= 0 && tm->tm_mon < 12 && tm->tm_mday >= 1 && tm->tm_mday <= 31 &&
	       tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec <= 60;
}

/* Parses a fraction such as ".678": any number of digits, of which three count. The rest of the text, or NULL. */
static const char *parse_fraction(const char *text, int64_t *ret_ms)
{
	int64_t ms = 0, unit = 100;

	if (*text != '.')
		return text;
	if (text[1] < '0' || text[1] > '9')
		return NULL;
	for (text++; *text >= '0' && *text <= '9'; text++, unit /= 10)
		ms += (*text - '0') * unit;
	*ret_ms = ms;
	return text;
}

bool kill_rule_parse(const char *text, int64_t *ret_ms)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:dd";
	struct tm tm = { .tm_isdst = 0 };
	int64_t ms = 0;

	for (size_t i = 0; shape[i]; i++)
		if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
			return false;
	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
		   &tm.tm_sec) != 6)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	text = parse_fraction(text + sizeof(shape) - 1, &ms);
	if (!text || strcmp(text, "Z") != 0 || !in_range(&tm))
		return false;
	*ret_ms = (int64_t)timegm(&tm) * 1000 + ms;
	return true;
}

bool kill_rule_matches(int64_t start_ms, uint64_t start_ticks, uint64_t tick_hz, const struct moment *now)
{
	int64_t boot_ms = now->wall_ms - (int64_t)(now->boot_ns / NS_PER_MS);
	int64_t shown_ms = boot_ms + (int64_t)((double)start_ticks * 1000 / (double)tick_hz);

	return start_ms - shown_ms <= KILL_RULE_ROOM_MS && shown_ms - start_ms <= KILL_RULE_ROOM_MS;
}
