/* SPDX-License-Identifier: MIT */
/*
 * The system bus, watched by the loop. The first message opens it asynchronously (connect, authentication and Hello are
 * steps of the loop), and it is closed when idle for a while: an idle agent holds no connection. No function here
 * blocks, and no callback is called from within one.
 *
 *	bus_message ─► (fill it) ─► bus_call ─► done(reply), exactly once ─► freed
 *	                                  └► bus_cancel: never called
 *
 * Every function needs libsystemd, which is loaded on demand and without blocking the loop on a disk: at the first need
 * a child loads the library and reads its files; when the child has answered, the agent loads it from the page cache. A
 * caller first calls bus_ready, and on -EINPROGRESS waits for config.ready.
 *
 *	UNUSED ─► READING ─► READY
 *	   ▲          └─► UNUSABLE: told, and tried again at the first need a minute later
 *	   └────────────────┘
 *
 * While there is no bus bus_message fails; when the bus goes away calls in flight fail; when it does not answer
 * they end by time-out.
 */
#ifndef AGENT_BUS_H
#define AGENT_BUS_H

#include <stdint.h>

#include "agent/bus/libsystemd.h"

struct ev_loop;
struct bus;
struct bus_call;

#define BUS_ADDRESS "unix:path=/run/dbus/system_bus_socket"
#define BUS_IDLE_S  30.0
/* How long the child may take that reads libsystemd ahead; a hanging disk delays only what needs the bus. */
#define BUS_LIBRARY_READ_S 10.0
/* Calls in flight; far below what a bus daemon allows one connection (128 by default). */
#define BUS_CALLS_MAX 96

struct bus_config {
	const char *address; /* NULL: BUS_ADDRESS */
	int (*connect)(
		void *data); /* tests: a socket whose other end is the peer itself, without a daemon; or -errno */
	void *connect_data;
	double idle_s;		   /* 0: BUS_IDLE_S */
	const char *library;	   /* tests: the file to load; NULL: libsystemd's */
	double library_read_s;	   /* 0: BUS_LIBRARY_READ_S */
	void (*ready)(void *data); /* the load is over for which bus_ready returned -EINPROGRESS; or NULL */
	void *ready_data;
};

/* `loop` is the default one, which reaps children. NULL when out of memory. Opens nothing yet. */
struct bus *bus_new(struct ev_loop *loop, const struct bus_config *config);
/* Drops calls in flight without calling back. Accepts NULL, returns NULL. */
struct bus *bus_free(struct bus *bus);

/*
 * Loads the library if needed. 0: messages can be made. -EINPROGRESS: the library is being read ahead, and config.ready
 * will be called later. -ELIBACC: it cannot be loaded, see bus_fault; it is tried again a minute later.
 */
int bus_ready(struct bus *bus);

enum bus_state {
	BUS_UNUSED,  /* not needed yet */
	BUS_READING, /* the library is being read ahead */
	BUS_READY,
	BUS_UNUSABLE, /* the library cannot be loaded, see bus_fault */
};

enum bus_state bus_state(const struct bus *bus);

/* Why bus_ready last returned -ELIBACC, with the name of the missing package; "" when it did not. */
const char *bus_fault(const struct bus *bus);

/*
 * Makes a method call to be filled in, and opens the bus if needed. 0 and *ret (the caller's to sd_bus_message_unref),
 * or -errno: as of bus_ready, or of an absent bus.
 */
int bus_message(struct bus *bus, const char *destination, const char *path, const char *interface, const char *member,
		sd_bus_message **ret);

/* The end of a call. Valid during the callback only. */
struct bus_reply {
	sd_bus_message *message; /* the reply; NULL unless the call succeeded */
	int error; /* 0; -EREMOTEIO: the peer refused, see name and text; -ENOTCONN: the bus is gone; -ETIMEDOUT */
	const char *name; /* of the peer's error, "org.freedesktop.…"; "" otherwise */
	const char *text; /* error message, never NULL */
};
typedef void (*bus_reply_fn)(void *data, const struct bus_reply *reply);

/*
 * Sends `message`. `done` is called within `timeout_ns` (TIME_NEVER: no limit). 0 and *ret, valid until `done` begins,
 * or -errno: -EBUSY (BUS_CALLS_MAX outstanding), -ENOMEM, or that of a lost connection.
 */
int bus_call(struct bus *bus, sd_bus_message *message, uint64_t timeout_ns, bus_reply_fn done, void *data,
	     struct bus_call **ret);
/* Cancels the call: `done` is not called; the method may still be executed. Accepts NULL, returns NULL. */
struct bus_call *bus_cancel(struct bus_call *call);

/* The number of connections so far, for work that is due once in each: 0 before the first. */
uint64_t bus_generation(const struct bus *bus);

#endif
