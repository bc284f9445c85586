/* SPDX-License-Identifier: MIT */
/*
 * A connection to a peer that may send messages: the host on the port, or a client of the local socket. Bytes become
 * lines, lines become messages, and each valid message is given to the handler. Any other line gets exactly one answer
 * here. The owner of the session writes lines to the peer, by `send`.
 *
 *	bytes ─► frame ─► line ─► parse ─► envelope opened ─► handler->message
 *	              └► refused: one `response` or `error`
 */
#ifndef AGENT_PEER_SESSION_H
#define AGENT_PEER_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <infiniservice/line.h>

#include "agent/base/loop.h"
#include "agent/base/pace.h"
#include "agent/base/report.h"
#include "agent/config/config.h"
#include "agent/config/secret.h"
#include "agent/metrics/publish.h"
#include "agent/metrics/sampling.h"
#include "transport/envelope.h"
#include "transport/frame.h"
#include "transport/json_write.h"
#include "transport/message.h"

struct past;
struct session;

enum session_kind {
	SESSION_PORT,  /* the host */
	SESSION_LOCAL, /* a process of this guest: may observe, never change anything */
};

/* The callbacks of all sessions; each gets the session it concerns. */
struct peer_handler {
	/* The peer has sent a message; takes over its contents. */
	void (*message)(void *data, struct session *session, struct message *message);
	/*
	 * The peer that sent the requests before this time of CLOCK_MONOTONIC is gone: they are to be dropped.
	 * UINT64_MAX: all of them, as the peer is gone or has been replaced.
	 */
	void (*gone)(void *data, struct session *session, uint64_t before_ns);
	/* Output of the session has been written: producers that wait for room go on. */
	void (*drained)(void *data, struct session *session);
};

/* ---- nonces.c: the replay window over a restart of the agent */

#define NONCES_NAME "nonces"

struct nonces {
	bool open;
	int fd;		  /* of the file in runtime_dir; -1: not open */
	unsigned records; /* in the file */
};

/* Restores the nonces of an earlier agent process into the guard. The file is rewritten with the first nonces_add. */
void nonces_open(struct nonces *nonces, const char *runtime_dir, const char *state_dir, struct envelope_guard *guard,
		 int64_t now_ms);

/* Appends the newest nonce of the guard. 0, or -errno: only this agent process knows the nonce. */
int nonces_add(struct nonces *nonces, const char *runtime_dir, const struct envelope_guard *guard);

/* At a clean stop: writes the copy in state_dir and closes the file. Accepts zeroed memory. */
void nonces_close(struct nonces *nonces, const char *state_dir, const struct envelope_guard *guard);

/* ---- session.c */

/* The parts that all sessions of an agent share. */
struct peers {
	struct loop *loop;
	const struct config *config;
	const struct secret *secret; /* the key of signed messages */
	struct json_writer *writer;  /* for one line at a time, used and emptied within one function */
	const struct peer_handler *handler;
	void *data; /* of the handler */
	/* Writing nonces has begun to fail (-errno) or works again (0). The message is taken in either case. */
	void (*nonces_changed)(void *data, int error);

	struct message_parser parser;
	struct envelope_guard guard; /* the replay window of signed messages */
	struct nonces nonces;
	struct report_topic refused; /* rate limit of the log about refused lines */
};

struct session {
	struct peers *peers;
	enum session_kind kind;
	char name[48]; /* for log and audit: "host", "uid 1000" */
	uid_t uid;     /* of a local client only */
	bool present;  /* of the port only: a host is connected, and lines may be sent to it */
	int (*send)(struct session *session, struct line *line); /* takes its own reference; 0 or -errno */

	/* Returns the bytes that wait to be sent; from backlog_max on the session counts as crowded. */
	size_t (*backlog)(const struct session *session);
	size_t backlog_max;

	struct frame_reader frames;
	struct deadline half_line;	  /* set while part of a line has arrived and the rest has not */
	uint64_t heard_ns[MESSAGE_TYPES]; /* time of the last message of each type, CLOCK_MONOTONIC; 0: never */
	struct subscriber subscriber;	  /* its subscriptions */
	struct past *past;		  /* its histories; owned by history.c; NULL: none */
	uint64_t first_seq;		  /* seq of the first sample sent in this session; 0: none yet */
	struct session *asked_next;	  /* next session that waits for a sample, see struct asked */
	uint64_t lines_in, bad_lines, half_lines, answers_lost; /* half_lines: discarded */
};

/* How long a half line may wait for its rest. */
#define SESSION_HALF_LINE_NS (30 * NS_PER_S)
/* Longest line accepted from a local client, unless port.max_line_bytes is less. */
#define SESSION_LOCAL_LINE_BYTES (64u << 10)

/*
 * Initialises the rest of zeroed memory in which loop, config, secret, writer and the handler have been set; restores
 * the nonces of an earlier agent process. `seed`: unpredictable, for the hash tables of the parser.
 */
void peers_init(struct peers *peers, uint32_t seed);

/* A clean end: stores the nonces for the next agent process. Accepts zeroed memory. */
void peers_done(struct peers *peers);

/* True if the host has to sign its messages. */
bool peers_demand_signature(const struct peers *peers);

void session_init(struct session *session, struct peers *peers, enum session_kind kind,
		  int (*send)(struct session *session, struct line *line));

/*
 * Ends the session of a peer that is gone; the caller may free the session's memory afterwards. Accepts zeroed memory.
 */
void session_done(struct session *session);

/* The peer is gone or has been replaced: drops the half line and its requests; the session can be used again. */
void session_reset(struct session *session);

/*
 * The same for requests before this time of CLOCK_MONOTONIC (0: none). Later requests, and the half line, may already
 * be the next peer's, and stay.
 */
void session_border(struct session *session, uint64_t gone_ns);

/* Takes bytes from the peer, in order. */
void session_receive(struct session *session, const char *bytes, size_t len);

/*
 * Sends the one answer to a message that is refused: a `response` when its id is known, else an `error`. `command_type`
 * is the action requested, as far as it is known (or NULL): the host requires a text.
 */
void session_refuse(struct session *session, const struct message_fault *fault, const char *command_type);

/* Sends an `error` of this component of the agent; `reason` and `id` may be NULL. */
void session_error(struct session *session, const char *component, enum error_code code, const char *reason,
		   const char *id, const char *text);

/* To be called by the owner when output of the session has been written. */
void session_drained(struct session *session);

/* True if so much output waits (back-pressure) that optional lines should be left out. */
bool session_crowded(const struct session *session);

/*
 * Sends the contents of the writer (of struct peers) as a line of `class`; a line that cannot be sent is counted in
 * answers_lost.
 */
void session_answer(struct session *session, enum line_class class);

/*
 * Subscribes the peer to topics (bits of enum publish_topic), whose lines are sent when its output has room for them.
 * "events" is ignored for a host, which gets every event anyway. `interval_ns`: the least time between two samples,
 * used if "metrics" is among the topics. `latest`: the last sample, or NULL.
 */
void session_subscribe(struct session *session, struct publisher *publisher, unsigned topics, uint64_t interval_ns,
		       const struct line *latest);

/* ---- samples that a peer requests */

/*
 * Samples that a peer requests (`Metrics`), at a limited rate, so that no peer can fill the log or the host's port with
 * requests. A source gets one new sample a second; a further request is answered with the newest sample, which is not
 * logged again.
 *
 *	ask ─► refused (policy) | a sample is in the making: it is the answer | the newest one | a new one, soon
 */
#define ASKED_SPACING_NS NS_PER_S
/*
 * Users of the local socket, except root, together have a budget of this many new samples, and get one back for each
 * regular sample: over hours their requests at most double the log.
 */
#define ASKED_USERS_SAVED 20

/* The owner sets the first three members; the others start as zeros. */
struct asked {
	const struct loop *loop;
	struct sampling *sampling;
	struct sources *sources;

	struct session *first;	  /* local clients that wait for the sample in the making */
	uint64_t users_ns;	  /* when a user (not root) last got a new sample; 0: never */
	unsigned users_spent;	  /* of ASKED_USERS_SAVED */
	uint64_t ticks;		  /* regular samples up to the last look at users_spent */
	uint64_t taken, repeated; /* requests answered by a new sample, and by the newest one */
};

/* Answers `Metrics` of this session, which the policy permits: at once, or when the next sample is published. */
void asked_for_sample(struct asked *asked, struct session *session);

/* A sample has been published: hands it to the sessions that wait for one. */
void asked_publish(struct asked *asked, struct line *line);

/* The session is over: it stops waiting for a sample. */
void asked_leave(struct asked *asked, struct session *session);

#endif
