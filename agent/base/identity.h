/* SPDX-License-Identifier: MIT */
/*
 * Who this VM is, never an empty name. In this order: configuration, $INFINIBAY_VM_ID, the DMI product UUID (readable
 * by root only: an unprivileged service reads the copy that infiniservice-exec makes at every start), a hash of the
 * machine-id, an id that was made once and is kept in the state directory, a hash of the boot id.
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
 * Where the helper's copy of the product UUID is, and the name of the id in the state directory (0600, of the agent).
 */
#define IDENTITY_COPY "/run/infiniservice-root/product_uuid"
#define IDENTITY_FILE "vm_id"

/*
 * Fills `id`; `configured` may be NULL or empty. An id that has to be made is made in the directory state_fd; with -1
 * an id that is there is not looked for and none is made. `warning` (may be NULL) says what a machine without an
 * identity of its own should be given; its code is 0 where there is nothing to say. boot_id is empty where it is
 * unknown.
 */
void identity_find(struct identity *id, const char *configured, int state_fd, struct err *warning);

/*
 * Takes a product UUID, in lower case, from the beginning of a text. False when it is none that can tell two machines
 * apart: not in the form of a UUID ("Not Settable"), or one that makers leave in every machine.
 */
bool identity_take_uuid(char out[IDENTITY_SIZE], const char *text);

/* Reads a machine-id or boot id: 32 hex digits, dashes passed over, at most a newline behind them. False: it is none.
 */
bool identity_parse_id(const char *text, uint8_t id[IDENTITY_BYTES]);

/*
 * Replaces the id by a hash of it and of a constant of ours, the one sd_id128_get_machine_app_specific(3) makes: the id
 * itself is never shown.
 */
void identity_hash_id(uint8_t id[IDENTITY_BYTES]);

#endif
