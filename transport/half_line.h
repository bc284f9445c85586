/* SPDX-License-Identifier: MIT */
/*
 * A host that dies in the middle of a line leaves a half of it in the port, and where the port shows no border the
 * first line of the next host stands right behind it. Such a line does not parse; what stands at its end may.
 */
#ifndef TRANSPORT_HALF_LINE_H
#define TRANSPORT_HALF_LINE_H

#include <stddef.h>

#include "json_check.h"

/*
 * How many bytes of the line stand before a whole message that reaches to its end: an object that passes
 * json_check_line within `limits` and has a text as its "type", however its keys are ordered and spaced. 0: the line is
 * that message. `len`: there is none.
 *
 * There is never a choice: from the last '}' backwards, the braces and brackets outside of strings close at one place
 * or nowhere. So a message within a string, a member of a batch and a parameter that looks like a message are not
 * found, and each byte is looked at twice at most, whatever the line is made of.
 */
size_t half_line_length(struct json_check *check, const char *line, size_t len, const struct json_limits *limits);

#endif
