/* SPDX-License-Identifier: MIT */
/*
 * The error codes of the wire, once: `error_code` of a response and `details.code` of an error message. The
 * lower-case reason words beside them say which of the many ways it was.
 */
#ifndef TRANSPORT_CODES_H
#define TRANSPORT_CODES_H

enum error_code {
	CODE_NONE, /* no error; has no name */
	CODE_INVALID_MESSAGE,
	CODE_UNKNOWN_COMMAND,
	CODE_INVALID_PARAMETERS,
	CODE_PERMISSION_DENIED,
	CODE_POLICY_DENIED,
	CODE_UNSIGNED,
	CODE_BAD_SIGNATURE,
	CODE_STALE,
	CODE_REPLAYED,
	CODE_DUPLICATE_ID,
	CODE_QUEUE_FULL,
	CODE_COMMAND_TIMEOUT,
	CODE_CANCELLED,
	CODE_COMMAND_FAILED,
	CODE_NOT_FOUND,
	CODE_UNSUPPORTED_PLATFORM,
	CODE_TOO_LARGE,
	CODE_SHUTTING_DOWN,
	CODE_INTERNAL,
	CODES,
};

/* "QUEUE_FULL" and so on; NULL for CODE_NONE and for anything that is no code. */
const char *code_name(enum error_code code);

/* The code of a name, CODE_NONE for NULL or an unknown one. */
enum error_code code_from_name(const char *name);

#endif
