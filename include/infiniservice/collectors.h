/* SPDX-License-Identifier: MIT */
/*
 * The one list of collectors, in the order of the message: name (of `collector_NAME` and of the key in [collectors]),
 * default and help of that key. Collectors that write into the same object of `data` stand together, so that the
 * object is opened once: filesystem and disk into system.disk.
 */
#ifndef INFINISERVICE_COLLECTORS_H
#define INFINISERVICE_COLLECTORS_H

/* clang-format off */
#define COLLECTORS(ROW) \
	ROW(cpu, "yes", "Use of the processors.") \
	ROW(memory, "yes", "Memory and swap.") \
	ROW(pressure, "yes", "How long tasks waited for processors, memory and I/O.") \
	ROW(vmstat, "yes", "Paging, swapping, OOM kills and stalls of the memory.") \
	ROW(filesystem, "yes", "Space on the mounted filesystems.") \
	ROW(disk, "yes", "Input and output of the disks.") \
	ROW(network, "yes", "Interfaces, their addresses and counters.") \
	ROW(host, "yes", "Names, versions, load and uptime.") \
	ROW(tcp, "yes", "Segments, resets and drops of TCP and UDP, and the sockets in use.") \
	ROW(limits, "yes", "Open files, inodes, threads, tracked connections and entropy, and how much there may be.") \
	ROW(clock, "yes", "Whether the clock is synchronised, and what it counts by.") \
	ROW(guest, "yes", "Hypervisor, cloud, image and machine.") \
	ROW(users, "yes", "Who is logged in.") \
	ROW(units, "yes", "Units that failed or restart, of PID 1.") \
	ROW(sensors, "yes", "Temperatures, fans and thermal zones.") \
	ROW(gpu, "yes", "Use, memory and temperature of graphics processors.") \
	ROW(cgroup, "yes", "The busiest units, slices and containers.") \
	ROW(processes, "yes", "The busiest processes.") \
	ROW(ports, "yes", "Listening and connected sockets.") \
	ROW(self, "yes", "What the agent itself costs.")
/* clang-format on */

#endif
