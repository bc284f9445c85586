/* SPDX-License-Identifier: MIT */
/*
 * Message formats: netlink(7); what the kernel does between two parts of a dump: netlink_dump in
 * net/netlink/af_netlink.c.
 */
#include "netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

bool netlink_attr_next(struct netlink_part *attrs, struct netlink_attr *ret)
{
	size_t left = (size_t)(attrs->end - attrs->at), step;
	struct nlattr head;

	if (left < sizeof(head))
		return false;
	memcpy(&head, attrs->at, sizeof(head));
	if (head.nla_len < sizeof(head) || head.nla_len > left)
		return false;
	ret->type = head.nla_type & NLA_TYPE_MASK;
	ret->data = attrs->at + sizeof(head);
	ret->len = head.nla_len - sizeof(head);
	step = NLA_ALIGN((size_t)head.nla_len);
	attrs->at = step < left ? attrs->at + step : attrs->end;
	return true;
}

bool netlink_attr_u32(const struct netlink_attr *attr, uint32_t *ret)
{
	if (attr->len != sizeof(*ret))
		return false;
	memcpy(ret, attr->data, sizeof(*ret));
	return true;
}

/* NLMSG_ERROR carries a negative errno, or 0 for an acknowledgement. NLMSG_DONE may carry one too. */
static int end_code(struct netlink_part body, int otherwise)
{
	int32_t code;

	if ((size_t)(body.end - body.at) < sizeof(code))
		return otherwise;
	memcpy(&code, body.at, sizeof(code));
	if (code > 0 || code < -4095)
		return -EBADMSG;
	return code;
}

static int message_take(const struct nlmsghdr *head, struct netlink_part body, netlink_message_fn fn, void *user)
{
	int r;

	switch (head->nlmsg_type) {
	case NLMSG_NOOP:
		return NETLINK_MORE;
	case NLMSG_ERROR:
		r = end_code(body, -EBADMSG);
		return r < 0 ? r : NETLINK_DONE;
	case NLMSG_DONE:
		r = end_code(body, 0);
		return r < 0 ? r : NETLINK_DONE;
	case NLMSG_OVERRUN:
		return -ENOBUFS;
	default:
		return fn(user, head->nlmsg_type, body);
	}
}

int netlink_walk(const void *datagram, size_t len, uint32_t seq, netlink_message_fn fn, void *user,
		 bool *ret_interrupted)
{
	const uint8_t *at = datagram;

	while (len > 0) {
		struct nlmsghdr head;
		size_t step;
		int r;

		if (len < sizeof(head))
			return -EBADMSG;
		memcpy(&head, at, sizeof(head));
		if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > len)
			return -EBADMSG;
		if (seq == 0 || head.nlmsg_seq == seq) {
			if (head.nlmsg_flags & NLM_F_DUMP_INTR)
				*ret_interrupted = true;
			r = message_take(&head, (struct netlink_part){ at + sizeof(head), at + head.nlmsg_len }, fn,
					 user);
			if (r != NETLINK_MORE)
				return r;
		}
		step = NLMSG_ALIGN((size_t)head.nlmsg_len);
		if (step >= len)
			break;
		at += step;
		len -= step;
	}
	return NETLINK_MORE;
}

int netlink_socket(int protocol)
{
	const struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

	if (fd < 0)
		return -errno;
	/*
	 * A socket without an address gets no events: its 0 is that of the kernel, which does not tell itself
	 * (do_one_broadcast).
	 */
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int netlink_join(int fd, unsigned group)
{
	return setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ? -errno : 0;
}

int netlink_receive(int fd, void *buffer, size_t size)
{
	for (;;) {
		struct sockaddr_nl from = { 0 };
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, buffer, size, MSG_TRUNC, (struct sockaddr *)&from, &from_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		/* Any process may write to the address of a netlink socket; the kernel's is 0. */
		if (from_len != sizeof(from) || from.nl_pid != 0)
			continue;
		return (size_t)n > size ? -EMSGSIZE : (int)n;
	}
}

int netlink_dump_begin(struct netlink_dump *dump, int fd, struct nlmsghdr *request, size_t max_bytes)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	/* One dump at a time on a socket, so the number only has to differ from that of the dump before. */
	*dump = (struct netlink_dump){ .seq = request->nlmsg_seq % 0x7fffffff + 1, .left = max_bytes };
	request->nlmsg_seq = dump->seq;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	if (sendto(fd, request, request->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

int netlink_dump_part(struct netlink_dump *dump, int fd, void *buffer, netlink_message_fn fn, void *user,
		      size_t *ret_bytes)
{
	int n = netlink_receive(fd, buffer, NETLINK_BUFFER_SIZE), r;

	if (n <= 0)
		return n < 0 ? n : -EBADMSG;
	if ((size_t)n > dump->left)
		return -E2BIG;
	dump->left -= (size_t)n;
	*ret_bytes += (size_t)n;
	r = netlink_walk(buffer, (size_t)n, dump->seq, fn, user, &dump->interrupted);
	return r == NETLINK_DONE && dump->interrupted ? -EINTR : r;
}

int netlink_dump(int fd, struct nlmsghdr *request, void *buffer, size_t max_bytes, netlink_message_fn fn, void *user)
{
	struct netlink_dump dump;
	size_t bytes = 0;
	int r = netlink_dump_begin(&dump, fd, request, max_bytes);

	if (r < 0)
		return r;
	do
		r = netlink_dump_part(&dump, fd, buffer, fn, user, &bytes);
	while (r == NETLINK_MORE);
	return r == NETLINK_DONE ? 0 : r;
}
