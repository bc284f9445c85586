/* SPDX-License-Identifier: MIT */
#include "agent/metrics/prober.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/base/helper.h"
#include "agent/base/loop.h"
#include "transport/backoff.h"

struct prober_handle {
	struct prober base; /* the part that the collector uses */
	struct prober_pool *pool;
	struct prober_handle *next;
	void (*probed)(void *state, const struct probe_result *result);
	void *state;
	unsigned outstanding;
	bool seldom;
};

struct ask {
	struct ask *next;
	struct prober_handle *from; /* NULL: dropped meanwhile */
	uint64_t key, sent_ns;
	size_t arg_len;
	struct prober_wire head; /* the message: this, then the argument */
	unsigned char arg[];
};

/* A child and the one request it works on; `late` when that has missed its deadline. */
struct worker {
	struct prober_pool *pool;
	int fd; /* -1: none */
	pid_t pid;
	struct ev_io io;
	struct ev_child child;
	struct ask *ask;
	bool late;
	bool kept; /* has worked, or is about to, for a handle without `seldom` */
};

struct prober_pool {
	struct ev_loop *loop;
	struct prober_config config;
	struct prober_handle *handles;
	struct ask *queue, **tail;
	unsigned queued; /* including the request in work, unless that is late */
	uint64_t next_id;
	struct worker *current;
	struct worker workers[1 + PROBER_STUCK_MAX];
	struct ev_timer deadline, retry;
	struct backoff backoff;
	uint32_t random;
	struct prober_stats stats;
};

static uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static void timer_arm(struct ev_loop *loop, struct ev_timer *timer, uint64_t due_ns)
{
	uint64_t now = now_ns();

	ev_timer_stop(loop, timer);
	ev_timer_set(timer, due_ns > now ? (double)(due_ns - now) / 1e9 : 0., 0.);
	ev_timer_start(loop, timer);
}

/* ---------------------------------------- answers */

static void deliver(struct ask *ask, int error, const void *data, size_t len)
{
	struct probe_result result = {
		.kind = (enum probe_kind)ask->head.kind, .key = ask->key, .error = error, .data = data, .data_len = len
	};

	if (ask->from)
		ask->from->probed(ask->from->state, &result);
}

/* The first answer of a request; `ask` stays the caller's. */
static void answer_first(struct prober_pool *pool, struct ask *ask, int error, const void *data, size_t len)
{
	pool->queued--;
	if (ask->from)
		ask->from->outstanding--;
	deliver(ask, error, data, len);
	if (pool->queued == 0 && pool->config.idle)
		pool->config.idle(pool->config.idle_data);
}

/* Closes the socket, which ends the child; `force`: also kills it, as it hangs. libev reaps it. */
static void worker_close(struct worker *worker, bool force)
{
	if (worker->fd < 0)
		return;
	ev_io_stop(worker->pool->loop, &worker->io);
	close_fd(&worker->fd);
	if (force && worker->pid > 0)
		kill(worker->pid, SIGKILL);
	ev_child_stop(worker->pool->loop, &worker->child);
	worker->pid = 0;
	if (worker->late)
		worker->pool->stats.stuck--;
	worker->late = false;
	worker->kept = false;
	if (worker->pool->current == worker)
		worker->pool->current = NULL;
}

static void retry_arm(struct prober_pool *pool)
{
	uint64_t due = backoff_fail(&pool->backoff, now_ns(), backoff_random(&pool->random));

	timer_arm(pool->loop, &pool->retry, due);
}

/* ---------------------------------------- work */

static void queue_work(struct prober_pool *pool);

static struct ask *queue_shift(struct prober_pool *pool)
{
	struct ask *ask = pool->queue;

	pool->queue = ask->next;
	if (!pool->queue)
		pool->tail = &pool->queue;
	return ask;
}

static void worker_died(struct worker *worker)
{
	struct prober_pool *pool = worker->pool;
	struct ask *ask = TAKE_PTR(worker->ask);
	bool late = worker->late;

	pool->stats.child_deaths++;
	worker_close(worker, true);
	if (!late)
		retry_arm(pool);
	if (ask && !late) {
		ev_timer_stop(pool->loop, &pool->deadline);
		answer_first(pool, ask, -ECANCELED, NULL, 0);
	}
	free(ask);
	queue_work(pool);
}

static void worker_answered(struct worker *worker, const struct prober_wire_answer *answer, size_t data_len)
{
	struct prober_pool *pool = worker->pool;
	struct ask *ask = TAKE_PTR(worker->ask);
	const void *data = answer->head.error ? NULL : answer->data;

	pool->stats.answers++;
	if (worker->late) {
		pool->stats.late++;
		worker_close(worker, false);
		deliver(ask, answer->head.error, data, data ? data_len : 0);
	} else {
		ev_timer_stop(pool->loop, &pool->deadline);
		backoff_succeed(&pool->backoff);
		answer_first(pool, ask, answer->head.error, data, data ? data_len : 0);
	}
	free(ask);
	queue_work(pool);
	/* A request made in the answer's callback is in work again by now, or queued. */
	if (!worker->kept && !worker->ask)
		worker_close(worker, false);
}

static void on_socket(struct ev_loop *loop, struct ev_io *io, int events)
{
	static struct prober_wire_answer answer;
	struct worker *worker = container_of(io, struct worker, io);
	ssize_t len = recv(worker->fd, &answer, sizeof(answer), MSG_DONTWAIT);

	loop_work(loop, "prober", NULL);
	(void)events;
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len < (ssize_t)sizeof(answer.head) || !worker->ask || answer.head.id != worker->ask->head.id)
		worker_died(worker);
	else
		worker_answered(worker, &answer, (size_t)len - sizeof(answer.head));
}

/*
 * The child's death is handled at the end of its socket, behind a last answer; here only its pid is forgotten, which
 * must not be killed any more.
 */
static void on_child(struct ev_loop *loop, struct ev_child *child, int events)
{
	struct worker *worker = container_of(child, struct worker, child);

	(void)events;
	ev_child_stop(loop, child);
	worker->pid = 0;
}

static struct worker *worker_start(struct prober_pool *pool)
{
	void *table = (void *)(uintptr_t)pool->config.table; /* const for the child too */
	struct worker *worker = NULL;

	loop_work(pool->loop, "start", "prober");
	for (size_t i = 0; i < ARRAY_SIZE(pool->workers) && !worker; i++)
		worker = pool->workers[i].fd < 0 ? &pool->workers[i] : NULL;

	if (!worker || helper_fork("prober", prober_child, table, SOCK_SEQPACKET, &worker->fd, &worker->pid) < 0)
		return NULL;
	pool->stats.child_starts++;
	ev_io_init(&worker->io, on_socket, worker->fd, EV_READ);
	ev_io_start(pool->loop, &worker->io);
	ev_child_init(&worker->child, on_child, worker->pid, 0);
	ev_child_start(pool->loop, &worker->child);
	return worker;
}

void prober_warm(struct prober_pool *pool)
{
	if (!pool->current)
		pool->current = worker_start(pool);
	if (pool->current)
		pool->current->kept = true;
}

/*
 * Gives the child its next request. If no child can be started the retry timer tries again; requests wait in the
 * bounded queue.
 */
static void queue_work(struct prober_pool *pool)
{
	struct worker *worker = pool->current;
	struct ask *ask;

	if (!pool->queue || (worker && worker->ask) || (!worker && ev_is_active(&pool->retry)))
		return;
	if (!worker)
		worker = pool->current = worker_start(pool);
	if (!worker) {
		retry_arm(pool);
		return;
	}
	worker->ask = ask = queue_shift(pool);
	worker->kept |= ask->from && !ask->from->seldom;
	ask->sent_ns = now_ns();
	timer_arm(pool->loop, &pool->deadline, ask->sent_ns + pool->config.deadline_ns);
	if (send(worker->fd, (const char *)ask + offsetof(struct ask, head), sizeof(ask->head) + ask->arg_len,
		 MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		shutdown(worker->fd, SHUT_RDWR); /* on_socket handles the end of the child */
}

static void on_retry(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	queue_work(container_of(timer, struct prober_pool, retry));
}

/* The late child keeps its request and its socket, but is not the current one any more. */
static void on_deadline(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct prober_pool *pool = container_of(timer, struct prober_pool, deadline);
	struct worker *worker = pool->current;

	loop_work(loop, "prober", NULL);
	(void)events;
	if (!worker || !worker->ask)
		return;
	if (now_ns() < worker->ask->sent_ns + pool->config.deadline_ns) {
		timer_arm(loop, timer, worker->ask->sent_ns + pool->config.deadline_ns);
		return;
	}
	pool->stats.timeouts++;
	pool->stats.stuck++;
	worker->late = true;
	pool->current = NULL;
	answer_first(pool, worker->ask, -ETIMEDOUT, NULL, 0);
	/* Too many children hang: no further one is started, and queued requests are answered. */
	while (pool->stats.stuck >= PROBER_STUCK_MAX && pool->queue) {
		struct ask *ask = queue_shift(pool);

		answer_first(pool, ask, -ETIMEDOUT, NULL, 0);
		free(ask);
	}
	queue_work(pool);
}

/* ---------------------------------------- asking */

static bool ask_same(const struct ask *ask, const struct probe_request *request)
{
	return ask && ask->head.kind == (int32_t)request->kind && ask->key == request->key;
}

/* -EALREADY for a request that the handle has outstanding, and for a probe that hangs for any handle. */
static int request_take(struct prober *base, const struct probe_request *request)
{
	struct prober_handle *handle = container_of(base, struct prober_handle, base);
	struct prober_pool *pool = handle->pool;
	bool known = false;
	struct ask *ask;
	int error = 0;

	for (size_t i = 0; i < ARRAY_SIZE(pool->workers); i++) {
		const struct worker *w = &pool->workers[i];

		known |= ask_same(w->ask, request) && (w->late || w->ask->from == handle);
	}
	for (ask = pool->queue; ask; ask = ask->next)
		known |= ask->from == handle && ask_same(ask, request);
	if (request->arg_len > PROBE_ARG_MAX)
		error = -ENOBUFS;
	else if (known)
		error = -EALREADY;
	else if (pool->queued >= PROBER_QUEUE_MAX || pool->stats.stuck >= PROBER_STUCK_MAX)
		error = -ENOBUFS;
	ask = error < 0 ? NULL : malloc(sizeof(*ask) + request->arg_len);
	if (!ask) {
		pool->stats.refused++;
		return error < 0 ? error : -ENOBUFS;
	}
	*ask = (struct ask){ .from = handle,
			     .key = request->key,
			     .arg_len = request->arg_len,
			     .head = { .id = ++pool->next_id, .kind = (int32_t)request->kind } };
	if (request->arg_len)
		memcpy(ask->arg, request->arg, request->arg_len);
	*pool->tail = ask;
	pool->tail = &ask->next;
	pool->queued++;
	handle->outstanding++;
	pool->stats.requests++;
	queue_work(pool);
	return 0;
}

/* ---------------------------------------- life */

struct prober_pool *prober_new(struct ev_loop *loop, const struct prober_config *config)
{
	struct prober_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->loop = loop;
	pool->config = *config;
	if (!pool->config.table)
		pool->config.table = &prober_live;
	if (pool->config.deadline_ns == 0)
		pool->config.deadline_ns = PROBER_DEADLINE_NS;
	pool->tail = &pool->queue;
	pool->random = (uint32_t)getpid();
	backoff_init(&pool->backoff, BACKOFF_MIN_NS, BACKOFF_MAX_NS);
	ev_init(&pool->deadline, on_deadline);
	ev_init(&pool->retry, on_retry);
	for (size_t i = 0; i < ARRAY_SIZE(pool->workers); i++) {
		pool->workers[i].pool = pool;
		pool->workers[i].fd = -1;
		ev_init(&pool->workers[i].io, on_socket);
		ev_init(&pool->workers[i].child, on_child);
	}
	return pool;
}

struct prober_pool *prober_free(struct prober_pool *pool)
{
	if (!pool)
		return NULL;
	ev_timer_stop(pool->loop, &pool->deadline);
	ev_timer_stop(pool->loop, &pool->retry);
	for (size_t i = 0; i < ARRAY_SIZE(pool->workers); i++) {
		worker_close(&pool->workers[i], true);
		free(pool->workers[i].ask);
	}
	while (pool->queue)
		free(queue_shift(pool));
	while (pool->handles) {
		struct prober_handle *handle = pool->handles;

		pool->handles = handle->next;
		free(handle);
	}
	free(pool);
	return NULL;
}

struct prober *prober_for(struct prober_pool *pool, void (*probed)(void *state, const struct probe_result *result),
			  void *state)
{
	struct prober_handle *handle = calloc(1, sizeof(*handle));

	if (!handle)
		return NULL;
	handle->base.request = request_take;
	handle->pool = pool;
	handle->probed = probed;
	handle->state = state;
	handle->next = pool->handles;
	pool->handles = handle;
	return &handle->base;
}

void prober_seldom(struct prober *prober)
{
	container_of(prober, struct prober_handle, base)->seldom = true;
}

/* Its requests stay in the bounded queue; their answers are dropped. */
void prober_drop(struct prober_pool *pool, struct prober *prober)
{
	struct prober_handle *handle = prober ? container_of(prober, struct prober_handle, base) : NULL;

	if (!handle)
		return;
	for (struct ask *ask = pool->queue; ask; ask = ask->next)
		if (ask->from == handle)
			ask->from = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(pool->workers); i++)
		if (pool->workers[i].ask && pool->workers[i].ask->from == handle)
			pool->workers[i].ask->from = NULL;
	for (struct prober_handle **link = &pool->handles; *link; link = &(*link)->next)
		if (*link == handle) {
			*link = handle->next;
			break;
		}
	free(handle);
}

unsigned prober_outstanding(const struct prober_pool *pool, const struct prober *prober)
{
	const struct prober_handle *handle;

	if (!prober)
		return pool->queued;
	handle = (const struct prober_handle *)(const void *)prober; /* its first member */
	return handle->outstanding;
}

struct prober_stats prober_stats(const struct prober_pool *pool)
{
	struct prober_stats stats = pool->stats;

	stats.child = pool->current ? pool->current->pid : 0;
	return stats;
}
