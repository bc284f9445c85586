/* SPDX-License-Identifier: MIT */
/* The table of code names. */
#include "codes.h"

#include <stddef.h>
#include <string.h>

static const char *const names[CODES] = {
	[CODE_INVALID_MESSAGE] = "INVALID_MESSAGE",
	[CODE_UNKNOWN_COMMAND] = "UNKNOWN_COMMAND",
	[CODE_INVALID_PARAMETERS] = "INVALID_PARAMETERS",
	[CODE_PERMISSION_DENIED] = "PERMISSION_DENIED",
	[CODE_POLICY_DENIED] = "POLICY_DENIED",
	[CODE_UNSIGNED] = "UNSIGNED",
	[CODE_BAD_SIGNATURE] = "BAD_SIGNATURE",
	[CODE_STALE] = "STALE",
	[CODE_REPLAYED] = "REPLAYED",
	[CODE_DUPLICATE_ID] = "DUPLICATE_ID",
	[CODE_QUEUE_FULL] = "QUEUE_FULL",
	[CODE_COMMAND_TIMEOUT] = "COMMAND_TIMEOUT",
	[CODE_CANCELLED] = "CANCELLED",
	[CODE_COMMAND_FAILED] = "COMMAND_FAILED",
	[CODE_NOT_FOUND] = "NOT_FOUND",
	[CODE_UNSUPPORTED_PLATFORM] = "UNSUPPORTED_PLATFORM",
	[CODE_TOO_LARGE] = "TOO_LARGE",
	[CODE_SHUTTING_DOWN] = "SHUTTING_DOWN",
	[CODE_INTERNAL] = "INTERNAL",
};

const char *code_name(enum error_code code)
{
	return (unsigned)code < CODES ? names[code] : NULL;
}

enum error_code code_from_name(const char *name)
{
	for (unsigned i = CODE_NONE + 1; name && i < CODES; i++)
		if (strcmp(names[i], name) == 0)
			return (enum error_code)i;
	return CODE_NONE;
}
