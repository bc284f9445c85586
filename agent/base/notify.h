/* SPDX-License-Identifier: MIT */
/* Messages to the service manager (sd_notify(3)): ready, status, reloading, stopping, watchdog. */
#ifndef AGENT_BASE_NOTIFY_H
#define AGENT_BASE_NOTIFY_H

#include <stdint.h>

/* Half of WATCHDOG_USEC in ns, or 0 when no watchdog is configured (sd_watchdog_enabled(3)). */
uint64_t notify_watchdog_ns(void);

void notify_ready(void);
void notify_reloading(uint64_t mono_ns);
void notify_stopping(void);
void notify_watchdog(void);
/*
 * Stores a copy of the fd in the manager over a restart of this service (FileDescriptorStoreMax=), where the next agent
 * finds it by name; a real stop closes it. notify_kept returns such an fd once, or -1, and has the manager close its
 * copy.
 */
#define NOTIFY_PORT	 "port"
#define NOTIFY_HALF_LINE "half-line"
void notify_keep(const char *name, int fd);
int notify_kept(const char *name);
/* Shown by `systemctl status`; sent only when it differs from the last one. */
__attribute__((format(printf, 1, 2))) void notify_status(const char *format, ...);

#endif
