/* SPDX-License-Identifier: MIT */
/*
 * libsystemd for a loop that must not wait for a disk: at the first need a child loads the library and reads its files
 * through, and only when it has answered is it loaded here, from the page cache.
 *
 *	UNLOADED ─► READING ─► LOADED
 *	   ▲           └─► failed: told, and tried again at the first need a minute later
 *	   └────────────────┘
 */
#ifndef AGENT_BUS_LIBRARY_H
#define AGENT_BUS_LIBRARY_H

#include <stdint.h>
#include <sys/types.h>

#include <ev.h>

#include <infiniservice/err.h>

/* How long the child may take; a disk that hangs holds up the commands that need the bus, and nothing else. */
#define LIBRARY_READ_S 10.0

struct library {
	struct ev_loop *loop;
	const char *file; /* NULL: libsystemd's; borrowed */
	double read_s;
	void (*over)(void *data); /* reading ahead has ended, well or not */
	void *data;
	int fd;	   /* -1: no child is reading */
	pid_t pid; /* 0: it has ended */
	ev_io io;
	ev_child child;
	ev_timer timer;
};

/* `loop` is the default one, where children are heard of. `read_s` 0: LIBRARY_READ_S. */
void library_init(struct library *library, struct ev_loop *loop, const char *file, double read_s,
		  void (*over)(void *data), void *data);
void library_done(struct library *library);

/*
 * 0: it is loaded. -EINPROGRESS: it is being read ahead, and `over` will be called, never from in here. -ELIBACC: it
 * could not be loaded, with the words in `err` (may be NULL); it is tried again a minute after that.
 */
int library_need(struct library *library, uint64_t now_ns, struct err *err);

#endif
