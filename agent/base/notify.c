/* SPDX-License-Identifier: MIT */
/*
 * What sd_notify(3) does, without waiting: its sendmsg(2) does wait when the manager's queue is full, for as long as
 * the manager is held up by something else. What finds no room is told later (ready) or is out of date by then (all
 * else).
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
#include <systemd/sd-daemon.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

static bool ready_owed;

/* False when there is no room for it now; true also without a manager. */
static bool tell(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = -1;
	socklen_t len;

	if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof(address.sun_path))
		return true;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	strcpy(address.sun_path, path);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + (*path == '/'));
	if (*path == '@')
		address.sun_path[0] = '\0';
	return sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, len) >= 0 ||
	       (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM);
}

static void tell_ready(void)
{
	ready_owed = !tell("READY=1");
}

uint64_t notify_watchdog_ns(void)
{
	uint64_t usec;

	return sd_watchdog_enabled(0, &usec) > 0 ? usec * NS_PER_US / 2 : 0;
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
	tell("STOPPING=1");
}

void notify_watchdog(void)
{
	tell("WATCHDOG=1");
}

/* FDPOLL=0: a virtio port without a host looks hung up for ever, for which the manager would close it. */
void notify_keep(const char *name, int fd)
{
	char text[64];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	sd_pid_notify_with_fds(0, 0, text, &fd, 1);
}

int notify_kept(const char *name)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(0, &names), found = -1;

	for (int i = 0; names && i < count; i++) {
		if (found < 0 && strcmp(names[i], name) == 0)
			found = SD_LISTEN_FDS_START + i;
		free(names[i]);
	}
	free(names);
	if (found >= 0)
		sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return found;
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
