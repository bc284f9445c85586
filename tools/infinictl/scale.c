/* SPDX-License-Identifier: MIT */
#include "tools/infinictl/scale.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/text.h"

#define HUGE_VALUE 1e300

static struct scale round_scale(double min, double max, unsigned ticks)
{
	static const double factors[] = { 1, 2, 2.5, 5, 10 };
	double span, base, step;

	if (min > 0 && max - min > max / 10)
		min = 0;
	if (max < 0 && max - min > -min / 10)
		max = 0;
	if (max - min < 1e-9 * fmax(fabs(max), 1e-3)) {
		double half = fabs(max) > 0 ? fabs(max) / 20 : 1;

		min = min >= 0 && min < half ? 0 : min - half;
		max += half;
	}
	span = max - min;
	base = pow(10, floor(log10(span / ticks)));
	step = 10 * base;
	for (size_t i = 0; i < ARRAY_SIZE(factors); i++)
		if (factors[i] * base * ticks >= span) {
			step = factors[i] * base;
			break;
		}
	return (struct scale){ floor(min / step) * step, ceil(max / step) * step, step };
}

struct scale scale_make(double min, double max, unsigned ticks, enum catalog_unit unit)
{
	struct scale scale;
	double power = 1;

	min = fmax(-HUGE_VALUE, fmin(HUGE_VALUE, min));
	max = fmax(-HUGE_VALUE, fmin(HUGE_VALUE, max));
	if (unit == UNIT_BYTES || unit == UNIT_KIB || unit == UNIT_GIB || unit == UNIT_BYTES_PER_SECOND ||
	    unit == UNIT_KIB_PER_SECOND)
		while (fmax(fabs(min), fabs(max)) / power >= 1024)
			power *= 1024;
	scale = round_scale(min / power, max / power, ticks);
	return (struct scale){ scale.low * power, scale.high * power, scale.step * power };
}

void scale_value(double value, enum catalog_unit unit, char *out, size_t size)
{
	static const double factors[] = {
		[UNIT_KIB] = 1024, [UNIT_GIB] = 1024.0 * 1024 * 1024, [UNIT_KIB_PER_SECOND] = 1024
	};
	double factor = unit < ARRAY_SIZE(factors) && factors[unit] > 0 ? factors[unit] : 1;
	char text[TEXT_NUMBER_SIZE];

	switch (unit) {
	case UNIT_BYTES:
	case UNIT_KIB:
	case UNIT_GIB:
	case UNIT_BYTES_PER_SECOND:
	case UNIT_KIB_PER_SECOND:
		text_bytes(fabs(value) * factor, true, text, sizeof(text));
		snprintf(out, size, "%s%s%s", value < 0 ? "-" : "", text,
			 unit == UNIT_BYTES_PER_SECOND || unit == UNIT_KIB_PER_SECOND ? "/s" : "");
		return;
	case UNIT_NANOSECONDS:
	case UNIT_MICROSECONDS:
		snprintf(out, size, "%.3gs", value * (unit == UNIT_NANOSECONDS ? 1e-9 : 1e-6));
		return;
	default:
		if (fabs(value) >= 1e6)
			snprintf(text, sizeof(text), "%.3g", value);
		else
			text_plain(value, text);
		snprintf(out, size, "%s%s", text,
			 unit == UNIT_PERCENT	   ? "%"
			 : unit == UNIT_PER_SECOND ? "/s"
			 : unit == UNIT_CELSIUS	   ? "C"
			 : unit == UNIT_SECONDS	   ? "s"
						   : "");
	}
}

int64_t scale_time_step(int64_t span_ms, unsigned ticks)
{
	static const int64_t seconds[] = { 1,	  2,	 5,	 10,	 15,	  30,	   60,	    120,
					   300,	  600,	 900,	 1800,	 3600,	  7200,	   10800,   21600,
					   43200, 86400, 172800, 604800, 2592000, 7776000, 31536000 };

	for (size_t i = 0; i < ARRAY_SIZE(seconds); i++)
		if (seconds[i] * 1000 * ticks >= span_ms)
			return seconds[i] * 1000;
	return span_ms / ticks + 1;
}

/* Seconds that local time is ahead of UTC at `ms`. */
static int64_t ahead_ms(int64_t ms, bool utc)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm = { 0 };

	return utc || !localtime_r(&seconds, &tm) ? 0 : (int64_t)tm.tm_gmtoff * 1000;
}

int64_t scale_time_first(int64_t ms, int64_t step_ms, bool utc)
{
	int64_t ahead = ahead_ms(ms, utc), local = ms + ahead;

	return (local + step_ms - 1) / step_ms * step_ms - ahead;
}

void scale_time(int64_t ms, int64_t step_ms, bool utc, char *out, size_t size)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm = { 0 };

	if (utc)
		gmtime_r(&seconds, &tm);
	else
		localtime_r(&seconds, &tm);
	if (step_ms >= 86400000 || (tm.tm_hour == 0 && tm.tm_min == 0 && tm.tm_sec == 0))
		strftime(out, size, "%d %b", &tm);
	else
		strftime(out, size, step_ms < 60000 ? "%H:%M:%S" : "%H:%M", &tm);
}
