/* SPDX-License-Identifier: MIT */
/* One readable line for each message an agent sends, beginning with its type as on the wire. */
#ifndef INFINIHOST_SUMMARY_H
#define INFINIHOST_SUMMARY_H

#include <stdio.h>

#include <json-c/json.h>

/* Writes the line for `message`. Nothing from the guest reaches the terminal unescaped. */
void summary_print(FILE *out, struct json_object *message);

/* A member by its path ("system.cpu.usage_percent"), or NULL. */
struct json_object *summary_find(struct json_object *from, const char *path);
/* Its text, or "" when it is absent or no string. Valid as long as `from`. */
const char *summary_find_text(struct json_object *from, const char *path);

#endif
