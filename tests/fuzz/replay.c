/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over files and directories of files, with any compiler: the corpora are a regression test. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <infiniservice/cleanup.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned files;

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* The input lies in memory of its exact size, so that a sanitizer sees one byte too many. */
static int replay_file(int fd)
{
	_cleanup_(freep) uint8_t *data = NULL;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	data = malloc(st.st_size ? (size_t)st.st_size : 1);
	if (!data)
		return -ENOMEM;
	n = read(fd, data, (size_t)st.st_size);
	if (n < 0)
		return -errno;
	if (n != st.st_size)
		return -EIO;
	LLVMFuzzerTestOneInput(data, (size_t)n);
	files++;
	return 0;
}

static int replay_at(int dir_fd, const char *name)
{
	_cleanup_(closep) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *dir = NULL;
	struct dirent *entry;
	int result = 0;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir)
		return errno == ENOTDIR ? replay_file(fd) : -errno;
	fd = -1;
	while (result == 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			result = replay_at(dirfd(dir), entry->d_name);
	return result;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		int result = replay_at(AT_FDCWD, argv[i]);

		if (result < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-result));
			return 1;
		}
	}
	printf("%u inputs replayed\n", files);
	return files > 0 ? 0 : 1;
}
