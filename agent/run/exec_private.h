/* SPDX-License-Identifier: MIT */
/*
 * Shared by the two parts of exec.h: exec.c takes requests and follows each job to its end, exec_link.c holds the
 * connection to the executor. No other file includes this.
 */
#ifndef AGENT_RUN_EXEC_PRIVATE_H
#define AGENT_RUN_EXEC_PRIVATE_H

#include <ev.h>
#include <sys/stat.h>

#include <infiniservice/moment.h>

#include "agent/run/exec.h"
#include "agent/run/detached_files.h"
#include "agent/runner/protocol.h"
#include "transport/backoff.h"

enum job_state {
	JOB_UNSENT,  /* not sent: there is no executor, or its socket is full */
	JOB_SENT,    /* sent, not started yet */
	JOB_RUNNING, /* started */
	JOB_EXITED,  /* exited, its pipes have not ended */
};

struct stream {
	struct ev_io io; /* fd -1: ended */
	struct exec_job *job;
	struct exec_output output;
	size_t size; /* allocated */
};

struct exec_job {
	struct exec *exec;
	struct exec_job *next, **link; /* in exec->jobs, in the order of start */
	struct exec_callbacks callbacks;
	void *data;
	uint64_t id, term_ns, kill_ns, begin_ns;
	enum job_state state;
	bool cancel_unsent;
	uint64_t limit_ns; /* time at which the timer below expires */
	struct ev_timer limit;
	size_t max_output;
	bool operation;
	bool detached;
	char unit[RUNNER_UNIT_SIZE]; /* of a detached run; else "" */
	bool live;		     /* the caller wants all of its output */
	bool orphaned;		     /* sent to an executor that is gone */
	bool unheard;		     /* and that had not sent a reply */
	bool closing;		     /* the file for its end record has been closed: its lock is free soon */
	struct detached_files files;
	uint64_t ends[2]; /* sizes of its files when it ended */
	struct ev_io written;
	struct ev_timer more; /* the next look at the files, unless inotify comes first */
	struct stream streams[2];
	struct exec_outcome outcome;
	int input;     /* sent with the message; -1: none */
	void *message; /* the RUN, until it is sent */
	size_t message_len;
};

struct exec {
	struct ev_loop *loop;
	struct exec_config config;
	char *program, *socket_path, *detached_path;
	int detached_dir; /* -1: not opened yet */
	int fd;		  /* -1: no executor */
	pid_t pid;
	struct ev_io io;
	struct ev_child child;
	struct ev_timer retry;
	struct backoff backoff;
	uint32_t random;
	struct exec_job *jobs, **tail;
	uint64_t next_id;
	bool stopping;
	bool was_lost;	   /* `lost` was called, and no executor has answered since */
	bool spoken;	   /* the present executor has sent a reply */
	struct stat tried; /* the socket's file at the last attempt; st_ino 0: there was none */
	unsigned silent;   /* executors in a row that ended without a reply */
	char fault[512];   /* why there is no executor; "": not known */
	bool absent;	   /* because the file is missing or not accessible */
	struct exec_stats stats;
};

/* ---- exec.c */

/* Sets the timer anew, on CLOCK_MONOTONIC; TIME_NEVER: stops it. */
void exec_timer_at(struct exec *exec, struct ev_timer *timer, uint64_t at_ns);

/* Calls `done`, and frees the job. The only function that does. */
void exec_job_done(struct exec_job *job);

/* The job did not start: ends it with that. */
void exec_job_refused(struct exec_job *job, int error, int stage, const char *words);

/* A reply of the executor; may end and free its job. The pipes are taken over, if they are wanted. */
void exec_reply(struct exec *exec, const struct runner_answer *answer, int fds[2]);

/* ---- exec_link.c, with exec_warm and exec_program_path */

void exec_link_init(struct exec *exec);
void exec_link_close(struct exec *exec);

/* Sets the retry timer, with back-off, unless it is set. */
void exec_link_retry(struct exec *exec);

/* Sends pending messages, as many as the socket takes. */
void exec_link_send(struct exec *exec);
void exec_link_cancel(struct exec_job *job, uint64_t kill_ns);

/*
 * Ends the jobs lost with the executor: those it knew, except detached runs (unless `all`). Jobs that were not sent
 * wait for the next executor (unless `unsent_too`).
 */
void exec_link_lose(struct exec *exec, bool unsent_too, bool all);

#endif
