/* SPDX-License-Identifier: MIT */
/*
 * The nonces of signed messages over a restart of the agent: without them a message overheard a minute ago could be
 * sent again to the agent that has just been started. A small append-only file in runtime_dir (memory, by default; no
 * message waits for a disk), and at a clean stop a copy in state_dir, which is there after a reboot too. Only digests,
 * nothing secret.
 */
#ifndef AGENT_PEER_NONCES_H
#define AGENT_PEER_NONCES_H

#include <stdbool.h>
#include <stdint.h>

struct envelope_guard;

#define NONCES_NAME "nonces"

struct nonces {
	bool open;
	int fd;		  /* of the file in runtime_dir; -1: not begun */
	unsigned records; /* in it */
};

/* Gives the guard what an earlier run has seen. The file is written with the first nonce that is added. */
void nonces_open(struct nonces *nonces, const char *runtime_dir, const char *state_dir, struct envelope_guard *guard,
		 int64_t now_ms);

/* Records the nonce that the guard has remembered last. 0 or -errno: it is known to this run alone. */
int nonces_add(struct nonces *nonces, const char *runtime_dir, const struct envelope_guard *guard);

/* A clean stop: the copy in state_dir. Accepts a zeroed one. */
void nonces_close(struct nonces *nonces, const char *state_dir, const struct envelope_guard *guard);

#endif
