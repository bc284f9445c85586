/* SPDX-License-Identifier: MIT */
/*
 * The local socket: people and tools of this guest look at the agent through it, with the same lines as the host.
 * Clients are known by the uid the kernel vouches for (SO_PEERCRED, unix(7)), see only what observes, and are bounded
 * each and together.
 */
#ifndef AGENT_PEER_LOCAL_H
#define AGENT_PEER_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <infiniservice/err.h>
#include <infiniservice/sink.h>

struct local;
struct peers;

/*
 * Bytes of answers one client may leave unread before it is cut off; likewise all clients of one user; and of all
 * users but root, of whom then those are cut off who leave most.
 */
#define LOCAL_QUEUE_BYTES (2u << 20)
#define LOCAL_USER_BYTES  (4u << 20)
#define LOCAL_USERS_BYTES (32u << 20)
/* With less than this unread nobody is cut off for what others leave. */
#define LOCAL_SMALL_BYTES (64u << 10)
/* Clients that only root may be, of socket.max_clients (of few, a quarter). */
#define LOCAL_ROOT_CLIENTS 16

/*
 * Listens on socket.path (or takes the socket of LISTEN_FDS, sd_listen_fds(3)). A group that does not exist is no
 * error: the socket then stays with its owner, and *ret_warning says so ("" else).
 */
int local_new(struct peers *peers, struct local **ret, struct err *warning, struct err *e);

/* Cuts every client off, stops listening, removes the socket if it was made here. Accepts NULL, returns NULL. */
struct local *local_free(struct local *local);

/* clients, refused, cut_off; into an open object. */
void local_report(const struct local *local, struct sink *out);

#endif
