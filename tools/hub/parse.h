/* SPDX-License-Identifier: MIT */
/* A line of a guest as a JSON object, within bounds: the guest is not trusted. */
#ifndef HUB_PARSE_H
#define HUB_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

/*
 * The object of a line; NULL when it is none, is deeper than 32 levels, or has more than 200,000 values: json-c spends
 * some 100 bytes on each, so that an honest sample of 1000 processes (25,000 values) passes and a hostile line cannot
 * take the host's memory. To be put.
 */
struct json_object *line_parse(const char *line, size_t len);

/* A member by its path ("system.cpu.usage_percent"), or NULL. */
struct json_object *json_at(struct json_object *from, const char *path);
/* True if the path is there, also as null, which *ret (it may be NULL) then is. */
bool json_has(struct json_object *from, const char *path, struct json_object **ret);
/* Its text, or "" when it is absent or no string. Valid as long as `from`. */
const char *json_text_at(struct json_object *from, const char *path);

/* "2026-01-02T03:04:05.678Z" as milliseconds since 1970. 0 or -EINVAL. */
int rfc3339_parse(const char *text, int64_t *ret_ms);

#endif
