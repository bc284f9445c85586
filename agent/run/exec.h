/* SPDX-License-Identifier: MIT */
/*
 * Commands as the agent sees them: a request is sent to the runner or executor (program infiniservice-exec), which
 * returns the pipes of the command. They are read here, up to a limit, and `done` is called exactly once: when the
 * command has exited and its pipes have ended (or 200 ms later, when a process left behind holds them open), at kill_ns
 * + 100 ms at the latest in any case, or when the executor is lost.
 *
 * By default the agent starts the executor itself (as runner) at the first job and restarts it with back-off when it
 * dies, which kills all commands. Whether a command may run is decided by the caller. With `socket_path` the agent
 * connects to the privileged executor of an installation (agent/executor/), which checks the policy once more.
 *
 * With `unit` such a command is a detached run, which outlives agent and executor: the command writes its output to
 * files, and its launcher writes the end record (detached_files.h). Once it has begun, this agent or the next one
 * (`attach`) follows it without an executor; only cancelling needs one. exec_forget removes its files when its result
 * is no longer needed.
 */
#ifndef AGENT_RUN_EXEC_H
#define AGENT_RUN_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/runner/protocol.h"

struct ev_loop;
struct exec;
struct exec_job;

/* How long after the exit of a command its pipes are still read when a process holds them open. */
#define EXEC_DRAIN_MS 200
/* How long after kill_ns a job is answered at the latest. */
#define EXEC_STUCK_MS 100
/* Upper bound of max_jobs (the runner's RUNNER_SLOTS). */
#define EXEC_JOBS_MAX 64

/* True: this program is infiniservice-exec too when started under that name; none is looked for in LIBEXECDIR. */
extern bool exec_own_program;

struct exec_config {
	const char *program;		  /* NULL: infiniservice-exec beside /proc/self/exe, then in LIBEXECDIR */
	const char *socket_path;	  /* connect to the executor at this path; NULL: start one */
	int (*child)(int fd, void *data); /* tests: runs this in a forked helper instead of a program; NULL otherwise */
	size_t max_output_bytes;	  /* kept per stream and job unless the request says; 0: 256 KiB */
	unsigned max_jobs;		  /* 0 or more than EXEC_JOBS_MAX: EXEC_JOBS_MAX */
	const char *detached_dir;	  /* directory for the files of detached runs; with socket_path only */
	void (*lost)(void *data, int error); /* optional: the executor died (0) or could not be started (-errno) */
	void (*found)(void *data);	     /* optional: after `lost`, an executor has answered again */
	void *lost_data;		     /* passed to `lost` and `found` */
};

struct exec_request {
	const char *const *argv; /* NULL-terminated; argv[0] is an absolute path: PATH is not searched */
	const char *const *envp; /* NULL-terminated "NAME=value", the whole environment of the command; NULL: empty */
	const char *cwd;	 /* absolute; NULL: "/" */
	const char *user;	 /* run as this user and its groups (needs a privileged executor); NULL: no change */
	uint64_t term_ns;	 /* CLOCK_MONOTONIC: SIGTERM to the whole tree; TIME_NEVER: never */
	uint64_t kill_ns;	 /* CLOCK_MONOTONIC: SIGKILL to the whole tree; TIME_NEVER: never */
	size_t max_output_bytes; /* kept per stream; 0: max_output_bytes of the config */
	uint64_t limits[RUNNER_LIMITS]; /* 0 leaves the executor's own */
	const char *action;		/* name of the action on the wire */
	unsigned group;			/* enum policy_group of the action */
	/*
	 * A detached run, which goes on when the agent ends, as this unit (runner_unit_valid); NULL, or no socket_path:
	 * not detached.
	 */
	const char *unit;
	/* Attach to `unit`, which was started earlier: only the deadlines of the request are used. */
	bool attach;
	bool live;	      /* with `unit`: `output` gets all bytes, not only those that are kept */
	unsigned operation;   /* enum runner_operation: do this instead of running a program; argv is ignored */
	const char *argument; /* of the operation; NULL: none */
	/* Becomes RUNNER_INPUT_FD of the command, see runner/protocol.h; stays the caller's. NULL: none. */
	const int *input;
};

enum exec_stream { EXEC_STDOUT, EXEC_STDERR };

struct exec_output {
	char *bytes;	/* without final NUL; NULL when empty. Freed after `done`, unless `done` takes it and sets NULL
			   here */
	size_t len;	/* bytes kept */
	uint64_t total; /* bytes that the command wrote and that were read; more than len: the rest was dropped */
};

struct exec_outcome {
	bool started;
	int spawn_errno;	       /* positive errno when it did not start, else 0 */
	enum runner_stage spawn_stage; /* the step that failed when it did not start */
	int exit_code;	/* 0-255, 128 + signal when signalled, -1 when there is none (not started, stuck, lost) */
	int signal;	/* 0 when it exited by itself */
	bool timed_out; /* the term or kill time passed, also before the start */
	bool cancelled;
	bool oom_killed; /* exceeded its memory limit */
	bool stuck;	 /* SIGKILL did not end it; its supervisor stays busy until the kernel frees the process */
	bool goes_on;	 /* with `lost`: the agent is ending, and the detached run goes on */
	bool lost;	 /* the executor died: the command is dead, and its result unknown */
	bool attached;	 /* had been started by an earlier run of the agent */
	bool truncated;	 /* output was dropped: over the limit, or not read by the end of the drain time */
	struct exec_output out, err;
	int operation_error;  /* of an operation that was tried: 0, or -errno; -EREMOTEIO: the peer refused */
	const char *words;    /* the executor's text, of a refusal or an operation (struct runner_answer); never NULL */
	uint64_t duration_ns; /* from the start (or the request, if never started) to the end of the command */
};

struct exec_callbacks {
	void (*started)(void *data, pid_t pid); /* optional */
	/*
	 * Optional; gets the output before it is cut to max_output. `bytes` NULL: `len` bytes were skipped, of a
	 * detached run that is not `live` or writes faster than can be read.
	 */
	void (*output)(void *data, enum exec_stream stream, const char *bytes, size_t len);
	/*
	 * Called exactly once per job, which is freed afterwards. It may call exec_start, and exec_cancel of other
	 * jobs.
	 */
	void (*done)(void *data, struct exec_outcome *outcome);
};

struct exec_stats {
	uint64_t accepted, done, stuck, lost, executor_starts;
	unsigned running; /* jobs not yet done */
	pid_t executor;	  /* 0: not running */
};

/* `loop` must be the default loop (SIGCHLD). The strings of `config` are copied. NULL when out of memory. */
struct exec *exec_new(struct ev_loop *loop, const struct exec_config *config);

/*
 * Calls `done` (lost) for the remaining jobs and closes the socket: an executor started by the agent and all its
 * commands die. Accepts NULL. Returns NULL. Not to be called inside a callback.
 */
struct exec *exec_free(struct exec *exec);

/*
 * Starts or connects to the executor now, so that the first job does not wait for it. 0 or -errno (the first job tries
 * again): -ENOTCONN and -EHOSTDOWN as of exec_start, or an error that may pass.
 */
int exec_warm(struct exec *exec);

/* The state of the executor, also where none was needed yet. */
enum exec_state {
	EXEC_STATE_OFF,	  /* there is no socket at socket_path: the owner has not enabled it */
	EXEC_STATE_IDLE,  /* not connected, no fault known */
	EXEC_STATE_READY, /* connected */
	EXEC_STATE_FAULT, /* it can never start */
};
enum exec_state exec_state(struct exec *exec);

/* The path of the program or socket. Valid until the next call. */
const char *exec_place(struct exec *exec);

/* Why there is no executor, with the path; "": no fault is known. Valid until the next call. */
const char *exec_fault(struct exec *exec);

/*
 * 0 and *ret (valid until its `done` returns, which never happens inside this call), or: -EINVAL (argv, cwd or
 * environment not acceptable), -E2BIG (more than 128 KiB of strings), -ENOBUFS (max_jobs running), -ESHUTDOWN (after
 * exec_stop), -ENOMEM, -ENOTCONN (there is no socket at socket_path), -EHOSTDOWN (the executor can never start:
 * exec_fault says why).
 */
int exec_start(struct exec *exec, const struct exec_request *request, const struct exec_callbacks *callbacks,
	       void *data, struct exec_job **ret);

/*
 * SIGTERM now, SIGKILL `grace_ns` later (0: SIGKILL at once) or at the job's own kill_ns. `done` follows with
 * `cancelled`.
 */
void exec_cancel(struct exec_job *job, uint64_t grace_ns);

/* Cancels all jobs but detached runs like exec_cancel, and accepts no more. Their `done` calls follow. Accepts NULL. */
void exec_stop(struct exec *exec, uint64_t grace_ns);

/* Removes the files of a detached run, when its end needs to be known no more. */
void exec_forget(struct exec *exec, const char *unit);

/* Asks the executor, if there is one, to end a detached run, or to have PID 1 forget a run that 0.1.0 started. */
void exec_cancel_unit(struct exec *exec, const char *unit);

/* A descriptor of the directory for files of detached runs, which stays the callee's; -1: none. */
int exec_detached_dir(struct exec *exec);

/* The path of infiniservice-exec, beside this program or in LIBEXECDIR; stored in `path` or static. */
const char *exec_program_path(char *path, size_t size);

struct exec_stats exec_stats(const struct exec *exec);

#endif
