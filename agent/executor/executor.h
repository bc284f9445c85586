/* SPDX-License-Identifier: MIT */
/*
 * The privileged executor of an installation: started by its socket, root without a capability, it serves one agent at
 * a time, asks the policy itself, and has everything done by PID 1: each command as a transient unit with limits of its
 * own, each operation as one call. A detached run (RUN with RUNNER_RUN_DETACHED) outlives agent and executor: once it
 * has begun its launcher looks after it, and tells of its end in a file of the agent's (launch.h).
 *
 *	agent ─RUN─► rules, policy ─► unit (StartTransientUnit) ─► STARTED with its pipes ─► EXITED
 *	                                                detached: STARTED, and no more
 *	      ─OPERATION─► rules, policy ─► call ─► ANSWERED
 *	      ─end─► its units are killed, but for detached runs
 *
 * It ends when there has been nothing to do for a while; its socket starts it again.
 */
#ifndef AGENT_EXECUTOR_EXECUTOR_H
#define AGENT_EXECUTOR_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/bus/libsystemd.h"

#include "agent/executor/policy_file.h"
#include "agent/runner/protocol.h"

#define EXECUTOR_MANAGER_ADDRESS "unix:path=/run/systemd/private"
#define EXECUTOR_SYSTEM_ADDRESS	 "unix:path=/run/dbus/system_bus_socket"
#define EXECUTOR_IDLE_MS	 20000 /* without an agent */
#define EXECUTOR_UNABLE_MS	 60000 /* after which another try is worth it */
#define EXECUTOR_OPERATIONS_MAX	 32
#define EXECUTOR_UNITS_MAX	 8	   /* running at once, one of them detached (permit.h) */
#define EXECUTOR_INPUT_MAX	 (4 << 20) /* bytes; what is kept of it counts as ours */

struct executor_options {
	int listen_fd;
	const char *config_dir;	     /* NULL: the system's */
	const char *manager_address; /* NULL: EXECUTOR_MANAGER_ADDRESS */
	const char *system_address;  /* NULL: EXECUTOR_SYSTEM_ADDRESS */
	const char *user;	     /* who may connect besides root; NULL: "infiniservice" */
	char *program;		     /* the path of this program, for its verbs */
	uint64_t idle_ms;	     /* 0: EXECUTOR_IDLE_MS */
	const char *library;	     /* NULL: libsystemd's file */
	uint64_t unable_ms;	     /* without that library; 0: EXECUTOR_UNABLE_MS */
};

/* Serves until it is idle or told to stop. Returns the exit status. */
int executor_serve(const struct executor_options *options);

/* ---- for the parts in this folder */

struct operation;
struct unit;

struct executor {
	struct executor_options options;
	sd_event *event;
	sd_event_source *listener, *peer_source, *idle, *reconnect;
	int peer_fd; /* -1: no agent */
	uid_t peer_uid;
	struct policy_file guard;
	sd_bus *manager;     /* straight to PID 1; NULL: not connected */
	uint64_t generation; /* of that connection */
	sd_bus *system;	     /* to the login manager, for power */
	sd_bus_slot *lost_slot;
	unsigned reconnects; /* in a row */
	struct unit *units;
	unsigned unit_count;
	uint64_t next_number; /* of a unit */
	uint64_t sealing_ns;  /* mono time at which the making of a golden image was allowed; 0: it was not */
	char own_unit[256];   /* that units are bound to; "": we are not one */
	struct operation *operations;
	unsigned operation_count;
	char message[RUNNER_MESSAGE_MAX];
};

/* The connection to PID 1, opened if need be. 0 or -errno. */
int executor_manager(struct executor *executor);

void executor_manager_close(struct executor *executor);

/* The timer for the next try to reach PID 1, where units wait for it. */
int executor_reconnect(sd_event_source *source, uint64_t usec, void *data);

/* Sends a reply with words to the agent, if there is one; one that does not take it is given up. */
void executor_reply(struct executor *executor, struct runner_answer *answer, const char *words);

/* The same with the read ends of two pipes (they stay open here). */
void executor_reply_fds(struct executor *executor, struct runner_answer *answer, const int fds[2]);

/* What a request that was not even tried is answered. */
void executor_refuse(struct executor *executor, uint64_t id, int error, int stage, const char *words);

/*
 * The same for what a rule or the policy does not let be done: written to the journal too. `stage`:
 * RUNNER_STAGE_POLICY or _UNIT.
 */
void executor_deny(struct executor *executor, uint64_t id, int stage, const char *what, const char *words);

/* Whether the connection is one of the agent or of root, whose uid is then in peer_uid. */
bool executor_welcomes(struct executor *executor, int fd);

/*
 * Serves without what D-Bus is spoken with: refuses every request with `words` for a minute. After that the executor
 * ends, and its socket starts it for another try.
 */
void executor_serve_unable(struct executor *executor, const char *words);

/* Something has ended: it may be time to go. */
void executor_rest(struct executor *executor);

/* One line to the journal, whatever is in it: bytes that are no printable ASCII are written as \xHH. */
__attribute__((format(printf, 2, 3))) void executor_log(int priority, const char *format, ...);

#endif
