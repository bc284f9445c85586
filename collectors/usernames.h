/* SPDX-License-Identifier: MIT */
/*
 * Names of users that etc/passwd does not have, from wherever the system keeps its users (NSS: a directory, a domain,
 * systemd-homed), asked of the prober, as that may wait for a network. One name is asked for at a time, so that a
 * directory that does not answer holds one helper at most, and costs nobody else's questions.
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
	USERNAME_NONE, /* nobody knows it, or nobody answered */
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
 * Says that the name of `uid` is wanted. 1: it will come, through usernames_probed; 0: there is nothing to wait for
 * (known, nobody has it, or nobody can be asked now). Names are asked for again after ten minutes, and while that goes
 * on the old one holds.
 */
int usernames_want(struct usernames *users, const struct collect_ctx *ctx, uint32_t uid);

/* Takes the answer to a PROBE_USER and asks for the next name that is wanted. */
void usernames_probed(struct usernames *users, const struct probe_result *result);

/* The name, NUL-terminated and valid until the next want or answer; NULL when it is not known. */
const char *usernames_find(const struct usernames *users, uint32_t uid);

void usernames_free(struct usernames *users);

#endif
