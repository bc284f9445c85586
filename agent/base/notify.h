/* SPDX-License-Identifier: MIT */
/*
 * The protocols of the service manager: messages to it (sd_notify(3)), and descriptors that it passed to this process
 * at its start (sd_listen_fds(3)).
 */
#ifndef AGENT_BASE_NOTIFY_H
#define AGENT_BASE_NOTIFY_H

#include <stdbool.h>
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
#define NOTIFY_QGA_PORT	 "qga-port"
void notify_keep(const char *name, int fd);
int notify_kept(const char *name);
/* Shown by `systemctl status`; sent only when it differs from the last one. */
__attribute__((format(printf, 1, 2))) void notify_status(const char *format, ...);

#define PASSED_FIRST 3
#define PASSED_MAX   64

/*
 * The number of passed descriptors; they begin at PASSED_FIRST, and each is made close-on-exec. 0 when $LISTEN_PID
 * names another process or the environment is malformed.
 */
int passed_count(void);

/* Like passed_count, and removes the variables from the environment, so that no child uses them. */
int passed_take(void);

/* The first descriptor of that name ($LISTEN_FDNAMES), or -1. */
int passed_find(const char *name);

/* True when the descriptor is a listening Unix socket of that type. */
bool passed_is_listener(int fd, int type);

#endif
