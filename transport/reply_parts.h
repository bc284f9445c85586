/* SPDX-License-Identifier: MIT */
/* Internal to reply.c and response.c. */
#ifndef TRANSPORT_REPLY_PARTS_H
#define TRANSPORT_REPLY_PARTS_H

#include <stddef.h>
#include <stdint.h>

struct json_writer;
struct sink;

/* Resets the writer and opens the message with `type` and `timestamp`. */
struct sink *reply_begin(struct json_writer *w, const char *type, int64_t wall_ms);

/* Closes and ends the line: 0 or -EMSGSIZE. */
int reply_end(struct json_writer *w);

/* A NUL-terminated text cut at `max` bytes; null for NULL. */
void reply_text(struct sink *out, const char *key, const char *text, size_t max);

void reply_time(struct sink *out, const char *key, int64_t wall_ms);

#endif
