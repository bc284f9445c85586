/* SPDX-License-Identifier: MIT */
/*
 * The privileged executor of an installation: started by its socket, root without a capability, it serves one agent at
 * a time, asks the policy itself, and has PID 1 do all work: each command as a transient unit with limits of its
 * own, each operation as one call. A detached run (RUN with RUNNER_RUN_DETACHED) outlives agent and executor: once it
 * has begun its launcher is responsible for it, and records its end in a file of the agent (launch.h).
 *
 *	agent ─RUN─► rules, policy ─► unit (StartTransientUnit) ─► STARTED with its pipes ─► EXITED
 *	                                                detached: STARTED, and no more
 *	      ─OPERATION─► rules, policy ─► call ─► ANSWERED
 *	      ─end─► its units are killed, but for detached runs
 *
 * It exits when idle; its socket starts it again.
 */
#ifndef AGENT_EXECUTOR_EXECUTOR_H
#define AGENT_EXECUTOR_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/bus/libsystemd.h"

#include "agent/executor/allow_list.h"
#include "agent/runner/protocol.h"

#define EXECUTOR_MANAGER_ADDRESS "unix:path=/run/systemd/private"
#define EXECUTOR_SYSTEM_ADDRESS	 "unix:path=/run/dbus/system_bus_socket"
#define EXECUTOR_IDLE_MS	 20000 /* exits after so long without an agent */
#define EXECUTOR_UNABLE_MS	 60000 /* exits after so long without libsystemd, for another try */
#define EXECUTOR_OPERATIONS_MAX	 32
#define EXECUTOR_UNITS_MAX	 8	   /* running at once, at most one of them detached */
#define EXECUTOR_INPUT_MAX	 (4 << 20) /* bytes; the copy in the unit's memory file is charged to the executor */

struct executor_options {
	int listen_fd;
	const char *config_dir;	     /* NULL: the system's */
	const char *manager_address; /* NULL: EXECUTOR_MANAGER_ADDRESS */
	const char *system_address;  /* NULL: EXECUTOR_SYSTEM_ADDRESS */
	const char *user;	     /* the user that may connect besides root; NULL: "infiniservice" */
	char *program;		     /* path of this program, to run its verbs */
	uint64_t idle_ms;	     /* 0: EXECUTOR_IDLE_MS */
	const char *library;	     /* NULL: libsystemd's file */
	uint64_t unable_ms;	     /* how long to refuse requests without that library; 0: EXECUTOR_UNABLE_MS */
};

/* Serves until idle or stopped. Returns the exit status. */
int executor_serve(const struct executor_options *options);

/* ---- for the parts in this folder */

struct operation;
struct unit;
struct freezing;

struct executor {
	struct executor_options options;
	sd_event *event;
	sd_event_source *listener, *peer_source, *idle, *reconnect;
	int peer_fd; /* -1: no agent */
	uid_t peer_uid;
	struct policy_file policy;
	sd_bus *manager;     /* direct connection to PID 1; NULL: not connected */
	uint64_t generation; /* number of that connection, counted up */
	sd_bus *system;	     /* connection to the system bus, for the login manager (power) */
	sd_bus_slot *lost_slot;
	unsigned reconnects; /* attempts in a row without success */
	struct unit *units;
	unsigned unit_count;
	uint64_t next_number; /* number of the next unit, part of its name */
	uint64_t sealing_ns;  /* mono time at which PrepareGoldenImage was last permitted; 0: never */
	char own_unit[256];   /* unit of the executor, which its units are bound to; "": not run by a unit */
	struct operation *operations;
	unsigned operation_count;
	struct freezing *freezing; /* the youngest first; NULL: nothing is frozen by us */
	char message[RUNNER_MESSAGE_MAX];
};

#define MANAGER_NAME	  "org.freedesktop.systemd1"
#define MANAGER_PATH	  "/org/freedesktop/systemd1"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"

/* Opens the connection to PID 1 unless it is open. 0 or -errno. */
int executor_manager(struct executor *executor);

void executor_manager_close(struct executor *executor);

/* Timer callback: the next attempt to reach PID 1 while units wait for it. */
int executor_reconnect(sd_event_source *source, uint64_t usec, void *data);

/* Connects to PID 1 a little later, as long as there are units, and then queries them. 0 or -errno. */
int executor_reconnect_soon(struct executor *executor);

/*
 * Calls `member` of PID 1; `types` (NULL: none) and the rest as for sd_bus_message_append. The reply goes to `done`
 * with `data` while *slot is held; `done` NULL: there is none to wait for. 0 or -errno; -ENOTCONN without a connection.
 */
int manager_call(struct executor *executor, sd_bus_slot **slot, sd_bus_message_handler_t done, void *data,
		 const char *member, const char *types, ...);
#define manager_tell(executor, ...) manager_call(executor, NULL, NULL, NULL, __VA_ARGS__)

/*
 * Sends a reply with its text to the agent, if one is connected. `pipes`: two read ends that go along and stay open
 * here; NULL: none. An agent that does not read it is disconnected.
 */
void executor_reply(struct executor *executor, struct runner_answer *answer, const char *words, const int pipes[2]);

/* Answers a request that failed before anything was started: REFUSED with a positive errno. */
void executor_refuse(struct executor *executor, uint64_t id, int error, int stage, const char *words);

/*
 * Answers a request that the allow-list or the policy does not permit, and writes it to the log. `stage`:
 * RUNNER_STAGE_POLICY or _UNIT.
 */
void executor_deny(struct executor *executor, uint64_t id, int stage, const char *what, const char *words);

/* Called when a unit, an operation or the connection has ended: starts the idle timer if nothing is left. */
void executor_rest(struct executor *executor);

/* Writes one line to the log; bytes that are not printable ASCII are written as \xHH. */
__attribute__((format(printf, 2, 3))) void executor_log(int priority, const char *format, ...);

#endif
