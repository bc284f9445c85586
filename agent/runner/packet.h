/* SPDX-License-Identifier: MIT */
/* One packet of the protocol with the descriptors that come along (SCM_RIGHTS). */
#ifndef AGENT_RUNNER_PACKET_H
#define AGENT_RUNNER_PACKET_H

#include <stddef.h>
#include <sys/types.h>

#define PACKET_FDS 3

/*
 * As recvmsg without waiting; `fds` are those that came (close them), else -1. What comes beyond PACKET_FDS never
 * arrives.
 */
ssize_t packet_receive(int fd, void *bytes, size_t size, int flags, int fds[PACKET_FDS]);

/* As sendmsg without waiting; `count` of at most PACKET_FDS descriptors go along and stay open here. */
ssize_t packet_send(int fd, void *bytes, size_t len, const int *fds, size_t count);

/* All closed and -1. */
void packet_close(int fds[PACKET_FDS]);

#endif
