/* SPDX-License-Identifier: MIT */
/* See fill.h. */
#include "agent/metrics/fill.h"

#include <errno.h>
#include <string.h>

#include <json-c/json.h>

#include <infiniservice/collector.h>

bool fill_is_whole(struct json_object *sample)
{
	return json_object_get_boolean(json_object_object_get(sample, "whole"));
}

/* True if `key` is one of the names between blanks. */
static bool is_named(const char *names, const char *key)
{
	size_t len = strlen(key);

	for (const char *at = names; (at = strstr(at, key)); at += len)
		if ((at == names || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

static int add(struct json_object *to, const char *key, struct json_object *value)
{
	if (json_object_object_add(to, key, json_object_get(value)) == 0)
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

/* What an item of a list is told apart by; NULL: nothing. */
static const char *name_of(struct json_object *item)
{
	struct json_object *name;

	if (!json_object_object_get_ex(item, "name", &name) && !json_object_object_get_ex(item, "mount_point", &name))
		return NULL;
	return json_object_get_string(name);
}

static struct json_object *item_named(struct json_object *list, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		const char *other = name_of(item);

		if (other && strcmp(other, name) == 0)
			return item;
	}
	return NULL;
}

static int fill_object(struct json_object *to, struct json_object *from, const char *names);

static int fill_list(struct json_object *to, struct json_object *from, const char *names)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_object_array_length(to); i++) {
		struct json_object *item = json_object_array_get_idx(to, i), *same = NULL;
		const char *name = name_of(item);

		if (name)
			same = item_named(from, name);
		if (same)
			r = fill_object(item, same, names);
	}
	return r;
}

/* The keys of `from` that are named and not in `to`, and of the objects and lists in both likewise. */
static int fill_object(struct json_object *to, struct json_object *from, const char *names)
{
	int r = 0;

	if (!json_object_is_type(to, json_type_object) || !json_object_is_type(from, json_type_object))
		return 0;
	json_object_object_foreach(from, key, value)
	{
		struct json_object *own;

		if (r < 0)
			break;
		if (!json_object_object_get_ex(to, key, &own))
			r = is_named(names, key) ? add(to, key, value) : 0;
		else if (json_object_is_type(own, json_type_array) && json_object_is_type(value, json_type_array))
			r = fill_list(own, value, names);
		else
			r = fill_object(own, value, names);
	}
	return r;
}

/* The object that `path` leads to; of a collector that is in whole samples alone the one it is in, and *ret_last. */
static struct json_object *object_at(struct json_object *at, const char *path, bool parent, const char **ret_last)
{
	char part[64];

	while (at && *path) {
		size_t len = strcspn(path, ".");

		if ((parent && path[len] == '\0') || len >= sizeof(part))
			break;
		memcpy(part, path, len);
		part[len] = '\0';
		at = json_object_object_get(at, part);
		path += len + (path[len] == '.');
	}
	*ret_last = path;
	return at;
}

int fill_sample(struct json_object *sample, struct json_object *whole)
{
	struct json_object *data = json_object_object_get(sample, "data");
	struct json_object *whole_data = json_object_object_get(whole, "data");
	int r = 0;

	for (unsigned i = 0; r == 0 && collectors[i]; i++) {
		const struct collector *collector = collectors[i];
		const char *names = collector->whole_keys, *last;
		struct json_object *to, *from;

		if (!names && !collector->whole)
			continue;
		to = object_at(data, collector->path, collector->whole, &last);
		from = object_at(whole_data, collector->path, collector->whole, &last);
		r = fill_object(to, from, collector->whole ? last : names);
	}
	if (r == 0 && json_object_object_add(sample, "filled", json_object_new_boolean(true)) < 0)
		r = -ENOMEM;
	return r;
}
