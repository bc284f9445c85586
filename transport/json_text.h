/* SPDX-License-Identifier: MIT */
/* Internal to json_write.c and json_text.c; the public functions about texts are in json_write.h. */
#ifndef TRANSPORT_JSON_TEXT_H
#define TRANSPORT_JSON_TEXT_H

#include <stddef.h>

/* Encodes the text at `at`, not beyond `limit`. Returns behind it, or NULL if it does not fit. */
char *json_text_put(char *at, const char *limit, const char *bytes, size_t len);

#endif
