/* SPDX-License-Identifier: MIT */
/*
 * One line through message_parse: a message has a type, an id where its type needs one and values in range; a fault has
 * a code and a reason; an echo of the tree by the writer passes the validator.
 */
#include <errno.h>

#include <json-c/json.h>

#include "transport/envelope.h"
#include "transport/json_write.h"
#include "transport/message.h"
#include "require.h"

#define KEY "69694c4da93700c86640f8db66ef84d3c6441ba86725212ec25b552ea20bfa56"
#define NOW 1790000000000

static struct message_parser parser;

static void check_fault(const struct message_fault *fault)
{
	REQUIRE(code_name(fault->code) != NULL);
	REQUIRE(fault->reason && *fault->reason);
	REQUIRE(memchr(fault->text, '\0', sizeof(fault->text)));
	REQUIRE(fault->has_id == (fault->id[0] != '\0'));
}

static void check_params(const struct message *message)
{
	static const char *const names[] = { "service", "action", "params", "pid", "limit", "force", "" };
	struct message_fault fault;

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *text;
		int64_t integer = 5;
		bool flag;

		(void)message_param_text(message, names[i], &text, &fault);
		if (message_param_integer(message, names[i], 0, 9, &integer, &fault) == 0)
			REQUIRE(integer >= 0 && integer <= 9);
		(void)message_param_bool(message, names[i], &flag, &fault);
	}
}

static void check_members(const struct message *batch)
{
	for (size_t i = 0; i < json_object_array_length(batch->items); i++) {
		struct message member = { 0 };
		struct message_fault fault;

		if (message_from_object(json_object_array_get_idx(batch->items, i), &member, &fault) < 0)
			check_fault(&fault);
		message_free(&member);
	}
}

static void check_envelope(struct json_object *root)
{
	struct envelope_guard guard;
	const char *payload;
	size_t len;

	envelope_guard_init(&guard);
	REQUIRE(envelope_verify(&guard, KEY, strlen(KEY), root, NOW, &payload, &len) < ENVELOPE_VERDICTS);
	envelope_guard_free(&guard);
}

static void check_message(const struct message *message)
{
	REQUIRE(message_type_name(message->type) != NULL);
	REQUIRE(!message->has_timeout || (message->timeout_s >= 1 && message->timeout_s <= MESSAGE_TIMEOUT_MAX_S));
	REQUIRE(message->retries <= MESSAGE_RETRIES_MAX);
	if (message->type == MESSAGE_SAFE_COMMAND) {
		REQUIRE(message->id[0] && message->action && message->action[0]);
		check_params(message);
	}
	if (message->type == MESSAGE_UNSAFE_COMMAND)
		REQUIRE(message->id[0] && message->raw_command && message->raw_command[0]);
	if (message->type == MESSAGE_COMMAND_BATCH)
		check_members(message);
	if (message->type == MESSAGE_SIGNED)
		check_envelope(message->root);
}

static void check_echo(struct json_object *root)
{
	static char buffer[262144];
	struct json_writer w;
	const char *line;
	size_t len;

	json_writer_init(&w, buffer, sizeof(buffer));
	json_write_object(&w.sink, NULL, root);
	if (json_writer_finish(&w, &line, &len) == 0)
		for (size_t i = 0; i + 1 < len; i++)
			REQUIRE(line[i] >= 0x20 && line[i] < 0x7F);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message message = { 0 };
	struct message_fault fault;
	int result;

	if (parser.limits.depth == 0)
		message_parser_init(&parser, 1);
	result = message_parse(&parser, (const char *)data, size, &message, &fault);
	REQUIRE(result == 0 || result == -EBADMSG);
	if (result < 0) {
		check_fault(&fault);
		REQUIRE(message.root == NULL);
		return 0;
	}
	check_message(&message);
	check_echo(message.root);
	message_free(&message);
	return 0;
}
