/* SPDX-License-Identifier: MIT */
/*
 * The privileged executor of an installation: started by its socket, root without a capability, it serves one agent at
 * a time, asks the policy itself, and has everything done by PID 1: each command as a transient unit with limits of its
 * own, each deed as one call. What is to be kept (RUN with EXECUTOR_RUN_KEEP) outlives agent and executor: whoever
 * comes after them asks PID 1 how it ended.
 *
 *	agent ─RUN─► rules, policy ─► unit (StartTransientUnit) ─► STARTED with its pipes ─► EXITED
 *	      ─ATTACH─► a unit that was kept ─► STARTED ─► EXITED; ─RELEASE─► PID 1 forgets it
 *	      ─DEED─► rules, policy ─► call ─► ANSWERED
 *	      ─end─► its units are killed, but for those that are to be kept
 *
 * It ends when there has been nothing to do for a while; its socket starts it again.
 */
#ifndef AGENT_BROKER_BROKER_H
#define AGENT_BROKER_BROKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "agent/broker/guard.h"
#include "agent/executor/protocol.h"

#define BROKER_MANAGER_ADDRESS "unix:path=/run/systemd/private"
#define BROKER_SYSTEM_ADDRESS  "unix:path=/run/dbus/system_bus_socket"
#define BROKER_IDLE_MS	       20000 /* without an agent */
#define BROKER_DEEDS_MAX       32
#define BROKER_UNITS_MAX       8	 /* running at once, */
#define BROKER_INPUT_MAX       (4 << 20) /* bytes; what is kept of it counts as ours */
#define BROKER_KEPT_MAX	       1	 /* and of these such as outlive the agent */

struct broker_options {
	int listen_fd;
	const char *config_dir;	     /* NULL: the system's */
	const char *manager_address; /* NULL: BROKER_MANAGER_ADDRESS */
	const char *system_address;  /* NULL: BROKER_SYSTEM_ADDRESS */
	const char *user;	     /* who may connect besides root; NULL: "infiniservice" */
	char *program;		     /* the path of this program, for its verbs */
	uint64_t idle_ms;	     /* 0: BROKER_IDLE_MS */
};

/* Serves until it is idle or told to stop. Returns the exit status. */
int broker_serve(const struct broker_options *options);

/* ---- for the parts in this folder */

struct deed;
struct unit;

struct broker {
	struct broker_options options;
	sd_event *event;
	sd_event_source *listener, *peer_source, *idle, *reconnect, *sweep;
	int peer_fd; /* -1: no agent */
	uid_t peer_uid;
	char spared[EXECUTOR_SLOTS][EXECUTOR_UNIT_SIZE]; /* kept units that the agent has not let go of yet; "": free */
	struct guard guard;
	sd_bus *manager;     /* straight to PID 1; NULL: not connected */
	uint64_t generation; /* of that connection */
	sd_bus *system;	     /* to the login manager, for power */
	sd_bus_slot *lost_slot;
	unsigned reconnects; /* in a row */
	struct unit *units;
	unsigned unit_count;
	bool kept_known;      /* those kept by an executor before this one are in the table */
	uint64_t next_number; /* of a unit */
	uint64_t sealing_ns;  /* mono time at which the making of a golden image was allowed; 0: it was not */
	char own_unit[256];   /* that units are bound to; "": we are not one */
	struct deed *deeds;
	unsigned deed_count;
	char message[EXECUTOR_MESSAGE_MAX];
};

/* The connection to PID 1, opened if need be. 0 or -errno. */
int broker_manager(struct broker *broker);

void broker_manager_close(struct broker *broker);

/* The timer for the next try to reach PID 1, where units wait for it. */
int broker_reconnect(sd_event_source *source, uint64_t usec, void *data);

/* Sends a reply with words to the agent, if there is one; one that does not take it is given up. */
void broker_reply(struct broker *broker, struct executor_answer *answer, const char *words);

/* The same with descriptors (they stay open here). */
void broker_reply_fds(struct broker *broker, struct executor_answer *answer, const int fds[2]);

/* What a request that was not even tried is answered. */
void broker_refuse(struct broker *broker, uint64_t id, int error, int stage, const char *words);

/*
 * The same for what a rule or the policy does not let be done: written to the journal too. `stage`:
 * EXECUTOR_STAGE_POLICY or _UNIT.
 */
void broker_deny(struct broker *broker, uint64_t id, int stage, const char *what, const char *words);

/* What was there before is known: agents are let in. */
void broker_ready(struct broker *broker);

/* Something has ended: it may be time to go. */
void broker_rest(struct broker *broker);

/* One line to the journal, whatever is in it: bytes that are no printable ASCII are written as \xHH. */
__attribute__((format(printf, 2, 3))) void broker_log(int priority, const char *format, ...);

#endif
