/* SPDX-License-Identifier: MIT */
/* Files of scripts; see script_file.h. */
#include "agent/script_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

struct script_file {
	char path[PATH_MAX];
};

const char *script_file_path(const struct script_file *file)
{
	return file->path;
}

void script_file_free(void *file)
{
	if (file)
		unlink(((struct script_file *)file)->path);
	free(file);
}

/* /etc/passwd itself and not the name service, which may ask a network. */
static bool find_user(const char *name, uid_t *ret_uid)
{
	_cleanup_(fclosep) FILE *file = fopen("/etc/passwd", "re");
	struct passwd *user;

	while (file && (user = fgetpwent(file))) {
		if (strcmp(user->pw_name, name) == 0) {
			*ret_uid = user->pw_uid;
			return true;
		}
	}
	return false;
}

/* Another user may only pass through the directory. Where the file cannot be given to that user, its name is what
 * protects it. */
static int give_to(int dir_fd, int fd, const char *user)
{
	uid_t uid;

	if (!user)
		return 0;
	if (fchmod(dir_fd, 0711) < 0)
		return -errno;
	if (find_user(user, &uid) && fchown(fd, uid, (gid_t)-1) == 0)
		return 0;
	return fchmod(fd, 0444) < 0 ? -errno : 0;
}

static int open_dir(const char *runtime_dir)
{
	char path[PATH_MAX];
	struct stat st;
	int fd;

	if (snprintf(path, sizeof(path), "%s/" SCRIPT_DIR, runtime_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	mkdir(path, 0700);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 0022) == 0)
		return fd;
	close(fd);
	return -EPERM;
}

static int write_whole(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

struct script_file *script_file_new(const char *runtime_dir, const char *user, const char *bytes, size_t len)
{
	_cleanup_(closep) int dir_fd = open_dir(runtime_dir);
	_cleanup_(closep) int fd = -1;
	struct script_file *file = calloc(1, sizeof(*file));
	uint64_t random[2];
	char name[40];

	if (dir_fd < 0 || !file || getrandom(random, sizeof(random), GRND_NONBLOCK) != sizeof(random)) {
		free(file);
		return NULL;
	}
	snprintf(name, sizeof(name), "%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
	snprintf(file->path, sizeof(file->path), "%s/" SCRIPT_DIR "/%s", runtime_dir, name);
	fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
	if (fd >= 0 && write_whole(fd, bytes, len) == 0 && give_to(dir_fd, fd, user) == 0)
		return file;
	if (fd >= 0)
		unlinkat(dir_fd, name, 0);
	free(file);
	return NULL;
}

void script_file_sweep(const char *runtime_dir)
{
	int fd = open_dir(runtime_dir);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (strlen(entry->d_name) == 32 && strspn(entry->d_name, "0123456789abcdef") == 32)
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}
