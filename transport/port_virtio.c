/* SPDX-License-Identifier: MIT */
/*
 * Virtio-serial ports: found by name in sysfs, judged by their edges. What the driver does (Linux 6.1,
 * drivers/char/virtio_console.c; seen on QEMU 7.2):
 *  - No host: read() == 0, write() EAGAIN, poll IN|HUP for ever. The fd stays open and becomes live by itself, so this
 *    is a state; a management such as libvirt connects only to a port that the guest holds open. Unplugged: ENODEV.
 *  - Edge-triggered epoll with OUT in the mask reports: host arrives [OUT], host leaves [IN|HUP], data [IN|OUT],
 *    buffers consumed [OUT], unplug [HUP]. So an idle port costs no wake-up, with or without a host.
 *  - A fast disconnect and connect is one [OUT]: the two changes are made by a workqueue, and an edge tells the state
 *    at the time of asking. QEMU has thrown away all output by then. Data comes by interrupt and may overtake it.
 *  - A host that does not read gets 128 writes or 4.4 MB put into the ring before EAGAIN; there is no FIONREAD or
 *    TIOCOUTQ to ask how much of it is still there.
 *  - The node exists a moment before it has a name, and can be opened a moment later still (ENXIO).
 *
 * Hence these rules:
 *  - Samples are handed over only while less than 64 KiB was written since the last edge. Edges follow consumed
 *    buffers, so a host that reads never notices, and a host that does not finds some 300 KB of old samples (64 KiB in
 *    the ring, the rest in QEMU's socket) instead of 4.4 MB. Replies and events always go.
 *  - An [OUT] edge that nothing explains is taken for a possible new host: "\n" and the `renewed` event. Each read
 *    that gave data (one input buffer) and each write (one output buffer) explains one edge. Wake-ups may merge, so
 *    what is left of these credits is forgotten after a second of silence, unless the last write is still unanswered:
 *    a slow host. A false alarm costs a repeated handshake. A reconnect within a second of traffic often goes
 *    unnoticed, and one while the guest was stopped always: only the protocol can tell sessions apart for certain.
 *  - A hang-up within 50 ms of input is doubted for the rest of that time: the bytes may be those of the next host
 *    before the driver has reported it, and ending the session would drop the answer to them. If the port is writable
 *    again before that, the session is renewed: the line that had begun is dropped (its head is lost), and so are
 *    lines queued 50 ms before the hang-up; later lines stay. While there are bytes that only a not yet reported host
 *    can have sent, the doubt lasts up to 250 ms: on a busy guest the workqueue is late.
 *  - Waiting output that makes no progress for 30 s: drop, close, wait 2 s, reopen. After a migration with a full queue
 *    the port stays stuck for good unless the management sees it closed (VSERPORT_CHANGE, at most one a second) and
 *    reconnects.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "port_private.h"

#define CREDIT_LIFE_NS NS_PER_S

/* Reads class/virtio-ports/<entry>/name without its newline; -1 when there is none. */
static ssize_t read_name(int class_fd, const char *entry, char *name, size_t size)
{
	char path[NAME_MAX + 8];
	_cleanup_(closep) int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/name", entry);
	fd = openat(class_fd, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, name, size - 1);
	if (n < 0)
		return -1;
	while (n > 0 && name[n - 1] == '\n')
		n--;
	name[n] = '\0';
	return n;
}

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/*
 * The lowest vportNpM that has the name. -ENOENT: none; -ENXIO: none, but one has no name yet: the attribute is
 * filled by a message of the host that comes after the node.
 */
static int find_in_sysfs(const struct port *port, char found[NAME_MAX + 1])
{
	char path[PATH_MAX], name[NAME_MAX + 1];
	_cleanup_(closedirp) DIR *dir = NULL;
	struct dirent *entry;
	bool unnamed = false;

	found[0] = '\0';
	if (snprintf(path, sizeof(path), "%s/class/virtio-ports", port->sys_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	dir = opendir(path);
	if (!dir)
		return -ENOENT;
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "vport", 5) != 0)
			continue;
		if (read_name(dirfd(dir), entry->d_name, name, sizeof(name)) <= 0)
			unnamed = true;
		else if (strcmp(name, port->target) == 0 && (!found[0] || strcmp(entry->d_name, found) < 0))
			memcpy(found, entry->d_name, strlen(entry->d_name) + 1);
	}
	if (found[0])
		return 0;
	return unnamed ? -ENXIO : -ENOENT;
}

/* Leaves the path to open in port->where: by sysfs, else by the link that udev makes. */
static int find_node(struct port *port)
{
	char entry[NAME_MAX + 1];
	int r = find_in_sysfs(port, entry), n;

	if (r == 0)
		n = snprintf(port->where, sizeof(port->where), "%s/%s", port->dev_dir, entry);
	else
		n = snprintf(port->where, sizeof(port->where), "%s/virtio-ports/%s", port->dev_dir, port->target);
	if (n >= (int)sizeof(port->where))
		return -ENAMETOOLONG;
	if (r < 0 && access(port->where, F_OK) < 0) {
		snprintf(port->where, sizeof(port->where), "%.*s", (int)sizeof(port->where) - 1, port->spec);
		return r;
	}
	return 0;
}

/*
 * Takes the fd that the service manager held open, if it is of the node that was found; else -1. It is tried only once.
 */
static int take_kept(struct port *port)
{
	_cleanup_(closep) int fd = TAKE_FD(port->kept.fd), input_fd = TAKE_FD(port->kept.input_fd);
	struct stat kept, node;

	if (fd < 0 || fstat(fd, &kept) < 0 || stat(port->where, &node) < 0 || !S_ISCHR(node.st_mode) ||
	    kept.st_rdev != node.st_rdev || fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return -1;
	port->link.kept_input = TAKE_FD(input_fd);
	return TAKE_FD(fd);
}

int port_virtio_open(struct port *port)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;
	int r = find_node(port);

	if (r < 0)
		return r;
	fd = take_kept(port);
	if (fd < 0)
		fd = open(port->where, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode))
		return -ENOTTY;
	port->link.virtio = true;
	port->link.in.fd = port->link.out.fd = TAKE_FD(fd);
	return 0;
}

bool port_is_vport(const struct port *port, dev_t device)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t n;

	if (snprintf(path, sizeof(path), "%s/dev/char/%u:%u", port->sys_dir, major(device), minor(device)) >=
	    (int)sizeof(path))
		return false;
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	return strstr(target, "/virtio-ports/");
}

void port_virtio_reset(struct port *port)
{
	port->credits = 0;
	port->answered = false;
	port->edge = 0;
	port->unexplained = false;
	port->unanswered = 0;
	port->traffic = true;
	port->linger_ns = port->renew_ns = TIME_NEVER;
}

void port_virtio_edge(struct port *port, uint32_t mask)
{
	bool writable_only = (mask & (EPOLLIN | EPOLLOUT | EPOLLHUP)) == EPOLLOUT;

	if (port->answered && port->now_ns - port->traffic_ns > CREDIT_LIFE_NS)
		port->credits = 0;
	port->answered = true;
	if (writable_only && port->credits == 0 && !port->blocked && !port->soft)
		port->unexplained = true;
	else
		port->traffic_ns = port->now_ns;
	if (!(mask & EPOLLHUP) && (port->credits > 0 || !writable_only))
		port->credits--; /* below 0 for input: the reads that follow add credits */
	if (mask & EPOLLOUT) {
		port->unanswered = 0;
		port->blocked = false;
	}
	port->edge |= mask;
}

static void host_away(struct port *port)
{
	if (port->state != PORT_CONNECTED || port->linger_ns != TIME_NEVER)
		return;
	port->hung_up_ns = port->now_ns;
	if (port->session_heard && port->now_ns - port->input_ns < PORT_LINGER_NS)
		port->linger_ns = port->input_ns + PORT_LINGER_NS;
	else
		port_session_end(port);
	port->lingers = 0;
}

/*
 * Bytes came behind the hang-up, or began a session that could write nothing yet: the driver is late with an arrival.
 */
static bool arrival_due(const struct port *port)
{
	return port->input_ns > port->hung_up_ns || (port->unsaid && port->blocked);
}

static void renew_doubtful(struct port *port)
{
	if (port->now_ns - port->renewed_ns >= PORT_RENEW_GAP_NS)
		port_session_renew(port, 0);
	else
		port->renew_ns = port->renewed_ns + PORT_RENEW_GAP_NS;
}

/* The driver says that a host is there; the edge may still tell of a hang-up that was over when the input was read. */
static void host_present(struct port *port)
{
	bool hung_up = port->linger_ns != TIME_NEVER || (port->edge & EPOLLHUP);

	if (port->state != PORT_CONNECTED) {
		port_session_begin(port);
		/* If the host was found without an edge, its own edge, or that of the registration, still follows. */
		port->credits += port->edge ? 0 : 1;
	} else if (hung_up && port->unsaid) {
		/* Input overtook the arrival: nothing was sent yet, so nothing is to be mended. */
		port->linger_ns = TIME_NEVER;
	} else if (hung_up) {
		uint64_t seen_ns = port->linger_ns != TIME_NEVER ? port->hung_up_ns : port->now_ns;

		port_session_renew(port, seen_ns > PORT_LINGER_NS ? seen_ns - PORT_LINGER_NS : 1);
	} else if (port->unexplained) {
		renew_doubtful(port);
	}
}

void port_virtio_settle(struct port *port, bool eof)
{
	if (port->credits < 0)
		port->credits = 0;
	if (eof)
		host_away(port);
	else
		host_present(port);
	port->edge = 0;
	port->unexplained = false;
}

uint64_t port_virtio_deadline(const struct port *port)
{
	return port->linger_ns < port->renew_ns ? port->linger_ns : port->renew_ns;
}

void port_virtio_tick(struct port *port)
{
	if (port->linger_ns <= port->now_ns && arrival_due(port) && port->lingers < PORT_LINGERS_MAX) {
		port->lingers++;
		port->linger_ns = port->now_ns + PORT_LINGER_NS;
	} else if (port->linger_ns <= port->now_ns) {
		port_session_end(port);
	} else if (port->renew_ns <= port->now_ns) {
		port_session_renew(port, 0);
	}
}
