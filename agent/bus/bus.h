/* SPDX-License-Identifier: MIT */
/*
 * The system bus, watched by the loop. It is opened by the first message, asynchronously (connect, authentication and
 * Hello are steps of the loop), and closed again after a while without anything to do: an idle agent holds no
 * connection. No call here waits, and no callback is called from within a call.
 *
 *	bus_message ─► (fill it) ─► bus_call ─► done(reply), exactly once ─► freed
 *	                                  └► bus_cancel: never called
 *
 * Everything of it needs libsystemd, which is loaded at the first need: whoever begins a conversation asks bus_ready
 * first, and waits when it says so.
 *
 * A bus that is absent refuses bus_message; one that goes away fails what is outstanding; one that does not answer
 * costs its askers their time-outs.
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
/* Calls outstanding at once; far below what a bus daemon lets one connection have (128 by default). */
#define BUS_CALLS_MAX 96

struct bus_config {
	const char *address; /* NULL: BUS_ADDRESS */
	int (*connect)(
		void *data); /* tests: a socket whose other end is the peer itself, no daemon between; or -errno */
	void *connect_data;
	double idle_s;		   /* 0: BUS_IDLE_S */
	const char *library;	   /* tests: the file that is loaded; NULL: libsystemd's */
	double library_read_s;	   /* 0: LIBRARY_READ_S */
	void (*ready)(void *data); /* what bus_ready has said -EINPROGRESS of is over; may be NULL */
	void *ready_data;
};

/* NULL when out of memory. Nothing is opened yet. */
struct bus *bus_new(struct ev_loop *loop, const struct bus_config *config);
/* Drops what is outstanding without a call back. Accepts NULL, returns NULL. */
struct bus *bus_free(struct bus *bus);

/*
 * 0: messages can be made. -EINPROGRESS: the library is being read ahead, and config.ready will be called, never from
 * in here. -ELIBACC: it cannot be loaded, see bus_fault; it is tried again a minute later.
 */
int bus_ready(struct bus *bus);

enum bus_state {
	BUS_UNUSED,  /* nobody has needed it yet */
	BUS_READING, /* the library is being read ahead */
	BUS_READY,
	BUS_UNUSABLE, /* see bus_fault */
};

enum bus_state bus_state(const struct bus *bus);

/* Why bus_ready last said -ELIBACC, with the name of the package that is missing; "" when it did not. */
const char *bus_fault(const struct bus *bus);

/*
 * A method call to be filled in, opening the bus if need be. 0 and *ret (sd_bus_message_unref it), or -errno: what
 * bus_ready says, or there is no bus.
 */
int bus_message(struct bus *bus, const char *destination, const char *path, const char *interface, const char *member,
		sd_bus_message **ret);

/* How a call ended. All valid during the callback only. */
struct bus_reply {
	sd_bus_message *message; /* NULL unless it succeeded */
	int error; /* 0; -EREMOTEIO: the peer refused, see name and text; -ENOTCONN: the bus is gone; -ETIMEDOUT */
	const char *name; /* of the peer's error, "org.freedesktop.…"; "" otherwise */
	const char *text; /* words for it, never NULL */
};
typedef void (*bus_reply_fn)(void *data, const struct bus_reply *reply);

/*
 * Sends `message`. `done` is called within `timeout_ns` (TIME_NEVER: no limit). 0 and *ret, valid until `done` begins,
 * or -errno: -EBUSY (BUS_CALLS_MAX outstanding), -ENOMEM, or the bus has just gone.
 */
int bus_call(struct bus *bus, sd_bus_message *message, uint64_t timeout_ns, bus_reply_fn done, void *data,
	     struct bus_call **ret);
/* Forgets the call: what was asked may still happen. Accepts NULL, returns NULL. */
struct bus_call *bus_cancel(struct bus_call *call);

/* Counts connections, for what has to be done once in each: 0 before the first. */
uint64_t bus_generation(const struct bus *bus);

#endif
