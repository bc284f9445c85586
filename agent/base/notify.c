/* SPDX-License-Identifier: MIT */
/*
 * sd_notify(3) without blocking: its sendmsg(2) blocks when the manager's queue is full, for as long as the manager is
 * busy. A message that finds no room is sent again later (ready) or dropped, being outdated by then (all others).
 */
#include "agent/base/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/base/passed.h"

static bool ready_owed;

/* Reads $NOTIFY_SOCKET. False: there is no manager, or the address is malformed. */
static bool manager_address(struct sockaddr_un *address, socklen_t *ret_len)
{
	const char *path = getenv("NOTIFY_SOCKET");

	if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof(address->sun_path))
		return false;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strcpy(address->sun_path, path);
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + (*path == '/'));
	if (*path == '@') /* the abstract namespace */
		address->sun_path[0] = '\0';
	return true;
}

static void attach_fd(struct msghdr *message, struct cmsghdr *head, size_t size, int fd)
{
	message->msg_control = head;
	message->msg_controllen = size;
	*head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(fd)) };
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
}

/*
 * Sends the text, with descriptor `passed` unless it is -1. False when there is no room now; true also without a
 * manager.
 */
static bool tell_with(char *text, int passed)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} control = { 0 };
	struct sockaddr_un address;
	struct iovec iov = { .iov_base = text, .iov_len = strlen(text) };
	struct msghdr message = { .msg_name = &address, .msg_iov = &iov, .msg_iovlen = 1 };
	_cleanup_(closep) int fd = -1;

	if (!manager_address(&address, &message.msg_namelen))
		return true;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	if (passed >= 0)
		attach_fd(&message, &control.head, sizeof(control), passed);
	return sendmsg(fd, &message, MSG_NOSIGNAL) >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM);
}

static bool tell(char *text)
{
	return tell_with(text, -1);
}

static void tell_ready(void)
{
	char text[] = "READY=1";

	ready_owed = !tell(text);
}

/* $WATCHDOG_USEC is for the process $WATCHDOG_PID; without that, for any process that has the variable. */
uint64_t notify_watchdog_ns(void)
{
	const char *text = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	unsigned long long usec;
	char *end;

	if (!text || (pid && strtoll(pid, NULL, 10) != getpid()))
		return 0;
	errno = 0;
	usec = strtoull(text, &end, 10);
	return *end || errno || usec > UINT64_MAX / NS_PER_US ? 0 : usec * NS_PER_US / 2;
}

void notify_ready(void)
{
	tell_ready();
}

void notify_reloading(uint64_t mono_ns)
{
	char text[64];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, mono_ns / NS_PER_US);
	tell(text);
}

void notify_stopping(void)
{
	char text[] = "STOPPING=1";

	tell(text);
}

void notify_watchdog(void)
{
	char text[] = "WATCHDOG=1";

	tell(text);
}

/* FDPOLL=0: a virtio port without a host always reports hang-up, for which the manager would close it. */
void notify_keep(const char *name, int fd)
{
	char text[64];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	tell_with(text, fd);
}

int notify_kept(const char *name)
{
	int fd = passed_find(name);
	char text[64];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	if (fd >= 0)
		tell(text);
	return fd;
}

void notify_status(const char *format, ...)
{
	static char last[256];
	char text[256] = "STATUS=";
	size_t head = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + head, sizeof(text) - head, format, args);
	va_end(args);
	if (ready_owed)
		tell_ready();
	if (strcmp(text, last) != 0 && tell(text))
		memcpy(last, text, sizeof(last));
}
