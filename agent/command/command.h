/* SPDX-License-Identifier: MIT */
/*
 * Commands from admission to their one answer. In this order: shape (does the action exist, here?), policy, rate, then
 * a slot or a place in the queue. What is answered from the cache takes neither. Whatever happens afterwards (time-out,
 * executor lost, asker gone, shutdown), command_answer is reached exactly once.
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

#include "agent/command/action.h"
#include "agent/base/loop.h"
#include "agent/runner/protocol.h"
#include "agent/command/journal.h"
#include "agent/command/record.h"
#include "agent/base/source.h"
#include "agent/config/config.h"
#include "transport/message.h"
#include "transport/reply.h"

struct action_env;
struct addition_command;
struct exec_job;
struct command;
struct exec_outcome;
struct session;
struct stream;

/*
 * What an action that is done as a part of another one is put in. It sees the answer before it goes out, and may change
 * it. True: it has taken the answer over, and `go_on` is called when nothing of that part is left; command_answer will
 * be called again. That of a cancelled command it does not take over.
 */
struct command_frame {
	bool (*answer)(struct command *command, struct response *response);
	void (*go_on)(struct command *command);
	void (*free)(struct command_frame *frame);
};

enum command_state {
	COMMAND_QUEUED,
	COMMAND_RUNNING, /* holds a slot */
	COMMAND_WAITING, /* a loop action that waits for the prober or a scan; holds no slot */
	COMMAND_OVER,	 /* holds nothing any more */
};

/* What has been decided about a command in this turn of the loop and is done by commands_drain. */
enum command_end {
	COMMAND_GOES_ON,
	COMMAND_AGAIN,	  /* its try has failed: there is a pause, and another one */
	COMMAND_NEXT,	  /* its frame has taken the answer of a part */
	COMMAND_ANSWERED, /* it is freed */
	COMMAND_LEFT,	  /* likewise, unanswered: the next run of the agent answers it */
};

struct command {
	struct commands *commands;
	struct session *session; /* NULL once the asker is gone */
	struct message message;	 /* owned */
	const struct action *action;
	enum policy_group group; /* what it was judged as, see group_of of its action */
	bool slot;		 /* needs one, */
	enum slot_kind slots;	 /* of these */
	enum command_state state;
	uint64_t received_ns;
	uint64_t term_ns, deadline_ns; /* CLOCK_MONOTONIC; see command_deadlines */
	struct deadline timer;	       /* while queued, waiting or async: the deadline; between two tries: the pause */
	enum command_end end;	       /* once it has one, all that happens to it is ignored until commands_drain */
	struct command *end_next;      /* of those that have one */
	uint64_t pause_ns;	       /* of COMMAND_AGAIN */
	bool success;		       /* how it was answered, */
	enum error_code code;	       /* for its batch */
	struct exec_job *job;	       /* what runs for it now */
	void (*on_run_done)(struct command *command, struct exec_outcome *outcome); /* run.c: the present step's end */
	void *work;		       /* an action's own state between steps, */
	void (*work_free)(void *work); /* freed with the command */
	struct command_frame *frame;   /* NULL: none; freed with the command */
	bool async;		       /* waits for a callback, without a program that runs for it */
	bool waits;		       /* its action is to be run (again) when the prober has answered, a scan is
				  over, or what the action needs is ready */
	void (*on_expired)(
		struct command *command); /* answers an async command at its deadline; NULL: COMMAND_TIMEOUT */
	bool from_host;			  /* or from a local client, */
	uid_t uid;			  /* of this uid, also when the client has gone */
	struct command *batch;		  /* the batch it is a member of, or NULL, */
	unsigned batch_index;		  /* and its place there */
	bool cancelled;			  /* is being killed on request */
	bool audited;			  /* its start has been recorded, so its end will be */
	bool detached;			  /* what runs for it outlives the agent */
	bool resumed; /* it was accepted by an earlier run, see detached.h: whichever host is there is told */
	bool attach;  /* the next detached program runs already, as `unit` (of attach_step of the action) */
	char unit[RUNNER_UNIT_SIZE]; /* of the last program that outlives us; "": none */
	char attach_step[JOURNAL_STEP_SIZE];
	size_t attach_max_output;
	bool pausing;	       /* queued, but not before its timer has run: between two tries */
	unsigned attempts;     /* begun */
	uint64_t serial;       /* in the journal; 0: not there */
	pid_t pid;	       /* of the program that runs for it now; 0: none */
	uint64_t output_bytes; /* written by its programs so far */
	bool question;	       /* its present program's output is not streamed */
	struct stream *stream; /* output is sent as it comes */
	unsigned step;	       /* of a loop action that waits: what it has behind it */
	uint64_t scan;	       /* and which scan of the processes it waits for */
	unsigned round;	       /* of commands_probed that last looked at it */
	struct command *next;  /* all commands, in the order received */
};

struct command_stats {
	uint64_t received, answered, succeeded, failed, refused, timed_out, cancelled;
	uint64_t unclaimed; /* answered, but the asker was gone */
	uint64_t queue_full;
	uint64_t retried;
};

/* What the commands of one source hold. */
struct command_counts {
	unsigned running, queued, waiting;
};

/* What the commands ask of those above them, and tell them; each is called with `data` of the commands. */
struct command_hooks {
	/* Does the host read what it is sent? If not, nothing more is begun for it. */
	bool (*host_reads)(void *data);
	/* Is what the action needs (D-Bus) ready, or known to be out of reach? If not, commands_probed follows. */
	bool (*ready)(void *data, const struct action *action);
	/* What subscribers of "commands" learn. */
	void (*changed)(void *data, const struct addition_command *told);
	/* The answer of a resumed command stands in the writer: for the host that is there, or comes. */
	void (*deliver_resumed)(void *data, struct command *command);
	/* The command has been answered, and nothing needs to be known any more of what ran for it. */
	void (*over)(void *data, struct command *command);
};

struct commands {
	struct loop *loop;
	const struct config *config;
	struct peers *peers;
	const struct action_table *actions; /* what there is to ask for */
	const struct command_hooks *hooks;
	void *data;		/* of the hooks */
	struct action_env *env; /* what the actions work with; nothing here knows it */
	struct record record;
	struct sources sources; /* of commands, and what is remembered of them */
	struct command *first, **end;
	struct command_counts host, local;
	unsigned held[SLOT_KINDS];	    /* of those that run for the host */
	uid_t served_uid;		    /* of the local client that had the slot last, */
	uint64_t served_ns;		    /* since then; */
	struct deadline turn;		    /* set while it has the slot and others wait */
	bool closed;			    /* shutting down: nothing more is taken, */
	bool killed;			    /* and nothing goes on by itself */
	enum error_code refusal;	    /* of the last command that was not admitted */
	struct command *ended, **ended_end; /* in the order in which they were */
	bool draining;
	struct deadline more; /* set while commands_drain has more to do than one turn may take */
	unsigned round;
	struct command_stats stats;
};

/* Of zeroed memory in which loop, config, peers, actions and the hooks have been set, and the record has been begun. */
void commands_init(struct commands *commands);

/* Of all sources together. */
unsigned commands_running(const struct commands *commands);
unsigned commands_queued(const struct commands *commands);

/* Takes over `message`. */
void commands_submit(struct commands *commands, struct session *session, struct message *message);

/* The same for member number `index` of a batch, which is told how it ended (batch_member_done). */
void commands_submit_member(struct commands *commands, struct session *session, struct message *message,
			    struct command *batch, unsigned index);

/*
 * A command that did not come as a message of its own (a script): admitted with `action`, whose encode and deliver
 * answer it. The caller has made sure that it may run. Takes over `message`, and `work` on success. -ENOBUFS when the
 * queue is full, -ENOMEM (the message is freed, `work` is not); after 0 the command may have been answered already.
 */
int commands_submit_action(struct commands *commands, struct session *session, struct message *message,
			   const struct action *action, void *work, void (*work_free)(void *work));

/*
 * A command that an earlier run of the agent has begun: running, in its slot, with nobody who asked. The caller fills
 * in the rest and runs it. NULL: out of memory; takes over `message` otherwise.
 */
struct command *commands_adopt(struct commands *commands, struct message *message, const struct action *action);

/*
 * One under way with this id that `session` may speak for: its own, or one of an earlier session of the same host.
 * NULL: none.
 */
struct command *commands_find(const struct commands *commands, const struct session *session, const char *id);

/*
 * Ends a command. What runs is killed and answers when it is dead, what is queued or waits is answered CANCELLED at
 * once, with these words.
 */
void command_cancel(struct command *command, const char *words);

/* What the guest's owner lets this peer do: a local client may look, a host what [commands] says. */
bool commands_permit(const struct commands *commands, const struct session *session, const char *action,
		     enum policy_group group);

/*
 * Frees the commands that have been answered, begins further tries, and starts what waits and has a slot. Once a turn
 * of the loop, before it waits; and before a message is taken, so that it finds what is free now.
 */
void commands_drain(struct commands *commands);

/* The asker of what was received before that time is gone: its commands go on, their answers are counted. */
void commands_orphan_before(struct commands *commands, const struct session *session, uint64_t before_ns);

/* Shutdown: nothing more is admitted, what is queued or waiting is answered SHUTTING_DOWN; what runs goes on. */
void commands_close(struct commands *commands);

/* The grace time is over: what goes on by itself is answered SHUTTING_DOWN (programs are ended by exec_stop). */
void commands_kill(struct commands *commands);

/*
 * The prober has answered all it was asked, or the processes have been scanned: loop actions that waited for that go
 * on.
 */
void commands_probed(struct commands *commands);

/* True when nothing is left to answer, but for what outlives the agent and is answered by the next one. */
bool commands_idle(const struct commands *commands);

/* Keys of Status, into an open object. */
void commands_report(const struct commands *commands, struct sink *out);

/*
 * The deadlines of a host that gives up at exactly `timeout_s` after it asked: the answer is due a second (or a quarter
 * of a short time-out) earlier, SIGTERM goes out two seconds (or a fifth) before that.
 */
void command_deadlines(uint64_t received_ns, uint32_t timeout_s, uint64_t *ret_term_ns, uint64_t *ret_deadline_ns);

/* An admitted command, in the list: runs it, or has it wait for its slot until its deadline. */
void command_begin(struct command *command);

/*
 * It ends without an answer: what runs for it goes on when the agent has ended, and the journal remembers it.
 */
void command_leave(struct command *command);

/*
 * Answers the command; what is left of it is freed by commands_drain. Of one that has been answered already nothing is
 * said. `response`: id, type and time are filled in here.
 */
void command_answer(struct command *command, struct response *response);

/* A part of a command that has a frame is over, without an answer that the frame would have to see: it goes on. */
void command_end_part(struct command *command);

/* Runs its action, for the first time or again. */
void command_run_action(struct command *command);

/* Its action is run again when the prober has answered, or a scan is over. */
void command_wait(struct command *command);

/*
 * What every callback of a command that has not ended it leads to: where no program runs for it, its deadline is kept
 * here.
 */
void command_settle(struct command *command);

/* The class of the line that answers it: behind what was sent for it before. */
enum line_class command_line_class(const struct command *command);

/* The timer of a command: its deadline, or the end of its pause. */
void command_on_deadline(void *data);

/* True if the policy would let the command's source do `action`: for actions that are another name for others. */
bool command_permits(const struct command *command, const struct action *action);

/* The short forms: success with data; failure with a code, a reason word (or NULL) and words. */
void command_succeed(struct command *command, void (*data)(struct sink *sink, const char *key, const void *arg),
		     const void *arg);
__attribute__((format(printf, 4, 5))) void command_fail(struct command *command, enum error_code code,
							const char *reason, const char *format, ...);

#endif
