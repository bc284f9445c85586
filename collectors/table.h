/* SPDX-License-Identifier: MIT */
/* The collectors by name; table.c holds their order. */
#ifndef COLLECTORS_TABLE_H
#define COLLECTORS_TABLE_H

#include <infiniservice/collector.h>

extern const struct collector collector_cpu;
extern const struct collector collector_memory;
extern const struct collector collector_filesystem;
extern const struct collector collector_disk;
extern const struct collector collector_network;
extern const struct collector collector_host;
extern const struct collector collector_processes;
extern const struct collector collector_ports;
extern const struct collector collector_self;

#endif
