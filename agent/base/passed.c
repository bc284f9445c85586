/* SPDX-License-Identifier: MIT */
#include "agent/base/passed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
