/* SPDX-License-Identifier: MIT */
/* json-c trees into a sink: what a host sent and gets back (parameters, SetConfig values). */
#include "json_write.h"

#include <json-c/json.h>

#define TREE_DEPTH_MAX 16

static void write_integer(struct sink *sink, const char *key, struct json_object *value)
{
	int64_t number = json_object_get_int64(value);

	/* json-c stores values above INT64_MAX apart and clamps them in get_int64. */
	if (number == INT64_MAX)
		sink_uint(sink, key, json_object_get_uint64(value));
	else
		sink_int(sink, key, number);
}

static void write_tree(struct sink *sink, const char *key, struct json_object *value, unsigned depth);

static void write_members(struct sink *sink, const char *key, struct json_object *value, unsigned depth)
{
	sink_object_begin(sink, key);
	json_object_object_foreach(value, name, member) write_tree(sink, name, member, depth + 1);
	sink_object_end(sink);
}

static void write_items(struct sink *sink, const char *key, struct json_object *value, unsigned depth)
{
	size_t count = json_object_array_length(value);

	sink_array_begin(sink, key);
	for (size_t i = 0; i < count; i++)
		write_tree(sink, NULL, json_object_array_get_idx(value, i), depth + 1);
	sink_array_end(sink);
}

static void write_tree(struct sink *sink, const char *key, struct json_object *value, unsigned depth)
{
	enum json_type type = depth < TREE_DEPTH_MAX ? json_object_get_type(value) : json_type_null;
	size_t len;

	switch (type) {
	case json_type_object:
		write_members(sink, key, value, depth);
		break;
	case json_type_array:
		write_items(sink, key, value, depth);
		break;
	case json_type_string:
		len = (size_t)json_object_get_string_len(value);
		sink_text(sink, key, json_object_get_string(value), len, len);
		break;
	case json_type_int:
		write_integer(sink, key, value);
		break;
	case json_type_double:
		sink_real(sink, key, json_object_get_double(value), 6);
		break;
	case json_type_boolean:
		sink_bool(sink, key, json_object_get_boolean(value));
		break;
	case json_type_null:
		sink_null(sink, key);
		break;
	}
}

void json_write_object(struct sink *sink, const char *key, struct json_object *value)
{
	write_tree(sink, key, value, 0);
}
