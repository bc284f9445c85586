/* SPDX-License-Identifier: MIT */
/*
 * A session with one agent over a link: started as a host does it (a newline first, to end a half line of an earlier
 * host), messages signed if there is a secret, answers found by their id.
 */
#ifndef INFINIHOST_TALK_H
#define INFINIHOST_TALK_H

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>

#include <infiniservice/err.h>

#include "tools/infinihost/link.h"

/* Exit codes of infinihost, the ones a script can tell apart. */
enum host_exit {
	HOST_OK = 0,
	HOST_FAILED = 1,
	HOST_USAGE = 2,
	HOST_NOT_CONNECTED = 4,
	HOST_TIMEOUT = 5,
	HOST_AGENT_ERROR = 6,
	HOST_INCOMPLETE = 7,
	HOST_INTERRUPTED = 130,
};

struct host_options {
	const char *path;
	const char *vm;	    /* a VM by its name; NULL: by its path */
	const char *socket; /* of the hub; NULL: not given */
	bool listening;
	const char *secret_file; /* NULL: plain messages */
	double timeout_s;	 /* negative: not given */
	bool json;
};

struct talk {
	struct link link;
	char *secret;		 /* NULL without one */
	int64_t clock_offset_ms; /* the guest's wall clock less ours: a message is signed in the guest's time */
	bool clock_known;
	bool greeted; /* the peer that is there now */
};

struct talk_message {
	const char *text; /* the line, valid until the next one */
	size_t len;
	struct json_object *json; /* talk_message_done puts it */
};

/*
 * Reads the secret and connects (or listens). 0, or -errno with a text; *ret_exit is then the exit code: wrong usage
 * for the options and the secret's file, not connected for the socket.
 */
int talk_open(struct talk *talk, const struct host_options *options, int *ret_exit, struct err *e);

/*
 * Waits for a peer (when listening), sends the first newline and, with a secret, waits up to a second for a message
 * that tells the guest's clock. 0, -ETIMEDOUT, -ENOTCONN or -EINTR.
 */
int talk_greet(struct talk *talk, uint64_t deadline_ns);

/* Sends one message, signed if there is a secret. Errors as link_send, -ENOMEM. */
int talk_send(struct talk *talk, struct json_object *message, uint64_t deadline_ns);
int talk_send_text(struct talk *talk, const char *text, uint64_t deadline_ns);

/*
 * The next message that is a JSON object with a type; any other line of the guest is reported on stderr and skipped.
 * LINK_LINE, LINK_OTHER or as link_next. The caller calls talk_message_done after LINK_LINE.
 */
int talk_next(struct talk *talk, int other_fd, uint64_t deadline_ns, struct talk_message *ret);
void talk_message_done(struct talk_message *message);

/*
 * True if `message` is an error that refuses the last message sent: it names `id`, or an envelope (then the id may be
 * missing).
 */
bool talk_refused(const struct talk *talk, struct json_object *message, const char *id);

/*
 * Waits for the answer to `id`: its response, an error that names it, or a refusal of the envelope, which has no id.
 * LINK_LINE, -ETIMEDOUT, -ENOTCONN or -EINTR.
 */
int talk_answer(struct talk *talk, const char *id, uint64_t deadline_ns, struct talk_message *ret);

/* A new id, 16 hex digits and a NUL. */
#define TALK_ID_SIZE 17
void talk_id(char out[TALK_ID_SIZE]);

/* The VM or socket, for messages. */
const char *talk_peer(const struct host_options *options);

/* Prints on stderr why a wait ended and returns the exit code for it. */
int talk_explain(const struct host_options *options, int error, const char *waited_for);

void talk_close(struct talk *talk);

#endif
