/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <stddef.h>

#define COLLECTOR_ADDRESS(name, fallback, help) &collector_##name,

const struct collector *const collectors[] = { COLLECTORS(COLLECTOR_ADDRESS) NULL };
