/* SPDX-License-Identifier: MIT */
/*
 * The secrets with which the hub signs: a folder with one file a VM, or a master secret from which each is derived as
 * the host backend does it.
 */
#ifndef HUB_SECRETS_H
#define HUB_SECRETS_H

#include <stddef.h>

#include <infiniservice/err.h>

#define SECRET_HEX_SIZE 65

/*
 * A VM's secret: the lower-case hex of HMAC-SHA256 with the master secret's bytes as the key, over the VM's id as it
 * stands in its channel's name.
 */
void secret_derive(const char *master, size_t master_len, const char *vm, char ret_hex[SECRET_HEX_SIZE]);

/*
 * The secret of a VM, to be freed by secret_free_text: the file VM of `folder`, else one derived from the file `master`
 * ("" for none of either). 1 with a secret, 0 without, or -errno with the place and the cure in `e`: a file that is
 * there and cannot be used is an error, never "no secret". Files must be a regular file of root's or the reading user's
 * and readable by no other user.
 */
int secret_of_vm(const char *folder, const char *master, const char *vm, char **ret, struct err *e);

/* Wipes and frees; accepts NULL. */
void secret_free_text(char *secret);

#endif
