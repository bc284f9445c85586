/* SPDX-License-Identifier: MIT */
/*
 * A connection to a peer that may send messages: the host on the port, or a client of the local socket. Bytes become
 * lines, lines become messages, and each message that the peer may send is handed on. A line that is not such a message
 * gets exactly one answer here. How lines reach the peer is the owner's business, behind `send`.
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
#include "agent/base/report.h"
#include "agent/config/config.h"
#include "agent/config/secret.h"
#include "agent/metrics/publish.h"
#include "agent/peer/nonces.h"
#include "transport/envelope.h"
#include "transport/frame.h"
#include "transport/json_write.h"
#include "transport/message.h"

struct past;
struct session;

enum session_kind {
	SESSION_PORT,  /* the host */
	SESSION_LOCAL, /* a process of this guest: sees, never changes anything */
};

/* What is done with what peers say; each function is called with the session it concerns. */
struct peer_handler {
	/* A message of the peer, which is taken over. */
	void (*message)(void *data, struct session *session, struct message *message);
	/*
	 * What the peer asked for before this time of CLOCK_MONOTONIC is wanted by nobody any more; UINT64_MAX: the
	 * peer is gone, or has been replaced.
	 */
	void (*gone)(void *data, struct session *session, uint64_t before_ns);
	/* Its output has moved on: what waits for room goes on. */
	void (*drained)(void *data, struct session *session);
};

/* What the sessions of an agent share. */
struct peers {
	struct loop *loop;
	const struct config *config;
	const struct secret *secret; /* of signed messages */
	struct json_writer *writer;  /* for one line at a time, used and emptied within one function */
	const struct peer_handler *handler;
	void *data; /* of the handler */
	/* A nonce could not be written down (-errno), or could be again (0): the message is taken all the same. */
	void (*nonces_changed)(void *data, int error);

	struct message_parser parser;
	struct envelope_guard guard; /* the replay window of signed messages */
	struct nonces nonces;
	struct report_topic refused; /* lines */
};

struct session {
	struct peers *peers;
	enum session_kind kind;
	char name[48]; /* for log and audit: "host", "uid 1000" */
	uid_t uid;     /* of a local client */
	bool present;  /* of the port: a host is there, and may be sent lines */
	int (*send)(struct session *session, struct line *line); /* takes its own reference; 0 or -errno */

	/* Bytes that wait to be sent, and from how many on the peer counts as slow. */
	size_t (*backlog)(const struct session *session);
	size_t backlog_max;

	struct frame_reader frames;
	struct deadline half_line;	  /* set while part of a line has arrived and the rest has not */
	uint64_t heard_ns[MESSAGE_TYPES]; /* when a message of each type came last; 0: never */
	struct subscriber subscriber;	  /* what it has subscribed to */
	struct past *past;		  /* what it is given of the past; history.c owns it. NULL: nothing */
	uint64_t first_seq;		  /* of the samples offered in this session; 0: none yet */
	struct session *asked_next;	  /* of those that wait for a sample, see asked.h */
	uint64_t lines_in, bad_lines, half_lines, answers_lost; /* half_lines: thrown away before a whole message */
};

/* How long a half line may wait for its rest. */
#define SESSION_HALF_LINE_NS (30 * NS_PER_S)
/* Longest line taken from a local client, unless port.max_line_bytes is less: nobody there has more to say. */
#define SESSION_LOCAL_LINE_BYTES (64u << 10)

/*
 * Of zeroed memory in which loop, config, secret, writer and the handler have been set; reads the nonces that an
 * earlier run of the agent left. `seed`: unpredictable, for the hash tables of the parser.
 */
void peers_init(struct peers *peers, uint32_t seed);

/* A clean end: the nonces are left to the next run. Accepts zeroed memory. */
void peers_done(struct peers *peers);

/* Does the host have to sign its messages? */
bool peers_demand_signature(const struct peers *peers);

void session_init(struct session *session, struct peers *peers, enum session_kind kind,
		  int (*send)(struct session *session, struct line *line));

/* The peer is gone, and the session with it: its memory may go afterwards. Accepts zeroed memory. */
void session_done(struct session *session);

/* The peer is gone or has been replaced: the half line and the claim to answers go, the session stays. */
void session_reset(struct session *session);

/*
 * The same for what it asked before this time of CLOCK_MONOTONIC (0: nothing): what came later may be the next peer's
 * already, and so may the half line.
 */
void session_border(struct session *session, uint64_t gone_ns);

/* Bytes from the peer, in order. */
void session_receive(struct session *session, const char *bytes, size_t len);

/*
 * The one answer to a message that cannot be taken: a `response` when its id is known, else an `error`. `command_type`
 * is what it asked for, as far as that could be told (or NULL): the host requires a text.
 */
void session_refuse(struct session *session, const struct message_fault *fault, const char *command_type);

/* An `error` of this component of ours; `reason` and `id` may be NULL. */
void session_error(struct session *session, const char *component, enum error_code code, const char *reason,
		   const char *id, const char *text);

/* Its output has moved on. */
void session_drained(struct session *session);

/* Is so much waiting to be sent already that what may be left out should be? */
bool session_crowded(const struct session *session);

/* Sends what stands in the writer of its peers, as a line of `class`; one that does not go is counted as lost. */
void session_answer(struct session *session, enum line_class class);

#endif
