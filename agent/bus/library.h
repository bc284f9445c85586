/* SPDX-License-Identifier: MIT */
/*
 * Loads libsystemd without blocking the loop on a disk: at the first need a child loads the library and reads its
 * files; when the child has answered, the agent loads the library from the page cache.
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

/* How long the child may take; a hanging disk delays only the commands that need the bus. */
#define LIBRARY_READ_S 10.0

struct library {
	struct ev_loop *loop;
	const char *file; /* NULL: libsystemd's; owned by the caller */
	double read_s;
	void (*over)(void *data); /* called when reading ahead has ended, with or without success */
	void *data;
	int fd;	   /* -1: no child */
	pid_t pid; /* 0: has exited */
	ev_io io;
	ev_child child;
	ev_timer timer;
};

/* `loop` is the default one, which reaps children. `read_s` 0: LIBRARY_READ_S. */
void library_init(struct library *library, struct ev_loop *loop, const char *file, double read_s,
		  void (*over)(void *data), void *data);
void library_done(struct library *library);

/*
 * Loads the library. 0: it is loaded. -EINPROGRESS: it is being read ahead, and `over` will be called later, never
 * within this call. -ELIBACC: it could not be loaded, with the reason in `err` (may be NULL); it is tried again a
 * minute later.
 */
int library_need(struct library *library, uint64_t now_ns, struct err *err);

#endif
