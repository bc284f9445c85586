/* SPDX-License-Identifier: MIT */
/*
 * The host's end of one agent's port: a stream socket, connected to (QEMU's chardev is a server) or listened on (an
 * agent started with `unix:PATH`), read line by line within a bound. The guest is not trusted: a line longer than
 * LINK_LINE_MAX is always skipped up to its newline and counted.
 */
#ifndef INFINIHOST_LINK_H
#define INFINIHOST_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/err.h>

#include "transport/socket_path.h"

/* A host of this protocol drops longer lines; an agent stays far below. */
#define LINK_LINE_MAX (4U << 20)

struct link {
	int listen_fd; /* -1 when the socket was connected to */
	int fd;	       /* -1 while nobody is connected */
	char *bytes;   /* LINK_LINE_MAX bytes: the line handed out, then what came after it */
	size_t start, len;
	bool skipping; /* inside a line that was too long */
	unsigned long skipped;
	char path[108]; /* removed at the end when it was listened on; sun_path of unix(7) is no longer */
	struct socket_id id;
};

enum link_event {
	LINK_LINE = 1, /* a whole line */
	LINK_OTHER,    /* the other descriptor is readable */
};

/*
 * Makes link_next and link_accept end with -EINTR at SIGINT, SIGTERM and SIGHUP, which stay blocked outside their
 * waits, so that none is missed. Call it once, first.
 */
void link_catch_signals(void);
/* True once such a signal came. */
bool link_interrupted(void);
/* Forgets the signal, so that waiting goes on until the next one. */
void link_go_on(void);
/* For a child that is to be executed: the signals as they were before. */
void link_restore_signals(void);

/* Both return 0, or -errno with a text in `e`; after a failure link_close is allowed, not needed. */
int link_connect(struct link *link, const char *path, struct err *e);
int link_listen(struct link *link, const char *path, struct err *e);

/*
 * Waits until a peer is there. 0, -ETIMEDOUT or -EINTR; at once when connected. `deadline_ns` is CLOCK_MONOTONIC or
 * TIME_NEVER.
 */
int link_accept(struct link *link, uint64_t deadline_ns);

/*
 * Waits for one line. LINK_LINE: *ret_line is NUL-terminated without its newline, valid until the next call; blank
 * lines are left out. LINK_OTHER: `other_fd` (-1 for none) can be read. -ENOTCONN: the peer is gone (its half line
 * thrown away), -ETIMEDOUT, -EINTR.
 */
int link_next(struct link *link, int other_fd, uint64_t deadline_ns, char **ret_line, size_t *ret_len);

/*
 * Sends `text` whole, reading meanwhile what fits so that two full pipes cannot block each other. Errors as link_next.
 */
int link_send(struct link *link, const char *text, size_t len, uint64_t deadline_ns);

/* Drops the peer; a listening link can accept another. */
void link_drop(struct link *link);
void link_close(struct link *link);

#endif
