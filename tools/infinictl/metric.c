/* SPDX-License-Identifier: MIT */
/* The path is taken apart once; each line then costs a few look-ups. */
#include "tools/infinictl/metric.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

static int bad(const char *text, struct err *err, const char *reason)
{
	return err_set(err, -EINVAL, "metric \"%.100s\": %s", text, reason);
}

static long step_index(const char *name)
{
	char *end;
	long index;

	if (!isdigit((unsigned char)name[0]) || strlen(name) > 9)
		return -1;
	index = strtol(name, &end, 10);
	return *end ? -1 : index;
}

/*
 * Takes one part; *at is moved behind it and *bracket tells the kind of the next part. Returns the error as text, or
 * NULL.
 */
static const char *take_step(char **at, bool *bracket, struct metric_step *step)
{
	char *end = *at + strcspn(*at, *bracket ? "]" : ".["), delimiter = *end;

	step->name = *at;
	step->bracket = *bracket;
	if (end == *at)
		return "an empty part";
	if (*bracket && delimiter != ']')
		return "a [ without ]";
	*end = '\0';
	step->index = *bracket ? step_index(step->name) : -1;
	*at = delimiter ? end + 1 : end;
	if (*bracket && **at) {
		delimiter = *(*at)++;
		if (delimiter != '.' && delimiter != '[')
			return "a . is missing after ]";
	} else if (delimiter == '.' && !**at) {
		return "ends with a .";
	}
	*bracket = delimiter == '[';
	return NULL;
}

int metric_parse(const char *text, struct metric *ret, struct err *err)
{
	bool bracket = *text == '[';
	const char *wrong = NULL;
	char *at = ret->text;

	if (!*text || strlen(text) >= METRIC_TEXT_MAX)
		return bad(text, err, "empty or too long");
	snprintf(ret->text, sizeof(ret->text), "%s", text);
	snprintf(ret->label, sizeof(ret->label), "%s", text);
	at += bracket;
	for (ret->count = 0; (*at || bracket) && !wrong; ret->count++) {
		if (ret->count == METRIC_STEPS_MAX)
			return bad(text, err, "too many parts");
		wrong = take_step(&at, &bracket, &ret->steps[ret->count]);
	}
	return wrong ? bad(text, err, wrong) : 0;
}

static bool is_called(struct json_object *item, const char *name)
{
	static const char *const keys[] = { "name", "mount_point", "device", "pid", "port" };
	struct json_object *value;

	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_object_object_get_ex(item, keys[i], &value) && value &&
		    !strcmp(json_object_get_string(value), name))
			return true;
	return false;
}

static bool pick_item(const struct metric_step *step, struct json_object *array, struct json_object **ret)
{
	size_t count = json_object_array_length(array);

	/* A number is a position first; pids and ports are beyond any position. */
	if (step->index >= 0 && (size_t)step->index < count) {
		*ret = json_object_array_get_idx(array, (size_t)step->index);
		return true;
	}
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);

		if (!json_object_is_type(item, json_type_object) || !is_called(item, step->name))
			continue;
		*ret = item;
		return true;
	}
	return false;
}

bool metric_find(const struct metric *metric, struct json_object *data, struct json_object **ret)
{
	struct json_object *at = data;

	for (unsigned i = 0; i < metric->count; i++) {
		const struct metric_step *step = &metric->steps[i];
		bool found = false;

		if (json_object_is_type(at, json_type_array))
			found = step->bracket && pick_item(step, at, &at);
		else if (json_object_is_type(at, json_type_object))
			found = json_object_object_get_ex(at, step->name, &at);
		if (!found)
			return false;
	}
	*ret = at;
	return true;
}
