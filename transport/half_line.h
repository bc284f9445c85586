/* SPDX-License-Identifier: MIT */
/*
 * A host that dies in the middle of a line leaves a half line in the port. If the port does not show the change of
 * hosts, the first line of the next host stands right behind it. Such a line does not parse, but a message at its end
 * may.
 */
#ifndef TRANSPORT_HALF_LINE_H
#define TRANSPORT_HALF_LINE_H

#include <stddef.h>

#include "json_check.h"

/*
 * The number of bytes before a whole message at the end of the line: an object that passes json_check_line within
 * `limits` and has a text as its "type", with any order and spacing of its keys. 0: the whole line is that message.
 * `len`: there is none.
 *
 * The result is unambiguous: from the last '}' backwards, the braces and brackets outside of strings close at one place
 * or nowhere. So a message within a string, a member of a batch and a parameter that looks like a message are not
 * found, and no byte of any line is read more than twice.
 */
size_t half_line_length(struct json_check *check, const char *line, size_t len, const struct json_limits *limits);

#endif
