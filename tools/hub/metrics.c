/* SPDX-License-Identifier: MIT */
#include "metrics.h"

#include <string.h>

#include <infiniservice/cleanup.h>

#define KB	1024.0
#define US	1e-6
#define MS	1e-3
#define PERCENT 0.01

static const struct metric_list filesystems = {
	.path = "system.disk.usage_stats",
	.labels = { { "device", "device" }, { "fstype", "filesystem" }, { "mountpoint", "mount_point" } },
	.id = "mount_point",
	.skip = "stale",
};
static const struct metric_list disks = { .path = "system.disk.devices",
					  .labels = { { "device", "name" } },
					  .id = "name" };
static const struct metric_list interfaces = { .path = "system.network.interfaces",
					       .labels = { { "device", "name" } },
					       .id = "name" };
static const struct metric_list uname_info = {
	.path = "system", .labels = { { "nodename", "hostname" }, { "release", "kernel_version" } }
};
static const struct metric_list os_info = { .path = "system",
					    .labels = { { "name", "name" }, { "version_id", "os_version" } } };

#define SCALAR(name_, type_, path_, scale_, help_)                                                                     \
	{                                                                                                              \
		.name = (name_), .help = (help_), .type = METRIC_##type_, .path = (path_), .scale = (scale_)           \
	}
#define ITEM(name_, type_, list_, path_, scale_, help_)                                                                \
	{                                                                                                              \
		.name = (name_), .help = (help_), .type = METRIC_##type_, .list = &(list_), .path = (path_),           \
		.scale = (scale_)                                                                                      \
	}
#define MEMORY(name, path, help) SCALAR("node_memory_" name "_bytes", GAUGE, "system.memory." path, KB, help)
#define MODE(mode)                                                                                                     \
	{                                                                                                              \
		.name = "infiniservice_cpu_ratio",                                                                     \
		.help = "Share of all processors' time in this mode since the sample before.", .type = METRIC_GAUGE,   \
		.path = "system.cpu." mode "_percent", .scale = PERCENT, .fixed = "mode=\"" mode "\""                  \
	}
#define PRESSURE(name, what, help)                                                                                     \
	SCALAR("node_pressure_" name "_seconds_total", COUNTER, "system.pressure." what ".total_us", US, help)
#define VMSTAT(name, path, help) SCALAR("node_vmstat_" name, UNTYPED, "system.vmstat." path, 1, help)
#define CPU(mode)                                                                                                      \
	{                                                                                                              \
		.name = "node_cpu_seconds_total", .help = "Seconds the CPUs spent in each mode.",                      \
		.type = METRIC_COUNTER, .value = METRIC_CPUS, .path = "system.cpu.cores_seconds." mode, .scale = 1,    \
		.fixed = "mode=\"" mode "\""                                                                           \
	}
#define CPU_GUEST(mode, key)                                                                                           \
	{                                                                                                              \
		.name = "node_cpu_guest_seconds_total",                                                                \
		.help = "Seconds the CPUs spent in guests (VMs) for each mode.", .type = METRIC_COUNTER,               \
		.value = METRIC_CPUS, .path = "system.cpu.cores_seconds." key, .scale = 1,                             \
		.fixed = "mode=\"" mode "\""                                                                           \
	}
#define DISK(name, path, scale, help) ITEM("node_disk_" name "_total", COUNTER, disks, path, scale, help)
#define NETWORK(name, path)                                                                                            \
	ITEM("node_network_" name "_total", COUNTER, interfaces, path, 1, "Network device statistic " name ".")
#define NETSTAT(name, path)                                                                                            \
	SCALAR("node_netstat_" name, UNTYPED, "tcp." path, 1, "Statistic of /proc/net/snmp or netstat: " name ".")
#define SOCKSTAT(name, path, help) SCALAR("node_sockstat_" name, GAUGE, "tcp.sockets." path, 1, help)

const struct metric metrics[] = {
	SCALAR("infiniservice_cpu_usage_ratio", GAUGE, "system.cpu.usage_percent", PERCENT,
	       "Share of all processors' time that was used since the sample before."),
	MODE("user"),
	MODE("nice"),
	MODE("system"),
	MODE("iowait"),
	MODE("irq"),
	MODE("softirq"),
	MODE("steal"),
	CPU("user"),
	CPU("nice"),
	CPU("system"),
	CPU("idle"),
	CPU("iowait"),
	CPU("irq"),
	CPU("softirq"),
	CPU("steal"),
	CPU_GUEST("user", "guest"),
	CPU_GUEST("nice", "guest_nice"),
	SCALAR("node_context_switches_total", COUNTER, "system.cpu.context_switches", 1,
	       "Total number of context switches."),
	SCALAR("node_forks_total", COUNTER, "system.cpu.forks", 1, "Total number of forks."),
	SCALAR("node_intr_total", COUNTER, "system.cpu.interrupts", 1, "Total number of interrupts serviced."),
	{ .name = "infiniservice_cpus",
	  .help = "Processors that are online.",
	  .value = METRIC_COUNT,
	  .path = "system.cpu.cores_usage" },
	SCALAR("infiniservice_context_switches_per_second", GAUGE, "system.cpu.context_switches_per_sec", 1,
	       "Context switches a second since the sample before."),
	SCALAR("infiniservice_forks_per_second", GAUGE, "system.cpu.forks_per_sec", 1,
	       "Forks a second since the sample before."),
	SCALAR("node_procs_blocked", GAUGE, "system.cpu.procs_blocked", 1,
	       "Number of processes blocked waiting for I/O."),
	SCALAR("node_procs_running", GAUGE, "system.procs_running", 1, "Number of processes in runnable state."),
	SCALAR("infiniservice_threads", GAUGE, "system.threads", 1, "Threads of all processes."),
	SCALAR("node_load1", GAUGE, "system.load_average.load_1min", 1, "1m load average."),
	SCALAR("node_load5", GAUGE, "system.load_average.load_5min", 1, "5m load average."),
	SCALAR("node_load15", GAUGE, "system.load_average.load_15min", 1, "15m load average."),
	{ .name = "node_boot_time_seconds",
	  .help = "Node boot time, in unixtime.",
	  .value = METRIC_TIME,
	  .path = "system.boot_time" },
	SCALAR("infiniservice_uptime_seconds", GAUGE, "system.uptime_seconds", 1,
	       "Seconds since the guest was booted."),
	{ .name = "node_uname_info",
	  .help = "Labeled system information as provided by the uname system call.",
	  .value = METRIC_ONE,
	  .list = &uname_info,
	  .fixed = "sysname=\"Linux\"" },
	{ .name = "node_os_info",
	  .help = "A metric with a constant '1' value labeled by name and version_id of the distribution.",
	  .value = METRIC_ONE,
	  .list = &os_info },
	MEMORY("MemTotal", "total_kb", "Memory information field MemTotal_bytes."),
	MEMORY("MemFree", "free_kb", "Memory information field MemFree_bytes."),
	MEMORY("MemAvailable", "available_kb", "Memory information field MemAvailable_bytes."),
	MEMORY("Buffers", "buffers_kb", "Memory information field Buffers_bytes."),
	MEMORY("Cached", "cached_kb", "Memory information field Cached_bytes."),
	MEMORY("AnonPages", "anonymous_kb", "Memory information field AnonPages_bytes."),
	MEMORY("Shmem", "shared_kb", "Memory information field Shmem_bytes."),
	MEMORY("Slab", "slab_kb", "Memory information field Slab_bytes."),
	MEMORY("SReclaimable", "reclaimable_kb", "Memory information field SReclaimable_bytes."),
	MEMORY("Dirty", "dirty_kb", "Memory information field Dirty_bytes."),
	MEMORY("Writeback", "writeback_kb", "Memory information field Writeback_bytes."),
	MEMORY("Committed_AS", "committed_kb", "Memory information field Committed_AS_bytes."),
	MEMORY("Active", "active_kb", "Memory information field Active_bytes."),
	MEMORY("Inactive", "inactive_kb", "Memory information field Inactive_bytes."),
	MEMORY("Mapped", "mapped_kb", "Memory information field Mapped_bytes."),
	MEMORY("PageTables", "page_tables_kb", "Memory information field PageTables_bytes."),
	MEMORY("KernelStack", "kernel_stack_kb", "Memory information field KernelStack_bytes."),
	MEMORY("VmallocUsed", "vmalloc_used_kb", "Memory information field VmallocUsed_bytes."),
	MEMORY("AnonHugePages", "anonymous_huge_kb", "Memory information field AnonHugePages_bytes."),
	MEMORY("Unevictable", "unevictable_kb", "Memory information field Unevictable_bytes."),
	MEMORY("Mlocked", "locked_kb", "Memory information field Mlocked_bytes."),
	MEMORY("SwapCached", "swap_cached_kb", "Memory information field SwapCached_bytes."),
	MEMORY("Zswap", "zswap_kb", "Memory information field Zswap_bytes."),
	MEMORY("Zswapped", "zswapped_kb", "Memory information field Zswapped_bytes."),
	MEMORY("CommitLimit", "commit_limit_kb", "Memory information field CommitLimit_bytes."),
	MEMORY("Hugepagesize", "huge_page_size_kb", "Memory information field Hugepagesize_bytes."),
	SCALAR("node_memory_HugePages_Total", GAUGE, "system.memory.huge_pages_total", 1,
	       "Memory information field HugePages_Total."),
	SCALAR("node_memory_HugePages_Free", GAUGE, "system.memory.huge_pages_free", 1,
	       "Memory information field HugePages_Free."),
	SCALAR("node_memory_HugePages_Rsvd", GAUGE, "system.memory.huge_pages_reserved", 1,
	       "Memory information field HugePages_Rsvd."),
	SCALAR("node_memory_HugePages_Surp", GAUGE, "system.memory.huge_pages_surplus", 1,
	       "Memory information field HugePages_Surp."),
	MEMORY("SwapTotal", "swap_total_kb", "Memory information field SwapTotal_bytes."),
	{ .name = "node_memory_SwapFree_bytes",
	  .help = "Memory information field SwapFree_bytes.",
	  .path = "system.memory.swap_total_kb",
	  .less = "system.memory.swap_used_kb",
	  .scale = KB },
	PRESSURE("cpu_waiting", "cpu.some", "Total time in seconds that processes have waited for CPU time."),
	PRESSURE("memory_waiting", "memory.some", "Total time in seconds that processes have waited for memory."),
	PRESSURE("memory_stalled", "memory.full",
		 "Total time in seconds no process could make progress due to memory congestion."),
	PRESSURE("io_waiting", "io.some", "Total time in seconds that processes have waited due to IO congestion."),
	PRESSURE("io_stalled", "io.full", "Total time in seconds no process could make progress due to IO congestion."),
	VMSTAT("pgpgin", "paged_in_kb", "/proc/vmstat information field pgpgin."),
	VMSTAT("pgpgout", "paged_out_kb", "/proc/vmstat information field pgpgout."),
	VMSTAT("pswpin", "swapped_in_pages", "/proc/vmstat information field pswpin."),
	VMSTAT("pswpout", "swapped_out_pages", "/proc/vmstat information field pswpout."),
	VMSTAT("pgmajfault", "major_faults", "/proc/vmstat information field pgmajfault."),
	VMSTAT("oom_kill", "oom_kills", "/proc/vmstat information field oom_kill."),
	SCALAR("infiniservice_compaction_stalls_total", COUNTER, "system.vmstat.compaction_stalls", 1,
	       "Allocations that had to wait for memory to be compacted."),
	SCALAR("infiniservice_allocation_stalls_total", COUNTER, "system.vmstat.allocation_stalls", 1,
	       "Allocations that had to wait for memory to be reclaimed."),
	ITEM("node_filesystem_size_bytes", GAUGE, filesystems, "total_bytes", 1, "Filesystem size in bytes."),
	ITEM("node_filesystem_avail_bytes", GAUGE, filesystems, "available_bytes", 1,
	     "Filesystem space available to non-root users in bytes."),
	{ .name = "node_filesystem_free_bytes",
	  .help = "Filesystem free space in bytes.",
	  .list = &filesystems,
	  .path = "total_bytes",
	  .less = "used_bytes",
	  .scale = 1 },
	ITEM("node_filesystem_files", GAUGE, filesystems, "inodes_total", 1, "Filesystem total file nodes."),
	ITEM("node_filesystem_files_free", GAUGE, filesystems, "inodes_free", 1, "Filesystem total free file nodes."),
	{ .name = "node_filesystem_device_error",
	  .help = "Whether an error occurred while getting statistics for the given device.",
	  .value = METRIC_BOOL,
	  .list = &filesystems,
	  .path = "device_error" },
	{ .name = "node_filesystem_readonly",
	  .help = "Filesystem read-only status.",
	  .value = METRIC_BOOL,
	  .list = &filesystems,
	  .path = "read_only" },
	ITEM("node_disk_read_bytes_total", COUNTER, disks, "read_bytes", 1,
	     "The total number of bytes read successfully."),
	ITEM("node_disk_written_bytes_total", COUNTER, disks, "write_bytes", 1,
	     "The total number of bytes written successfully."),
	ITEM("node_disk_reads_completed_total", COUNTER, disks, "read_ops", 1,
	     "The total number of reads completed successfully."),
	ITEM("node_disk_writes_completed_total", COUNTER, disks, "write_ops", 1,
	     "The total number of writes completed successfully."),
	DISK("reads_merged", "read_merges", 1, "The total number of reads merged."),
	DISK("writes_merged", "write_merges", 1, "The number of writes merged."),
	DISK("read_time_seconds", "read_time_ms", MS, "The total number of seconds spent by all reads."),
	DISK("write_time_seconds", "write_time_ms", MS, "This is the total number of seconds spent by all writes."),
	DISK("io_time_seconds", "io_time_ms", MS, "Total seconds spent doing I/Os."),
	DISK("io_time_weighted_seconds", "weighted_time_ms", MS, "The weighted # of seconds spent doing I/Os."),
	DISK("discards_completed", "discard_ops", 1, "The total number of discards completed successfully."),
	DISK("discards_merged", "discard_merges", 1, "The total number of discards merged."),
	DISK("discard_time_seconds", "discard_time_ms", MS,
	     "This is the total number of seconds spent by all discards."),
	DISK("flush_requests", "flush_ops", 1, "The total number of flush requests completed successfully"),
	DISK("flush_requests_time_seconds", "flush_time_ms", MS,
	     "This is the total number of seconds spent by all flush requests."),
	ITEM("node_disk_io_now", GAUGE, disks, "in_flight", 1, "The number of I/Os currently in progress."),
	ITEM("infiniservice_disk_busy_ratio", GAUGE, disks, "io_utilization_percent", PERCENT,
	     "Share of the time since the sample before in which the disk had something to do."),
	ITEM("node_network_receive_bytes_total", COUNTER, interfaces, "bytes_received", 1,
	     "Network device statistic receive_bytes."),
	ITEM("node_network_transmit_bytes_total", COUNTER, interfaces, "bytes_sent", 1,
	     "Network device statistic transmit_bytes."),
	ITEM("node_network_receive_packets_total", COUNTER, interfaces, "packets_received", 1,
	     "Network device statistic receive_packets."),
	ITEM("node_network_transmit_packets_total", COUNTER, interfaces, "packets_sent", 1,
	     "Network device statistic transmit_packets."),
	ITEM("node_network_receive_errs_total", COUNTER, interfaces, "errors_in", 1,
	     "Network device statistic receive_errs."),
	ITEM("node_network_transmit_errs_total", COUNTER, interfaces, "errors_out", 1,
	     "Network device statistic transmit_errs."),
	ITEM("node_network_receive_drop_total", COUNTER, interfaces, "drops_in", 1,
	     "Network device statistic receive_drop."),
	ITEM("node_network_transmit_drop_total", COUNTER, interfaces, "drops_out", 1,
	     "Network device statistic transmit_drop."),
	NETWORK("receive_multicast", "multicast_in"),
	NETWORK("receive_fifo", "fifo_errors_in"),
	NETWORK("receive_frame", "frame_errors_in"),
	NETWORK("receive_compressed", "compressed_in"),
	NETWORK("transmit_fifo", "fifo_errors_out"),
	NETWORK("transmit_colls", "collisions_out"),
	NETWORK("transmit_carrier", "carrier_errors_out"),
	NETWORK("transmit_compressed", "compressed_out"),
	NETWORK("carrier_changes", "carrier_changes"),
	{ .name = "node_network_up",
	  .help = "Value is 1 if operstate is 'up', 0 otherwise.",
	  .value = METRIC_IS_TEXT,
	  .list = &interfaces,
	  .path = "operstate",
	  .less = "up" },
	ITEM("node_network_mtu_bytes", GAUGE, interfaces, "mtu", 1, "Network device property: mtu."),
	NETSTAT("Tcp_CurrEstab", "established"),
	NETSTAT("Tcp_ActiveOpens", "active_opens"),
	NETSTAT("Tcp_PassiveOpens", "passive_opens"),
	NETSTAT("Tcp_InSegs", "segments_in"),
	NETSTAT("Tcp_OutSegs", "segments_out"),
	NETSTAT("Tcp_RetransSegs", "retransmitted"),
	NETSTAT("Tcp_InErrs", "errors_in"),
	NETSTAT("Tcp_OutRsts", "resets_sent"),
	NETSTAT("TcpExt_ListenOverflows", "listen_overflows"),
	NETSTAT("TcpExt_ListenDrops", "listen_drops"),
	NETSTAT("TcpExt_TCPTimeouts", "timeouts"),
	NETSTAT("TcpExt_SyncookiesSent", "syncookies_sent"),
	NETSTAT("Udp_InDatagrams", "udp.datagrams_in"),
	NETSTAT("Udp_OutDatagrams", "udp.datagrams_out"),
	NETSTAT("Udp_NoPorts", "udp.no_ports"),
	NETSTAT("Udp_InErrors", "udp.errors_in"),
	NETSTAT("Udp_RcvbufErrors", "udp.receive_buffer_full"),
	NETSTAT("Udp_SndbufErrors", "udp.send_buffer_full"),
	SOCKSTAT("sockets_used", "used", "Number of IPv4 sockets in use."),
	SOCKSTAT("TCP_inuse", "tcp", "Number of TCP sockets in state inuse."),
	SOCKSTAT("TCP_alloc", "tcp_allocated", "Number of TCP sockets in state alloc."),
	SOCKSTAT("TCP_orphan", "tcp_orphaned", "Number of TCP sockets in state orphan."),
	SOCKSTAT("TCP_tw", "tcp_time_wait", "Number of TCP sockets in state tw."),
	SOCKSTAT("TCP_mem", "tcp_pages", "Number of TCP sockets in state mem."),
	SOCKSTAT("UDP_inuse", "udp", "Number of UDP sockets in state inuse."),
	SOCKSTAT("UDP_mem", "udp_pages", "Number of UDP sockets in state mem."),
	SCALAR("infiniservice_softnet_processed_total", COUNTER, "tcp.softnet.processed", 1,
	       "Packets that the processors have taken from devices, all together."),
	SCALAR("infiniservice_softnet_dropped_total", COUNTER, "tcp.softnet.dropped", 1,
	       "Packets that were dropped because a processor's queue was full, all together."),
	SCALAR("infiniservice_softnet_times_squeezed_total", COUNTER, "tcp.softnet.squeezed", 1,
	       "How often a processor had no time left for more packets, all together."),
	SCALAR("node_filefd_allocated", GAUGE, "limits.files.open", 1, "File descriptor statistics: allocated."),
	SCALAR("node_filefd_maximum", GAUGE, "limits.files.max", 1, "File descriptor statistics: maximum."),
	SCALAR("node_nf_conntrack_entries", GAUGE, "limits.conntrack.used", 1,
	       "Number of currently allocated flow entries for connection tracking."),
	SCALAR("node_nf_conntrack_entries_limit", GAUGE, "limits.conntrack.max", 1,
	       "Maximum size of connection tracking table."),
	SCALAR("node_entropy_available_bits", GAUGE, "limits.entropy.available_bits", 1, "Bits of available entropy."),
	SCALAR("node_entropy_pool_size_bits", GAUGE, "limits.entropy.pool_bits", 1, "Bits of entropy pool."),
	SCALAR("infiniservice_threads_max", GAUGE, "limits.threads.max", 1, "Threads that the kernel allows."),
	{ .name = "node_timex_sync_status",
	  .help = "Is clock synchronized to a reliable server (1 = yes, 0 = no).",
	  .value = METRIC_BOOL,
	  .path = "clock.synchronized" },
	SCALAR("node_timex_offset_seconds", GAUGE, "clock.offset_us", US,
	       "Time offset in between local system and reference clock."),
	SCALAR("node_timex_maxerror_seconds", GAUGE, "clock.max_error_us", US, "Maximum error in seconds."),
	SCALAR("node_timex_estimated_error_seconds", GAUGE, "clock.estimated_error_us", US,
	       "Estimated error in seconds."),
	{ .name = "infiniservice_ports",
	  .help = "Ports that are listened on, as far as the sample lists them.",
	  .value = METRIC_COUNT,
	  .path = "ports" },
	SCALAR("infiniservice_processes", GAUGE, "processes_total", 1, "Processes."),
	SCALAR("infiniservice_agent_cpu_seconds_total", COUNTER, "self.cpu_ns_total", 1e-9,
	       "Processor time of the agent and its helpers."),
	SCALAR("infiniservice_agent_resident_memory_bytes", GAUGE, "self.rss_kb", KB, "Resident memory of the agent."),
};
const size_t metrics_count = ARRAY_SIZE(metrics);

size_t metric_family_len(const struct metric *metric)
{
	static const char total[] = "_total";
	size_t len = strlen(metric->name), cut = sizeof(total) - 1;

	return metric->type == METRIC_COUNTER && len > cut && !strcmp(metric->name + len - cut, total) ? len - cut
												       : len;
}
