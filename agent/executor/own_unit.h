/* SPDX-License-Identifier: MIT */
/* The service of the manager that a process belongs to, as sd_pid_get_unit(3) finds it: by its control group. */
#ifndef AGENT_EXECUTOR_OWN_UNIT_H
#define AGENT_EXECUTOR_OWN_UNIT_H

#include <stdbool.h>
#include <stddef.h>

/* From the text of /proc/PID/cgroup (cgroups(7)). False when it names no service, or one that `unit` has no room for.
 */
bool own_unit_parse(const char *cgroups, char *unit, size_t size);

/* The service of this process. */
bool own_unit_find(char *unit, size_t size);

#endif
