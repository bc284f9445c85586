/* SPDX-License-Identifier: MIT */
/*
 * Names of users that are not in etc/passwd, through NSS (a directory, a domain, systemd-homed), by the prober, as NSS
 * may wait for a network. One name is requested at a time, so that a directory that does not answer holds one helper at
 * most and no other probes.
 */
#ifndef COLLECTORS_USERNAMES_H
#define COLLECTORS_USERNAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/collector.h>

#define USERNAMES_MAX	   1024U /* remembered; beyond, all are forgotten and asked again as they are needed */
#define USERNAMES_NAME_MAX 256U

enum username_state {
	USERNAME_WANTED, /* to be asked for */
	USERNAME_ASKED,
	USERNAME_KNOWN,
	USERNAME_NONE, /* no such user, or no answer */
};

struct username {
	uint32_t uid;
	enum username_state state;
	uint64_t answered_ns; /* when it became known, or none */
	char *name;	      /* if known; as it came, any bytes but NUL */
};

/* Zeroed is empty. */
struct usernames {
	struct username *items; /* by uid */
	size_t count, size;
	bool asking;
	uint64_t pause_until_ns; /* after a question that was not answered in time */
	struct prober *prober;	 /* of the last want; it outlives the collector's state */
	uint64_t now_ns;
};

/*
 * Requests the name of `uid`. 1: it will come, through usernames_probed; 0: there is nothing to wait for (known, no
 * such user, or no prober now). Names are requested again after ten minutes; until the answer the old name holds.
 */
int usernames_want(struct usernames *users, const struct collect_ctx *ctx, uint32_t uid);

/* Takes the answer to a PROBE_USER and asks for the next name that is wanted. */
void usernames_probed(struct usernames *users, const struct probe_result *result);

/* The name, NUL-terminated and valid until the next want or answer; NULL when it is not known. */
const char *usernames_find(const struct usernames *users, uint32_t uid);

void usernames_free(struct usernames *users);

#endif
