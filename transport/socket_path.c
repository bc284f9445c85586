/* SPDX-License-Identifier: MIT */
/*
 * A file is never removed by the name under which it was checked, as another file may have taken that name meanwhile:
 * it is first renamed to a unique name, checked again there, and renamed back when it is another file.
 */
#include "socket_path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define ADDRESS_SIZE sizeof(((struct sockaddr_un *)NULL)->sun_path)
/* Size of the unique name: ".", 16 digits. */
#define ASIDE_MORE 17

static const char *kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a directory";
	case S_IFLNK:
		return "a symbolic link";
	case S_IFIFO:
		return "a FIFO";
	case S_IFCHR:
	case S_IFBLK:
		return "a device";
	}
	return "a socket";
}

/*
 * True only when no socket of any process is bound to the file. A datagram socket asks: unix(7) finds the bound socket
 * before it compares types, so that ECONNREFUSED means there is none, and a listener does not see a connection. A
 * stream socket would be refused also by a socket that is bound and about to listen.
 */
static bool is_abandoned(const char *path)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (fd < 0 || strlen(path) >= ADDRESS_SIZE)
		return false;
	strcpy(address.sun_path, path);
	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 && errno == ECONNREFUSED;
}

static bool is_socket(const char *path, const struct socket_id *id)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_dev == id->dev && st.st_ino == id->ino;
}

/* Renames without replacing a file if the file system supports that; else the 64 random bits of the name have to do. */
static int move(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	return rename(from, to) < 0 ? -errno : 0;
}

/*
 * In the folder of the path, and short enough to be asked as a socket there: the last component gives way to it, which
 * has room for it or the path is moved by a name that is longer.
 */
static int name_aside(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');
	uint64_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return -EAGAIN;
	return snprintf(out, size, "%.*s.%016" PRIx64, slash ? (int)(slash - path) + 1 : 0, path, random) < (int)size
		       ? 0
		       : -ENAMETOOLONG;
}

/*
 * Removes the socket `id` from `path`, if wanted only while it is abandoned. -EADDRINUSE when it is another file or not
 * abandoned.
 */
static int take_away(const char *path, const struct socket_id *id, bool abandoned)
{
	char aside[ADDRESS_SIZE + ASIDE_MORE];
	int r = name_aside(path, aside, sizeof(aside));

	if (r < 0)
		return r;
	r = move(path, aside);
	if (r < 0)
		return r;
	if (is_socket(aside, id) && (!abandoned || strlen(aside) >= ADDRESS_SIZE || is_abandoned(aside)))
		return unlink(aside) < 0 ? -errno : 0;
	r = move(aside, path);
	return r < 0 ? r : -EADDRINUSE;
}

static int clear(const char *path, struct err *e)
{
	struct socket_id id;
	struct stat st;
	int r;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_set(e, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, -EADDRINUSE,
			       "%s: %s is in the way and stays: name another path, or remove it yourself", path,
			       kind_of(st.st_mode));
	if (!is_abandoned(path))
		return err_set(e, -EADDRINUSE,
			       "%s: a socket that another program holds: end that program, or name another path", path);
	id = (struct socket_id){ st.st_dev, st.st_ino };
	r = take_away(path, &id, true);
	if (r == -EADDRINUSE)
		return err_set(e, r, "%s: another file has just taken this path: name another path, or try again",
			       path);
	return r < 0 ? err_set(e, r, "%s: the socket left there cannot be removed: %s", path, strerror(-r)) : 0;
}

int socket_path_bind(int fd, const char *path, mode_t without, struct socket_id *ret_id, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;
	mode_t mask;
	int r;

	if (!*path)
		return err_set(e, -EINVAL, "the path of a socket cannot be empty");
	if (strlen(path) >= ADDRESS_SIZE)
		return err_set(e, -ENAMETOOLONG, "%s: longer than the %zu bytes a socket's path may have", path,
			       ADDRESS_SIZE - 1);
	r = clear(path, e);
	if (r < 0)
		return r;
	strcpy(address.sun_path, path);
	mask = umask(0777);
	umask(mask | without);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return err_set(e, r, "%s: %s (name another path)", path, strerror(-r));
	if (lstat(path, &st) < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	*ret_id = (struct socket_id){ st.st_dev, st.st_ino };
	return 0;
}

void socket_path_remove(const char *path, const struct socket_id *id)
{
	if (is_socket(path, id))
		take_away(path, id, false);
}
