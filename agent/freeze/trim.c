/* SPDX-License-Identifier: MIT */
/* FITRIM, ioctl_fitrim in include/uapi/linux/fs.h: the kernel says in `len` how much it has discarded. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/freeze/freezer.h"
#include "collectors/procfs.h"

#define MOUNTINFO_MAX (16U << 20)

/* As mountinfo has it: blank, tab, newline and backslash in octal, and besides them all that is no printable ASCII. */
static void print_path(const char *path)
{
	for (const unsigned char *c = (const unsigned char *)path; *c; c++)
		printf(*c > ' ' && *c < 0x7f && *c != '\\' ? "%c" : "\\%03o", *c);
}

static void trim(const struct freeze_mount *mount, uint64_t minimum)
{
	_cleanup_(closep) int fd = freeze_kernel_real.open(NULL, mount);
	struct fstrim_range range = { .len = UINT64_MAX, .minlen = minimum };
	int error = fd < 0 ? -fd : ioctl(fd, FITRIM, &range) < 0 ? errno : 0;

	print_path(mount->path);
	if (error)
		printf(" - %s\n", error == ENOTTY || error == EOPNOTSUPP ? "trim not supported" : strerror(error));
	else
		printf(" %llu %llu\n", (unsigned long long)range.len, (unsigned long long)range.minlen);
}

int trim_main(int argc, char *argv[])
{
	struct procfs_file file = PROCFS_FILE;
	struct procfs_buffer buffer = { .max = MOUNTINFO_MAX };
	struct freeze_mounts mounts;
	char *end = NULL;
	uint64_t minimum;
	int r;

	errno = 0;
	minimum = argc == 2 && *argv[1] >= '0' && *argv[1] <= '9' ? strtoull(argv[1], &end, 10) : 0;
	if (!end || *end || errno) {
		fputs("usage: infiniservice-exec trim MINIMUM\n", stderr);
		return 2;
	}
	r = procfs_read(&file, AT_FDCWD, "/proc/self/mountinfo", &buffer);
	procfs_close(&file);
	if (r >= 0)
		r = freeze_mounts_read(&mounts, buffer.text, buffer.len, NULL);
	procfs_buffer_free(&buffer);
	if (r < 0) {
		fprintf(stderr, "infiniservice-exec trim: %s\n", strerror(-r));
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < mounts.target_count; i++)
		trim(&mounts.mounts[mounts.targets[i]], minimum);
	freeze_mounts_free(&mounts);
	return EXIT_SUCCESS;
}
