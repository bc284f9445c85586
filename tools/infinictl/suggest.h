/* SPDX-License-Identifier: MIT */
/* Suggestions for a metric that does not exist: the paths most like the one typed. */
#ifndef TOOLS_INFINICTL_SUGGEST_H
#define TOOLS_INFINICTL_SUGGEST_H

#include <stddef.h>

struct json_object;

/*
 * Writes up to three of the paths of `data` (a sample's; NULL: of the catalogue) that are like `path`, " or " between
 * them; "" when none is.
 */
void suggest_metrics(struct json_object *data, const char *path, char *out, size_t size);

#endif
