/* SPDX-License-Identifier: MIT */
/*
 * The loop's side of the metric log: a bounded queue of lines in front of the log-writer child. Nothing here waits:
 * when the child lags (a frozen disk) the oldest unsent lines are dropped and counted, when it dies it is started again
 * with back-off and gets the lines once more that it had not acknowledged. Every line put is counted in exactly one of
 * written and dropped.
 */
#ifndef AGENT_METRICS_LOGGER_H
#define AGENT_METRICS_LOGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/line.h>
#include <infiniservice/moment.h>

#include "agent/log/child.h"

struct ev_loop;
struct logger;

enum logger_state {
	LOGGER_OK,
	LOGGER_LAGGING, /* the child has not answered for 5 s, or lines were dropped since its last answer */
	LOGGER_FAILED,	/* the last line could not be written, or the child cannot be started or keeps dying */
};

#define LOGGER_QUEUE_BYTES (4u << 20)

struct logger_config {
	struct log_child_config child;
	bool enabled;	    /* lines are logged; latest.json is written in any case */
	size_t queue_bytes; /* 0: LOGGER_QUEUE_BYTES */
	/* Told once at each change; `error` 0 or -errno. May call logger_stats, nothing else. */
	void (*changed)(void *data, enum logger_state state, int error);
	void *data;
};

struct logger_stats {
	enum logger_state state;
	int error;	  /* of the last failure, -errno; 0 when all is well */
	uint64_t put;	  /* lines taken; put = written + dropped + queued */
	uint64_t written; /* acknowledged by the child */
	uint64_t dropped; /* never sent, failed, or lost with a child twice */
	uint64_t queued;  /* waiting or not yet acknowledged */
	size_t queued_bytes;
	uint64_t resent;	/* lines given to a second child */
	uint64_t restarts;	/* children started beyond the first */
	uint64_t last_seq;	/* in the log, as far as the child has said; 0: unknown or none */
	bool wants_whole;	/* a new segment of the log has no whole sample, or begins soon */
	uint64_t latest_failed; /* latest.json could not be written */
	int64_t pid;		/* of the child, -1: none */
};

/* Starts nothing yet. `config` is copied; the loop has to be the default one (it watches children). 0 or -ENOMEM. */
int logger_new(struct ev_loop *loop, const struct logger_config *config, struct logger **ret);

/* Starts the child now, so that last_seq becomes known before the first line. Otherwise the first line does it. */
void logger_start(struct logger *logger);

/* Queues a line, taking a reference; when logging is not enabled it does nothing. */
void logger_put(struct logger *logger, struct line *line, struct moment now);

/*
 * Makes the line the content of latest.json, unless that was done less than a second ago: at once if the directory is
 * in memory, else through the child.
 */
void logger_latest(struct logger *logger, struct line *line, struct moment now);

/*
 * Takes the child's answers that have arrived and checks the age of the oldest unanswered message; may call `changed`.
 */
void logger_check(struct logger *logger, struct moment now);

/* As of the last logger_put or logger_check. */
struct logger_stats logger_stats(const struct logger *logger);

/*
 * While the file system of the log is frozen nothing is sent to the child: lines wait in the queue, and those that do
 * not fit are dropped, oldest first, and counted. False ends that.
 */
void logger_pause(struct logger *logger, bool paused);

/*
 * Takes no more lines, lets the child write what is queued, sync and end, then calls `done` once, from the loop
 * (never from within this call). Deadlines are the caller's: logger_free may come first, and then `done` is not
 * called.
 */
void logger_stop(struct logger *logger, void (*done)(void *data), void *data);

/* NULL is accepted; always returns NULL. A child that is still busy ends by itself at end of file. */
struct logger *logger_free(struct logger *logger);

#endif
