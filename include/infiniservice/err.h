/* SPDX-License-Identifier: MIT */
/*
 * An error with a text for people and hosts: -EINVAL cannot say which line of which file.
 * The error is filled where the facts are known and given context on the way up. Plain failures stay 0 or -errno.
 */
#ifndef INFINISERVICE_ERR_H
#define INFINISERVICE_ERR_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct err {
	int code; /* a negative errno value, 0 when unset */
	char text[512];
};

/* Sets code and text (cut to fit) and returns `code`, so that a caller can `return err_set(...)`. `e` may be NULL. */
__attribute__((format(printf, 3, 4))) static inline int err_set(struct err *e, int code, const char *format, ...)
{
	va_list args;

	if (!e)
		return code;
	e->code = code;
	va_start(args, format);
	vsnprintf(e->text, sizeof(e->text), format, args);
	va_end(args);
	return code;
}

/* Puts "context: " in front of the text (cut to fit). Returns the code. */
__attribute__((format(printf, 2, 3))) static inline int err_context(struct err *e, const char *format, ...)
{
	char old[sizeof(e->text)];
	va_list args;
	size_t len;

	memcpy(old, e->text, sizeof(old));
	va_start(args, format);
	vsnprintf(e->text, sizeof(e->text), format, args);
	va_end(args);
	len = strlen(e->text);
	if (len + 2 < sizeof(e->text)) {
		memcpy(e->text + len, ": ", 3);
		strncat(e->text, old, sizeof(e->text) - len - 3);
	}
	return e->code;
}

#endif
