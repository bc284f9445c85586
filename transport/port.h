/* SPDX-License-Identifier: MIT */
/*
 * The one connection to the host, as bytes and lines: a virtio-serial port, a serial line or pty, a unix socket or
 * stdio behind one face. "No node", "no host" and "host connected" are states with events of their own, never read
 * results; the caller sees sessions that begin and end, bytes in, and every line it handed over either `sent`
 * or `dropped`. No libev, no log, no clock: one epoll fd to watch, one deadline to keep, time passed in.
 *
 *	ABSENT / BACKOFF ──open──► WAITING ──host──► CONNECTED ──host gone──► WAITING   (virtio: the fd stays open)
 *	       ▲                                        │ unplugged, stalled, EOF of a stream
 *	       └────────────────────────────────────────┘                          port_close ──► CLOSED
 *
 * How to drive it: watch port_fd for reading; call port_dispatch when it is readable, when port_deadline_ns has come,
 * and, while port_needs_poll, every command poll. port_deadline_ns and port_needs_poll may change in every call of
 * port_dispatch, port_send and port_close: look at them again afterwards. The first port_dispatch opens the port.
 */
#ifndef TRANSPORT_PORT_H
#define TRANSPORT_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/err.h>
#include <infiniservice/line.h>
#include <infiniservice/moment.h>

struct port;

#define PORT_QUEUE_BYTES_DEFAULT (4u << 20)

struct port_config {
	/*
	 * virtio:NAME | /a/path (virtio port, pty or serial line) | unix:PATH (connects) | listen:PATH (a socket of
	 * mode 0600 that hosts connect to, one after the other) | stdio | none. Copied.
	 * With stdio the end of stdin is the end of the port: queued lines are written as far as possible, and the port
	 * is closed.
	 */
	const char *spec;
	size_t queue_bytes; /* bound of the output queue; 0 means PORT_QUEUE_BYTES_DEFAULT */
	/*
	 * Writes nothing but the lines: a session begins without the leading "\n", and a renewed one too, unless a line
	 * had been begun for the host before it.
	 */
	bool bare;
	const char *sys_dir; /* NULL means "/sys"; another one in tests. Copied. */
	const char *dev_dir; /* NULL means "/dev"; likewise */
	/*
	 * The fds that an earlier agent process left open (port_keep), or NULL: the fd of a virtio port, and a file
	 * with the half line it had read, or -1. Takes ownership of both; they are closed when the port is gone or is
	 * another one.
	 */
	const struct port_kept *kept;
};

struct port_kept {
	int fd, input_fd;
};

enum port_state {
	PORT_ABSENT,	/* no such node, or no listener: tried again on node events and with back-off */
	PORT_BACKOFF,	/* there is a node, but it may not be opened yet (EBUSY, EACCES, ENXIO, after a stall) */
	PORT_WAITING,	/* open; no host on the other side */
	PORT_CONNECTED, /* a session */
	PORT_CLOSED,	/* for good: port_close, spec none, or the end of stdin */
};

enum port_fault_kind {
	PORT_FAULT_OPEN,   /* the node could not be found or opened; `error` says why, retried */
	PORT_FAULT_GONE,   /* unplugged or hung up under an open fd */
	PORT_FAULT_READ,   /* an unexpected read error; closed and reopened */
	PORT_FAULT_WRITE,  /* an unexpected write error; closed and reopened */
	PORT_FAULT_STALL,  /* the host took nothing for PORT_STALL_NS: queue dropped, closed, reopened later */
	PORT_FAULT_REFUSED /* a reply did not fit into the queue (once until the queue is empty again) */
};

/*
 * A fault of the port, and the time of the next attempt. Faults repeat with every attempt: the receiver has to limit
 * its log.
 */
struct port_fault {
	enum port_fault_kind kind;
	int error;	      /* -errno */
	unsigned consecutive; /* faults of this sort in a row, this one included */
	uint64_t retry_ns;    /* CLOCK_MONOTONIC time of the next attempt; TIME_NEVER if none is due */
	const char *text;     /* for people: "/dev/vport0p1: Device or resource busy"; valid during the call */
};

/*
 * Called from port_dispatch, and those marked (*) from port_send and port_close too. Any may be NULL. All of them may
 * call port_send and the getters; none may call port_dispatch, port_close or port_free.
 */
struct port_events {
	/*
	 * A session has started: drop the half line of the last session, and send the handshake. The port itself writes
	 * the leading "\n" (unless it is bare).
	 */
	void (*connected)(void *data);
	/*
	 * The host may have been replaced by another one without a visible disconnect (a virtio port shows a fast
	 * reconnect as nothing but a spurious "writable"). A "\n" was put in front of the next output. Send the
	 * handshake again; do NOT reset the input: it may be a false alarm, and bytes of the new host may already have
	 * been delivered.
	 *
	 * gone_ns > 0: it is no false alarm, the port has shown that the former host went away. Requests received
	 * before that time of CLOCK_MONOTONIC were the former host's, and their answers are undeliverable; later bytes
	 * may be of either host.
	 */
	void (*renewed)(void *data, uint64_t gone_ns);
	/* Bytes of the session, in order; valid during the call. */
	void (*received)(void *data, const char *bytes, size_t len);
	/* The session is over. Unsent output was dropped before, each line reported through `dropped`. (*) */
	void (*disconnected)(void *data);
	/* A line accepted by port_send will never be completely written (queue bound, or end of the session). (*) */
	void (*dropped)(void *data, const struct line *line);
	/* A line was completely handed to the kernel (which proves nothing about the host). (*) */
	void (*sent)(void *data, const struct line *line);
	void (*fault)(void *data, const struct port_fault *fault); /* (*) */
};

struct port_stats {
	uint64_t opens;	   /* successful ones */
	uint64_t sessions; /* `connected` events */
	uint64_t renewals; /* `renewed` events */
	uint64_t bytes_in, bytes_out;
	uint64_t reads, writes; /* system calls that moved bytes */
	uint64_t lines_sent[LINE_CLASSES];
	uint64_t lines_dropped[LINE_CLASSES];
	uint64_t lines_refused[LINE_CLASSES]; /* port_send returned -ENOBUFS */
	uint64_t stalls;
	uint64_t faults; /* `fault` events, stalls included */
};

/* Output that waits while the host takes nothing for this long means a stalled port; see port_virtio.c. */
#define PORT_STALL_NS (30 * NS_PER_S)

/*
 * Checks the spec and makes the port, without opening anything yet. `seed`: for the jitter of retries. `events` and
 * `data` are borrowed until port_free. -EINVAL with the valid forms in `err` for a bad spec; -ENOMEM, -EMFILE.
 */
int port_new(const struct port_config *config, const struct port_events *events, void *data, uint32_t seed,
	     struct port **ret, struct err *err);

/* Releases everything without any event. Accepts NULL, returns NULL. */
struct port *port_free(struct port *port);

/* An epoll fd, valid and the same for the life of the port: readable whenever port_dispatch has something to do. */
int port_fd(const struct port *port);

/*
 * CLOCK_MONOTONIC time at which port_dispatch must be called even without an event; maybe in the past; or TIME_NEVER.
 */
uint64_t port_deadline_ns(const struct port *port);

/* True while the fds in use cannot be waited on (epoll refuses regular files and some character devices). */
bool port_needs_poll(const struct port *port);

/* Does all that is due: opens, reads (at most 256 KiB a call: the rest is due at once), writes, retries. */
void port_dispatch(struct port *port, const struct moment *now);

/*
 * Queues one line, taking its own reference, and writes at once what can be written (inside an event: when
 * port_dispatch is done with its events, or 32 KiB are together, so that the lines of one turn share a write). 0:
 * exactly one of `sent` and `dropped` follows, perhaps within this call. -ENOTCONN: no session, nothing queued.
 * -ENOBUFS: no room even after dropping what is of lesser class; nothing queued, nothing dropped for it. -ENOMEM.
 */
int port_send(struct port *port, struct line *line);

/* Ends the session (drops with events) and closes the fds. For shutdown, when the queue is empty or time is up. */
void port_close(struct port *port);

/*
 * The fd of an open virtio port without unsent output, else -1; borrowed. While a process holds a copy of the fd open
 * the device stays open: input from the host waits in the guest's kernel instead of being dropped.
 */
int port_keep(const struct port *port);

/* Bytes of lines accepted by port_send and not yet handed to the kernel. */
size_t port_queued_bytes(const struct port *port);
enum port_state port_state(const struct port *port);
const struct port_stats *port_stats(const struct port *port);
const char *port_state_name(enum port_state state);	/* "absent", "backoff", "waiting", "connected", "closed" */
const char *port_fault_name(enum port_fault_kind kind); /* "open", "gone", "read", "write", "stall", "refused" */
/*
 * The name of the port that is or was last open, for people: "/dev/vport0p1", "unix:/run/x.sock"; the spec before the
 * first open.
 */
const char *port_where(const struct port *port);

#endif
