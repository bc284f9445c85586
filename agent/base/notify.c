/* SPDX-License-Identifier: MIT */
/*
 * sd_notify(3) without blocking: its sendmsg(2) blocks when the manager's queue is full, for as long as the manager is
 * busy. A message that finds no room is sent again later (ready) or dropped, being outdated by then (all others).
 */
#include "agent/base/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

static bool ready_owed;

/* The decimal number in the environment variable `name`; -1: none, or something else. */
static long long number_of(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long long number;

	if (!text || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	number = strtoll(text, &end, 10);
	return *end || errno ? -1 : number;
}

int passed_count(void)
{
	long long count = number_of("LISTEN_PID") == getpid() ? number_of("LISTEN_FDS") : 0;

	if (count < 0 || count > PASSED_MAX)
		return 0;
	for (int fd = PASSED_FIRST; fd < PASSED_FIRST + (int)count; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return 0;
	return (int)count;
}

int passed_take(void)
{
	int count = passed_count();

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return count;
}

int passed_find(const char *name)
{
	const char *at = getenv("LISTEN_FDNAMES");
	int count = passed_count();

	for (int i = 0; at && i < count; i++) {
		size_t len = strcspn(at, ":");

		if (len == strlen(name) && memcmp(at, name, len) == 0)
			return PASSED_FIRST + i;
		at = at[len] ? at + len + 1 : NULL;
	}
	return -1;
}

bool passed_is_listener(int fd, int type)
{
	int domain = 0, found = 0, listening = 0;
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &found, &size) == 0 && found == type &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

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

/*
 * Sends the text, with descriptor `passed` unless it is -1. False when there is no room now; true also without a
 * manager.
 */
static bool tell_with(const char *text, int passed)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} control = { 0 };
	struct sockaddr_un address;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };
	struct msghdr message = { .msg_name = &address, .msg_iov = &iov, .msg_iovlen = 1 };
	_cleanup_(closep) int fd = -1;

	if (!manager_address(&address, &message.msg_namelen))
		return true;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	if (passed >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS,
						 .cmsg_len = CMSG_LEN(sizeof(passed)) };
		memcpy(CMSG_DATA(&control.head), &passed, sizeof(passed));
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL) >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM);
}

static bool tell(const char *text)
{
	return tell_with(text, -1);
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
	ready_owed = !tell("READY=1");
}

void notify_reloading(uint64_t mono_ns)
{
	char text[64];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, mono_ns / NS_PER_US);
	tell(text);
}

void notify_stopping(void)
{
	tell("STOPPING=1");
}

void notify_watchdog(void)
{
	tell("WATCHDOG=1");
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
		notify_ready();
	if (strcmp(text, last) != 0 && tell(text))
		memcpy(last, text, sizeof(last));
}
