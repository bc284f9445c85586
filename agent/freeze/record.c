/* SPDX-License-Identifier: MIT */
#include "agent/freeze/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/freeze/mounts.h"
#include "agent/rules/freeze_rules.h"

/* "f 4294967295:4294967295\n", padded with blanks before the newline. */
#define ENTRY 32

/* The directory in /run, made if missing: of root's, and for others to read only. A descriptor or -errno. */
static int open_directory(int root_fd, bool make)
{
	_cleanup_(closep) int run = openat(root_fd, "run", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_(closep) int fd = -1;
	struct stat st;

	if (run < 0)
		return -errno;
	if (make && mkdirat(run, FREEZE_RECORD_DIR, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(run, FREEZE_RECORD_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		return -EPERM;
	return TAKE_FD(fd);
}

int record_create(struct record *record, int root_fd, const uint64_t *devices, size_t count)
{
	_cleanup_(closep) int dir_fd = open_directory(root_fd, true), fd = -1;
	size_t size = count * ENTRY;
	char entry[ENTRY + 1];

	*record = (struct record){ .entries = NULL };
	if (dir_fd < 0)
		return dir_fd;
	fd = openat(dir_fd, FREEZE_RECORD_NAME, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < count; i++) {
		char device[ENTRY - 4];

		snprintf(device, sizeof(device), "%u:%u", (unsigned)(devices[i] >> 32), (unsigned)devices[i]);
		snprintf(entry, sizeof(entry), "%c %-*s\n", RECORD_UNTOUCHED, ENTRY - 3, device);
		if (write(fd, entry, ENTRY) != ENTRY)
			goto failed;
	}
	record->entries = size ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0) : NULL;
	if (record->entries == MAP_FAILED)
		goto failed;
	record->count = count;
	fchmod(fd, 0644); /* whatever the umask */
	return 0;
failed:
	record->entries = NULL;
	unlinkat(dir_fd, FREEZE_RECORD_NAME, 0);
	return errno ? -errno : -EIO;
}

void record_set(struct record *record, size_t i, enum record_state state)
{
	if (i < record->count)
		((volatile char *)record->entries)[i * ENTRY] = (char)state;
}

void record_remove(struct record *record, int root_fd)
{
	_cleanup_(closep) int dir_fd = open_directory(root_fd, false);

	if (dir_fd >= 0)
		unlinkat(dir_fd, FREEZE_RECORD_NAME, 0);
	if (record->entries)
		munmap(record->entries, record->count * ENTRY);
	*record = (struct record){ .entries = NULL };
}

int record_read(int root_fd, uint64_t *devices, size_t max)
{
	_cleanup_(closep) int dir_fd = open_directory(root_fd, false), fd = -1;
	char entry[ENTRY + 1] = "";
	size_t count = 0;
	ssize_t len;

	if (dir_fd < 0)
		return dir_fd == -ENOENT ? 0 : dir_fd;
	fd = openat(dir_fd, FREEZE_RECORD_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	while ((len = read(fd, entry, ENTRY)) == ENTRY) {
		unsigned major, minor;
		char end;

		if (sscanf(entry + 1, " %u:%u %c", &major, &minor, &end) != 2 || entry[ENTRY - 1] != '\n')
			return -EBADMSG;
		if (*entry == RECORD_UNTOUCHED)
			continue;
		if (*entry != RECORD_BEGUN && *entry != RECORD_FROZEN)
			return -EBADMSG;
		if (count == max)
			return -E2BIG;
		devices[count++] = (uint64_t)major << 32 | minor;
	}
	return len < 0 ? -errno : len > 0 ? -EBADMSG : (int)count;
}
