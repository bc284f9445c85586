/* SPDX-License-Identifier: MIT */
/* sd_notify with nothing of our own between; see notify.h. Its datagram socket does not wait for PID 1. */
#include "agent/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include <infiniservice/moment.h>

uint64_t notify_watchdog_ns(void)
{
	uint64_t usec;

	return sd_watchdog_enabled(0, &usec) > 0 ? usec * NS_PER_US / 2 : 0;
}

void notify_ready(void)
{
	sd_notify(0, "READY=1");
}

void notify_reloading(uint64_t mono_ns)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, mono_ns / NS_PER_US);
}

void notify_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

void notify_watchdog(void)
{
	sd_notify(0, "WATCHDOG=1");
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
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (strcmp(text, last) == 0)
		return;
	memcpy(last, text, sizeof(last));
	sd_notifyf(0, "STATUS=%s", text);
}
