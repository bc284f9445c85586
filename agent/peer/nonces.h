/* SPDX-License-Identifier: MIT */
/*
 * The replay window over a restart of the agent: without the stored nonces a signed message overheard a minute ago
 * could be replayed to the new agent process. A small append-only file in runtime_dir (memory, by default; no message
 * waits for a disk), and at a clean stop a copy in state_dir, which also survives a reboot. The files hold digests
 * only, nothing secret.
 */
#ifndef AGENT_PEER_NONCES_H
#define AGENT_PEER_NONCES_H

#include <stdbool.h>
#include <stdint.h>

struct envelope_guard;

#define NONCES_NAME "nonces"

struct nonces {
	bool open;
	int fd;		  /* of the file in runtime_dir; -1: not open */
	unsigned records; /* in the file */
};

/* Restores the nonces of an earlier agent process into the guard. The file is rewritten with the first nonces_add. */
void nonces_open(struct nonces *nonces, const char *runtime_dir, const char *state_dir, struct envelope_guard *guard,
		 int64_t now_ms);

/* Appends the newest nonce of the guard. 0, or -errno: only this agent process knows the nonce. */
int nonces_add(struct nonces *nonces, const char *runtime_dir, const struct envelope_guard *guard);

/* At a clean stop: writes the copy in state_dir and closes the file. Accepts zeroed memory. */
void nonces_close(struct nonces *nonces, const char *state_dir, const struct envelope_guard *guard);

#endif
