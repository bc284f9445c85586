/* SPDX-License-Identifier: MIT */
/*
 * The local socket, over which people and tools of this guest observe the agent, with the same messages as the host. A
 * client is identified by the uid that the kernel reports (SO_PEERCRED, unix(7)) and may only run actions that observe;
 * its buffers are bounded, and so are those of all clients together.
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
 * Limits of unread output, in bytes: of one client, of all clients of one user, and of all users but root. A client
 * over the first two is disconnected; over the third, the client with the most unread output of the user with the most.
 */
#define LOCAL_QUEUE_BYTES (2u << 20)
#define LOCAL_USER_BYTES  (4u << 20)
#define LOCAL_USERS_BYTES (32u << 20)
/* A client with less unread output than this is not disconnected because of other clients. */
#define LOCAL_SMALL_BYTES (64u << 10)
/* Connections of socket.max_clients that are reserved for root (at most a quarter of them). */
#define LOCAL_ROOT_CLIENTS 16

/*
 * Listens on socket.path (or takes the socket of LISTEN_FDS, sd_listen_fds(3)). A group that does not exist is no
 * error: the socket then keeps its owner's group, and `warning` says so (else it is ""). 0, or -errno with a text in
 * `e`. *ret is the caller's, to be freed with local_free.
 */
int local_new(struct peers *peers, struct local **ret, struct err *warning, struct err *e);

/*
 * Disconnects all clients, stops listening, and removes the socket unless it was passed in. Accepts NULL, returns NULL.
 */
struct local *local_free(struct local *local);

/* Writes clients, refused and cut_off into an open object. */
void local_report(const struct local *local, struct sink *out);

#endif
