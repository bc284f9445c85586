/* SPDX-License-Identifier: MIT */
/*
 * Shared by the three parts of exec.h: exec.c takes requests, exec_job.c follows each job to its end, exec_link.c holds
 * the connection to the executor. No other file includes this.
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
	char unit[RUNNER_UNIT_SIZE]; /* of a detached run; "": not detached */
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

static inline uint64_t exec_now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static inline uint64_t exec_after(uint64_t at_ns, uint64_t ms)
{
	return at_ns > TIME_NEVER - ms * NS_PER_MS ? TIME_NEVER : at_ns + ms * NS_PER_MS;
}

static inline bool exec_job_is_detached(const struct exec_job *job)
{
	return *job->unit != '\0';
}

/* ---- exec_job.c */

/* Initializes the watchers of a zeroed job. */
void exec_job_init(struct exec_job *job);

/* By when the job must be answered, in its present state. */
uint64_t exec_job_last(const struct exec_job *job);

/* Sets the job's time limit: `done` is called then at the latest. */
void exec_job_limit(struct exec_job *job, uint64_t at_ns);

/* Calls `done`, and frees the job. The only function that does. */
void exec_job_done(struct exec_job *job);

/* Looks at the files of a detached run, from the loop, after `after_s` seconds or when they are written to. */
void exec_job_look_in(struct exec_job *job, double after_s);

/* Replies of the executor to the job; each but `started` may end and free it. The pipes are taken over. */
void exec_job_refused(struct exec_job *job, int error, int stage, const char *words);
void exec_job_started(struct exec_job *job, pid_t pid, int fds[2]);
void exec_job_exited(struct exec_job *job, const struct runner_reply *reply);
void exec_job_answered(struct exec_job *job, const struct runner_answer *answer);

/* ---- exec_link.c, with exec_warm and exec_program_path */

void exec_link_init(struct exec *exec);
void exec_link_close(struct exec *exec);

/* Sets the retry timer, with back-off. */
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
