/* SPDX-License-Identifier: MIT */
/*
 * The messages of a host, typed: one line goes through the validator and json-c into struct message, or gives a fault
 * that says how to answer it. Only the shape is checked here; the agent checks whether an action exists, is permitted
 * and possible.
 */
#ifndef TRANSPORT_MESSAGE_H
#define TRANSPORT_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codes.h"
#include "json_check.h"

struct json_object;
struct json_tokener;

#define MESSAGE_ID_SIZE	      (JSON_ID_MAX + 1)
#define MESSAGE_TIMEOUT_MAX_S 86400
#define MESSAGE_RETRIES_MAX   10
#define MESSAGE_HISTORY_MAX   100000 /* samples in one answer to GetHistory */

enum message_type {
	MESSAGE_SAFE_COMMAND,
	MESSAGE_UNSAFE_COMMAND,
	MESSAGE_KEEP_ALIVE_REQUEST,
	MESSAGE_KEEP_ALIVE_RESPONSE,
	MESSAGE_PENDING_SCRIPTS, /* pending_scripts_response */
	MESSAGE_METRICS,
	MESSAGE_COMMAND_BATCH,
	MESSAGE_CANCEL_COMMAND,
	MESSAGE_SUBSCRIBE,
	MESSAGE_UNSUBSCRIBE,
	MESSAGE_SET_CONFIG,
	MESSAGE_STATUS,
	MESSAGE_GET_HISTORY,
	MESSAGE_ACK,
	MESSAGE_SIGNED, /* give `root` to envelope_verify, then parse the payload */
	MESSAGE_TYPES,
};

/* Strings and objects are borrowed from `root`; NULL when absent or null in the message. */
struct message {
	enum message_type type;
	char id[MESSAGE_ID_SIZE]; /* "" for the types that need none and gave none */
	struct json_object *root; /* owned: message_free */

	/* SafeCommand, UnsafeCommand */
	const char *action; /* SafeCommand: command_type.action, 1 to 64 bytes */
	bool has_timeout;
	uint32_t timeout_s; /* 1 to MESSAGE_TIMEOUT_MAX_S */
	bool stream;
	uint32_t retries; /* 0 to MESSAGE_RETRIES_MAX */

	/* UnsafeCommand */
	const char *raw_command; /* not empty, no NUL inside */
	const char *shell;	 /* as sent, any case */
	const char *working_dir;
	struct json_object *env_vars; /* object; names without '=' and values that are strings without NUL */
	const char *run_as;

	/* keep_alive_request, keep_alive_response (0 when absent there); Ack: seq */
	uint64_t sequence_number;

	const char *generation; /* Ack: of the sample; NULL: not said */

	const char *target_id;	    /* CancelCommand */
	struct json_object *items;  /* array: scripts of pending_scripts_response, commands of CommandBatch,
				     * topics of Subscribe and Unsubscribe (null: all) */
	struct json_object *values; /* SetConfig: object */
	bool stop_on_error;	    /* CommandBatch: on_error is "stop" */

	/* Subscribe, GetHistory: least distance of samples; 0: every one */
	uint64_t interval_ms;
	/* GetHistory: times as sent, numbers of milliseconds or RFC 3339 texts; NULL: no limit on that side */
	struct json_object *begin, *end;
	uint64_t from_seq; /* 0: from the begin */
	uint64_t limit;	   /* 0: none given */
};

/* Why a line cannot be taken. has_id: answer with a `response` to `id`; else with an `error`, id null. */
struct message_fault {
	enum error_code code;
	const char
		*reason; /* "bad_json", …, "unknown_type", "missing_field", "bad_type", "bad_id", "bad_value": static */
	bool has_id;
	char id[MESSAGE_ID_SIZE];
	size_t offset;	/* of the damage in the line, for faults of the JSON itself */
	char text[160]; /* for people: which field, what was expected */
};

struct message_parser {
	struct json_check check;
	struct json_limits limits;    /* the maxima after init; may be lowered */
	struct json_tokener *tokener; /* made at the first line; kept unless a long line bloated it */
};

/* `seed`: see json_check_init. */
void message_parser_init(struct message_parser *parser, uint32_t seed);
void message_parser_free(struct message_parser *parser);

/* 0 with *out filled (message_free it), -EBADMSG with *fault filled, or -ENOMEM (with *fault too: INTERNAL). */
int message_parse(struct message_parser *parser, const char *line, size_t len, struct message *out,
		  struct message_fault *fault);

/* The same from an object already parsed, of which a reference is taken: a member of a CommandBatch. */
int message_from_object(struct json_object *root, struct message *out, struct message_fault *fault);

/*
 * The fault of a line that framing refused: TOO_LARGE line_too_long, or INVALID_MESSAGE bad_utf8. `what`:
 * FRAME_TOO_LONG or FRAME_GARBLED.
 */
void message_fault_of_frame(int what, struct message_fault *fault);

/* Gives the object back and clears the message. Accepts a zeroed one. */
void message_free(struct message *message);

/* The wire name: "SafeCommand" and so on; NULL for anything else. */
const char *message_type_name(enum message_type type);

/*
 * A parameter of a SafeCommand, searched in command_type.params, command_type itself and the outer params, in this
 * order. NULL when absent or null. "action" and "params" of command_type itself are no parameters.
 */
struct json_object *message_param(const struct message *message, const char *name);

/*
 * Typed parameters: 0 with *ret set; 1 when absent (*ret untouched); -EBADMSG with *fault INVALID_PARAMETERS naming the
 * parameter: another type, or outside [min, max].
 */
int message_param_text(const struct message *message, const char *name, const char **ret, struct message_fault *fault);
int message_param_integer(const struct message *message, const char *name, int64_t min, int64_t max, int64_t *ret,
			  struct message_fault *fault);
int message_param_bool(const struct message *message, const char *name, bool *ret, struct message_fault *fault);

#endif
