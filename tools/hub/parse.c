/* SPDX-License-Identifier: MIT */
#include "parse.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define VALUES_MAX 200000
#define DEPTH_MAX  32
#define KEY_MAX	   64

/* An estimate of the values and keys of a line: counts the characters that open or separate them, outside strings. */
static size_t count_values(const char *line, size_t len)
{
	bool in_string = false;
	size_t count = 1;

	for (size_t i = 0; i < len; i++) {
		if (in_string && line[i] == '\\')
			i++;
		else if (line[i] == '"')
			in_string = !in_string;
		else if (!in_string && line[i] && strchr(",:[{", line[i]))
			count++;
	}
	return count;
}

struct json_object *line_parse(const char *line, size_t len)
{
	struct json_tokener *tokener;
	struct json_object *object;

	if (count_values(line, len) > VALUES_MAX)
		return NULL;
	tokener = json_tokener_new_ex(DEPTH_MAX);
	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, line, (int)len);
	json_tokener_free(tokener);
	if (json_object_is_type(object, json_type_object))
		return object;
	json_object_put(object);
	return NULL;
}

bool json_has(struct json_object *from, const char *path, struct json_object **ret)
{
	char key[KEY_MAX];

	while (from) {
		size_t len = strcspn(path, ".");

		if (len >= sizeof(key) || !json_object_is_type(from, json_type_object))
			return false;
		memcpy(key, path, len);
		key[len] = '\0';
		if (!json_object_object_get_ex(from, key, &from))
			return false;
		if (!path[len]) {
			if (ret)
				*ret = from;
			return true;
		}
		path += len + 1;
	}
	return false;
}

struct json_object *json_at(struct json_object *from, const char *path)
{
	struct json_object *found = NULL;

	return json_has(from, path, &found) ? found : NULL;
}

const char *json_text_at(struct json_object *from, const char *path)
{
	struct json_object *text = json_at(from, path);

	return json_object_is_type(text, json_type_string) ? json_object_get_string(text) : "";
}

int rfc3339_parse(const char *text, int64_t *ret_ms)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int ms = 0;

	if (!rest)
		return -EINVAL;
	sscanf(rest, ".%3d", &ms);
	*ret_ms = (int64_t)timegm(&tm) * 1000 + ms;
	return 0;
}
