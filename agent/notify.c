/* SPDX-License-Identifier: MIT */
/* sd_notify with nothing of our own between; see notify.h. Its datagram socket does not wait for PID 1. */
#include "agent/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
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
