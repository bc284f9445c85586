/* SPDX-License-Identifier: MIT */
#include "agent/qga/base64.h"

#include <errno.h>
#include <string.h>

#include <nettle/base64.h>

ssize_t base64_decode(const char *text, char *out, size_t size)
{
	struct base64_decode_ctx state;
	size_t len = strlen(text), done = 0;

	/* What cannot fit is not begun. */
	if (len / 4 * 3 > size + 2)
		return -ENOSPC;
	base64_decode_init(&state);
	for (size_t i = 0; i < len; i++) {
		uint8_t byte;
		int r = base64_decode_single(&state, &byte, text[i]);

		if (r < 0)
			return -EBADMSG;
		if (r > 0 && done == size)
			return -ENOSPC;
		if (r > 0)
			out[done++] = (char)byte;
	}
	return base64_decode_final(&state) ? (ssize_t)done : -EBADMSG;
}

void base64_encode(const char *bytes, size_t len, char *out)
{
	base64_encode_raw(out, len, (const uint8_t *)bytes);
	out[BASE64_ENCODE_RAW_LENGTH(len)] = '\0';
}
