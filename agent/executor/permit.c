/* SPDX-License-Identifier: MIT */
#include "agent/executor/permit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

int permit_take(const struct executor *executor)
{
	struct sockaddr_un address = { .sun_path = "" };
	socklen_t len = sizeof(address) - 1;
	_cleanup_(closep) int fd = -1;
	char *slash;

	if (getsockname(executor->options.listen_fd, (struct sockaddr *)&address, &len) < 0)
		return -errno;
	slash = strrchr(address.sun_path, '/');
	if (!slash || slash == address.sun_path)
		return -ENOTDIR;
	*slash = '\0';
	fd = open(address.sun_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return TAKE_FD(fd);
}
