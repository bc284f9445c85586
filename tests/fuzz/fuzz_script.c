/* SPDX-License-Identifier: MIT */
/*
 * Scripts as a host sends them: one that is said to be runnable has an id, a text and an interpreter that we name; the
 * environment made of its inputs holds texts alone, each under a name of letters, digits and '_'.
 */
#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/script.h"
#include "transport/message.h"
#include "require.h"

static struct message_parser parser;

static void check_name(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

	REQUIRE(strncmp(name, "INPUT_", 6) == 0 && name[strspn(name, allowed)] == '\0');
}

static void check_environment(struct json_object *inputs)
{
	struct json_object *made = script_environment(inputs);

	if (!made)
		return;
	json_object_object_foreach(made, name, value)
	{
		check_name(name);
		REQUIRE(json_object_is_type(value, json_type_string));
		REQUIRE(strlen(json_object_get_string(value)) == (size_t)json_object_get_string_len(value));
	}
	json_object_put(made);
}

static void check_script(struct json_object *item)
{
	struct script script = { 0 };
	const char *why;
	char name[64];

	if (!json_object_is_type(item, json_type_object) || !script_text(item, "execution_id", &script.id) ||
	    !script.id)
		return;
	why = script_read(item, &script);

	if (why) {
		REQUIRE(*why);
		return;
	}
	REQUIRE(script.content && strlen(script.content) == script.content_len);
	REQUIRE(script_interpreter(script.shell));
	REQUIRE(script.timeout_s >= 0);
	REQUIRE(!script.inputs || json_object_is_type(script.inputs, json_type_object));
	check_environment(script.inputs);
	for (int capitals = 0; capitals < 2; capitals++)
		if (script_input_name(script.id, capitals, name, sizeof(name)))
			check_name(name);
}

/* The message as it comes, which is how a script reaches us; failing that, the bytes as one item of its list. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char head[] = "{\"type\":\"pending_scripts_response\",\"scripts\":[", tail[] = "]}";
	struct message message = { 0 };
	struct message_fault fault;
	char *line = malloc(sizeof(head) + size + sizeof(tail));
	int len;

	if (!line)
		return 0;
	if (parser.limits.depth == 0)
		message_parser_init(&parser, 1);
	len = sprintf(line, "%s", head);
	memcpy(line + len, data, size);
	memcpy(line + len + size, tail, sizeof(tail));
	if (message_parse(&parser, line, (size_t)len + size + strlen(tail), &message, &fault) == 0) {
		REQUIRE(message.type == MESSAGE_PENDING_SCRIPTS);
		for (size_t i = 0; i < json_object_array_length(message.items); i++)
			check_script(json_object_array_get_idx(message.items, i));
		message_free(&message);
	}
	free(line);
	return 0;
}
