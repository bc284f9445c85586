/* SPDX-License-Identifier: MIT */
/* Finds a port's device node by its number and changes the owner through a descriptor; see port.h. */
#include "agent/executor/port.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define SERVICE_USER	  "infiniservice"
#define NUMBER_DIGITS_MAX 9

/* The end of a decimal number without leading zeros at `text`; NULL: none. */
static const char *number_end(const char *text)
{
	size_t len = strspn(text, "0123456789");

	return len == 0 || len > NUMBER_DIGITS_MAX || (text[0] == '0' && len > 1) ? NULL : text + len;
}

bool port_name_valid(const char *name)
{
	const char *end = strncmp(name, "vport", 5) == 0 ? number_end(name + 5) : NULL;

	end = end && *end == 'p' ? number_end(end + 1) : NULL;
	return end && *end == '\0';
}

/*
 * Reads "MAJOR:MINOR\n" from the port's directory in sysfs, which only the driver of virtio ports creates. 0 or -errno.
 */
static int number_read(int root_fd, const char *name, dev_t *ret)
{
	char path[80], text[32];
	_cleanup_(closep) int fd = -1;
	unsigned major, minor;
	ssize_t len;

	snprintf(path, sizeof(path), "sys/class/virtio-ports/%.40s/dev", name);
	fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	len = read(fd, text, sizeof(text) - 1);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	if (sscanf(text, "%u:%u", &major, &minor) != 2)
		return -ENODEV;
	*ret = makedev(major, minor);
	return 0;
}

/* The node is opened with O_PATH: a port can be open only once, and its host would see the connection. */
int port_give(int root_fd, const char *name, uid_t uid, gid_t gid)
{
	_cleanup_(closep) int dev_fd = -1, fd = -1;
	char path[32];
	struct stat st;
	dev_t number = 0;
	int r;

	if (!port_name_valid(name))
		return -EINVAL;
	r = number_read(root_fd, name, &number);
	if (r < 0)
		return r;
	dev_fd = openat(root_fd, "dev", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	fd = dev_fd < 0 ? -1 : openat(dev_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != number)
		return -ENODEV;
	/*
	 * fchmod(2) does not take a descriptor of O_PATH; its name in /proc leads to the same inode, even if /dev has
	 * changed since.
	 */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (chmod(path, 0600) < 0 || fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

int port_main(int argc, char *argv[])
{
	_cleanup_(closep) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct passwd *user;
	int r;

	if (argc != 2 || !port_name_valid(argv[1])) {
		fputs("usage: infiniservice-exec port vportNpM\n", stderr);
		return 2;
	}
	errno = 0;
	user = getpwnam(SERVICE_USER);
	if (!user) {
		fprintf(stderr, "infiniservice-exec: there is no user " SERVICE_USER "%s%s\n", errno ? ": " : "",
			errno ? strerror(errno) : "");
		return EXIT_FAILURE;
	}
	r = root_fd < 0 ? -errno : port_give(root_fd, argv[1], user->pw_uid, user->pw_gid);
	if (r < 0)
		fprintf(stderr, "infiniservice-exec: /dev/%s is not given to " SERVICE_USER ": %s\n", argv[1],
			r == -ENODEV ? "it is no virtio port" : strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
