/* SPDX-License-Identifier: MIT */
/*
 * The failed and restarting units, asked of PID 1 in one go by a process that may wait, such as the prober's child. A
 * process of its own loads libsystemd, asks and ends, so the caller keeps neither the library nor a connection.
 */
#ifndef AGENT_BUS_UNITS_ASK_H
#define AGENT_BUS_UNITS_ASK_H

#include <stddef.h>

#include <infiniservice/collector.h>

/* How long PID 1 has to answer. */
#define UNITS_ASK_MS 1200

/*
 * Writes a struct probe_units and its rows into `data`, which has `size` bytes (at least that of struct probe_units).
 * `address` is the bus's, NULL: BUS_ADDRESS. The number of bytes, or -errno: -ENOENT or -ECONNREFUSED: there is no bus;
 * -ELIBACC: no libsystemd; -EREMOTEIO: PID 1 refused; -ETIMEDOUT.
 */
int units_ask(const char *address, unsigned char *data, size_t size);

#endif
