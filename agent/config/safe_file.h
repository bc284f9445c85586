/* SPDX-License-Identifier: MIT */
/*
 * Reads a file that decides what the agent may do: a regular file, owned by root or the reading user, and writable by
 * no other. The check is made on the opened descriptor, so the file cannot be swapped in between. The directories above
 * it are not checked.
 */
#ifndef AGENT_CONFIG_SAFE_FILE_H
#define AGENT_CONFIG_SAFE_FILE_H

#include <stddef.h>
#include <sys/stat.h>

#include <infiniservice/err.h>

/*
 * Reads at most `max` bytes into a new buffer, the caller's to free (a NUL follows the content); a longer file is
 * -EFBIG. Errors: -EPERM, with the cure in `err`, when the file is unsafe, -EMEDIUMTYPE when it is not a regular file,
 * else that of open or read.
 */
int safe_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct err *err);

/* Like safe_file_read; *ret_st is the state of the file when it was checked. */
int safe_file_read_stat(const char *path, size_t max, char **ret_text, size_t *ret_len, struct stat *ret_st,
			struct err *err);

#endif
