/* SPDX-License-Identifier: MIT */
/* Between json_write.c and json_text.c; what others may ask about texts is in json_write.h. */
#ifndef TRANSPORT_JSON_TEXT_H
#define TRANSPORT_JSON_TEXT_H

#include <stddef.h>

/* Encodes the text at `at`, not beyond `limit`. Returns behind it, or NULL if it does not fit. */
char *json_text_put(char *at, const char *limit, const char *bytes, size_t len);

#endif
