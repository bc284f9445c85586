/* SPDX-License-Identifier: MIT */
/*
 * The one list of collectors, in the order of the message. Collectors that write into the same object of `data` stand
 * together, so that the object is opened once: filesystem and disk into system.disk.
 */
#include "table.h"

#include <stddef.h>

const struct collector *const collectors[] = {
	&collector_cpu,	 &collector_memory,    &collector_filesystem, &collector_disk, &collector_network,
	&collector_host, &collector_processes, &collector_ports,      &collector_self, NULL,
};
