/* SPDX-License-Identifier: MIT */
#include "tools/infinictl/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

int outfile_open(const char *path, FILE **ret, struct err *err)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;

	if (!strcmp(path, "-")) {
		*ret = stdout;
		return 0;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path,
			       errno == ELOOP ? "it is a symbolic link; name the file itself" : strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
		return err_set(err, -EINVAL, "%s: it is no ordinary file of one name, and is left alone; name another",
			       path);
	if (ftruncate(fd, 0) < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	*ret = fdopen(fd, "w");
	if (!*ret)
		return err_set(err, -ENOMEM, "out of memory");
	TAKE_FD(fd);
	return 0;
}

int outfile_close(FILE *file, const char *path, struct err *err)
{
	bool failed = fflush(file) != 0 || ferror(file);

	if (file != stdout && fclose(file) != 0)
		failed = true;
	return failed ? err_set(err, -EIO, "%s: not all could be written: %s", path, strerror(errno)) : 0;
}
