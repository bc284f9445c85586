/* SPDX-License-Identifier: MIT */
#include "agent/runner/packet.h"

#include <string.h>
#include <sys/socket.h>

#include <infiniservice/cleanup.h>

union packet_control {
	char bytes[CMSG_SPACE(PACKET_FDS * sizeof(int))];
	struct cmsghdr head;
};

ssize_t packet_receive(int fd, void *bytes, size_t size, int flags, int fds[PACKET_FDS])
{
	union packet_control control;
	struct iovec iov = { .iov_base = bytes, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
	ssize_t len;
	struct cmsghdr *head;

	/* Not CMSG_SPACE: where its padding has room for one more descriptor, the kernel would pass one too many. */
	msg.msg_controllen = CMSG_LEN(PACKET_FDS * sizeof(int));
	len = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
	head = len >= 0 ? CMSG_FIRSTHDR(&msg) : NULL; /* an empty packet may carry descriptors too */
	for (int i = 0; i < PACKET_FDS; i++)
		fds[i] = -1;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
	return len;
}

ssize_t packet_send(int fd, void *bytes, size_t len, const int *fds, size_t count)
{
	union packet_control control = { .bytes = "" };
	struct iovec iov = { .iov_base = bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (count) {
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS,
						 .cmsg_len = CMSG_LEN(count * sizeof(int)) };
		memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void packet_close(int fds[PACKET_FDS])
{
	for (int i = 0; i < PACKET_FDS; i++)
		close_fd(&fds[i]);
}
