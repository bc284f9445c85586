/* SPDX-License-Identifier: MIT */
/* The systemd service that a process belongs to, found by its control group like sd_pid_get_unit(3). */
#ifndef AGENT_EXECUTOR_OWN_UNIT_H
#define AGENT_EXECUTOR_OWN_UNIT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Parses the text of /proc/PID/cgroup (cgroups(7)). False when it names no service, or the name does not fit into
 * `unit`.
 */
bool own_unit_parse(const char *cgroups, char *unit, size_t size);

/* The service of this process; false as above. */
bool own_unit_find(char *unit, size_t size);

#endif
