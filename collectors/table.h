/* SPDX-License-Identifier: MIT */
/* The collectors by name. */
#ifndef COLLECTORS_TABLE_H
#define COLLECTORS_TABLE_H

#include <infiniservice/collector.h>
#include <infiniservice/collectors.h>

#define COLLECTOR_DECLARED(name, fallback, help) extern const struct collector collector_##name;
COLLECTORS(COLLECTOR_DECLARED)

#endif
