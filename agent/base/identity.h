/* SPDX-License-Identifier: MIT */
/*
 * The VM's identity, never empty. Sources, in this order: configuration, $INFINIBAY_VM_ID, the DMI product UUID
 * (readable by root only: an unprivileged service reads the copy that infiniservice-exec makes at every start), a hash
 * of the machine-id, an id that was generated once and is stored in the state directory, a hash of the boot id.
 */
#ifndef AGENT_BASE_IDENTITY_H
#define AGENT_BASE_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniservice/err.h>

#define IDENTITY_SIZE  129
#define BOOT_ID_SIZE   33
#define IDENTITY_BYTES 16 /* of a machine-id or boot id */

struct identity {
	char vm_id[IDENTITY_SIZE];
	const char *source; /* "config", "environment", "dmi", "machine-id", "state" or "boot"; shown by Status */
	char boot_id[BOOT_ID_SIZE];
	char generation[17]; /* see generation.h, which fills it */
};

/*
 * Path of the copy of the product UUID, and file name of the generated id in the state directory (0600, the agent's).
 */
#define IDENTITY_COPY "/run/infiniservice-root/product_uuid"
#define IDENTITY_FILE "vm_id"

/*
 * Fills `id`; `configured` may be NULL or empty. A generated id is stored in the directory state_fd; with -1 a stored
 * id is not read and none is generated. `warning` (may be NULL) says what a machine without an identity of its own
 * should be given; its code is 0 where there is nothing to say. boot_id is empty when unknown.
 */
void identity_find(struct identity *id, const char *configured, int state_fd, struct err *warning);

/*
 * Parses a product UUID, in lower case, from the beginning of a text. False when it cannot distinguish machines: it has
 * not the form of a UUID ("Not Settable"), or is a vendor's placeholder.
 */
bool identity_take_uuid(char out[IDENTITY_SIZE], const char *text);

/* Parses a machine-id or boot id: 32 hex digits, dashes ignored, at most a newline behind them. False: malformed. */
bool identity_parse_id(const char *text, uint8_t id[IDENTITY_BYTES]);

/*
 * Replaces the id by a hash of it with a constant, like sd_id128_get_machine_app_specific(3): the id itself is never
 * disclosed.
 */
void identity_hash_id(uint8_t id[IDENTITY_BYTES]);

#endif
