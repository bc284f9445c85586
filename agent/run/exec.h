/* SPDX-License-Identifier: MIT */
/*
 * Commands as the agent sees them: a request goes to the executor process (agent/executor/, program
 * infiniservice-exec), the pipes of the command come back and are drained here, capped, and `done` is called exactly
 * once: when the command has exited and its pipes are at their end (or 200 ms later, when a daemon it left holds
 * them), at kill_ns + 100 ms at the latest whatever the command does, or when the executor is lost.
 *
 * The executor is started at the first job, restarted with back-off when it dies, and takes every command with it.
 * Whether a command may run at all is decided by the caller. With `socket_path` it is not started but connected to: the
 * privileged one of an installation (agent/executor/), which decides once more.
 *
 * With `unit` such a command is a detached run, which outlives both: it writes to files, and so does its launcher when
 * it has ended (detached_files.h). Once it has begun no executor is needed to follow it, neither by this agent nor by
 * the next one (`attach`), but to cancel it. exec_forget when nothing needs to be known of it any more.
 */
#ifndef AGENT_RUN_EXEC_H
#define AGENT_RUN_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ev_loop;
struct exec;
struct exec_job;

/* How long after the exit of a command its pipes are still read when something keeps them open. */
#define EXEC_DRAIN_MS 200
/* How long after kill_ns a job is answered at the latest. */
#define EXEC_STUCK_MS 100
/* Jobs at once, whatever the config says (the executor's slots). */
#define EXEC_JOBS_MAX 64

/* This program is the executor too, when it is started under that name: it is not looked for in LIBEXECDIR. */
extern bool exec_own_program;

struct exec_config {
	const char *program;		  /* NULL: infiniservice-exec beside /proc/self/exe, then in LIBEXECDIR */
	const char *socket_path;	  /* connect to this one instead; NULL: start one */
	int (*child)(int fd, void *data); /* tests: runs this in a forked helper instead of a program; NULL otherwise */
	size_t max_output_bytes;	  /* kept per stream and job when the request does not say; 0: 256 KiB */
	unsigned max_jobs;		  /* 0 or more than EXEC_JOBS_MAX: EXEC_JOBS_MAX */
	const char *detached_dir;	  /* where the files of detached runs are; with socket_path only */
	void (*lost)(void *data, int error); /* optional: the executor died (0) or could not be started (-errno) */
	void (*found)(void *data);	     /* optional: after `lost`, there is one again that has answered */
	void *lost_data;		     /* of both */
};

/* Limits of one command; 0 leaves what the executor has. */
struct exec_limits {
	uint64_t address_space_bytes; /* RLIMIT_AS */
	uint64_t file_bytes;	      /* RLIMIT_FSIZE */
	uint64_t cpu_s;		      /* RLIMIT_CPU */
	uint64_t processes;	      /* RLIMIT_NPROC, of the user as a whole */
	uint64_t open_files;	      /* RLIMIT_NOFILE */
};

struct exec_request {
	const char *const *argv; /* NULL-terminated; argv[0] is an absolute path: there is no PATH lookup */
	const char *const *envp; /* NULL-terminated "NAME=value"; NULL: none. The command sees nothing else */
	const char *cwd;	 /* absolute; NULL: "/" */
	const char *user;	 /* run as this user and its groups (needs a privileged executor); NULL: no change */
	uint64_t term_ns;	 /* CLOCK_MONOTONIC: SIGTERM to the whole tree; TIME_NEVER: never */
	uint64_t kill_ns;	 /* CLOCK_MONOTONIC: SIGKILL to the whole tree; TIME_NEVER: never */
	size_t max_output_bytes; /* kept per stream; 0: the config's */
	struct exec_limits limits;
	const char *action; /* what it is for: its name on the wire, */
	unsigned group;	    /* and its enum policy_group */
	const char *unit;   /* detached: goes on when we end, as this unit (runner_unit_valid); NULL, or no socket_path:
			       it   does not */
	bool attach;	    /* to `unit`, which has been started already: nothing else of the request is looked at but
			       deadlines */
	bool live;	    /* with `unit`: `output` is to be given everything, not only what is kept */
	unsigned operation; /* enum runner_operation: done instead of a program; argv is not looked at */
	const char *argument; /* of the operation; NULL: none */
	const int *input;     /* see runner/input.h: it is RUNNER_INPUT_FD of the command, and stays the caller's; NULL:
				 none */
};

enum exec_stream { EXEC_STDOUT, EXEC_STDERR };

struct exec_output {
	char *bytes;	/* no final NUL; NULL when empty. Freed after `done`; whoever keeps it sets this to NULL */
	size_t len;	/* kept */
	uint64_t total; /* what the command wrote (and was read); more than len: the rest was dropped */
};

/* What could not be done when the command did not start. */
enum exec_stage {
	EXEC_STAGE_NONE,
	EXEC_STAGE_RESOURCE, /* pipe, fork, memory, slots: worth another try */
	EXEC_STAGE_USER,     /* unknown user, or not permitted to become it */
	EXEC_STAGE_CWD,
	EXEC_STAGE_LIMITS,
	EXEC_STAGE_EXEC,     /* execve: ENOENT, EACCES, ENOEXEC … */
	EXEC_STAGE_POLICY,   /* the executor's own look at the policy said no: `words` */
	EXEC_STAGE_CONNECT,  /* there is no executor at socket_path */
	EXEC_STAGE_UNIT,     /* of an operation: the executor does not touch this unit: `words` */
	EXEC_STAGE_EXECUTOR, /* there is one, but it can never start or does not speak: `words` */
};

struct exec_outcome {
	bool started;
	int spawn_errno; /* positive errno when it did not start, else 0 */
	enum exec_stage spawn_stage;
	int exit_code;	/* 0-255, 128 + signal when signalled, -1 when it has none (not started, stuck, lost) */
	int signal;	/* 0 when it exited by itself */
	bool timed_out; /* the term or kill time came first, also when it never started */
	bool cancelled;
	bool oom_killed; /* it went over its memory */
	bool stuck;	 /* SIGKILL did not end it; its slot stays taken until the kernel lets it go */
	bool goes_on;	 /* with lost: it is we who end, the detached run goes on */
	bool lost;	 /* the executor died: nothing is known of the command but that it is dead */
	bool attached;	 /* it had been started by an earlier run of the agent */
	bool truncated;	 /* output dropped: over the limit, or cut off at the end of the drain time */
	struct exec_output out, err;
	int operation_error; /* of an operation that was tried: 0, or -errno; -EREMOTEIO: the peer refused */
	const char *words; /* the executor's: of a refusal, or of an operation as in struct runner_answer; never NULL */
	uint64_t duration_ns; /* from the start (or the request, when never started) to the end of the command */
};

struct exec_callbacks {
	void (*started)(void *data, pid_t pid); /* optional */
	/*
	 * Optional; everything, before the cap. `bytes` NULL: so many that were passed over, of a detached run that is
	 * not `live` or writes faster than can be read.
	 */
	void (*output)(void *data, enum exec_stream stream, const char *bytes, size_t len);
	/*
	 * Exactly once per job; the job is freed after it. exec_start and exec_cancel of other jobs are allowed
	 * inside.
	 */
	void (*done)(void *data, struct exec_outcome *outcome);
};

struct exec_stats {
	uint64_t accepted, done, failed_to_start, timed_out, cancelled, stuck, lost;
	uint64_t output_bytes, executor_starts;
	unsigned running; /* jobs not yet done */
	pid_t executor;	  /* 0: not running */
};

/* `loop` must be the default loop (it reaps). The strings of `config` are copied. NULL when out of memory. */
struct exec *exec_new(struct ev_loop *loop, const struct exec_config *config);

/*
 * Calls `done` (lost) for jobs still there, closes the socket: executor and all commands die. Accepts NULL. Returns
 * NULL. Not to be called inside a callback.
 */
struct exec *exec_free(struct exec *exec);

/*
 * Starts the executor now, so that the first job does not wait for it. 0 or -errno (a later try follows with the
 * first job): -ENOTCONN and -EHOSTDOWN as of exec_start, and what may be otherwise the next time.
 */
int exec_warm(struct exec *exec);

/* How it is with the executor, also where none was needed yet. */
enum exec_state {
	EXEC_STATE_OFF,	  /* there is nothing at socket_path, by the owner's choice */
	EXEC_STATE_IDLE,  /* nothing speaks against it */
	EXEC_STATE_READY, /* it is there */
	EXEC_STATE_FAULT, /* it can never start */
};
enum exec_state exec_state(struct exec *exec);

/* The file that is looked for: program or socket. Valid until the next call. */
const char *exec_place(struct exec *exec);

/* Why there is no executor, with the file looked for; "": nothing is known against it. Valid until the next call. */
const char *exec_fault(struct exec *exec);

/*
 * 0 and *ret (valid until its `done` returns, which never happens inside this call), or: -EINVAL (argv, cwd or
 * environment not acceptable), -E2BIG (more than 128 KiB of strings), -ENOBUFS (max_jobs running), -ESHUTDOWN (after
 * exec_stop), -ENOMEM, -ENOTCONN (there is nothing at socket_path: it is off), -EHOSTDOWN (it can never start:
 * exec_fault says why).
 */
int exec_start(struct exec *exec, const struct exec_request *request, const struct exec_callbacks *callbacks,
	       void *data, struct exec_job **ret);

/*
 * SIGTERM now, SIGKILL `grace_ns` later (0: SIGKILL at once) or at the job's own kill_ns. `done` follows with
 * `cancelled`.
 */
void exec_cancel(struct exec_job *job, uint64_t grace_ns);

/*
 * Cancels all jobs like exec_cancel, but for detached runs, and accepts no
 * more. The `done` calls of the others follow. Accepts NULL.
 */
void exec_stop(struct exec *exec, uint64_t grace_ns);

/* The end of a detached run is known to all who wanted to know it: its files go. */
void exec_forget(struct exec *exec, const char *unit);

/* Has the executor end a detached run, or let PID 1 forget one that 0.1.0 started; if there is an executor. */
void exec_cancel_unit(struct exec *exec, const char *unit);

/* Where the files of detached runs are; -1: nowhere. Stays ours. */
int exec_detached_dir(struct exec *exec);

/* The path of infiniservice-exec as exec_start would find it, for its verbs; in `path` or static. */
const char *exec_program_path(char *path, size_t size);

struct exec_stats exec_stats(const struct exec *exec);

#endif
