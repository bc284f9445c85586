/* SPDX-License-Identifier: MIT */
/*
 * The sockets of a kernel without sock_diag(7), from /proc/net/tcp, tcp6, udp and udp6. The kernel walks its whole hash
 * table for each and prints every socket: it is read where there is no other way, seldom, and by the prober.
 */
#ifndef COLLECTORS_PROCNET_H
#define COLLECTORS_PROCNET_H

#include <stddef.h>
#include <stdint.h>

#include "porttable.h"

/* One line after the heading. 0 or -EBADMSG (*out untouched). */
int procnet_parse_line(const char *text, size_t len, struct port_socket *out);

/* The prober's answer: this struct, `count` slots and `peers` peers. */
struct procnet_answer {
	uint32_t count, total;	     /* of the slots that there are; more than fit are left out */
	uint32_t peers, peers_total; /* likewise */
};

/*
 * Reads the texts of a protocol (IPPROTO_TCP or IPPROTO_UDP) below proc_fd and writes the answer into `data`, which has
 * `size` bytes. How many bytes that are, or -errno; -ENOENT: the kernel has neither text.
 */
int procnet_read(int proc_fd, uint8_t protocol, unsigned char *data, size_t size);

#endif
