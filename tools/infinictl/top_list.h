/* SPDX-License-Identifier: MIT */
/* The list in the lower part of the screen: processes, control groups, disks, file systems or interfaces. Pure. */
#ifndef TOOLS_INFINICTL_TOP_LIST_H
#define TOOLS_INFINICTL_TOP_LIST_H

#include "tools/infinictl/top_view.h"

/* Items of a sample that are looked at. */
#define TOP_ROWS_MAX 2048

const char *top_view_name(enum top_view view);
unsigned top_columns(enum top_view view);
const char *top_column_name(enum top_view view, unsigned column);

/* The heading in row `y`, and the list in the `height` rows below it; bounds state->scroll. */
void top_list(struct top_state *state, struct json_object *data, struct grid *grid, unsigned y, unsigned height);

/* How a number is written, "-" for one that is not known. `unit`: '%', 'B', 'K' (KiB), 'G' (GiB), or '1': as it is. */
void top_number(struct json_object *value, char unit, char *out, size_t size);

#endif
