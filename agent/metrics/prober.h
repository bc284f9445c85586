/* SPDX-License-Identifier: MIT */
/*
 * The prober: a child process that makes the system calls which may hang (statvfs of a dead mount, a command line
 * whose owner holds its memory lock, a scan of all fds), one after the other, behind `struct prober` of
 * <infiniservice/collector.h>.
 *
 *	queued ─► sent ─► answered                       probed(result)
 *	             └─► deadline passed ─► quarantined   probed(-ETIMEDOUT); the child is set aside with it
 *	                                        └─► answered at last: probed(result), the child is retired
 *
 * A request over its deadline costs its own subject only: a new child serves the others, the same (kind, key) is
 * refused with -EALREADY while it hangs, and at most PROBER_STUCK_MAX children hang at once; then all requests are
 * refused (-ENOBUFS) and queued ones are answered -ETIMEDOUT. The deadline counts from when the child got the request.
 */
#ifndef AGENT_METRICS_PROBER_H
#define AGENT_METRICS_PROBER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <infiniservice/collector.h>

struct ev_loop;
struct prober_pool;

#define PROBER_QUEUE_MAX   256
#define PROBER_STUCK_MAX   8
#define PROBER_DEADLINE_NS (2 * NS_PER_S)

/*
 * The probes, run in the child, per enum probe_kind: each reads `arg`, writes at most PROBE_DATA_MAX bytes of the
 * kind's data to `data` and returns their number, or -errno.
 */
struct prober_table {
	int (*probe[PROBE_KINDS])(const void *arg, size_t arg_len, unsigned char *data);
};

struct prober_config {
	uint64_t deadline_ns;		  /* 0: PROBER_DEADLINE_NS */
	const struct prober_table *table; /* NULL: prober_live (tests put hanging calls here) */
	void (*idle)(void *data);	  /* optional: the last outstanding answer has been delivered */
	void *idle_data;
};

struct prober_stats {
	uint64_t requests, answers, late, timeouts, refused, child_starts, child_deaths;
	unsigned stuck; /* children set aside now */
	pid_t child;	/* 0: not running */
};

/*
 * `loop` must be the default loop (it reaps). No child is started before the first request or prober_warm. NULL: out of
 * memory.
 */
struct prober_pool *prober_new(struct ev_loop *loop, const struct prober_config *config);

/* Starts a child ahead of the first request. When that fails the first request tries again. */
void prober_warm(struct prober_pool *pool);

/* Kills all children; nothing is delivered any more. All handles become invalid. Accepts NULL. Returns NULL. */
struct prober_pool *prober_free(struct prober_pool *pool);

/*
 * A handle for one collector, owned by the pool (give it back with prober_drop, or leave it to prober_free). Answers
 * to its requests go to `probed(state, …)`, from the loop, never inside request(). An answer whose child died is
 * -ECANCELED. NULL: out of memory.
 */
struct prober *prober_for(struct prober_pool *pool, void (*probed)(void *state, const struct probe_result *result),
			  void *state);

/* This handle asks a few times a day: a child that has worked for such handles alone ends with its last answer. */
void prober_seldom(struct prober *prober);

/* The collector goes away: its outstanding answers are dropped. Accepts NULL. */
void prober_drop(struct prober_pool *pool, struct prober *prober);

/*
 * Requests of this handle (NULL: of all) without any answer yet; those that hang after their -ETIMEDOUT do not count.
 */
unsigned prober_outstanding(const struct prober_pool *pool, const struct prober *prober);

struct prober_stats prober_stats(const struct prober_pool *pool);

/*
 * Between the prober and its child, one SOCK_SEQPACKET message each: the head, then the argument or the data.
 */
struct prober_wire {
	uint64_t id; /* of the request; the answer repeats it */
	int32_t kind;
	int32_t error; /* of the answer: 0 or -errno */
};

struct prober_wire_request {
	struct prober_wire head;
	unsigned char arg[PROBE_ARG_MAX];
};

struct prober_wire_answer {
	struct prober_wire head;
	unsigned char data[PROBE_DATA_MAX];
};

/*
 * The real probes (agent/metrics/prober_child.c), and the main function of the child: HELPER_FD and a struct
 * prober_table.
 */
extern const struct prober_table prober_live;
int prober_child(int fd, void *table);

#endif
