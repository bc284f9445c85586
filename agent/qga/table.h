/* SPDX-License-Identifier: MIT */
/* All commands: ROW(name of its struct qga_command without the prefix). */
#ifndef AGENT_QGA_TABLE_H
#define AGENT_QGA_TABLE_H

#include "agent/qga/command.h"

#define QGA_COMMANDS(ROW)                                                                                              \
	ROW(sync_delimited)                                                                                            \
	ROW(sync)                                                                                                      \
	ROW(ping)                                                                                                      \
	ROW(info)                                                                                                      \
	ROW(get_time)                                                                                                  \
	ROW(get_osinfo)                                                                                                \
	ROW(get_host_name)                                                                                             \
	ROW(get_timezone)                                                                                              \
	ROW(get_users)                                                                                                 \
	ROW(network_get_interfaces)                                                                                    \
	ROW(network_get_route)                                                                                         \
	ROW(get_fsinfo)                                                                                                \
	ROW(get_disks)                                                                                                 \
	ROW(get_diskstats)                                                                                             \
	ROW(get_cpustats)                                                                                              \
	ROW(get_load)                                                                                                  \
	ROW(get_vcpus)                                                                                                 \
	ROW(get_memory_blocks)                                                                                         \
	ROW(get_memory_block_info)                                                                                     \
	ROW(shutdown)                                                                                                  \
	ROW(fsfreeze_status)                                                                                           \
	ROW(fsfreeze_freeze)                                                                                           \
	ROW(fsfreeze_freeze_list)                                                                                      \
	ROW(fsfreeze_thaw)                                                                                             \
	ROW(fstrim)                                                                                                    \
	ROW(set_time)                                                                                                  \
	ROW(set_vcpus)                                                                                                 \
	ROW(suspend_ram)                                                                                               \
	ROW(suspend_disk)                                                                                              \
	ROW(suspend_hybrid)                                                                                            \
	ROW(set_user_password)                                                                                         \
	ROW(ssh_get_keys)                                                                                              \
	ROW(ssh_add_keys)                                                                                              \
	ROW(ssh_remove_keys)                                                                                           \
	ROW(exec)                                                                                                      \
	ROW(exec_status)

#define QGA_DECLARE(name) extern const struct qga_command qga_command_##name;
QGA_COMMANDS(QGA_DECLARE)

#endif
