/* SPDX-License-Identifier: MIT */
/*
 * The secret shared with the host: the bytes of a file (or of an environment variable) without trailing white space.
 * It is never printed; whoever holds a struct secret wipes it. The one that is kept lies in pages of its own
 * (secret_new), which no forked helper and no core dump has.
 */
#ifndef AGENT_CONFIG_SECRET_H
#define AGENT_CONFIG_SECRET_H

#include <stddef.h>

#include <infiniservice/err.h>

#define SECRET_MAX	   4096
#define SECRET_ENVIRONMENT "INFINISERVICE_SHARED_SECRET"

struct secret {
	size_t len;		    /* 0: none */
	char bytes[SECRET_MAX + 1]; /* NUL after the end */
};

/*
 * An empty secret in memory that the kernel zeroes in every child (MADV_WIPEONFORK, since Linux 4.14) and leaves out of
 * dumps. NULL when out of memory.
 */
struct secret *secret_new(void);

/* Wipes and frees; accepts NULL. Always NULL. */
struct secret *secret_free(struct secret *secret);

/*
 * Reads the file. 0; -EINVAL when it is empty; else what safe_file_read says. `warning` (may be NULL, as in
 * secret_find) is set to -EPERM with the cure in words when others than its owner can read the file: they could sign as
 * the host. Else its code is 0.
 */
int secret_load(const char *path, struct secret *ret, struct err *warning, struct err *err);

/*
 * The secret from where it is looked for: `path` if not "" (it must exist then); else the first of
 * $CREDENTIALS_DIRECTORY/secret, SYSCONFDIR/infiniservice/secret and $INFINISERVICE_SHARED_SECRET. A file that exists
 * but cannot be used is an error, never "no secret". None at all is 0 with ret->len 0. The caller unsets the variable
 * (see secret_forget_environment) before it starts any child.
 */
int secret_find(const char *path, struct secret *ret, struct err *warning, struct err *err);

/* Overwrites the variable's bytes in this process's environment, where /proc/PID/environ shows them, and unsets it. */
void secret_forget_environment(void);

/* Overwrites the secret with zeros in a way no compiler removes. */
void secret_wipe(struct secret *secret);

#endif
