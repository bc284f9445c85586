/* SPDX-License-Identifier: MIT */
/*
 * Commands from admission to their one answer. Admission checks in this order: the shape of the message and whether the
 * action exists on this platform, the policy, the rate limit, then a slot or a place in the queue. Commands answered
 * from the cache take neither. After admission every command is answered exactly once, also after a time-out, a lost
 * executor, a peer that is gone, or a shutdown.
 *
 *	submit ─► refused at once
 *	       ├► loop action ─► answered (or waiting for the prober)
 *	       └► slot free ─► running ─► answered ─► next of the queue
 *	          └► queued ─► running | COMMAND_TIMEOUT | SHUTTING_DOWN
 */
#ifndef AGENT_COMMAND_COMMAND_H
#define AGENT_COMMAND_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <infiniservice/sink.h>

#include "agent/audit/audit.h"
#include "agent/base/loop.h"
#include "agent/base/pace.h"
#include "agent/command/action.h"
#include "agent/command/journal.h"
#include "agent/config/config.h"
#include "agent/run/exec.h"
#include "transport/message.h"
#include "transport/reply.h"

struct action_env;
struct addition_command;
struct command;
struct detached_unit;
struct session;
struct stream;

/*
 * The frame of a command that runs several actions as its parts (a maintenance task). `answer` sees the answer of a
 * part before it is sent, and may change it. True: the frame has taken the answer; `go_on` is called when the part's
 * work has been freed, and command_answer is called again later. The answer of a cancelled command must not be taken.
 */
struct command_frame {
	bool (*answer)(struct command *command, struct response *response);
	void (*go_on)(struct command *command);
	void (*free)(struct command_frame *frame);
};

enum command_state {
	COMMAND_QUEUED,
	COMMAND_PAUSING, /* between two tries: has a place in the queue, and may not start before its timer */
	COMMAND_RUNNING, /* holds a slot */
	COMMAND_WAITING, /* a loop action that waits for a callback; holds no slot */
	COMMAND_OVER,	 /* ended: holds neither slot nor place */
};

/* How a command, or its present try or part, has ended in this turn of the loop; commands_drain carries it out. */
enum command_end {
	COMMAND_GOES_ON,
	COMMAND_AGAIN,	  /* its try has failed: it pauses, then is tried again */
	COMMAND_NEXT,	  /* its frame has taken the answer of a part, and goes on */
	COMMAND_ANSWERED, /* it is freed */
	COMMAND_LEFT,	  /* it is freed unanswered: the next agent process answers it */
};

struct command {
	struct commands *commands;
	struct session *session; /* NULL once the peer is gone */
	struct message message;	 /* owned */
	const struct action *action;
	enum policy_group group; /* the policy group it was admitted with, see group_of of its action */
	bool slot;		 /* needs a slot */
	enum slot_kind slots;	 /* of this kind */
	enum command_state state;
	uint64_t received_ns;
	uint64_t term_ns, deadline_ns; /* CLOCK_MONOTONIC; see command_deadlines */
	struct deadline timer;	       /* while queued, waiting or async: the deadline; between two tries: the pause */
	enum command_end end;	       /* once it is set, further events are ignored until commands_drain */
	struct command *end_next;      /* next in the list of ended commands */
	uint64_t pause_ns;	       /* of COMMAND_AGAIN */
	bool success;		       /* the result of its answer, */
	enum error_code code;	       /* for its batch */
	struct exec_job *job;	       /* the program that runs for it now */
	void (*on_run_done)(struct command *command, struct exec_outcome *outcome); /* run.c: the present step's end */
	void *work;		       /* an action's own state between steps, */
	void (*work_free)(void *work); /* freed with the command */
	struct command_frame *frame;   /* NULL: none; freed with the command */
	bool async;		       /* waits for a callback, without a program that runs for it */
	bool waits;		       /* for D-Bus: its action is run when that is ready */
	void (*on_expired)(
		struct command *command); /* answers an async command at its deadline; NULL: COMMAND_TIMEOUT */
	bool from_host;			  /* false: from a local client */
	uid_t uid;			  /* of the local client, also after it has gone */
	struct command *batch;		  /* the batch it is a member of, or NULL, */
	unsigned batch_index;		  /* and its index there */
	bool cancelled;			  /* is being killed on request */
	bool audited;			  /* its start has been recorded in the audit, so its end will be */
	bool detached;			  /* its program is a detached run, which outlives the agent */
	bool resumed; /* it was accepted by an earlier agent process, see detached.h: the host connected now gets the
			 answer */
	struct detached_unit *unit; /* of its last detached run, see detached.h; freed with the command; NULL: none */
	unsigned attempts;	    /* begun */
	uint64_t serial;	    /* in the journal; 0: not recorded */
	pid_t pid;		    /* of the program that runs for it now; 0: none */
	uint64_t output_bytes;	    /* written by its programs so far */
	bool question;		    /* the output of its present program is not streamed */
	struct stream *stream;	    /* set if output is sent as it comes */
	struct command *next;	    /* all commands, in the order received */
};

struct command_stats {
	uint64_t received, answered, succeeded, failed, refused, timed_out, cancelled;
	uint64_t unclaimed; /* undeliverable: answered, but the peer was gone */
	uint64_t queue_full;
	uint64_t retried;
};

/* The numbers of commands of one source, by state. */
struct command_counts {
	unsigned running, queued, waiting;
};

/* The callbacks of the commands into the wiring; each is called with `data` of struct commands. */
struct command_hooks {
	/* False while the host does not read its output (back-pressure): no further command is started for it. */
	bool (*host_reads)(void *data);
	/*
	 * True when D-Bus, if the action needs it, is ready or known to be out of reach. After false,
	 * commands_bus_ready is called later.
	 */
	bool (*ready)(void *data, const struct action *action);
	/* A command has changed: the subscribers of "commands" get `told`. */
	void (*changed)(void *data, const struct addition_command *told);
	/* The answer of a resumed command is in the writer: to be sent to the host, or held for its next session. */
	void (*deliver_resumed)(void *data, struct command *command);
	/* The command has been answered: its detached run can be forgotten. */
	void (*over)(void *data, struct command *command);
};

/* The audit, the journal and the subscribers of "commands", to which a command is told at each change of its state. */
struct record {
	struct audit *audit;
	struct journal *journal;
	struct deadline audit_again; /* the next try, while audit records wait for room or are to be summed up */
	struct loop *loop;
};

struct commands {
	struct loop *loop;
	const struct config *config;
	struct peers *peers;
	const struct action_table *actions; /* all actions */
	const struct command_hooks *hooks;
	void *data;		/* of the hooks */
	struct action_env *env; /* the environment of the actions; opaque here */
	struct record record;
	struct sources sources; /* the sources of commands, with their rate limits */
	struct command *first, **end;
	struct command_counts host, local;
	unsigned held[SLOT_KINDS]; /* slots taken by the host's commands, by kind */
	uid_t served_uid;	   /* of the local client that got the slot last */
	uint64_t served_ns;	   /* time since which it has the slot */
	struct deadline turn;	   /* end of its turn; set while other users wait for the slot */
	bool frozen;		   /* file systems are frozen: nothing that writes or starts a program begins */
	bool closed;		   /* shutting down: no command is admitted */
	bool killed;		   /* the grace time is over: commands without a program have been answered */
	enum error_code refusal;   /* of the last command that was not admitted */
	struct command *ended, **ended_end; /* ended commands, in the order in which they ended */
	bool draining;
	struct deadline more; /* set while commands_drain has more to do than one turn may take */
	struct command_stats stats;
};

/*
 * Initialises the rest of zeroed memory in which loop, config, peers, actions, hooks, data and env have been set and
 * record_init has been called.
 */
void commands_init(struct commands *commands);

/*
 * File systems are frozen: commands that write or start a program are refused (COMMAND_FAILED, reason `frozen`), and
 * those that are queued wait; or that is over.
 */
void commands_freeze(struct commands *commands, bool frozen);

/* Numbers of running and of queued commands of all sources together. */
unsigned commands_running(const struct commands *commands);
unsigned commands_queued(const struct commands *commands);

/* Admits the command of a message, or answers it with a refusal. Takes over `message`. */
void commands_submit(struct commands *commands, struct session *session, struct message *message);

/* The same for member number `index` of a batch, whose end is reported to the batch (batch_member_done). */
void commands_submit_member(struct commands *commands, struct session *session, struct message *message,
			    struct command *batch, unsigned index);

/*
 * Admits a command that did not come as a message of its own (a script); encode and deliver of `action` answer it. The
 * caller has checked the policy. Takes over `message`, and `work` on success. -ENOBUFS when the queue is full, -ENOMEM
 * (the message is freed, `work` is not); after 0 the command may have been answered already.
 */
int commands_submit_action(struct commands *commands, struct session *session, struct message *message,
			   const struct action *action, void *work, void (*work_free)(void *work));

/*
 * Creates a command that an earlier agent process has begun: running, in its slot, without a session. The caller sets
 * the other members and runs it. NULL: out of memory; takes over `message` otherwise.
 */
struct command *commands_adopt(struct commands *commands, struct message *message, const struct action *action);

/*
 * Finds the command under way with this id that belongs to `session` or, for the host, to an earlier session. NULL:
 * none.
 */
struct command *commands_find(const struct commands *commands, const struct session *session, const char *id);

/*
 * Cancels a command. Its program is killed, and the command is answered when that has ended; a queued or waiting
 * command is answered CANCELLED at once, with the text `words`.
 */
void command_cancel(struct command *command, const char *words);

/*
 * True if the owner policy permits the action to this peer: a local client may observe, a host may do what [commands]
 * permits.
 */
bool commands_permit(const struct commands *commands, const struct session *session, const char *action,
		     enum policy_group group);

/*
 * Frees the commands that have been answered, begins retries, and starts queued commands for which a slot is free.
 * Called once a turn of the loop, before it waits, and before a message is taken, so that the slots are up to date. Not
 * re-entrant: a call from within does nothing.
 */
void commands_drain(struct commands *commands);

/*
 * The peer that sent the commands received before this time of CLOCK_MONOTONIC is gone: the commands lose their session
 * and go on; their answers are undeliverable and counted.
 */
void commands_orphan_before(struct commands *commands, const struct session *session, uint64_t before_ns);

/*
 * Shutdown: no further command is admitted; queued and waiting commands are answered SHUTTING_DOWN, running ones go on.
 */
void commands_close(struct commands *commands);

/* The grace time is over: commands without a program are answered SHUTTING_DOWN (exec_stop ends the programs). */
void commands_kill(struct commands *commands);

/* D-Bus is ready, or known to be out of reach: runs the actions that waited for it. */
void commands_bus_ready(struct commands *commands);

/*
 * At the very end: the commands that are left are not answered any more, however their work ends; the next run of
 * the agent answers them. commands_drain frees them, once nothing can call back about them. Accepts zeroed memory.
 */
void commands_abandon(struct commands *commands);

/*
 * True when no command is left to be answered, except those with a detached run, which the next agent process answers.
 */
bool commands_idle(const struct commands *commands);

/* Writes the commands' part of Status into an open object. */
void commands_report(const struct commands *commands, struct sink *out);

/*
 * The deadlines of a command whose host gives up exactly `timeout_s` after the request: the answer is due a second (or
 * a quarter of a short time-out) earlier, SIGTERM goes out two seconds (or a fifth) before that.
 */
void command_deadlines(uint64_t received_ns, uint32_t timeout_s, uint64_t *ret_term_ns, uint64_t *ret_deadline_ns);

/* Runs an admitted command that is in the list, or has it wait for a slot until its deadline. */
void command_begin(struct command *command);

/* Ends a command without an answer: its detached run goes on after the agent has ended, and its journal entry stays. */
void command_leave(struct command *command);

/*
 * Answers the command; commands_drain frees it. Does nothing if it has been answered already (idempotent). id, type and
 * time of `response` are filled in here.
 */
void command_answer(struct command *command, struct response *response);

/* A part of a command with a frame has ended without an answer: the frame goes on. */
void command_end_part(struct command *command);

/* Runs its action, for the first time or again. */
void command_run_action(struct command *command);

/*
 * To be called after every callback that may have left the command unended: arms its deadline if no program runs for it
 * (the executor enforces that of a program).
 */
void command_settle(struct command *command);

/* The line class of its answer: LINE_BULK if bulk lines were sent for it, so that the answer stays behind them. */
enum line_class command_line_class(const struct command *command);

/* The timer of a command: its deadline, or the end of its pause. */
void command_on_deadline(void *data);

/* True if the policy permits `action` to the source of the command: for actions that stand for others. */
bool command_permits(const struct command *command, const struct action *action);

/* Answer with success and data (NULL: none), or with failure: a code, a reason word (or NULL) and a text. */
void command_succeed(struct command *command, void (*data)(struct sink *sink, const char *key, const void *arg),
		     const void *arg);
__attribute__((format(printf, 4, 5))) void command_fail(struct command *command, enum error_code code,
							const char *reason, const char *format, ...);

/* ---- record.c: its audit records, its journal entry, and the notices to subscribers; command.c tells each change */

/* Audit and journal are borrowed. */
/* Records what is no command of these: a request of another language. */
void record_entry(struct record *record, const struct audit_record *entry);

void record_init(struct record *record, struct loop *loop, struct audit *audit, struct journal *journal);

/*
 * The command has been admitted: it enters the journal, as its answer is pending from now on, also over a crash of the
 * agent.
 */
void record_accepted(struct command *command);

/* A command without a slot was not answered in the turn it came in: it enters the journal too. */
void record_waits(struct command *command);

/* The command is about to run. */
void record_started(struct command *command);

/* A program with these arguments is about to run for the command. */
void record_program(struct command *command, const char *const argv[]);

/* The command has been answered. */
void record_answered(struct command *command, const struct response *response);

/* The command was not admitted. */
void record_refused(struct commands *commands, const struct session *session, const struct message *message,
		    enum error_code code);

/*
 * ---- stream.c: output sent as it arrives (`"stream": true`), in chunks of at most 8 KiB, cut between characters and
 * numbered. A peer that does not keep up loses chunks, not the command: they are counted, and the response says how
 * many.
 */

/*
 * Starts streaming the output of a command whose sender asked for it, unless it is streamed already. Out of memory: it
 * is not streamed. The stream is freed with the command, by free.
 */
void stream_begin(struct command *command);

/* Sends output of a program of a streamed command. `bytes` NULL: `len` bytes were dropped unread, and are counted. */
void stream_put(struct command *command, enum exec_stream from, const char *bytes, size_t len);

/* Sends the bytes held back (half a character) and fills in the stream's part of the response. */
void stream_end(struct command *command, struct response *response);

/*
 * ---- batch.c: CommandBatch, several commands in one message. Each member is admitted, queued, run and answered as if
 * it had come alone; the batch itself is a command that takes no slot, waits for all members, and is answered last with
 * their results in the order given.
 */

#define BATCH_MEMBERS_MAX 100

/* Its row in the table of actions. */
extern const struct action action_command_batch;

#endif
