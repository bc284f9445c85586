/* SPDX-License-Identifier: MIT */
#include "agent/rules/surroundings.h"

#include <stddef.h>

const char *const runner_environment[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"LC_ALL=C.UTF-8",
	"HOME=/",
	"SHELL=/bin/sh",
	"TERM=dumb",
	"DEBIAN_FRONTEND=noninteractive",
	NULL,
};

const char *const runner_directories[] = {
	"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", NULL,
};
