/* SPDX-License-Identifier: MIT */
/* The comparison of clocks is arithmetic on a struct moment, so tests need no clock. */
#include "agent/base/clockwatch.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define STEP_MS	     500
#define SLEEP_MS     100
#define FAR_FUTURE_S 8000000000L /* year 2223: the timer is armed for its cancellation only, never to expire */

static void take_reference(struct clockwatch *watch, const struct moment *now)
{
	watch->wall_minus_boot_ms = now->wall_ms - (int64_t)(now->boot_ns / NS_PER_MS);
	watch->boot_minus_mono_ns = now->boot_ns - now->mono_ns;
}

static void arm(const struct clockwatch *watch)
{
	struct itimerspec far = { .it_value.tv_sec = FAR_FUTURE_S };

	if (watch->fd >= 0)
		timerfd_settime(watch->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
}

void clockwatch_init(struct clockwatch *watch, const struct moment *now)
{
	watch->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	take_reference(watch, now);
	arm(watch);
}

void clockwatch_done(struct clockwatch *watch)
{
	close_fd(&watch->fd);
}

bool clockwatch_check(struct clockwatch *watch, const struct moment *now, struct clock_change *change)
{
	struct clockwatch before = *watch;
	uint64_t expired;

	take_reference(watch, now);
	if (watch->fd >= 0 && read(watch->fd, &expired, sizeof(expired)) < 0 && errno == ECANCELED)
		arm(watch);
	*change = (struct clock_change){
		.stepped_ms = watch->wall_minus_boot_ms - before.wall_minus_boot_ms,
		.slept_ms = (watch->boot_minus_mono_ns - before.boot_minus_mono_ns) / NS_PER_MS,
	};
	if (watch->boot_minus_mono_ns < before.boot_minus_mono_ns || change->slept_ms < SLEEP_MS)
		change->slept_ms = 0;
	if (llabs(change->stepped_ms) < STEP_MS)
		change->stepped_ms = 0;
	return change->stepped_ms != 0 || change->slept_ms != 0;
}

/* ---------------------------------------------------- generation ids; see kobject_uevent_env in lib/kobject_uevent.c
 */

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
