/* SPDX-License-Identifier: MIT */
/* What a VM is called: by its channel, never by what the guest claims. Pure, over the socket's path. */
#ifndef HUB_VMNAME_H
#define HUB_VMNAME_H

#define VMNAME_SIZE 129 /* 128 bytes and a NUL */
#define UUID_SIZE   37

/*
 * The name of the VM whose channel's socket has this path: libvirt's …/domain-ID-NAME/org.infinibay.agent is NAME, any
 * other …/NAME/org.infinibay.agent is NAME, else it is the file's name without a final ".sock" or ".socket".
 * Characters that may not be shown are '?'. 0, -EINVAL for a path without a name, -ENAMETOOLONG.
 */
int vmname_of_path(const char *path, char out[VMNAME_SIZE]);

/* The name itself as a UUID (RFC 9562, any case) in lower case; "" when it is none. */
void vmname_uuid(const char *name, char out[UUID_SIZE]);

#endif
