/* SPDX-License-Identifier: MIT */
/*
 * The internals shared by the files of the port: port.c (life and turns), port_open.c (opening, losing, retrying),
 * port_session.c (sessions and output), port_virtio.c and port_stream.c (how each kind is opened and what its edges
 * mean), port_watch.c (node events).
 */
#ifndef TRANSPORT_PORT_PRIVATE_H
#define TRANSPORT_PORT_PRIVATE_H

#include <limits.h>
#include <sys/types.h>
#include <termios.h>

#include <infiniservice/cleanup.h>

#include "backoff.h"
#include "outq.h"
#include "port.h"
#include "socket_path.h"

/* One write to a virtio port takes at most 32 KiB (drivers/char/virtio_console.c, port_fops_write). */
#define PORT_CHUNK (32u << 10)
/* One read of a virtio port gives at most a page (virtio_console.c, fill_queue). */
#define PORT_INPUT_CHUNK (4u << 10)
/*
 * Read per dispatch: some four hundred short commands, so that a host that never stops sending delays no timer by more
 * than they take.
 */
#define PORT_INPUT_TURN (16u << 10)
/* Samples are handed to a virtio port only while less than this is unanswered by an edge; see port_virtio.c. */
#define PORT_SAMPLE_WINDOW (64u << 10)
/* How long a hang-up is doubted when bytes came just before it; see port_virtio.c. */
#define PORT_LINGER_NS (50 * NS_PER_MS)
/* Factor for a longer doubt when bytes came from a host that the driver has not reported yet. */
#define PORT_LINGERS_MAX 4
/* Two doubtful renewals are at least this far apart. */
#define PORT_RENEW_GAP_NS (100 * NS_PER_MS)
/* QEMU tells its management of a port's opening at most once a second: a shorter pause would go unseen. */
#define PORT_STALL_WAIT_NS (2 * NS_PER_S)

enum port_kind { PORT_KIND_NONE, PORT_KIND_VIRTIO, PORT_KIND_PATH, PORT_KIND_UNIX, PORT_KIND_LISTEN, PORT_KIND_STDIO };

/* One end of what is open; both ends are the same fd except with stdio. */
struct port_end {
	int fd;
	bool socket;	  /* send and recv with flags: no signal, no O_NONBLOCK on a shared description */
	int shared_flags; /* >= 0: O_NONBLOCK had to be set on a shared description, to be taken back at close */
};

struct port_link {
	struct port_end in, out;
	bool open;
	bool virtio;	   /* read() == 0 is a state (no host), not the end */
	bool tty;	   /* `saved` is to be restored */
	bool unpollable;   /* epoll refused it */
	bool watches_room; /* output waits for an edge (not of a virtio port) */
	int kept_input;	   /* a file read before the port itself, with the half line that the former owner of the fd had
			      read; or -1 */
	struct termios saved;
};

#define PORT_WATCHES 5

/* Node events of interest while the port is not open. An empty filter accepts any name. */
struct port_watch {
	int fd;		/* inotify; -1 until it is needed first */
	unsigned count; /* 0 while the port is open: an idle session is not woken by what goes on in /dev */
	struct {
		int wd;
		bool prefix;
		char filter[NAME_MAX + 1];
	} entries[PORT_WATCHES];
};

enum port_tag { PORT_TAG_IN = 1, PORT_TAG_OUT, PORT_TAG_WATCH, PORT_TAG_LISTENER };

struct port {
	char *spec, *sys_dir, *dev_dir;
	enum port_kind kind;
	const char *target; /* inside spec: name or path */
	const struct port_events *events;
	void *data;
	int epoll_fd;
	struct port_link link;
	struct port_watch watch;
	struct port_kept kept; /* until the port is opened first */
	int listener;	       /* of listen:PATH, over all sessions; -1: none */
	struct socket_id listener_id;
	bool bare; /* see port_config */
	enum port_state state;
	struct port_stats stats;
	uint32_t random;
	uint64_t now_ns; /* of the last dispatch */
	bool dispatching, flushing;

	/* looking for the node */
	struct backoff retry, stall_retry;
	uint64_t retry_ns;
	int open_error;	    /* of the last attempt, -errno */
	uint64_t denied_ns; /* since when the node is another user's; 0: it is not */
	bool held;	    /* node events do not shorten the wait (after a stall) */
	uint64_t last_stall_ns;

	/* the session */
	struct outq queue;
	bool newline_due; /* the next byte written is a "\n" */
	bool unsaid;	  /* nothing was written since the session began or was renewed */
	bool blocked;	  /* EAGAIN: wait for an edge */
	bool soft;	  /* a write failed in a way that no edge follows: wait until soft_ns */
	struct backoff soft_retry;
	uint64_t soft_ns;    /* TIME_NEVER: not yet set, there was no clock at hand */
	uint64_t waiting_ns; /* since when output waits without progress; TIME_NEVER as above */
	size_t unanswered;   /* bytes written since the last edge (virtio) */
	bool refused;	     /* a PORT_FAULT_REFUSED was reported */
	bool more_input;
	uint64_t session_ns; /* when it began */
	bool session_heard;  /* bytes came in */
	int broken;	     /* a write failed with this -errno: ended by the next dispatch */

	/* what edges mean (virtio) */
	int credits;	  /* edges to be expected from our own reads and writes */
	uint32_t edge;	  /* what epoll told since the input was last read to its end */
	bool unexplained; /* one of these was nothing but "writable", and no credit accounted for it */
	bool answered;	  /* an edge came since the last write */
	bool traffic;	  /* something moved, or an edge was accounted for, since traffic_ns was set */
	uint64_t traffic_ns, input_ns;
	uint64_t hung_up_ns;	       /* when that hang-up was seen */
	uint64_t linger_ns;	       /* a doubted hang-up is believed then; TIME_NEVER when there is none */
	unsigned lingers;	       /* how many times it was put off */
	uint64_t renewed_ns, renew_ns; /* the last one; the next one due, or TIME_NEVER */

	char where[PATH_MAX];
	char input[PORT_INPUT_CHUNK], output[PORT_CHUNK];
};

/* True for a connected socket, which is the same in both directions. */
static inline bool port_is_socket(const struct port *port)
{
	return port->link.in.socket && port->link.in.fd == port->link.out.fd;
}

/* port_open.c */
/* Whether port_fd becomes readable when there is room for output again: wanted only while output waits for that. */
void port_watch_room(struct port *port, bool wanted);
void port_try(struct port *port);
void port_link_close(struct port *port);
/* Reports a fault; `error` is -errno. */
void port_fault(struct port *port, enum port_fault_kind kind, int error, unsigned consecutive, uint64_t retry_ns);
/*
 * The open port cannot be used any more: ends the session, closes the fds, schedules the next attempt. With kind < 0 no
 * fault is reported.
 */
void port_lost(struct port *port, int fault_kind, int error);
uint32_t port_random(struct port *port);

/* port_session.c */
void port_session_begin(struct port *port);
void port_session_end(struct port *port);
/* `gone_ns`: see port_events.renewed. */
void port_session_renew(struct port *port, uint64_t gone_ns);
void port_flush(struct port *port);
/* Output waits, and only the host or time can help. */
bool port_waits(const struct port *port);

/* port_virtio.c */
int port_virtio_open(struct port *port);
bool port_is_vport(const struct port *port, dev_t device);
/* Takes note of an edge, before the input is read. */
void port_virtio_edge(struct port *port, uint32_t mask);
/* Draws the conclusions, after the input was read to its end: no more data yet, or no host (`eof`). */
void port_virtio_settle(struct port *port, bool eof);
/* When port_virtio_tick is due, or TIME_NEVER. */
uint64_t port_virtio_deadline(const struct port *port);
void port_virtio_tick(struct port *port);
/* Forgets what edges were expected: for a new fd. */
void port_virtio_reset(struct port *port);

/* port_stream.c */
int port_path_open(struct port *port);
int port_unix_open(struct port *port);
int port_stdio_open(struct port *port);
int port_unix_check(const char *path);
/* Listens, if it does not yet, and takes the next host: -EAGAIN when none has come. */
int port_listen_open(struct port *port);
void port_listen_close(struct port *port);

/* port_watch.c */
void port_watch_arm(struct port *port);
/* True when something happened that makes a new attempt worth while. */
bool port_watch_drain(struct port *port);
void port_watch_disarm(struct port *port);
void port_watch_close(struct port *port);

#endif
