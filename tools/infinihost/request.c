/* SPDX-License-Identifier: MIT */
/* From the words of a command line to the messages of the protocol. */
#include "request.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/show/show.h"

/*
 * True if all of `text` is one JSON value; json-c takes 'x', NaN and Infinity too, which therefore must not begin it.
 */
static bool parse_value(const char *text, struct json_object **ret)
{
	struct json_tokener *tokener;
	bool whole;

	if (!*text || !strchr("-0123456789{[\"tfn", *text) || !strncmp(text, "-I", 2))
		return false;
	tokener = json_tokener_new();
	if (!tokener)
		return false;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	*ret = json_tokener_parse_ex(tokener, text, (int)strlen(text) + 1);
	whole = json_tokener_get_error(tokener) == json_tokener_success &&
		json_tokener_get_parse_end(tokener) == strlen(text);
	json_tokener_free(tokener);
	if (!whole)
		json_object_put(*ret);
	return whole;
}

int request_parameter(struct json_object *into, const char *text)
{
	const char *equals = strchr(text, '=');
	_cleanup_(freep) char *key = equals ? strndup(text, (size_t)(equals - text)) : NULL;
	struct json_object *value = NULL;

	if (!equals || equals == text)
		return -EINVAL;
	if (!key)
		return -ENOMEM;
	if (!strcmp(key, "action"))
		return -EINVAL;
	if (!parse_value(equals + 1, &value)) {
		value = json_object_new_string(equals + 1);
		if (!value)
			return -ENOMEM;
	}
	if (json_object_object_add(into, key, value) < 0) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

/* Adds a string; a failure becomes visible as a missing required field and is tested once by `complete`. */
int request_add_text(struct json_object *into, const char *key, const char *text)
{
	struct json_object *value = text ? json_object_new_string(text) : NULL;

	if (!text)
		return 0;
	if (!value || json_object_object_add(into, key, value) < 0) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

static double at_most(double a, double b)
{
	return a < b ? a : b;
}

/*
 * Of a limit of t the agent keeps min(1, t/4) for its answer, and SIGTERM goes out min(2, t/5) before that. It takes
 * whole seconds, one at least.
 */
int64_t request_time_limit(double seconds)
{
	int64_t limit = seconds < 1 ? 1 : (int64_t)seconds;

	while ((double)limit - at_most(1, (double)limit / 4) - at_most(2, (double)limit / 5) < seconds)
		limit++;
	return limit;
}

static int add_timeout(struct json_object *into, double seconds)
{
	struct json_object *value = json_object_new_int64(request_time_limit(seconds));

	if (!value || json_object_object_add(into, "timeout", value) < 0) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

struct json_object *request_new(const char *type, const char *id, double timeout_s)
{
	struct json_object *message = json_object_new_object();

	if (message && !request_add_text(message, "type", type) && !request_add_text(message, "id", id) &&
	    !add_timeout(message, timeout_s))
		return message;
	json_object_put(message);
	return NULL;
}

struct json_object *request_action(const char *id, double timeout_s, int argc, char **argv)
{
	struct json_object *message = request_new("SafeCommand", id, timeout_s);
	struct json_object *type = json_object_new_object();
	int r = message && type ? request_add_text(type, "action", argv[0]) : -ENOMEM;

	for (int i = 1; i < argc && r == 0; i++) {
		r = request_parameter(type, argv[i]);
		if (r == -EINVAL)
			show(stderr, "infinihost: %s: a parameter is key=value\n", argv[i]);
	}
	if (r == 0 && json_object_object_add(message, "params", NULL) == 0 &&
	    json_object_object_add(message, "command_type", type) == 0)
		return message;
	json_object_put(type);
	json_object_put(message);
	return NULL;
}

/* Appends `word` in single quotes; a quote inside becomes '\''. */
static char *append_quoted(char *at, const char *word)
{
	*at++ = '\'';
	for (; *word; word++) {
		if (*word == '\'')
			at = stpcpy(at, "'\\''");
		else
			*at++ = *word;
	}
	*at++ = '\'';
	return at;
}

char *request_shell_line(int count, char **words)
{
	size_t size = 1;
	char *line, *at;

	if (count == 1)
		return strdup(words[0]);
	for (int i = 0; i < count; i++)
		size += 4 * strlen(words[i]) + 3;
	line = at = malloc(size);
	for (int i = 0; line && i < count; i++) {
		if (i > 0)
			*at++ = ' ';
		at = append_quoted(at, words[i]);
	}
	if (line)
		*at = '\0';
	return line;
}
