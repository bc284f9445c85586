/* SPDX-License-Identifier: MIT */
/*
 * The table of metrics. A collector that writes a new number adds its line here, in the order of the sample; what is
 * kept in the tiers is chosen with care: CATALOG_KEPT_MAX bounds what a year of the log takes.
 */
#include "agent/catalog/catalog.h"

#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#define KEPT	  CATALOG_KEPT
#define COUNTER	  CATALOG_COUNTER
#define SOMETIMES CATALOG_SOMETIMES

/* clang-format off */
const struct catalog_metric catalog_metrics[] = {
	{ "system.cpu.usage_percent", UNIT_PERCENT, KEPT,
	  "processors busy, of all of them together" },
	{ "system.cpu.cores_usage[index]", UNIT_PERCENT, 0,
	  "one processor busy, by its position" },
	{ "system.cpu.cores_ids[index]", UNIT_COUNT, SOMETIMES,
	  "number of the processor at this position, where one is offline" },
	{ "system.cpu.cores_reset[index]", UNIT_COUNT, SOMETIMES,
	  "number of a processor whose usage is unknown in this sample" },
	{ "system.cpu.temperature", UNIT_CELSIUS, KEPT,
	  "temperature of the processor; null where no sensor is known" },
	{ "system.cpu.user_percent", UNIT_PERCENT, KEPT,
	  "share of the processors' time: programs" },
	{ "system.cpu.nice_percent", UNIT_PERCENT, 0,
	  "share of the processors' time: programs of a lower priority" },
	{ "system.cpu.system_percent", UNIT_PERCENT, KEPT,
	  "share of the processors' time: the kernel" },
	{ "system.cpu.iowait_percent", UNIT_PERCENT, KEPT,
	  "share of the processors' time: idle while a disk was waited for" },
	{ "system.cpu.irq_percent", UNIT_PERCENT, 0,
	  "share of the processors' time: hardware interrupts" },
	{ "system.cpu.softirq_percent", UNIT_PERCENT, KEPT,
	  "share of the processors' time: software interrupts" },
	{ "system.cpu.steal_percent", UNIT_PERCENT, KEPT,
	  "share of the processors' time: the host ran something else" },
	{ "system.cpu.context_switches_per_sec", UNIT_PER_SECOND, KEPT,
	  "context switches" },
	{ "system.cpu.forks_per_sec", UNIT_PER_SECOND, KEPT,
	  "processes and threads made" },
	{ "system.cpu.procs_blocked", UNIT_COUNT, KEPT,
	  "tasks waiting for a disk" },
	{ "system.cpu.lines_skipped", UNIT_COUNT, SOMETIMES,
	  "lines of /proc/stat that made no sense" },
	{ "system.memory.total_kb", UNIT_KIB, KEPT,
	  "memory of the machine" },
	{ "system.memory.used_kb", UNIT_KIB, KEPT,
	  "memory that is not available" },
	{ "system.memory.available_kb", UNIT_KIB, KEPT,
	  "memory that programs can still get without swapping" },
	{ "system.memory.swap_total_kb", UNIT_KIB, 0,
	  "swap; null where there is none" },
	{ "system.memory.swap_used_kb", UNIT_KIB, KEPT,
	  "swap in use" },
	{ "system.memory.free_kb", UNIT_KIB, 0,
	  "memory that nothing uses" },
	{ "system.memory.buffers_kb", UNIT_KIB, 0,
	  "buffers of block devices" },
	{ "system.memory.cached_kb", UNIT_KIB, KEPT,
	  "page cache" },
	{ "system.memory.anonymous_kb", UNIT_KIB, KEPT,
	  "memory of programs that no file stands behind" },
	{ "system.memory.shared_kb", UNIT_KIB, 0,
	  "shared memory and tmpfs" },
	{ "system.memory.slab_kb", UNIT_KIB, KEPT,
	  "caches of the kernel" },
	{ "system.memory.reclaimable_kb", UNIT_KIB, 0,
	  "caches of the kernel that can be given back" },
	{ "system.memory.dirty_kb", UNIT_KIB, KEPT,
	  "to be written to disk" },
	{ "system.memory.writeback_kb", UNIT_KIB, 0,
	  "being written to disk" },
	{ "system.memory.committed_kb", UNIT_KIB, 0,
	  "promised to programs" },
	{ "system.memory.lines_skipped", UNIT_COUNT, SOMETIMES,
	  "lines of /proc/meminfo that made no sense" },
	{ "system.pressure.cpu.some.avg10_percent", UNIT_PERCENT, 0,
	  "time that at least one task waited for a processor, over the last 10 s" },
	{ "system.pressure.cpu.some.avg60_percent", UNIT_PERCENT, KEPT,
	  "time that at least one task waited for a processor, over the last 60 s" },
	{ "system.pressure.cpu.some.avg300_percent", UNIT_PERCENT, 0,
	  "time that at least one task waited for a processor, over the last 300 s" },
	{ "system.pressure.cpu.some.total_us", UNIT_MICROSECONDS, COUNTER,
	  "time that at least one task waited for a processor" },
	{ "system.pressure.cpu.full.avg10_percent", UNIT_PERCENT, 0,
	  "time that all tasks at once waited for a processor, over the last 10 s" },
	{ "system.pressure.cpu.full.avg60_percent", UNIT_PERCENT, 0,
	  "time that all tasks at once waited for a processor, over the last 60 s" },
	{ "system.pressure.cpu.full.avg300_percent", UNIT_PERCENT, 0,
	  "time that all tasks at once waited for a processor, over the last 300 s" },
	{ "system.pressure.cpu.full.total_us", UNIT_MICROSECONDS, COUNTER,
	  "time that all tasks at once waited for a processor" },
	{ "system.pressure.memory.some.avg10_percent", UNIT_PERCENT, 0,
	  "time that at least one task waited for memory, over the last 10 s" },
	{ "system.pressure.memory.some.avg60_percent", UNIT_PERCENT, KEPT,
	  "time that at least one task waited for memory, over the last 60 s" },
	{ "system.pressure.memory.some.avg300_percent", UNIT_PERCENT, 0,
	  "time that at least one task waited for memory, over the last 300 s" },
	{ "system.pressure.memory.some.total_us", UNIT_MICROSECONDS, COUNTER,
	  "time that at least one task waited for memory" },
	{ "system.pressure.memory.full.avg10_percent", UNIT_PERCENT, 0,
	  "time that all tasks at once waited for memory, over the last 10 s" },
	{ "system.pressure.memory.full.avg60_percent", UNIT_PERCENT, KEPT,
	  "time that all tasks at once waited for memory, over the last 60 s" },
	{ "system.pressure.memory.full.avg300_percent", UNIT_PERCENT, 0,
	  "time that all tasks at once waited for memory, over the last 300 s" },
	{ "system.pressure.memory.full.total_us", UNIT_MICROSECONDS, COUNTER,
	  "time that all tasks at once waited for memory" },
	{ "system.pressure.io.some.avg10_percent", UNIT_PERCENT, 0,
	  "time that at least one task waited for a disk, over the last 10 s" },
	{ "system.pressure.io.some.avg60_percent", UNIT_PERCENT, KEPT,
	  "time that at least one task waited for a disk, over the last 60 s" },
	{ "system.pressure.io.some.avg300_percent", UNIT_PERCENT, 0,
	  "time that at least one task waited for a disk, over the last 300 s" },
	{ "system.pressure.io.some.total_us", UNIT_MICROSECONDS, COUNTER,
	  "time that at least one task waited for a disk" },
	{ "system.pressure.io.full.avg10_percent", UNIT_PERCENT, 0,
	  "time that all tasks at once waited for a disk, over the last 10 s" },
	{ "system.pressure.io.full.avg60_percent", UNIT_PERCENT, KEPT,
	  "time that all tasks at once waited for a disk, over the last 60 s" },
	{ "system.pressure.io.full.avg300_percent", UNIT_PERCENT, 0,
	  "time that all tasks at once waited for a disk, over the last 300 s" },
	{ "system.pressure.io.full.total_us", UNIT_MICROSECONDS, COUNTER,
	  "time that all tasks at once waited for a disk" },
	{ "system.pressure.lines_skipped", UNIT_COUNT, SOMETIMES,
	  "lines of /proc/pressure that made no sense" },
	{ "system.vmstat.paged_in_kb", UNIT_KIB, COUNTER,
	  "read from block devices" },
	{ "system.vmstat.paged_in_kb_per_sec", UNIT_KIB_PER_SECOND, 0,
	  "read from block devices" },
	{ "system.vmstat.paged_out_kb", UNIT_KIB, COUNTER,
	  "written to block devices" },
	{ "system.vmstat.paged_out_kb_per_sec", UNIT_KIB_PER_SECOND, 0,
	  "written to block devices" },
	{ "system.vmstat.swapped_in_pages", UNIT_COUNT, COUNTER,
	  "pages read from swap" },
	{ "system.vmstat.swapped_in_pages_per_sec", UNIT_PER_SECOND, KEPT,
	  "pages read from swap" },
	{ "system.vmstat.swapped_out_pages", UNIT_COUNT, COUNTER,
	  "pages written to swap" },
	{ "system.vmstat.swapped_out_pages_per_sec", UNIT_PER_SECOND, KEPT,
	  "pages written to swap" },
	{ "system.vmstat.major_faults", UNIT_COUNT, COUNTER,
	  "page faults that read from a disk" },
	{ "system.vmstat.major_faults_per_sec", UNIT_PER_SECOND, KEPT,
	  "page faults that read from a disk" },
	{ "system.vmstat.oom_kills", UNIT_COUNT, COUNTER | KEPT,
	  "processes killed for want of memory" },
	{ "system.vmstat.oom_kills_per_sec", UNIT_PER_SECOND, 0,
	  "processes killed for want of memory" },
	{ "system.vmstat.compaction_stalls", UNIT_COUNT, COUNTER,
	  "allocations that waited for compaction" },
	{ "system.vmstat.compaction_stalls_per_sec", UNIT_PER_SECOND, 0,
	  "allocations that waited for compaction" },
	{ "system.vmstat.allocation_stalls", UNIT_COUNT, COUNTER,
	  "allocations that waited for reclaim" },
	{ "system.vmstat.allocation_stalls_per_sec", UNIT_PER_SECOND, 0,
	  "allocations that waited for reclaim" },
	{ "system.vmstat.lines_skipped", UNIT_COUNT, SOMETIMES,
	  "lines of /proc/vmstat that made no sense" },
	{ "system.vmstat.age_s", UNIT_SECONDS, SOMETIMES,
	  "age of these numbers, where they were not read for this sample" },
	{ "system.disk.usage_stats[mount_point].total_gb", UNIT_GIB, 0,
	  "size of the file system" },
	{ "system.disk.usage_stats[mount_point].used_gb", UNIT_GIB, KEPT,
	  "used of the file system" },
	{ "system.disk.usage_stats[mount_point].available_gb", UNIT_GIB, KEPT,
	  "left for ordinary users" },
	{ "system.disk.usage_stats[mount_point].total_bytes", UNIT_BYTES, 0,
	  "size of the file system" },
	{ "system.disk.usage_stats[mount_point].used_bytes", UNIT_BYTES, 0,
	  "used of the file system" },
	{ "system.disk.usage_stats[mount_point].available_bytes", UNIT_BYTES, 0,
	  "left for ordinary users" },
	{ "system.disk.usage_stats[mount_point].inodes_total", UNIT_COUNT, 0,
	  "files it can hold" },
	{ "system.disk.usage_stats[mount_point].inodes_free", UNIT_COUNT, KEPT,
	  "files it can still take" },
	{ "system.disk.usage_stats[mount_point].age_s", UNIT_SECONDS, SOMETIMES,
	  "age of these numbers, where autofs would never unmount what is looked at more often" },
	{ "system.disk.usage_stats_total", UNIT_COUNT, SOMETIMES,
	  "file systems there are, where not all are listed" },
	{ "system.disk.usage_stats_left_out", UNIT_COUNT, SOMETIMES,
	  "mounts of container engines, snapshots and views, which are not listed" },
	{ "system.disk.mounts_skipped", UNIT_COUNT, SOMETIMES,
	  "lines of mountinfo that made no sense" },
	{ "system.disk.io_stats.read_bytes_per_sec", UNIT_BYTES_PER_SECOND, KEPT,
	  "read from all disks" },
	{ "system.disk.io_stats.write_bytes_per_sec", UNIT_BYTES_PER_SECOND, KEPT,
	  "written to all disks" },
	{ "system.disk.io_stats.read_ops_per_sec", UNIT_PER_SECOND, KEPT,
	  "reads of all disks" },
	{ "system.disk.io_stats.write_ops_per_sec", UNIT_PER_SECOND, KEPT,
	  "writes of all disks" },
	{ "system.disk.io_stats.readBytes", UNIT_BYTES, COUNTER,
	  "read since the disks appeared" },
	{ "system.disk.io_stats.writeBytes", UNIT_BYTES, COUNTER,
	  "written since the disks appeared" },
	{ "system.disk.io_stats.io_utilization_percent", UNIT_PERCENT, KEPT,
	  "time in which the busiest disk had something to do" },
	{ "system.disk.devices[name].read_bytes", UNIT_BYTES, COUNTER,
	  "read from the disk" },
	{ "system.disk.devices[name].write_bytes", UNIT_BYTES, COUNTER,
	  "written to the disk" },
	{ "system.disk.devices[name].read_ops", UNIT_COUNT, COUNTER,
	  "reads of the disk" },
	{ "system.disk.devices[name].write_ops", UNIT_COUNT, COUNTER,
	  "writes of the disk" },
	{ "system.disk.devices[name].read_bytes_per_sec", UNIT_BYTES_PER_SECOND, KEPT,
	  "read from the disk" },
	{ "system.disk.devices[name].write_bytes_per_sec", UNIT_BYTES_PER_SECOND, KEPT,
	  "written to the disk" },
	{ "system.disk.devices[name].read_ops_per_sec", UNIT_PER_SECOND, 0,
	  "reads of the disk" },
	{ "system.disk.devices[name].write_ops_per_sec", UNIT_PER_SECOND, 0,
	  "writes of the disk" },
	{ "system.disk.devices[name].io_utilization_percent", UNIT_PERCENT, KEPT,
	  "time in which the disk had something to do" },
	{ "system.disk.devices[name].in_flight", UNIT_COUNT, 0,
	  "requests that the disk works on" },
	{ "system.disk.devices_total", UNIT_COUNT, SOMETIMES,
	  "disks there are, where not all are listed" },
	{ "system.disk.lines_skipped", UNIT_COUNT, SOMETIMES,
	  "lines of /proc/diskstats that made no sense" },
	{ "system.network.interfaces[name].bytes_received", UNIT_BYTES, COUNTER,
	  "bytes received" },
	{ "system.network.interfaces[name].bytes_sent", UNIT_BYTES, COUNTER,
	  "bytes sent" },
	{ "system.network.interfaces[name].packets_received", UNIT_COUNT, COUNTER,
	  "packets received" },
	{ "system.network.interfaces[name].packets_sent", UNIT_COUNT, COUNTER,
	  "packets sent" },
	{ "system.network.interfaces[name].errors_in", UNIT_COUNT, COUNTER | KEPT,
	  "packets received with an error" },
	{ "system.network.interfaces[name].errors_out", UNIT_COUNT, COUNTER | KEPT,
	  "packets that could not be sent" },
	{ "system.network.interfaces[name].drops_in", UNIT_COUNT, COUNTER | KEPT,
	  "packets received and dropped" },
	{ "system.network.interfaces[name].drops_out", UNIT_COUNT, COUNTER | KEPT,
	  "packets dropped instead of sent" },
	{ "system.network.interfaces[name].prefix_lengths[index]", UNIT_COUNT, 0,
	  "length of the network's prefix of an address" },
	{ "system.network.interfaces[name].mtu", UNIT_BYTES, SOMETIMES,
	  "largest packet" },
	{ "system.network.interfaces[name].rx_bytes_per_sec", UNIT_BYTES_PER_SECOND, KEPT,
	  "bytes received" },
	{ "system.network.interfaces[name].tx_bytes_per_sec", UNIT_BYTES_PER_SECOND, KEPT,
	  "bytes sent" },
	{ "system.network.interfaces[name].rx_packets_per_sec", UNIT_PER_SECOND, 0,
	  "packets received" },
	{ "system.network.interfaces[name].tx_packets_per_sec", UNIT_PER_SECOND, 0,
	  "packets sent" },
	{ "system.network.total_count", UNIT_COUNT, SOMETIMES,
	  "interfaces there are, where not all are listed" },
	{ "system.network.lines_skipped", UNIT_COUNT, SOMETIMES,
	  "lines of /proc/net/dev that made no sense" },
	{ "system.uptime_seconds", UNIT_SECONDS, KEPT,
	  "time since the boot" },
	{ "system.load_average.load_1min", UNIT_NONE, KEPT,
	  "tasks that run or wait for a disk, on average over 1 min" },
	{ "system.load_average.load_5min", UNIT_NONE, KEPT,
	  "tasks that run or wait for a disk, on average over 5 min" },
	{ "system.load_average.load_15min", UNIT_NONE, KEPT,
	  "tasks that run or wait for a disk, on average over 15 min" },
	{ "system.procs_running", UNIT_COUNT, KEPT,
	  "tasks that run or could run" },
	{ "system.threads", UNIT_COUNT, KEPT,
	  "threads there are" },
	{ "system.lines_skipped", UNIT_COUNT, SOMETIMES,
	  "texts of the kernel about the machine that made no sense" },
	{ "tcp.established", UNIT_COUNT, KEPT,
	  "connections established, or closed by the other end alone" },
	{ "tcp.active_opens", UNIT_COUNT, COUNTER,
	  "connections begun from here" },
	{ "tcp.passive_opens", UNIT_COUNT, COUNTER,
	  "connections begun from elsewhere" },
	{ "tcp.failed_opens", UNIT_COUNT, COUNTER,
	  "connections that were not established" },
	{ "tcp.resets", UNIT_COUNT, COUNTER,
	  "established connections that were reset" },
	{ "tcp.resets_sent", UNIT_COUNT, COUNTER,
	  "resets sent" },
	{ "tcp.resets_sent_per_sec", UNIT_PER_SECOND, 0,
	  "resets sent" },
	{ "tcp.segments_in", UNIT_COUNT, COUNTER,
	  "segments received" },
	{ "tcp.segments_in_per_sec", UNIT_PER_SECOND, 0,
	  "segments received" },
	{ "tcp.segments_out", UNIT_COUNT, COUNTER,
	  "segments sent, without those sent again" },
	{ "tcp.segments_out_per_sec", UNIT_PER_SECOND, 0,
	  "segments sent, without those sent again" },
	{ "tcp.retransmitted", UNIT_COUNT, COUNTER,
	  "segments sent again" },
	{ "tcp.retransmitted_per_sec", UNIT_PER_SECOND, KEPT,
	  "segments sent again" },
	{ "tcp.errors_in", UNIT_COUNT, COUNTER,
	  "segments received with an error" },
	{ "tcp.listen_overflows", UNIT_COUNT, COUNTER,
	  "connections dropped as the queue of their listener was full" },
	{ "tcp.listen_drops", UNIT_COUNT, COUNTER,
	  "connections that listeners dropped, for any reason" },
	{ "tcp.listen_drops_per_sec", UNIT_PER_SECOND, KEPT,
	  "connections that listeners dropped, for any reason" },
	{ "tcp.timeouts", UNIT_COUNT, COUNTER,
	  "times that an answer to a segment was waited for in vain" },
	{ "tcp.backlog_drops", UNIT_COUNT, COUNTER,
	  "segments dropped as the socket had no room while it was in use" },
	{ "tcp.syncookies_sent", UNIT_COUNT, COUNTER,
	  "SYN cookies sent, as the queue of a listener was full" },
	{ "tcp.udp.datagrams_in", UNIT_COUNT, COUNTER,
	  "datagrams of UDP over IPv4 received" },
	{ "tcp.udp.datagrams_out", UNIT_COUNT, COUNTER,
	  "datagrams of UDP over IPv4 sent" },
	{ "tcp.udp.no_ports", UNIT_COUNT, COUNTER,
	  "datagrams of UDP over IPv4 received for a port that nobody has" },
	{ "tcp.udp.errors_in", UNIT_COUNT, COUNTER,
	  "datagrams of UDP over IPv4 received and not delivered" },
	{ "tcp.udp.errors_in_per_sec", UNIT_PER_SECOND, 0,
	  "datagrams of UDP over IPv4 received and not delivered" },
	{ "tcp.udp.receive_buffer_full", UNIT_COUNT, COUNTER,
	  "datagrams of UDP over IPv4 dropped as nobody had read those before" },
	{ "tcp.udp.send_buffer_full", UNIT_COUNT, COUNTER,
	  "datagrams of UDP over IPv4 that found no room on their way out" },
	{ "tcp.sockets.used", UNIT_COUNT, 0,
	  "sockets of all protocols" },
	{ "tcp.sockets.tcp", UNIT_COUNT, 0,
	  "sockets of TCP over IPv4 in use" },
	{ "tcp.sockets.tcp_allocated", UNIT_COUNT, 0,
	  "sockets of TCP allocated, of all network namespaces" },
	{ "tcp.sockets.tcp_orphaned", UNIT_COUNT, 0,
	  "connections that no process has any more" },
	{ "tcp.sockets.tcp_time_wait", UNIT_COUNT, 0,
	  "connections in TIME-WAIT" },
	{ "tcp.sockets.tcp_pages", UNIT_COUNT, 0,
	  "pages of memory in buffers of TCP" },
	{ "tcp.sockets.udp", UNIT_COUNT, 0,
	  "sockets of UDP over IPv4 in use" },
	{ "tcp.sockets.udp_pages", UNIT_COUNT, 0,
	  "pages of memory in buffers of UDP" },
	{ "tcp.softnet.processed", UNIT_COUNT, COUNTER,
	  "packets that the processors took in" },
	{ "tcp.softnet.dropped", UNIT_COUNT, COUNTER,
	  "packets dropped as the backlog of a processor was full" },
	{ "tcp.softnet.dropped_per_sec", UNIT_PER_SECOND, 0,
	  "packets dropped as the backlog of a processor was full" },
	{ "tcp.softnet.squeezed", UNIT_COUNT, COUNTER,
	  "times that a processor had to leave packets for later" },
	{ "tcp.lines_skipped", UNIT_COUNT, SOMETIMES,
	  "lines of the texts of /proc/net that made no sense" },
	{ "tcp.age_s", UNIT_SECONDS, SOMETIMES,
	  "age of these numbers, where they were not read for this sample" },
	{ "processes[pid].pid", UNIT_COUNT, 0,
	  "number of the process" },
	{ "processes[pid].ppid", UNIT_COUNT, 0,
	  "number of its parent" },
	{ "processes[pid].cpu_percent", UNIT_PERCENT, 0,
	  "of one processor, since the last sample" },
	{ "processes[pid].memory_kb", UNIT_KIB, 0,
	  "resident memory" },
	{ "processes[pid].disk_read_bytes", UNIT_BYTES, COUNTER,
	  "read by the process; null where it may not be known" },
	{ "processes[pid].disk_write_bytes", UNIT_BYTES, COUNTER,
	  "written by the process; null where it may not be known" },
	{ "processes[pid].uid", UNIT_COUNT, 0,
	  "number of its user" },
	{ "processes[pid].threads", UNIT_COUNT, 0,
	  "its threads" },
	{ "processes_total", UNIT_COUNT, KEPT,
	  "processes there are" },
	{ "ports[port].port", UNIT_COUNT, 0,
	  "number of the port" },
	{ "ports[port].pid", UNIT_COUNT, 0,
	  "number of the process that has it" },
	{ "ports[port].connection_count", UNIT_COUNT, 0,
	  "its connections" },
	{ "ports[port].counted_age_s", UNIT_SECONDS, SOMETIMES,
	  "age of that count, where it is not of this sample" },
	{ "ports_total", UNIT_COUNT, SOMETIMES,
	  "ports there are, where not all are listed" },
	{ "ports_age_s", UNIT_SECONDS, SOMETIMES,
	  "age of the list of ports, on kernels without inet_diag" },
	{ "self.cpu_ns", UNIT_NANOSECONDS, 0,
	  "time of a processor the agent took since the last sample" },
	{ "self.cpu_ns_total", UNIT_NANOSECONDS, COUNTER,
	  "time of a processor the agent took" },
	{ "self.cpu_percent", UNIT_PERCENT, KEPT,
	  "of one processor, taken by the agent" },
	{ "self.rss_kb", UNIT_KIB, KEPT,
	  "resident memory of the agent" },
	{ "self.fds", UNIT_COUNT, 0,
	  "descriptors the agent has open" },
	{ "self.helpers.count", UNIT_COUNT, SOMETIMES,
	  "helpers of the agent that run" },
	{ "self.helpers.cpu_ns_total", UNIT_NANOSECONDS, COUNTER | SOMETIMES,
	  "time of a processor its helpers took" },
	{ "self.helpers.cpu_percent", UNIT_PERCENT, SOMETIMES,
	  "of one processor, taken by its helpers" },
	{ "self.helpers.rss_kb", UNIT_KIB, SOMETIMES,
	  "resident memory of its helpers" },
	{ "self.samples", UNIT_COUNT, COUNTER | SOMETIMES,
	  "samples taken" },
	{ "self.samples_lost", UNIT_COUNT, COUNTER | SOMETIMES,
	  "samples that could not be written down" },
	{ "self.port_dropped", UNIT_COUNT, COUNTER | SOMETIMES,
	  "samples that found no room on the way to the host" },
	{ "self.port_queued_bytes", UNIT_BYTES, SOMETIMES,
	  "waiting on the way to the host" },
	{ "self.log_dropped", UNIT_COUNT, COUNTER | SOMETIMES,
	  "samples that found no room on the way to the log" },
	{ "self.log_queued", UNIT_COUNT, SOMETIMES,
	  "samples waiting on the way to the log" },
	{ "self.commands_running", UNIT_COUNT, SOMETIMES,
	  "commands that run" },
	{ "self.commands_queued", UNIT_COUNT, SOMETIMES,
	  "commands that wait" },
	{ "self.commands_answered", UNIT_COUNT, COUNTER | SOMETIMES,
	  "commands answered" },
	{ "self.worst_turn_us", UNIT_MICROSECONDS, SOMETIMES,
	  "longest turn of the agent's loop" },
	{ "failed_collectors[name].failures", UNIT_COUNT, SOMETIMES,
	  "failures in a row of a collector that is missing in this sample" },
};
/* clang-format on */

const size_t catalog_count = ARRAY_SIZE(catalog_metrics);

const char *catalog_unit_name(enum catalog_unit unit)
{
	static const char *const names[] = {
		[UNIT_NONE] = "",
		[UNIT_COUNT] = "count",
		[UNIT_PERCENT] = "percent",
		[UNIT_BYTES] = "B",
		[UNIT_KIB] = "KiB",
		[UNIT_GIB] = "GiB",
		[UNIT_BYTES_PER_SECOND] = "B/s",
		[UNIT_KIB_PER_SECOND] = "KiB/s",
		[UNIT_PER_SECOND] = "1/s",
		[UNIT_SECONDS] = "s",
		[UNIT_MICROSECONDS] = "us",
		[UNIT_NANOSECONDS] = "ns",
		[UNIT_CELSIUS] = "C",
	};

	return (size_t)unit < ARRAY_SIZE(names) ? names[unit] : "";
}

/* Steps over a name, or over [...] whole; *bracket tells which it was. NULL for a [ without ]. */
static const char *step_over(const char *at, bool *bracket)
{
	*bracket = *at == '[';
	if (!*bracket)
		return at + strcspn(at, ".[");
	at = strchr(at, ']');
	return at ? at + 1 : NULL;
}

/* True if the written path leads to the metric of the table: the same names, and any item where the table has one. */
static bool leads_to(const char *written, const char *path)
{
	while (*written && *path) {
		bool item, listed;
		const char *w = step_over(written, &item), *p = step_over(path, &listed);

		if (!w || !p || item != listed)
			return false;
		if (!item && (w - written != p - path || strncmp(written, path, (size_t)(w - written)) != 0))
			return false;
		if (*w != *p)
			return false;
		written = w + (*w == '.');
		path = p + (*p == '.');
	}
	return !*written && !*path;
}

#define SYSTEM "system."

/* `under_system`: only the metrics below `system`, whose paths are given without it. */
static const struct catalog_metric *find(const char *path, bool under_system)
{
	for (size_t i = 0; i < catalog_count; i++) {
		const char *known = catalog_metrics[i].path;

		if (under_system && strncmp(known, SYSTEM, strlen(SYSTEM)) != 0)
			continue;
		if (leads_to(path, known + (under_system ? strlen(SYSTEM) : 0)))
			return &catalog_metrics[i];
	}
	return NULL;
}

const struct catalog_metric *catalog_find(const char *path)
{
	const struct catalog_metric *found;

	if (!strncmp(path, "data.", 5))
		path += 5;
	found = find(path, false);
	return found ? found : find(path, true);
}

const struct catalog_metric *catalog_full_path(const char *path, char *out, size_t size)
{
	const struct catalog_metric *metric = catalog_find(path);
	bool system = metric && !strncmp(metric->path, SYSTEM, strlen(SYSTEM));

	if (!strncmp(path, "data.", 5))
		path += 5;
	if (system && !strncmp(path, SYSTEM, strlen(SYSTEM)))
		system = false;
	if ((size_t)snprintf(out, size, "%s%s", system ? SYSTEM : "", path) >= size)
		return NULL;
	return metric;
}

bool catalog_list(const struct catalog_metric *metric, struct catalog_list *ret)
{
	const char *open = strchr(metric->path, '['), *close = open ? strchr(open, ']') : NULL;

	if (!close)
		return false;
	*ret = (struct catalog_list){ metric->path, open + 1, (size_t)(open - metric->path),
				      (size_t)(close - open - 1) };
	return true;
}
