/* SPDX-License-Identifier: MIT */
/*
 * The secret shared with the host: the bytes of a file (or of an environment variable) without trailing white space. It
 * is never printed, and the owner of a struct secret wipes it. The agent's own copy is in separate pages (secret_new),
 * which are missing in forked helpers and core dumps.
 */
#ifndef AGENT_CONFIG_SECRET_H
#define AGENT_CONFIG_SECRET_H

#include <stddef.h>
#include <sys/stat.h>

#include <infiniservice/err.h>

/*
 * Reads a file that decides what the agent may do: a regular file, owned by root or the reading user, and writable by
 * no other. The check is made on the opened descriptor, so the file cannot be swapped in between. The directories above
 * it are not checked. At most `max` bytes are read into a new buffer, the caller's to free (a NUL follows the content);
 * a longer file is -EFBIG. *ret_st (may be NULL) is the state of the file when it was checked. Errors: -EPERM, with the
 * cure in `err`, when the file is unsafe, -EMEDIUMTYPE when it is not a regular file, else that of open or read.
 */
int safe_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct stat *ret_st,
		   struct err *err);

#define SECRET_MAX	   4096
#define SECRET_ENVIRONMENT "INFINISERVICE_SHARED_SECRET"

struct secret {
	size_t len;		    /* 0: no secret */
	char bytes[SECRET_MAX + 1]; /* NUL after the end */
};

/*
 * An empty secret in pages that the kernel zeroes in every child (MADV_WIPEONFORK, since Linux 4.14) and leaves out of
 * dumps. NULL when out of memory.
 */
struct secret *secret_new(void);

/* Wipes and frees; accepts NULL. Returns NULL. */
struct secret *secret_free(struct secret *secret);

/*
 * Reads the secret from a file. 0; -EINVAL when it is empty; else as safe_file_read. `warning` (may be NULL, as in
 * secret_find) is set to -EPERM with the cure in its text when users other than the owner can read the file: they could
 * sign as the host. Otherwise its code is 0.
 */
int secret_load(const char *path, struct secret *ret, struct err *warning, struct err *err);

/*
 * Finds the secret: in `path` if not "" (then it must exist); else in the first of $CREDENTIALS_DIRECTORY/secret,
 * SYSCONFDIR/infiniservice/secret and $INFINISERVICE_SHARED_SECRET. A file that exists but cannot be used is an error,
 * never "no secret". Without any secret it returns 0 with ret->len 0. The caller unsets the variable (see
 * secret_forget_environment) before it starts any child.
 */
int secret_find(const char *path, struct secret *ret, struct err *warning, struct err *err);

/* Overwrites the variable's bytes in this process's environment, where /proc/PID/environ shows them, and unsets it. */
void secret_forget_environment(void);

/* Overwrites the secret with zeros in a way that compilers do not remove. */
void secret_wipe(struct secret *secret);

#endif
