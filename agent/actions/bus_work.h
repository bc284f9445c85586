/* SPDX-License-Identifier: MIT */
/*
 * Commands that do their work by a sequence of D-Bus calls, one after the other; each step is a function. The failures
 * that every step can have (no bus, refused, no reply in time) are answered here, the same for all actions.
 *
 *	run: bus_work_new ─► bus_call_manager(…, step) ─► step: bus_work_failed? ─► bus_call_…(…, step)
 *	     ─► … ─► command_succeed
 */
#ifndef AGENT_ACTIONS_BUS_WORK_H
#define AGENT_ACTIONS_BUS_WORK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/bus/bus.h"

struct command;

#define SYSTEMD_NAME	"org.freedesktop.systemd1"
#define SYSTEMD_PATH	"/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"
#define DBUS_PROPERTIES "org.freedesktop.DBus.Properties"

/*
 * One call without a work, as bus_message and bus_call make it; `types` and the rest are the arguments of
 * sd_bus_message_append, NULL for none. 0, or -errno.
 */
int bus_ask(struct bus *bus, uint64_t timeout_ns, bus_reply_fn done, void *data, struct bus_call **ret,
	    const char *destination, const char *path, const char *interface, const char *member, const char *types,
	    ...);

typedef void (*bus_step)(struct command *command, const struct bus_reply *reply);

/* The head of a command's work; an action's own struct begins with it. */
struct bus_work {
	struct command *command;
	struct bus_call *call;		     /* outstanding */
	bus_step step;			     /* takes its reply */
	bool heard;			     /* at least one call has been replied to */
	void (*done)(struct bus_work *work); /* optional: frees the members of the action's own struct */
};

/* Gives the command a zeroed work of `size` bytes. NULL: out of memory, and the command has been answered. */
void *bus_work_new(struct command *command, size_t size);

/*
 * The next call, with the arguments of bus_ask. True: `step` will be called, unless the command ends before. False: the
 * command has been answered.
 */
bool bus_work_call(struct command *command, bus_step step, const char *destination, const char *path,
		   const char *interface, const char *member, const char *types, ...);
/* The same, to the service manager. */
#define bus_call_manager(command, step, ...)                                                                           \
	bus_work_call(command, step, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, __VA_ARGS__)

/* Sends a message that the caller has built. 0, or -errno: the command has not been answered. */
int bus_work_send(struct command *command, bus_step step, sd_bus_message *message);

/* True if the reply is a failure: then the command has been answered for it. */
bool bus_work_failed(struct command *command, const struct bus_reply *reply);

/*
 * Answers the command for an error of the bus itself (-errno) or for a reply that cannot be parsed (-EBADMSG, -ENXIO).
 */
void bus_work_fail(struct command *command, int error);

#endif
