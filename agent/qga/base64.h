/* SPDX-License-Identifier: MIT */
/* Base64 (RFC 4648, section 4), by which this language passes bytes. */
#ifndef AGENT_QGA_BASE64_H
#define AGENT_QGA_BASE64_H

#include <stddef.h>
#include <sys/types.h>

/* Decodes the text into `out`. The number of bytes; -EBADMSG: it is none; -ENOSPC: more than `size`. */
ssize_t base64_decode(const char *text, char *out, size_t size);

/* Length of the text of `len` bytes, with its NUL. */
#define BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1)

/* Writes the text and a NUL into `out`, BASE64_SIZE(len) bytes. */
void base64_encode(const char *bytes, size_t len, char *out);

#endif
