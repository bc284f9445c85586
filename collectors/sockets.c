/* SPDX-License-Identifier: MIT */
/*
 * TCP is asked for by the older request, TCPDIAG_GETSOCK, for one reason: it answers for both families in one walk
 * over that table (net/ipv4/inet_diag.c, inet_diag_dump_compat), where SOCK_DIAG_BY_FAMILY needs two.
 */
#include "sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "procfs.h"

/* About half a million sockets: a second of the kernel's time. */
#define DUMP_BYTES_MAX (64U << 20)
/* Of one turn of the loop: some hundred sockets, 0.1 ms. */
#define TURN_BYTES 8192

int sockets_init(struct sockets *sockets)
{
	*sockets = (struct sockets){ .fd = -1, .buffer = malloc(NETLINK_BUFFER_SIZE) };
	return sockets->buffer ? 0 : -ENOMEM;
}

void sockets_done(struct sockets *sockets)
{
	if (sockets->buffer)
		close_fd(&sockets->fd);
	free(sockets->buffer);
	sockets->buffer = NULL;
}

/* The rest of an aborted dump would be taken for a part of the next one: the socket is closed. */
void sockets_break(struct sockets *sockets)
{
	if (sockets->under_way)
		close_fd(&sockets->fd);
	sockets->under_way = false;
	sockets->family = AF_UNSPEC;
}

static int begin_family(struct sockets *sockets, uint8_t protocol, uint32_t states)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 body;
	} request = {
		.head = { .nlmsg_len = sizeof(request),
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_seq = sockets->dump.seq },
		.body = { .sdiag_family = sockets->family, .sdiag_protocol = protocol, .idiag_states = states },
	};

	return netlink_dump_begin(&sockets->dump, sockets->fd, &request.head, DUMP_BYTES_MAX);
}

static int begin_both(struct sockets *sockets, uint32_t states)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req body;
	} request = {
		.head = { .nlmsg_len = sizeof(request), .nlmsg_type = TCPDIAG_GETSOCK, .nlmsg_seq = sockets->dump.seq },
		.body = { .idiag_family = AF_INET, .idiag_states = states },
	};

	return netlink_dump_begin(&sockets->dump, sockets->fd, &request.head, DUMP_BYTES_MAX);
}

static bool is_both(const struct sockets *sockets, uint8_t protocol)
{
	return protocol == IPPROTO_TCP && !sockets->tcp_by_family;
}

static int begin(struct sockets *sockets, uint8_t protocol, uint32_t states)
{
	int r;

	if (sockets->family == AF_UNSPEC)
		sockets->family = AF_INET;
	if (sockets->fd < 0) {
		r = netlink_socket(NETLINK_SOCK_DIAG);
		if (r < 0)
			return r;
		sockets->fd = r;
	}
	r = is_both(sockets, protocol) ? begin_both(sockets, states) : begin_family(sockets, protocol, states);
	sockets->under_way = r == 0;
	return r;
}

/*
 * What the end of a dump means: 0 all is done, COLLECT_MORE another one is due, or -errno. A list that changed under
 * the dump (-EINTR) is as good as any: sockets come and go, and each was seen at most once. Without IPv6 in the kernel
 * there is no answer for it, and nothing to count.
 */
static int end(struct sockets *sockets, uint8_t protocol, int r)
{
	bool both = is_both(sockets, protocol);

	sockets->under_way = false;
	if (r == NETLINK_DONE || r == -EINTR)
		r = 0;
	if (r < 0)
		close_fd(&sockets->fd);
	if (both && (r == -ENOENT || r == -EINVAL || r == -EOPNOTSUPP)) {
		sockets->tcp_by_family = true;
		return COLLECT_MORE;
	}
	if (!both && sockets->family == AF_INET6 && (r == -ENOENT || r == -EAFNOSUPPORT))
		r = 0;
	if (!both && sockets->family == AF_INET && r == 0) {
		sockets->family = AF_INET6;
		return COLLECT_MORE;
	}
	sockets->family = AF_UNSPEC;
	return r;
}

int sockets_dump(struct sockets *sockets, uint8_t protocol, uint32_t states, bool in_parts, netlink_message_fn fn,
		 void *user)
{
	size_t bytes = 0;
	int r;

	do {
		r = sockets->under_way ? 0 : begin(sockets, protocol, states);
		while (r == NETLINK_MORE) {
			if (in_parts && bytes >= TURN_BYTES)
				return COLLECT_MORE;
			r = netlink_dump_part(&sockets->dump, sockets->fd, sockets->buffer, fn, user, &bytes);
		}
		r = end(sockets, protocol, r);
	} while (r == COLLECT_MORE);
	return r;
}

bool sockets_in_use(const char *text, size_t len, const char *protocol, uint64_t *ret)
{
	struct scan all = scan_text(text, len), line;

	while (scan_line(&all, &line)) {
		if (!scan_key(&line, protocol) || !scan_byte(&line, ':'))
			continue;
		scan_blanks(&line);
		return scan_key(&line, "inuse") && scan_u64(&line, ret);
	}
	return false;
}
