/* SPDX-License-Identifier: MIT */
/* One packet of the protocol together with its descriptors (SCM_RIGHTS). */
#ifndef AGENT_RUNNER_PACKET_H
#define AGENT_RUNNER_PACKET_H

#include <stddef.h>
#include <sys/types.h>

#define PACKET_FDS 3

/*
 * As recvmsg without blocking. `fds` are the descriptors received, the caller's to close, else -1. Descriptors beyond
 * PACKET_FDS are discarded by the kernel.
 */
ssize_t packet_receive(int fd, void *bytes, size_t size, int flags, int fds[PACKET_FDS]);

/* As sendmsg without blocking; `count` descriptors, at most PACKET_FDS, are passed along and stay open here. */
ssize_t packet_send(int fd, void *bytes, size_t len, const int *fds, size_t count);

/* Closes all descriptors and sets them to -1. */
void packet_close(int fds[PACKET_FDS]);

#endif
