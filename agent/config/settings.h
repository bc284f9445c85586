/* SPDX-License-Identifier: MIT */
/*
 * The settings: one row each, from which come its field in struct config, its parser, default, range, printing and
 * documentation. A new setting is one row here, nothing else.
 *
 *	ROW(BOOL, section, name, default, help, …)
 *	ROW(UINT, section, name, least, most, default, help, …)
 *	ROW(SIZE, section, name, least, most, default, help, …)	in bytes, or with K, M, G
 *	ROW(ENUM, section, name, names, default, help, …)	an index into the names, see config.h
 *	ROW(TEXT, section, name, default, help, …)		"" means unset
 *	ROW(PATH, section, name, least, default, help, …)	absolute; or "", where the least length is 0
 *	ROW(LIST, section, name, default, help, …)
 *
 * A default has the form of the file; "|" in a help begins a further line in the example file. Behind it may stand
 * AT_START (a change takes effect at the next start, not at a reload), OR_ZERO (0 is allowed besides the range) and
 * HOST_MAY_SET (SetConfig may change it: harmless for any host with that permission).
 */
#ifndef AGENT_CONFIG_SETTINGS_H
#define AGENT_CONFIG_SETTINGS_H

/* clang-format off */
#define CONFIG_AGENT(ROW) \
	ROW(TEXT, agent, vm_id, "", "Name of this VM towards the host. Empty: $INFINIBAY_VM_ID, else the product UUID of the machine,|else one made from its machine-id, else one made once and kept in state_dir.", AT_START) \
	ROW(ENUM, agent, log_level, log_levels, "info", "Least important message that is logged.") \
	ROW(UINT, agent, shutdown_grace_s, 0, 3600, "10", "Time that running commands get to end by themselves when the agent stops.") \
	ROW(PATH, agent, state_dir, 1, "/var/lib/infiniservice", "What has to outlive a reboot. $STATE_DIRECTORY (set by systemd) takes the place of the default.", AT_START) \
	ROW(PATH, agent, runtime_dir, 1, "/run/infiniservice", "latest.json and what has to outlive a restart. $RUNTIME_DIRECTORY takes the place of the default.", AT_START)

#define CONFIG_PORT(ROW) \
	ROW(TEXT, port, spec, "virtio:org.infinibay.agent", "Where the host is: virtio:NAME, the path of a port, pty or serial line, unix:PATH, listen:PATH,|stdio or none.", AT_START) \
	ROW(SIZE, port, max_line_bytes, 1024, 16 * MIB, "1M", "Longest line taken from the host.", AT_START) \
	ROW(SIZE, port, queue_bytes, 64 * KIB, 256 * MIB, "4M", "Output kept for a host that does not read; beyond it the oldest samples are dropped.", AT_START)

#define CONFIG_TIMERS(ROW) \
	ROW(UINT, timers, metrics_interval_ms, 10, DAY_MS, "30000", "Between two samples.", HOST_MAY_SET) \
	ROW(UINT, timers, command_poll_ms, 10, DAY_MS, "100", "Between two looks for commands, only on ports that cannot be waited on.") \
	ROW(UINT, timers, health_interval_ms, 10, DAY_MS, "60000", "Between two looks at the agent's own health.") \
	ROW(UINT, timers, collect_timeout_ms, 10, DAY_MS, "5000", "What is not measured by then is left out of the sample.", HOST_MAY_SET)

#define CONFIG_COLLECTORS(ROW) \
	ROW(UINT, collectors, processes_top, 0, 1000, "20", "How many processes a sample lists.", HOST_MAY_SET) \
	ROW(UINT, collectors, cgroups_top, 0, 200, "8", "How many control groups (units, slices, containers) a sample lists.") \
	ROW(UINT, collectors, ports_max, 0, 1000, "1000", "How many ports a sample lists.", HOST_MAY_SET) \
	ROW(SIZE, collectors, sample_max_bytes, 16 * KIB, MIB, "32K", "Longest sample; lists are cut to fit, by rank, and say so.")

#define CONFIG_COMMANDS(ROW) \
	ROW(BOOL, commands, enabled, "yes", "Take commands at all.") \
	ROW(UINT, commands, max_concurrent, 1, 64, "5", "Commands of the host that run at the same time. Local clients have one slot of their own.") \
	ROW(UINT, commands, queue_size, 1, 10000, "100", "Commands of the host that wait; one more is answered QUEUE_FULL.") \
	ROW(UINT, commands, rate_per_s, 0, 100000, "0", "Commands taken in a second from one source; 0 is unlimited.") \
	ROW(UINT, commands, default_timeout_s, 1, 86400, "30", "For a command that brings no time-out.") \
	ROW(SIZE, commands, max_output_bytes, 1024, 512 * KIB, "256K", "Kept of each output stream of a command; the rest is read and counted.") \
	ROW(SIZE, commands, max_memory_bytes, MIB, 1024 * GIB, "0", "Address space that each process of a command may have; 0: no limit.|Those that start as units of their own are limited as a whole.", OR_ZERO) \
	ROW(UINT, commands, max_tasks, 8, 1000000, "0", "Processes and threads that the user of a command may have when it runs; 0: no limit.|Root is exempt, except in units of their own.", OR_ZERO) \
	ROW(LIST, commands, allow, "observe", "Actions or groups the host may use: observe, control, packages, power.") \
	ROW(BOOL, commands, audit_reads, "yes", "Record commands that only read what the agent knows already, too.|Of more than 20 a second it is counted only how many they were.") \
	ROW(LIST, commands, deny, "", "Actions or groups it may not; deny wins over allow.") \
	ROW(LIST, commands, deny_units, "", "Units that ServiceControl and RestartServices leave alone, besides those that are built in:|infiniservice's own, those that give a shell, a login or the power over the machine (see the manual).|Patterns: postgresql@ is each of its instances, backup-* all that begin so.") \
	ROW(BOOL, commands, allow_unsafe, "no", "Let the host run any program and script (UnsafeCommand).") \
	ROW(TEXT, commands, run_as, "", "User that programs run as; the host can then name no other.|A host's system or administrator is this user; where none is set, root.|Empty: the one the host names, else the one the agent, or its executor, runs as.") \
	ROW(PATH, commands, executor_socket, 1, "/run/infiniservice-exec/exec.sock", "Where an agent that is not root reaches the executor, for all that changes something.|It is there once infiniservice-exec.socket is enabled.", AT_START)

#define CONFIG_AUTH(ROW) \
	ROW(PATH, auth, secret_file, 0, "", "Secret shared with the host. Empty: a systemd credential \"secret\", else " SYSCONFDIR "/infiniservice/secret,|else $INFINISERVICE_SHARED_SECRET; none of them: no secret.") \
	ROW(ENUM, auth, require_signature, signatures, "auto", "Refuse what is not signed; auto: when there is a secret.") \
	ROW(LIST, auth, unsigned_qga, "", "Groups or commands of [qga] that stay allowed while signatures are required, although that language has none.|Without this, exec and files are refused then.")

#define CONFIG_LOG(ROW) \
	ROW(BOOL, log, enabled, "yes", "Keep the samples in a local log.", AT_START) \
	ROW(PATH, log, dir, 1, "/var/log/infiniservice", "Directory of the log; made if missing.", AT_START) \
	ROW(SIZE, log, segment_bytes, 64 * KIB, GIB, "8M", "A file of the log is closed before it would grow beyond this.", AT_START) \
	ROW(SIZE, log, max_total_bytes, 128 * KIB, 1024 * GIB, "256M", "All files together; the oldest are removed. At least two segments.", AT_START) \
	ROW(SIZE, log, min_free_bytes, MIB, 1024 * GIB, "64M", "While less of its file system is free, or a twentieth of it where that is less, the log does not grow:|its oldest files go first. 0: not looked at.", AT_START, OR_ZERO) \
	ROW(ENUM, log, compress, compressions, "zstd", "Compression of closed files: zstd (zstdcat and all zstd tools read them) or none.", AT_START) \
	ROW(ENUM, log, sync, syncs, "interval", "When lines are forced to the disk: none, interval (at most once in sync_interval_s) or always.|What a crash of the agent leaves is whole in any case: this is about a loss of power.", AT_START) \
	ROW(UINT, log, sync_interval_s, 1, 3600, "60", "Least time between two of them.", AT_START) \
	ROW(BOOL, log, tiers, "yes", "Keep summaries by the minute and by the hour too, within max_total_bytes (60 % samples, 35 and 5 %).", AT_START) \
	ROW(UINT, log, interval_ms, 10, DAY_MS, "0", "Between two samples for the log; 0: the same samples as for the host.", OR_ZERO)

#define CONFIG_SOCKET(ROW) \
	ROW(PATH, socket, path, 1, "/run/infiniservice/agent.sock", "Socket for local clients, such as infinictl.", AT_START) \
	ROW(TEXT, socket, group, "infiniservice", "Group that may use it. Empty: only the agent's own user.", AT_START) \
	ROW(UINT, socket, max_clients, 1, 10000, "1100", "Clients at the same time.") \
	ROW(UINT, socket, max_per_user, 1, 10000, "16", "Of one user; root and the agent's own user are exempt.")

#define CONFIG_QGA(ROW) \
	ROW(TEXT, qga, spec, "none", "Where a host speaks the QEMU guest agent's language: virtio:org.qemu.guest_agent.0, a path, unix:PATH,|listen:PATH (a socket of the agent's own) or none. qemu-guest-agent has to be removed for it: a port serves one.", AT_START) \
	ROW(LIST, qga, allow, "observe, shutdown, freeze", "Groups or commands (guest-...) allowed there, of a policy apart from [commands]:|observe, shutdown, freeze, control, exec, files.") \
	ROW(LIST, qga, deny, "", "Groups or commands that are not; deny wins over allow.") \
	ROW(BOOL, qga, allow_unsafe, "no", "exec and files are done as root: they need this besides being allowed.") \
	ROW(BOOL, qga, deny_root_password, "yes", "guest-set-user-password leaves root's password alone.") \
	ROW(UINT, qga, freeze_max_s, 10, 3600, "600", "File systems that a host froze are thawed after this time, asked or not.") \
	ROW(LIST, qga, freeze_hooks, "/etc/infiniservice/fsfreeze-hook.d, /etc/qemu/fsfreeze-hook.d", "Folders of programs that run before a freeze (with the word freeze) and after the thaw (thaw): those of qemu-ga do.|Only root may write them. They have a minute together; where one fails or takes longer, nothing is frozen.")
/* clang-format on */

#endif
