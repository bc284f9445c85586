/* SPDX-License-Identifier: MIT */
/*
 * What the three parts of exec.h share: exec.c takes requests, exec_job.c follows each job to its end, exec_link.c
 * holds the connection to the executor. Nobody else includes this.
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
	JOB_UNSENT,  /* the executor is not there, or its socket is full */
	JOB_SENT,    /* no STARTED yet */
	JOB_RUNNING, /* its pipes are here */
	JOB_EXITED,  /* waiting for the pipes' end */
};

struct stream {
	struct ev_io io; /* fd -1: at its end */
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
	uint64_t limit_ns; /* what the timer below stands for */
	struct ev_timer limit;
	size_t max_output;
	bool operation;
	char unit[RUNNER_UNIT_SIZE]; /* of a detached run; "": it is none, */
	bool live;		     /* all of its output is wanted */
	bool orphaned;		     /* sent to an executor that is gone, */
	bool unheard;		     /* which had said no word */
	bool closing;		     /* nobody holds the file for its end any more: its lock is free soon */
	struct detached_files files;
	uint64_t ends[2]; /* of its files, when it had exited */
	struct ev_io written;
	struct ev_timer more; /* the next look at the files, unless they are written to before */
	struct stream streams[2];
	struct exec_outcome outcome;
	int input;     /* goes with the message; -1: none */
	void *message; /* the RUN, until sent */
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
	bool was_lost;	   /* `lost` was told, and none has answered since */
	bool spoken;	   /* the executor that is there has said a word */
	struct stat tried; /* the socket's file when it was last connected to; st_ino 0: there was none */
	unsigned silent;   /* executors in a row that have said none */
	char fault[512];   /* why there is none; "": nothing is known */
	bool absent;	   /* it is for want of the file, or of its mode */
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

/* The watchers of a zeroed job. */
void exec_job_init(struct exec_job *job);

/* By when it must be answered, as things are. */
uint64_t exec_job_last(const struct exec_job *job);

/* Its answer must come by then, whatever happens. */
void exec_job_limit(struct exec_job *job, uint64_t at_ns);

/* Calls `done`, and frees it. Nobody else does. */
void exec_job_done(struct exec_job *job);

/* Looks at the files of a detached run, from the loop, at the latest after so long. */
void exec_job_look_in(struct exec_job *job, double after_s);

/* What the executor says of it; each but the second may end it. The pipes are taken over. */
void exec_job_refused(struct exec_job *job, int error, int stage, const char *words);
void exec_job_started(struct exec_job *job, pid_t pid, int fds[2]);
void exec_job_exited(struct exec_job *job, const struct runner_reply *reply);
void exec_job_answered(struct exec_job *job, const struct runner_answer *answer);

/* ---- exec_link.c, with exec_warm and exec_program_path */

void exec_link_init(struct exec *exec);
void exec_link_close(struct exec *exec);

/* Tries again later. */
void exec_link_retry(struct exec *exec);

/* Sends what waits to be sent, as much as goes. */
void exec_link_send(struct exec *exec);
void exec_link_cancel(struct exec_job *job, uint64_t kill_ns);

/*
 * Every command it had dies with the executor, so all jobs it knew are lost, but detached runs (unless `all` is to
 * end); what was never sent waits for the next one (unless `unsent_too`).
 */
void exec_link_lose(struct exec *exec, bool unsent_too, bool all);

#endif
