/* SPDX-License-Identifier: MIT */
#include "agent/qga/request.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "transport/json_check.h"

/* Always -EBADMSG. */
__attribute__((format(printf, 2, 3))) static int bad(char fault[QGA_FAULT_SIZE], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(fault, QGA_FAULT_SIZE, format, args);
	va_end(args);
	return -EBADMSG;
}

static struct json_object *tree(const char *text, size_t len)
{
	/* Its depth 1 is the scalar level inside the innermost container. */
	struct json_tokener *tokener = len <= INT_MAX ? json_tokener_new_ex(JSON_DEPTH_MAX + 1) : NULL;
	struct json_object *root;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	root = json_tokener_parse_ex(tokener, text, (int)len);
	json_tokener_free(tokener);
	return root;
}

int qga_request_parse(const char *text, size_t len, struct qga_request *ret, char fault[QGA_FAULT_SIZE])
{
	int r = 0;

	*ret = (struct qga_request){ .root = tree(text, len) };
	if (!ret->root) {
		bad(fault, "out of memory");
		return -ENOMEM;
	}
	json_object_object_foreach(ret->root, key, value)
	{
		if (strcmp(key, "id") == 0) {
			ret->id = value;
			ret->has_id = true;
		} else if (r < 0) {
			continue;
		} else if (strcmp(key, "execute") == 0) {
			if (!json_object_is_type(value, json_type_string))
				r = bad(fault, "QMP input member 'execute' must be a string");
			else
				ret->command = json_object_get_string(value);
		} else if (strcmp(key, "arguments") == 0) {
			if (!json_object_is_type(value, json_type_object))
				r = bad(fault, "QMP input member 'arguments' must be an object");
			else
				ret->arguments = value;
		} else {
			r = bad(fault, "QMP input member '%.100s' is unexpected", key);
		}
	}
	if (r == 0 && !ret->command)
		r = bad(fault, "QMP input lacks member 'execute'");
	return r;
}

void qga_request_free(struct qga_request *request)
{
	json_object_put(request->root);
	*request = (struct qga_request){ .root = NULL };
}

struct json_object *qga_request_get(const struct qga_request *request, const char *name)
{
	struct json_object *value = NULL;

	if (request->arguments)
		json_object_object_get_ex(request->arguments, name, &value);
	return value;
}

/* An integer of the protocol: 1.0 is none, and what int64 cannot hold is a number of another type. */
static bool is_integer(struct json_object *value)
{
	return json_object_is_type(value, json_type_int) &&
	       (json_object_get_int64(value) != INT64_MAX || json_object_get_uint64(value) == INT64_MAX);
}

static bool of_type(struct json_object *value, enum qga_param_type type)
{
	static const enum json_type types[] = { [QGA_INTEGER] = json_type_int,
						[QGA_TEXT] = json_type_string,
						[QGA_BOOL] = json_type_boolean,
						[QGA_LIST] = json_type_array,
						[QGA_OBJECT] = json_type_object };

	if (type == QGA_ANY)
		return true;
	return type == QGA_INTEGER ? is_integer(value) : json_object_is_type(value, types[type]);
}

static const struct qga_param *param_find(const struct qga_param *params, const char *name)
{
	for (; params && params->name; params++)
		if (strcmp(params->name, name) == 0)
			return params;
	return NULL;
}

bool qga_request_check(const struct qga_request *request, const struct qga_param *params, char fault[QGA_FAULT_SIZE])
{
	static const char *const words[] = { [QGA_INTEGER] = "integer", [QGA_TEXT] = "string",	 [QGA_BOOL] = "boolean",
					     [QGA_LIST] = "array",	[QGA_OBJECT] = "object", [QGA_ANY] = "any" };

	for (const struct qga_param *param = params; param && param->name; param++) {
		struct json_object *value = NULL;
		bool there = request->arguments && json_object_object_get_ex(request->arguments, param->name, &value);

		if (!there && !param->required)
			continue;
		if (!there)
			return !bad(fault, "Parameter '%s' is missing", param->name);
		if (!of_type(value, param->type))
			return !bad(fault, "Invalid parameter type for '%s', expected: %s", param->name,
				    words[param->type]);
		/* A text of C ends at its first NUL: what a command would do is not what was asked. */
		if (param->type == QGA_TEXT &&
		    strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value))
			return !bad(fault, "Parameter '%s' holds a NUL", param->name);
	}
	if (!request->arguments)
		return true;
	json_object_object_foreach(request->arguments, key, value)
	{
		(void)value;
		if (!param_find(params, key))
			return !bad(fault, "Parameter '%.100s' is unexpected", key);
	}
	return true;
}

int64_t qga_request_integer(const struct qga_request *request, const char *name, int64_t fallback)
{
	struct json_object *value = qga_request_get(request, name);

	return value ? json_object_get_int64(value) : fallback;
}

const char *qga_request_text(const struct qga_request *request, const char *name, const char *fallback)
{
	struct json_object *value = qga_request_get(request, name);

	return value ? json_object_get_string(value) : fallback;
}

bool qga_request_bool(const struct qga_request *request, const char *name, bool fallback)
{
	struct json_object *value = qga_request_get(request, name);

	return value ? json_object_get_boolean(value) : fallback;
}
