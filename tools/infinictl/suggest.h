/* SPDX-License-Identifier: MIT */
/* A metric that is in no sample: the paths that are there and nearest to what was typed. */
#ifndef TOOLS_INFINICTL_SUGGEST_H
#define TOOLS_INFINICTL_SUGGEST_H

#include <stddef.h>

struct json_object;

/* Writes up to three of the paths of `data` that are like `path`, " or " between them; "" when none is. */
void suggest_metrics(struct json_object *data, const char *path, char *out, size_t size);

#endif
