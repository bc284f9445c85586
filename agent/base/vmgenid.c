/* SPDX-License-Identifier: MIT */
/* See vmgenid.h; for the format of the messages see kobject_uevent_env in lib/kobject_uevent.c. */
#include "agent/base/vmgenid.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include <infiniservice/cleanup.h>

#define KERNEL_GROUP 1

#define WORD(a, b, c, d) ((__u32)(a) << 24 | (__u32)(b) << 16 | (__u32)(c) << 8 | (__u32)(d))

/* Accepts "change@/devices/" followed by "platform/" or, where the ACPI device itself has the driver, "LNXSYSTM". */
static struct sock_filter filter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WORD('c', 'h', 'a', 'n'), 0, 10),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WORD('g', 'e', '@', '/'), 0, 8),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 8),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WORD('d', 'e', 'v', 'i'), 0, 6),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 12),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WORD('c', 'e', 's', '/'), 0, 4),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WORD('p', 'l', 'a', 't'), 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WORD('L', 'N', 'X', 'S'), 0, 1),
	BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

int vmgenid_open(void)
{
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };
	struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

bool vmgenid_is_new(const char *event, size_t len)
{
	static const char wanted[] = "NEW_VMGENID=1";
	const char *end = event + len;

	while (event < end) {
		size_t part = strnlen(event, (size_t)(end - event));

		if (part == sizeof(wanted) - 1 && memcmp(event, wanted, part) == 0)
			return true;
		event += part + 1;
	}
	return false;
}

bool vmgenid_read(int fd)
{
	bool found = false;

	/* A longer message cannot be this device's event. The loop is bounded, because a sender may never stop. */
	for (unsigned i = 0; i < 64; i++) {
		char text[4096];
		struct sockaddr_nl from = { 0 };
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, text, sizeof(text), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);

		if (n < 0 && errno != ENOBUFS && errno != EINTR)
			break;
		if (n > 0 && from.nl_pid == 0)
			found |= vmgenid_is_new(text, (size_t)n);
	}
	return found;
}
