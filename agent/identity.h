/* SPDX-License-Identifier: MIT */
/*
 * Who this VM is. In this order: configuration, $INFINIBAY_VM_ID, the DMI product UUID (readable by root only: an unprivileged
 * service reads the copy its unit writes into the runtime directory at every start), a hash of the machine-id.
 */
#ifndef AGENT_IDENTITY_H
#define AGENT_IDENTITY_H

#define IDENTITY_SIZE 129
#define BOOT_ID_SIZE 33

struct identity {
	char vm_id[IDENTITY_SIZE];
	const char *source; /* "config", "environment", "dmi", "machine-id" or "none"; shown by Status */
	char boot_id[BOOT_ID_SIZE];
};

/* The name of the copy in the runtime directory. */
#define IDENTITY_COPY "product_uuid"

/* Fills `id`; `configured` may be NULL or empty. Unknown parts are empty strings. */
void identity_find(struct identity *id, const char *configured, const char *runtime_dir);

#endif
