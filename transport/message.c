/* SPDX-License-Identifier: MIT */
/*
 * One table lists the fields of each type; one small function per family reads them. A field that is null is
 * absent. Unknown fields are ignored, unknown types are not.
 */
#include "message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "frame.h"

#define ACTION_MAX	 64
#define INTERVAL_MAX_MS	 86400000
#define KEEP_TOKENER_MAX (64 * 1024) /* a longer line leaves a buffer of its size in the tokener */

struct message_kind {
	const char *name;
	bool needs_id;
	int (*read)(struct message *m, struct message_fault *fault);
};

__attribute__((format(printf, 4, 5))) static int fail(struct message_fault *fault, enum error_code code,
						      const char *reason, const char *format, ...)
{
	va_list args;

	fault->code = code;
	fault->reason = reason;
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return -EBADMSG;
}

/* The member, NULL when absent or null. */
static struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

static bool has_nul(struct json_object *text)
{
	return strlen(json_object_get_string(text)) != (size_t)json_object_get_string_len(text);
}

/* The readers below: 0, 1 when absent, -EBADMSG. They judge a value found under `name`. */
static int as_text(struct json_object *value, const char *name, const char **ret, struct message_fault *fault)
{
	if (!value)
		return 1;
	if (!json_object_is_type(value, json_type_string))
		return fail(fault, CODE_INVALID_PARAMETERS, "bad_type", "%.64s has to be a string", name);
	if (has_nul(value))
		return fail(fault, CODE_INVALID_PARAMETERS, "bad_value", "%.64s holds a NUL", name);
	*ret = json_object_get_string(value);
	return 0;
}

static int as_integer(struct json_object *value, const char *name, int64_t min, int64_t max, int64_t *ret,
		      struct message_fault *fault)
{
	int64_t number;

	if (!value)
		return 1;
	if (!json_object_is_type(value, json_type_int))
		return fail(fault, CODE_INVALID_PARAMETERS, "bad_type", "%.64s has to be an integer", name);
	number = json_object_get_int64(value);
	if (number < min || number > max)
		return fail(fault, CODE_INVALID_PARAMETERS, "out_of_range", "%.64s has to be %lld to %lld", name,
			    (long long)min, (long long)max);
	*ret = number;
	return 0;
}

static int as_bool(struct json_object *value, const char *name, bool *ret, struct message_fault *fault)
{
	if (!value)
		return 1;
	if (!json_object_is_type(value, json_type_boolean))
		return fail(fault, CODE_INVALID_PARAMETERS, "bad_type", "%.64s has to be true or false", name);
	*ret = json_object_get_boolean(value);
	return 0;
}

static int as_type(struct json_object *value, const char *name, enum json_type type, struct json_object **ret,
		   struct message_fault *fault)
{
	if (!value)
		return 1;
	if (!json_object_is_type(value, type))
		return fail(fault, CODE_INVALID_PARAMETERS, "bad_type", "%.64s has to be an %s", name,
			    type == json_type_array ? "array" : "object");
	*ret = value;
	return 0;
}

/* The fault for a missing required field. */
static int required(int result, const char *name, struct message_fault *fault)
{
	if (result == 1)
		return fail(fault, CODE_INVALID_MESSAGE, "missing_field", "%.64s is missing", name);
	if (result < 0)
		fault->code = CODE_INVALID_MESSAGE;
	return result;
}

static int not_empty(int result, const char *text, const char *name, struct message_fault *fault)
{
	if (result == 0 && *text == '\0')
		return fail(fault, CODE_INVALID_MESSAGE, "bad_value", "%.64s is empty", name);
	return result;
}

/* Reads the fields that SafeCommand and UnsafeCommand share. */
static int read_options(struct message *m, struct message_fault *fault)
{
	int64_t timeout = 0, retries = 0;
	int result;

	result = as_integer(get(m->root, "timeout"), "timeout", 1, MESSAGE_TIMEOUT_MAX_S, &timeout, fault);
	if (result < 0)
		return result;
	m->has_timeout = result == 0;
	m->timeout_s = (uint32_t)timeout;
	result = as_integer(get(m->root, "retries"), "retries", 0, MESSAGE_RETRIES_MAX, &retries, fault);
	if (result < 0)
		return result;
	m->retries = (uint32_t)retries;
	result = as_bool(get(m->root, "stream"), "stream", &m->stream, fault);
	return result < 0 ? result : 0;
}

static int read_safe_command(struct message *m, struct message_fault *fault)
{
	struct json_object *command = NULL, *params;
	int result;

	result = required(as_type(get(m->root, "command_type"), "command_type", json_type_object, &command, fault),
			  "command_type", fault);
	if (result < 0)
		return result;
	result = required(as_text(get(command, "action"), "command_type.action", &m->action, fault),
			  "command_type.action", fault);
	result = not_empty(result, m->action, "command_type.action", fault);
	if (result < 0)
		return result;
	if (strlen(m->action) > ACTION_MAX)
		return fail(fault, CODE_UNKNOWN_COMMAND, "unknown_action", "no action has so long a name");
	if (as_type(get(command, "params"), "command_type.params", json_type_object, &params, fault) < 0 ||
	    as_type(get(m->root, "params"), "params", json_type_object, &params, fault) < 0)
		return -EBADMSG;
	return read_options(m, fault);
}

static int check_env_vars(struct json_object *vars, struct message_fault *fault)
{
	json_object_object_foreach(vars, name, value)
	{
		const char *text;

		if (*name == '\0' || strchr(name, '='))
			return fail(fault, CODE_INVALID_PARAMETERS, "bad_value", "env_vars: bad name");
		if (!value || as_text(value, "env_vars", &text, fault) < 0)
			return fail(fault, CODE_INVALID_PARAMETERS, "bad_type", "env_vars.%.64s has to be a string",
				    name);
	}
	return 0;
}

static int read_unsafe_command(struct message *m, struct message_fault *fault)
{
	int result = required(as_text(get(m->root, "raw_command"), "raw_command", &m->raw_command, fault),
			      "raw_command", fault);

	result = not_empty(result, m->raw_command, "raw_command", fault);
	if (result < 0)
		return result;
	if (as_text(get(m->root, "shell"), "shell", &m->shell, fault) < 0 ||
	    as_text(get(m->root, "working_dir"), "working_dir", &m->working_dir, fault) < 0 ||
	    as_text(get(m->root, "run_as"), "run_as", &m->run_as, fault) < 0 ||
	    as_type(get(m->root, "env_vars"), "env_vars", json_type_object, &m->env_vars, fault) < 0)
		return -EBADMSG;
	if (m->env_vars && check_env_vars(m->env_vars, fault) < 0)
		return -EBADMSG;
	return read_options(m, fault);
}

/* The whole range of uint64, which the validator guarantees; negative values are refused. */
static int read_u64(struct json_object *value, const char *name, uint64_t *ret, struct message_fault *fault)
{
	int64_t number;
	int result = as_integer(value, name, 0, INT64_MAX, &number, fault);

	if (result == 0)
		*ret = json_object_get_uint64(value);
	return result;
}

static int read_keep_alive_request(struct message *m, struct message_fault *fault)
{
	return required(read_u64(get(m->root, "sequence_number"), "sequence_number", &m->sequence_number, fault),
			"sequence_number", fault);
}

static int read_keep_alive_response(struct message *m, struct message_fault *fault)
{
	int result = read_u64(get(m->root, "sequence_number"), "sequence_number", &m->sequence_number, fault);

	return result < 0 ? result : 0;
}

static int read_ack(struct message *m, struct message_fault *fault)
{
	int result = required(read_u64(get(m->root, "seq"), "seq", &m->sequence_number, fault), "seq", fault);

	if (result == 0)
		result = as_text(get(m->root, "generation"), "generation", &m->generation, fault);
	return result < 0 ? result : 0;
}

static int read_scripts(struct message *m, struct message_fault *fault)
{
	return required(as_type(get(m->root, "scripts"), "scripts", json_type_array, &m->items, fault), "scripts",
			fault);
}

static int read_batch(struct message *m, struct message_fault *fault)
{
	const char *on_error = NULL;
	int result = required(as_type(get(m->root, "commands"), "commands", json_type_array, &m->items, fault),
			      "commands", fault);

	if (result == 0)
		result = as_text(get(m->root, "on_error"), "on_error", &on_error, fault);
	if (result < 0)
		return result;
	m->stop_on_error = on_error && strcmp(on_error, "stop") == 0;
	if (on_error && !m->stop_on_error && strcmp(on_error, "continue") != 0)
		return fail(fault, CODE_INVALID_PARAMETERS, "bad_value", "on_error has to be continue or stop");
	return 0;
}

static int read_cancel(struct message *m, struct message_fault *fault)
{
	int result =
		required(as_text(get(m->root, "target_id"), "target_id", &m->target_id, fault), "target_id", fault);

	return not_empty(result, m->target_id, "target_id", fault);
}

static int read_topics(struct message *m, struct message_fault *fault)
{
	int64_t interval = 0;

	if (as_type(get(m->root, "topics"), "topics", json_type_array, &m->items, fault) < 0 ||
	    as_integer(get(m->root, "interval_ms"), "interval_ms", 0, INTERVAL_MAX_MS, &interval, fault) < 0)
		return -EBADMSG;
	m->interval_ms = (uint64_t)interval;
	return 0;
}

/* A time is a number or a text; the text is not checked here. */
static int as_time(struct json_object *value, const char *name, struct json_object **ret, struct message_fault *fault)
{
	if (value && !json_object_is_type(value, json_type_int) && !json_object_is_type(value, json_type_string))
		return fail(fault, CODE_INVALID_PARAMETERS, "bad_type",
			    "%.64s has to be an RFC 3339 time or milliseconds since 1970", name);
	*ret = value;
	return 0;
}

static int read_history(struct message *m, struct message_fault *fault)
{
	int64_t limit = 0, interval = 0;

	if (as_time(get(m->root, "begin"), "begin", &m->begin, fault) < 0 ||
	    as_time(get(m->root, "end"), "end", &m->end, fault) < 0 ||
	    read_u64(get(m->root, "from_seq"), "from_seq", &m->from_seq, fault) < 0 ||
	    as_integer(get(m->root, "limit"), "limit", 1, MESSAGE_HISTORY_MAX, &limit, fault) < 0 ||
	    as_integer(get(m->root, "interval_ms"), "interval_ms", 0, INTERVAL_MAX_MS, &interval, fault) < 0)
		return -EBADMSG;
	m->limit = (uint64_t)limit;
	m->interval_ms = (uint64_t)interval;
	return read_options(m, fault);
}

static int read_set_config(struct message *m, struct message_fault *fault)
{
	return required(as_type(get(m->root, "values"), "values", json_type_object, &m->values, fault), "values",
			fault);
}

static int read_nothing(struct message *m, struct message_fault *fault)
{
	(void)m;
	(void)fault;
	return 0;
}

static const struct message_kind kinds[MESSAGE_TYPES] = {
	[MESSAGE_SAFE_COMMAND] = { "SafeCommand", true, read_safe_command },
	[MESSAGE_UNSAFE_COMMAND] = { "UnsafeCommand", true, read_unsafe_command },
	[MESSAGE_KEEP_ALIVE_REQUEST] = { "keep_alive_request", false, read_keep_alive_request },
	[MESSAGE_KEEP_ALIVE_RESPONSE] = { "keep_alive_response", false, read_keep_alive_response },
	[MESSAGE_PENDING_SCRIPTS] = { "pending_scripts_response", false, read_scripts },
	[MESSAGE_METRICS] = { "Metrics", false, read_nothing },
	[MESSAGE_COMMAND_BATCH] = { "CommandBatch", true, read_batch },
	[MESSAGE_CANCEL_COMMAND] = { "CancelCommand", true, read_cancel },
	[MESSAGE_SUBSCRIBE] = { "Subscribe", true, read_topics },
	[MESSAGE_UNSUBSCRIBE] = { "Unsubscribe", true, read_topics },
	[MESSAGE_SET_CONFIG] = { "SetConfig", true, read_set_config },
	[MESSAGE_STATUS] = { "Status", true, read_nothing },
	[MESSAGE_GET_HISTORY] = { "GetHistory", true, read_history },
	[MESSAGE_ACK] = { "Ack", false, read_ack },
	[MESSAGE_SIGNED] = { "signed", false, read_nothing },
};

const char *message_type_name(enum message_type type)
{
	return (unsigned)type < MESSAGE_TYPES ? kinds[type].name : NULL;
}

/* Copies the id of the object: 0, 1 when there is none, -EBADMSG when the member is not a valid id. */
static int read_id(struct json_object *root, char out[MESSAGE_ID_SIZE], struct message_fault *fault)
{
	struct json_object *value = get(root, "id");
	size_t len;

	if (!value)
		return 1;
	if (!json_object_is_type(value, json_type_string))
		return fail(fault, CODE_INVALID_MESSAGE, "bad_id", "id has to be a string");
	len = (size_t)json_object_get_string_len(value);
	if (len == 0 || len > JSON_ID_MAX || has_nul(value))
		return fail(fault, CODE_INVALID_MESSAGE, "bad_id", "id has to have 1 to %d bytes and no NUL",
			    JSON_ID_MAX);
	memcpy(out, json_object_get_string(value), len + 1);
	return 0;
}

static int read_type(struct json_object *root, enum message_type *ret, struct message_fault *fault)
{
	const char *name = NULL;
	int result = required(as_text(get(root, "type"), "type", &name, fault), "type", fault);

	if (result < 0)
		return result;
	for (unsigned i = 0; i < MESSAGE_TYPES; i++)
		if (strcmp(kinds[i].name, name) == 0) {
			*ret = (enum message_type)i;
			return 0;
		}
	return fail(fault, CODE_UNKNOWN_COMMAND, "unknown_type", "no message has this type");
}

/* Fills m->type, m->id and the fields of the type. */
static int read_message(struct message *m, struct message_fault *fault)
{
	int id, result;

	id = read_id(m->root, m->id, fault);
	if (id == 0) {
		fault->has_id = true;
		memcpy(fault->id, m->id, sizeof(m->id));
	}
	result = read_type(m->root, &m->type, fault);
	if (result < 0)
		return result;
	if (kinds[m->type].needs_id && id == 1)
		return fail(fault, CODE_INVALID_MESSAGE, "missing_id", "%s needs an id", kinds[m->type].name);
	if (kinds[m->type].needs_id && id < 0)
		return read_id(m->root, m->id, fault);
	return kinds[m->type].read(m, fault);
}

int message_from_object(struct json_object *root, struct message *out, struct message_fault *fault)
{
	struct message m = { .root = root };
	int result;

	*fault = (struct message_fault){ 0 };
	if (!json_object_is_type(root, json_type_object))
		return fail(fault, CODE_INVALID_MESSAGE, "not_object", "a message has to be an object");
	result = read_message(&m, fault);
	if (result < 0)
		return result;
	json_object_get(root);
	*out = m;
	return 0;
}

void message_parser_init(struct message_parser *parser, uint32_t seed)
{
	json_check_init(&parser->check, seed);
	parser->limits = (struct json_limits){ .depth = JSON_DEPTH_MAX, .tokens = JSON_TOKENS_MAX };
	parser->tokener = NULL;
}

void message_parser_free(struct message_parser *parser)
{
	if (parser->tokener)
		json_tokener_free(parser->tokener);
	parser->tokener = NULL;
}

static int fail_json(const char *line, size_t len, const struct json_fault *json, struct message_fault *fault)
{
	fault->has_id = json_scan_id(line, len, fault->id) > 0;
	if (!fault->has_id)
		fault->id[0] = '\0';
	fault->offset = json->offset;
	return fail(fault, CODE_INVALID_MESSAGE, json_fault_reason(json->reason), "%s at byte %zu",
		    json_fault_reason(json->reason), json->offset);
}

/* json-c's tree of a line that has passed the validator; NULL only without memory. */
static struct json_object *build_tree(struct message_parser *parser, const char *line, size_t len)
{
	struct json_object *root;

	while (len > 0 && line[len - 1] != '}')
		len--;
	if (!parser->tokener) {
		/* Its depth 1 is the scalar level inside the innermost container. */
		parser->tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
		if (!parser->tokener)
			return NULL;
		json_tokener_set_flags(parser->tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	}
	json_tokener_reset(parser->tokener);
	root = json_tokener_parse_ex(parser->tokener, line, (int)len);
	if (len > KEEP_TOKENER_MAX)
		message_parser_free(parser);
	return root;
}

int message_parse(struct message_parser *parser, const char *line, size_t len, struct message *out,
		  struct message_fault *fault)
{
	struct json_fault json = { .reason = JSON_LINE_TOO_LONG };
	struct json_object *root;
	int result;

	*fault = (struct message_fault){ 0 };
	if (len > INT32_MAX || json_check_line(&parser->check, line, len, &parser->limits, &json) < 0)
		return fail_json(line, len, &json, fault);
	root = build_tree(parser, line, len);
	if (!root) {
		fault->has_id = json_scan_id(line, len, fault->id) > 0;
		fail(fault, CODE_INTERNAL, "no_memory", "the message could not be read");
		return -ENOMEM;
	}
	result = message_from_object(root, out, fault);
	json_object_put(root);
	return result;
}

void message_fault_of_frame(int what, struct message_fault *fault)
{
	*fault = (struct message_fault){ 0 };
	if (what == FRAME_TOO_LONG)
		fail(fault, CODE_TOO_LARGE, "line_too_long", "the line is too long and was skipped");
	else
		fail(fault, CODE_INVALID_MESSAGE, "bad_utf8", "the line was cut by a byte 0xFF");
}

void message_free(struct message *message)
{
	if (message->root)
		json_object_put(message->root);
	memset(message, 0, sizeof(*message));
}

struct json_object *message_param(const struct message *message, const char *name)
{
	struct json_object *command = get(message->root, "command_type"), *value;

	value = get(get(command, "params"), name);
	if (!value && strcmp(name, "action") != 0 && strcmp(name, "params") != 0)
		value = get(command, name);
	return value ? value : get(get(message->root, "params"), name);
}

int message_param_text(const struct message *message, const char *name, const char **ret, struct message_fault *fault)
{
	return as_text(message_param(message, name), name, ret, fault);
}

int message_param_integer(const struct message *message, const char *name, int64_t min, int64_t max, int64_t *ret,
			  struct message_fault *fault)
{
	return as_integer(message_param(message, name), name, min, max, ret, fault);
}

int message_param_bool(const struct message *message, const char *name, bool *ret, struct message_fault *fault)
{
	return as_bool(message_param(message, name), name, ret, fault);
}
