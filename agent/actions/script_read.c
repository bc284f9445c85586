/* SPDX-License-Identifier: MIT */
/* From a script as a host wrote it to what can be run; see script_read.h. */
#include "agent/actions/script_read.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "transport/message.h"

#define ENVIRONMENT_NAME_MAX 128

const char *script_interpreter(const char *shell)
{
	static const char *const known[] = { "sh", "bash", "dash", "zsh", "ksh", "python3", "perl" };

	if (!shell || !*shell)
		return "sh";
	if (strcasecmp(shell, "python") == 0)
		return "python3";
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcasecmp(shell, known[i]) == 0)
			return known[i];
	return NULL;
}

bool script_input_name(const char *name, bool capitals, char *out, size_t size)
{
	size_t prefix = strlen("INPUT_"), len = strlen(name);

	if (len == 0 || prefix + len >= size)
		return false;
	memcpy(out, "INPUT_", prefix);
	for (size_t i = 0; i <= len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c && !(c < 0x80 && isalnum(c)))
			c = '_';
		out[prefix + i] = (char)(capitals ? toupper(c) : c);
	}
	return true;
}

bool script_text(struct json_object *object, const char *key, const char **ret)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(object, key, &value) || !value)
		return true;
	if (!json_object_is_type(value, json_type_string) ||
	    strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value))
		return false;
	*ret = json_object_get_string(value);
	return true;
}

static bool inputs_are_fit(struct json_object *inputs)
{
	char name[ENVIRONMENT_NAME_MAX];

	json_object_object_foreach(inputs, key, value)
	{
		const char *text = NULL;

		if (!script_input_name(key, false, name, sizeof(name)))
			return false;
		if (json_object_is_type(value, json_type_string) && !script_text(inputs, key, &text))
			return false;
	}
	return true;
}

const char *script_read(struct json_object *item, struct script *script)
{
	struct json_object *timeout = NULL;

	if (!script_text(item, "script_content", &script->content) || !script->content)
		return "script_content is missing or no text";
	script->content_len = strlen(script->content);
	if (!script_text(item, "shell", &script->shell) || !script_interpreter(script->shell))
		return "shell is none of sh, bash, dash, zsh, ksh, python3, python, perl";
	if (!script_text(item, "run_as", &script->run_as))
		return "run_as is no text";
	if (json_object_object_get_ex(item, "timeout_seconds", &timeout) && timeout) {
		script->timeout_s = json_object_is_type(timeout, json_type_int) ? json_object_get_int64(timeout) : -1;
		if (script->timeout_s < 1 || script->timeout_s > MESSAGE_TIMEOUT_MAX_S)
			return "timeout_seconds has to be 1 to 86400";
	}
	json_object_object_get_ex(item, "input_values", &script->inputs);
	if (script->inputs &&
	    (!json_object_is_type(script->inputs, json_type_object) || !inputs_are_fit(script->inputs)))
		return "input_values has to be an object of values that an environment can hold";
	return NULL;
}

struct json_object *script_environment(struct json_object *inputs)
{
	struct json_object *variables = json_object_new_object();
	char name[ENVIRONMENT_NAME_MAX];

	if (!variables || !inputs)
		return variables;
	json_object_object_foreach(inputs, key, value)
	{
		const char *text = value ? json_object_get_string(value) : "";

		for (int capitals = 0; capitals < 2; capitals++) {
			struct json_object *copy = json_object_new_string(text ? text : "");

			if (!copy || !script_input_name(key, capitals, name, sizeof(name)) ||
			    json_object_object_add(variables, name, copy) < 0) {
				json_object_put(copy);
				json_object_put(variables);
				return NULL;
			}
		}
	}
	return variables;
}
