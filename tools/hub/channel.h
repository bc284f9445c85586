/* SPDX-License-Identifier: MIT */
/*
 * The hub's end of one VM's channel: connected to, read line by line within the VM's allowance, written to from a
 * bounded queue, and connected to again with back-off and jitter. What a guest sends can cost its own data and no more:
 * one that is over its allowance is not read for a while, so that its own queues fill.
 */
#ifndef HUB_CHANNEL_H
#define HUB_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ev.h>

#include "tools/hub/owned.h"
#include "tools/hub/pace.h"
#include "transport/backoff.h"
#include "transport/frame.h"

#define CHANNEL_PATH_SIZE 108 /* sun_path of unix(7) */
#define CHANNEL_QUEUE_MAX (2U << 20)
#define CHANNEL_LINE_MAX  (1U << 20) /* no agent writes a longer one */

enum channel_state {
	CHANNEL_AWAY,  /* no socket, or nobody listens */
	CHANNEL_QUIET, /* connected, and nothing has come yet */
	CHANNEL_LIVE,  /* connected, and something has come */
	CHANNEL_TAKEN, /* another program is connected, or the guest says nothing at all */
};

struct channel;
struct channel_events {
	void (*line)(void *arg, const char *line, size_t len);
	/* After a change of state, also from one kind of AWAY to another. The channel must not be freed in here. */
	void (*changed)(void *arg, enum channel_state before);
};

struct channel {
	struct ev_loop *loop;
	const struct channel_events *events;
	void *arg;
	struct owned *owned; /* shared by all */
	char path[CHANNEL_PATH_SIZE];
	enum channel_state state;
	char reason[80]; /* why it is away or taken */
	int fd;
	ev_io io;
	ev_timer timer; /* the next attempt, the end of the wait for a first byte, or of a pause */
	struct backoff backoff;
	uint32_t random;
	struct frame_reader frame;
	struct allowance allowance;
	bool paused;
	char *out;
	size_t out_len, out_size;
	uint64_t left_ns; /* when the last connection ended */
	uint64_t bytes, invalid, throttled;
};

/* Connects at the next turn of the loop. `path` is shorter than CHANNEL_PATH_SIZE. The channel must not move. */
void channel_init(struct channel *channel, struct ev_loop *loop, const char *path, uint64_t bytes_per_s, uint64_t burst,
		  struct owned *owned, const struct channel_events *events, void *arg);

/* The socket may be there (again): the next attempt is made at once, unless it waits for another program. */
void channel_wake(struct channel *channel);

/* Queues a whole line and its newline. 0, -ENOTCONN, -ENOBUFS (the guest does not read) or -ENOMEM. */
int channel_send(struct channel *channel, const char *line, size_t len);

/* Bytes held for this channel. */
size_t channel_memory(const struct channel *channel);

void channel_free(struct channel *channel);

#endif
