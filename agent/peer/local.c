/* SPDX-License-Identifier: MIT */
/* The local socket and its clients; see local.h. A client owns its fd, its session and its queue of answers. */
#include "agent/peer/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/base/loop.h"
#include "agent/base/notify.h"
#include "agent/base/users.h"
#include "agent/peer/session.h"
#include "transport/outq.h"
#include "transport/socket_path.h"

#define WRITE_BYTES	 8192
#define READ_BYTES	 1024
#define TURN_NS		 (2 * NS_PER_MS) /* time for all clients together in one turn of the loop */
#define ACCEPTS_PER_TURN 64
#define PAUSE_S		 1.0

struct client {
	struct local *local;
	struct client *next;
	int fd;
	bool dead;    /* disconnected; freed later by the loop */
	bool waiting; /* its input was not read in the last turn: no time was left */
	ev_io in, out;
	struct session session;
	struct outq queue;
};

struct local {
	struct peers *peers;
	struct ev_loop *loop;
	int fd;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* "" when the socket was passed in */
	struct socket_id id;
	ev_io accept_io;
	ev_timer resume; /* set while accepting pauses for lack of fds */
	struct client *clients;
	unsigned count, waiting;
	unsigned turn; /* ev_iteration() */
	uint64_t turn_end_ns;
	uint64_t accepted, refused, cut_off;
};

static void set_waiting(struct client *client, bool waiting)
{
	client->local->waiting += (unsigned)waiting - (unsigned)client->waiting;
	client->waiting = waiting;
}

static void client_free(struct client *client)
{
	struct local *local = client->local;
	struct client **at = &local->clients;

	set_waiting(client, false);
	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	local->count--;
	ev_io_stop(local->loop, &client->in);
	ev_io_stop(local->loop, &client->out);
	session_done(&client->session);
	outq_done(&client->queue);
	close(client->fd);
	free(client);
}

/* The client is freed later, as one of its functions may be running. */
static void client_kill(struct client *client)
{
	client->dead = true;
	set_waiting(client, false);
	ev_io_stop(client->local->loop, &client->in);
	ev_feed_event(client->local->loop, &client->out, EV_WRITE);
}

static size_t client_backlog(const struct session *session)
{
	const struct client *client =
		(const struct client *)(const void *)((const char *)session - offsetof(struct client, session));

	return client->queue.bytes;
}

/* Unread bytes of the clients of one user, or (`users`) of all users but root. */
static size_t unread(const struct local *local, uid_t uid, bool users)
{
	size_t sum = 0;

	for (const struct client *client = local->clients; client; client = client->next)
		if (!client->dead && (users ? client->session.uid != 0 : client->session.uid == uid))
			sum += client->queue.bytes;
	return sum;
}

/*
 * The client with the most unread output, of the user (not root) with the most. NULL: no client of a user has more than
 * LOCAL_SMALL_BYTES unread.
 */
static struct client *most_unread(const struct local *local)
{
	struct client *most = NULL;
	size_t of_most = 0;

	for (struct client *client = local->clients; client; client = client->next) {
		size_t of_user;

		if (client->session.uid == 0 || client->dead || client->queue.bytes <= LOCAL_SMALL_BYTES)
			continue;
		if (most && most->session.uid == client->session.uid) {
			most = client->queue.bytes > most->queue.bytes ? client : most;
			continue;
		}
		of_user = unread(local, client->session.uid, false);
		if (of_user > of_most) {
			of_most = of_user;
			most = client;
		}
	}
	return most;
}

static void cut_off(struct client *client)
{
	client->local->cut_off++;
	client_kill(client);
}

/*
 * True if the client has too much unread output, alone or together with its user's other clients. If all users together
 * have too much, the clients with the most are disconnected, so that no other client loses an answer.
 */
static bool leaves_too_much(const struct client *client)
{
	uid_t uid = client->session.uid;

	if (client->queue.bytes <= LOCAL_SMALL_BYTES)
		return false;
	if (unread(client->local, uid, false) > LOCAL_USER_BYTES)
		return true;
	while (uid != 0 && unread(client->local, uid, true) > LOCAL_USERS_BYTES) {
		struct client *most = most_unread(client->local);

		if (!most || most == client)
			return true;
		cut_off(most);
	}
	return false;
}

/* If the queue is empty the line is written directly; the part that the socket does not take is queued. */
static int client_send(struct session *session, struct line *line)
{
	struct client *client = container_of(session, struct client, session);
	ssize_t sent = -1;
	int r;

	if (client->dead)
		return -ENOTCONN;
	if (!outq_ready(&client->queue, true)) {
		sent = send(client->fd, line->text, line->len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent == (ssize_t)line->len)
			return 0;
	}
	r = leaves_too_much(client) ? -ENOBUFS : outq_push(&client->queue, line);
	if (r < 0) {
		cut_off(client);
		return r;
	}
	if (sent > 0)
		outq_consume(&client->queue, true, (size_t)sent);
	ev_io_start(client->local->loop, &client->out);
	return 0;
}

static void on_client_out(struct ev_loop *loop, ev_io *io, int events)
{
	struct client *client = container_of(io, struct client, out);
	bool had = outq_ready(&client->queue, true);
	char chunk[WRITE_BYTES];

	loop_work(loop, "local client", NULL);
	(void)events;
	if (client->dead) {
		client_free(client);
		return;
	}
	while (outq_ready(&client->queue, true)) {
		size_t len = outq_gather(&client->queue, true, chunk, sizeof(chunk));
		ssize_t n = send(client->fd, chunk, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR)
				ev_io_start(loop, io);
			else
				client_kill(client);
			return;
		}
		outq_consume(&client->queue, true, (size_t)n);
	}
	ev_io_stop(loop, io);
	if (had)
		session_drained(&client->session);
}

static bool turn_is_over(struct local *local)
{
	unsigned turn = ev_iteration(local->loop);
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	if (turn != local->turn) {
		local->turn = turn;
		local->turn_end_ns = now_ns + TURN_NS;
	}
	return now_ns >= local->turn_end_ns;
}

/*
 * All clients together get TURN_NS per turn, so that host and timers are not held up. Clients not read in a turn are
 * read in the next ones, each once, before any client is read again (fair).
 */
static void on_client_in(struct ev_loop *loop, ev_io *io, int events)
{
	struct client *client = container_of(io, struct client, in);
	bool over = turn_is_over(client->local);
	char bytes[READ_BYTES];

	loop_work(loop, "local client", NULL);
	(void)events;
	if (client->local->waiting && !client->waiting)
		return;
	set_waiting(client, over);
	while (!over && !client->dead) {
		ssize_t n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n > 0)
			session_receive(&client->session, bytes, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			client_kill(client);
		if (n < (ssize_t)sizeof(bytes))
			return;
		over = turn_is_over(client->local);
	}
}

static unsigned clients_of(const struct local *local, uid_t uid)
{
	unsigned count = 0;

	for (const struct client *client = local->clients; client; client = client->next)
		count += client->session.uid == uid;
	return count;
}

static void client_new(struct local *local, int fd)
{
	uint64_t all = local->peers->config->socket.max_clients;
	uint64_t roots = all / 4 < LOCAL_ROOT_CLIENTS ? all / 4 : LOCAL_ROOT_CLIENTS;
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);
	struct client *client = NULL;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && local->count < all &&
	    (peer.uid == 0 || local->count - clients_of(local, 0) < all - roots) &&
	    (peer.uid == 0 || peer.uid == geteuid() ||
	     clients_of(local, peer.uid) < local->peers->config->socket.max_per_user))
		client = calloc(1, sizeof(*client));
	if (!client) {
		local->refused++;
		close(fd);
		return;
	}
	client->local = local;
	client->fd = fd;
	client->next = local->clients;
	local->clients = client;
	local->count++;
	local->accepted++;
	outq_init(&client->queue, LOCAL_QUEUE_BYTES, NULL, NULL, NULL);
	session_init(&client->session, local->peers, SESSION_LOCAL, client_send);
	client->session.uid = peer.uid;
	client->session.backlog = client_backlog;
	client->session.backlog_max = LOCAL_QUEUE_BYTES / 4;
	snprintf(client->session.name, sizeof(client->session.name), "uid %u", (unsigned)peer.uid);
	ev_io_init(&client->in, on_client_in, fd, EV_READ);
	ev_io_init(&client->out, on_client_out, fd, EV_WRITE);
	ev_io_start(local->loop, &client->in);
}

static void on_resume(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct local *local = timer->data;

	(void)events;
	ev_io_start(loop, &local->accept_io);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
	struct local *local = io->data;

	loop_work(loop, "local accept", NULL);
	(void)events;
	for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(local->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			client_new(local, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			/*
			 * Out of fds: the connection stays in the backlog and the socket readable, so without a pause
			 * the loop would spin.
			 */
			ev_io_stop(loop, io);
			ev_timer_set(&local->resume, PAUSE_S, 0);
			ev_timer_start(loop, &local->resume);
			return;
		} else {
			return;
		}
	}
}

/* By descriptor, as another file may be at the path by now. */
static void give_to_group(const struct local *local, const char *name, struct err *warning)
{
	_cleanup_(closep) int fd = -1;
	char path[32];
	struct stat st;
	gid_t gid;

	if (!*name)
		return;
	if (passwd_gid_of("/etc/group", name, &gid) < 0) {
		err_set(warning, -ENOENT, "socket.group: no group '%s': only this user and root may use %s", name,
			local->path);
		return;
	}
	fd = open(local->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (st.st_dev != local->id.dev || st.st_ino != local->id.ino)
			errno = ESTALE;
		/* The agent's own group is skipped: the socket has it already, and a sandbox may forbid chown(2). */
		else if ((gid == getegid() || fchownat(fd, "", (uid_t)-1, gid, AT_EMPTY_PATH) == 0) &&
			 chmod(path, 0660) == 0)
			return;
	}
	err_set(warning, -errno, "%s: cannot be given to group '%s': %s", local->path, name, strerror(errno));
}

static int listen_at(struct local *local, const char *path, struct err *e)
{
	int r;

	local->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (local->fd < 0)
		return err_set(e, -errno, "socket: %s", strerror(errno));
	r = socket_path_bind(local->fd, path, 0177, &local->id, e);
	if (r < 0) {
		err_context(e, "socket.path");
		return r;
	}
	strcpy(local->path, path);
	if (listen(local->fd, SOMAXCONN) < 0)
		return err_set(e, -errno, "socket.path: %s: %s", path, strerror(errno));
	return 0;
}

int local_new(struct peers *peers, struct local **ret, struct err *warning, struct err *e)
{
	struct local *local = calloc(1, sizeof(*local));
	int r;

	*warning = (struct err){ 0 };
	if (!local)
		return err_set(e, -ENOMEM, "out of memory");
	local->peers = peers;
	local->loop = peers->loop->ev;
	local->fd = -1;
	ev_timer_init(&local->resume, on_resume, PAUSE_S, 0);
	local->resume.data = local;
	ev_io_init(&local->accept_io, on_accept, -1, EV_READ);
	if (passed_take() >= 1 && passed_is_listener(PASSED_FIRST, SOCK_STREAM)) {
		local->fd = PASSED_FIRST;
	} else {
		r = listen_at(local, peers->config->socket.path, e);
		if (r < 0) {
			local_free(local);
			return r;
		}
		give_to_group(local, peers->config->socket.group, warning);
	}
	*ret = local;
	ev_io_set(&local->accept_io, local->fd, EV_READ);
	local->accept_io.data = local;
	ev_io_start(local->loop, &local->accept_io);
	return 0;
}

struct local *local_free(struct local *local)
{
	if (!local)
		return NULL;
	while (local->clients)
		client_free(local->clients);
	ev_io_stop(local->loop, &local->accept_io);
	ev_timer_stop(local->loop, &local->resume);
	if (*local->path)
		socket_path_remove(local->path, &local->id);
	closep(&local->fd);
	free(local);
	return NULL;
}

void local_report(const struct local *local, struct sink *out)
{
	sink_bool(out, "listening", local != NULL);
	sink_uint(out, "clients", local ? local->count : 0);
	sink_uint(out, "accepted", local ? local->accepted : 0);
	sink_uint(out, "refused", local ? local->refused : 0);
	sink_uint(out, "cut_off", local ? local->cut_off : 0);
}
