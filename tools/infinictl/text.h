/* SPDX-License-Identifier: MIT */
/*
 * Between data of unknown origin and a terminal: JSON parsed within bounds, values as short texts, times as people read
 * them.
 */
#ifndef TOOLS_INFINICTL_TEXT_H
#define TOOLS_INFINICTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json_object;

#define TEXT_TIME_SIZE 40

/* Parses one object, owned by the caller; NULL if it is no object, too deep or has too many values. */
struct json_object *text_parse(const char *line, size_t len);

/* For _cleanup_. */
void text_putp(struct json_object **object);

/* A member of a member …: text_member(data, "system", "cpu", NULL). NULL if any is missing. */
struct json_object *text_member(struct json_object *object, ...);

/* Prints it and a newline; `flags` are json-c's. */
void text_json(struct json_object *value, int flags);

/* The member's text, or "". Valid as long as `object`. */
const char *text_string(struct json_object *object, const char *name);

/* A finite number; false for anything else. */
bool text_number(struct json_object *value, double *ret);

/* "2026-01-02T03:04:05.678+01:00", or with Z; `brief`: "2026-01-02 03:04:05". */
void text_time(int64_t wall_ms, bool utc, bool brief, char out[TEXT_TIME_SIZE]);

/* A number without more than it needs: at most three decimals, more digits only for what is below 0.01. */
#define TEXT_NUMBER_SIZE 40
void text_plain(double number, char out[TEXT_NUMBER_SIZE]);

/* "1.4G"; "-" for what is no number. */
void text_bytes(double bytes, bool known, char *out, size_t size);

#endif
