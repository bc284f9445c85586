/* SPDX-License-Identifier: MIT */
/*
 * Messages of D-Bus as bytes (D-Bus Specification, "Marshaling") and the connections that carry them: what the files of
 * the portable bus share. sd-bus.h is what they offer; this is a subset of it, for this program alone.
 *
 *	message.c        one message: life, header, what came taken apart
 *	message_write.c  values into the body of one that is being made
 *	message_read.c   values out of the body of one that came
 *	bus.c            a connection: queue, time-outs, end
 *	bus_auth.c       how it begins
 *	bus_slot.c       who is told of what came
 *	event.c          sd-event(3), which the executor's loop is written for
 */
#ifndef AGENT_PORTABLE_WIRE_H
#define AGENT_PORTABLE_WIRE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <systemd/sd-bus.h>

#define WIRE_SIGNATURE_MAX 255
#define WIRE_DEPTH_MAX	   64
#define WIRE_IN_MAX	   (16U << 20) /* of a message that comes; the list of all units of a large machine has some 2 MB */
#define WIRE_OUT_MAX	   (1U << 20) /* of one that goes */
#define WIRE_FDS_MAX	   16
#define WIRE_QUEUE_MAX	   1024 /* messages not written yet */

enum { WIRE_CALL = 1, WIRE_RETURN = 2, WIRE_ERROR = 3, WIRE_SIGNAL = 4 };
enum { WIRE_NO_REPLY_EXPECTED = 1 };

/* A buffer that grows up to a limit. */
struct wire_bytes {
	uint8_t *data;
	size_t len, room;
};

/* Room for `more` bytes behind the end, which is not moved. 0, -ENOMEM or -EMSGSIZE. */
int wire_reserve(struct wire_bytes *bytes, size_t more, size_t limit);
void wire_free(struct wire_bytes *bytes);

/* Bytes of the first complete type of `signature` (no longer than `len`); 0: there is none. */
size_t wire_type_len(const char *signature, size_t len);
size_t wire_alignment(char type);
/* 0 for what has no fixed size. */
size_t wire_size(char type);

static inline size_t wire_align(size_t at, size_t to)
{
	return (at + to - 1) & ~(to - 1);
}

/* ------------------------------------------------------------------------------------------------------- messages */

/* Where reading has got to: in the body, or in one container of it. */
struct wire_frame {
	char kind; /* 0: the body; a, r, e or v */
	const char *signature;
	size_t len, next; /* of the signature, and how much of it has been read */
	size_t end;	  /* in the bytes */
};

/* The arguments of a variadic function, so that a function called may take of them. */
struct wire_args {
	va_list list;
};

struct sd_bus_message {
	unsigned refs;
	sd_bus *bus; /* a reference */
	uint8_t type, flags;
	uint32_t serial, reply_serial;
	/* of one that came */
	const char *path, *interface, *member, *sender;
	sd_bus_error error;
	bool swapped; /* the other byte order */
	uint8_t *bytes;
	const uint8_t *body;
	size_t body_len, at;
	struct wire_frame frames[WIRE_DEPTH_MAX];
	unsigned depth; /* frames in use but for the first */
	/* of one that is made */
	struct wire_bytes head, tail; /* header without the fields that follow from the body; body */
	char signature[WIRE_SIGNATURE_MAX + 1];
	bool poisoned; /* something could not be appended: it is never sent */
	bool open;     /* an array is: where its length stands, its first element, and its type in the signature */
	size_t array, first, contents;
	int fds[WIRE_FDS_MAX];
	unsigned fd_count;
	struct sd_bus_message *next; /* in the queue */
};

/* `len` whole bytes of a message, as wire_message_len found them; they are copied. 0 or -errno: -EBADMSG. */
int wire_message_parse(sd_bus *bus, const uint8_t *bytes, size_t len, sd_bus_message **ret);

/*
 * How long the message at `bytes` is, of which `len` bytes are there; 0: not known yet. -EBADMSG: it is none, or is too
 * long.
 */
int64_t wire_message_len(const uint8_t *bytes, size_t len);

/* One that was never on a wire: the end of a call without an answer, or of the connection. NULL: out of memory. */
sd_bus_message *wire_message_local(sd_bus *bus, uint8_t type, uint32_t reply_serial, const char *name,
				   const char *text);

/* An error as the answer to a call that came. */
int wire_message_refusal(const sd_bus_message *call, const char *name, sd_bus_message **ret);

/* Makes `head` and `tail` one, ready to be sent. 0 or -errno. */
int wire_message_seal(sd_bus_message *message, uint32_t serial);

int wire_put(struct wire_bytes *out, char type, const void *value);
int wire_append(sd_bus_message *message, const char *types, struct wire_args *args);

/* ----------------------------------------------------------------------------------------------------- connections */

enum wire_state { WIRE_UNSET, WIRE_AUTHENTICATING, WIRE_RUNNING, WIRE_CLOSING, WIRE_CLOSED };

struct sd_bus_slot {
	unsigned refs;
	sd_bus *bus; /* a reference, unless it is floating: then the connection owns it */
	bool floating, linked;
	struct sd_bus_slot *next;
	sd_bus_message_handler_t callback;
	void *data;
	/* of a call */
	uint32_t serial;   /* 0: it is a match */
	uint64_t until_us; /* CLOCK_MONOTONIC; UINT64_MAX: for ever */
	/* of a match */
	char *sender, *path, *interface, *member; /* NULL: any */
	char *rule;				  /* as the daemon knows it; NULL: it does not */
	uint64_t turn;				  /* the last signal that it was asked about */
};

struct sd_bus {
	unsigned refs;
	enum wire_state state;
	int fd;
	char path[108]; /* of the socket */
	bool client, wants_fds, has_fds;
	uint32_t serial;
	uint64_t turn;
	struct sd_bus_slot *slots, *current;
	struct wire_bytes in;
	size_t in_at;
	sd_bus_message *out;
	unsigned out_count;
	size_t out_sent; /* bytes of the first */
	char auth[128];
	size_t auth_len, auth_sent;
	unsigned auth_lines; /* to come */
	bool authenticated;
	uint64_t auth_until_us;
	struct event_attachment *attachment;
};

sd_bus *wire_bus_ref(sd_bus *bus);
sd_bus *wire_bus_unref(sd_bus *bus);
/* The connection is lost: whoever waits is told from sd_bus_process. */
void wire_bus_lost(sd_bus *bus);
/* Reads what is there into `in`. 1, 0: nothing is there; or -errno. */
int wire_bus_receive(sd_bus *bus);

int wire_auth_begin(sd_bus *bus);
/* As sd_bus_process. */
int wire_auth_step(sd_bus *bus);

/* Answers and signals to whom they concern. */
int wire_dispatch(sd_bus *bus, sd_bus_message *message);
/*
 * Fails one call that is waited for, or (`all` false) whose time is over at `now_us`. 1; 0: there is none; or -errno.
 */
int wire_fail_one(sd_bus *bus, bool all, uint64_t now_us);
uint64_t wire_first_timeout(const sd_bus *bus);
void wire_slots_free(sd_bus *bus);

static inline uint64_t wire_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

#endif
