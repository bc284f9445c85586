/* SPDX-License-Identifier: MIT */
/*
 * Nothing read from a file or socket is trusted here: parsing is bounded before json-c sees the text.
 */
#include "tools/infinictl/text.h"

#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <infiniservice/moment.h>

#include "tools/show/show.h"

/* json-c spends some 60 to 260 bytes on a value: a line of the agent has at most about 40,000. */
#define VALUES_MAX 100000
#define DEPTH_MAX  32

struct json_object *text_parse(const char *line, size_t len)
{
	struct json_tokener *tokener;
	struct json_object *object;
	size_t values = 0;

	for (size_t i = 0; i < len; i++)
		values += line[i] == ',' || line[i] == '{' || line[i] == '[';
	if (values > VALUES_MAX || len > INT32_MAX)
		return NULL;
	tokener = json_tokener_new_ex(DEPTH_MAX);
	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	object = json_tokener_parse_ex(tokener, line, (int)len);
	json_tokener_free(tokener);
	if (object && !json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		return NULL;
	}
	return object;
}

void text_putp(struct json_object **object)
{
	json_object_put(*object);
}

struct json_object *text_member(struct json_object *object, ...)
{
	const char *name;
	va_list names;

	va_start(names, object);
	while (object && (name = va_arg(names, const char *)))
		if (!json_object_object_get_ex(object, name, &object))
			object = NULL;
	va_end(names);
	return object;
}

const char *text_string(struct json_object *object, const char *name)
{
	struct json_object *value = text_member(object, name, NULL);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

void text_json(struct json_object *value, int flags)
{
	const char *text = json_object_to_json_string_ext(value, flags | JSON_C_TO_STRING_NOSLASHESCAPE);

	show_json(stdout, text ? text : "null");
	show(stdout, "\n");
}

bool text_number(struct json_object *value, double *ret)
{
	double number;

	if (!json_object_is_type(value, json_type_int) && !json_object_is_type(value, json_type_double))
		return false;
	number = json_object_get_double(value);
	if (!isfinite(number))
		return false;
	*ret = number;
	return true;
}

void text_time(int64_t wall_ms, bool utc, bool brief, char out[TEXT_TIME_SIZE])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	char date[24], zone[8] = "";
	struct tm tm;

	if (utc ? !gmtime_r(&seconds, &tm) : !localtime_r(&seconds, &tm))
		memset(&tm, 0, sizeof(tm));
	strftime(date, sizeof(date), brief ? "%Y-%m-%d %H:%M:%S" : "%Y-%m-%dT%H:%M:%S", &tm);
	if (brief) {
		snprintf(out, TEXT_TIME_SIZE, "%s", date);
		return;
	}
	strftime(zone, sizeof(zone), "%z", &tm);
	snprintf(out, TEXT_TIME_SIZE, "%s.%03d%.3s%s%.2s", date, (int)(wall_ms % 1000), utc ? "Z" : zone,
		 utc ? "" : ":", utc ? "" : zone + 3);
}

void text_plain(double number, char out[TEXT_NUMBER_SIZE])
{
	double size = fabs(number);
	char *end;

	if (size >= 1e15 || (size > 0 && size < 0.01)) {
		snprintf(out, TEXT_NUMBER_SIZE, "%.6g", number);
		return;
	}
	snprintf(out, TEXT_NUMBER_SIZE, "%.3f", number);
	for (end = out + strlen(out) - 1; *end == '0';)
		*end-- = '\0';
	if (*end == '.')
		*end = '\0';
}

void text_bytes(double bytes, bool known, char *out, size_t size)
{
	static const char units[] = "BKMGTPE";
	unsigned unit = 0;

	if (!known) {
		snprintf(out, size, "-");
		return;
	}
	while (bytes >= 1024 && unit + 2 < sizeof(units)) {
		bytes /= 1024;
		unit++;
	}
	snprintf(out, size, unit && bytes < 10 ? "%.1f%c" : "%.0f%c", bytes, units[unit]);
}
