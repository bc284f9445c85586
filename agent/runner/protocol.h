/* SPDX-License-Identifier: MIT */
/*
 * The protocol between the agent and the runner or executor, over a SOCK_SEQPACKET socket: fixed binary structures in
 * the machine's byte order, one message a packet, because a parser of free text does not belong in a privileged
 * program. A RUN carries its strings behind the header, each ended by NUL: argv, then the environment, then cwd, user,
 * action and unit ("" for none); an OPERATION carries action and argument. Parsing is a pure function of bytes; every
 * count and length is checked against the packet.
 *
 * A detached RUN outlives agent and executor. Three files of the agent come with it by SCM_RIGHTS: stdout, stderr, and
 * the file for its end record; the agent, also after a restart, learns of the end from that file alone.
 * The agent chooses the name of the run's unit, by which the run can be cancelled.
 *
 * Two programs speak it: the runner that the agent starts itself (runner.h), which runs every command it is sent, and
 * the privileged executor of an installation (agent/executor/), which checks the policy first and is the only one to do
 * operations.
 */
#ifndef AGENT_RUNNER_PROTOCOL_H
#define AGENT_RUNNER_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RUNNER_VERSION	   5
#define RUNNER_STRINGS_MAX (128 * 1024)
#define RUNNER_ARGS_MAX	   1024 /* argc and envc, each */
#define RUNNER_MESSAGE_MAX (RUNNER_STRINGS_MAX + 256)
#define RUNNER_SLOTS	   64
#define RUNNER_TEXT_MAX	   512 /* bytes behind a reply, NUL included */
#define RUNNER_UNIT_SIZE   34  /* bytes of the agent's part of a unit name: 16 digits, a dash, 16 digits, NUL */

enum runner_op {
	RUNNER_RUN = 1, /* answered by STARTED and then (unless STARTED has an error, or the run is detached) EXITED; or
			   by REFUSED */
	RUNNER_CANCEL = 2, /* SIGTERM now, SIGKILL at kill_ns; no reply of its own, unknown ids are ignored */
	RUNNER_STOP = 3, /* like the end of the socket: SIGKILL to all commands, and the runner (or supervisor) exits */
	RUNNER_OPERATION = 4,	    /* a privileged operation without a program; answered by ANSWERED or REFUSED */
	RUNNER_CANCEL_DETACHED = 5, /* CANCEL of a detached run, also when an earlier agent started it; no reply */
	RUNNER_STARTED = 65,	    /* carries the read ends of stdout and stderr by SCM_RIGHTS, unless detached */
	RUNNER_EXITED = 66,	    /* not sent for a detached run */
	RUNNER_REFUSED = 67,	    /* not started: `error` is the reason */
	RUNNER_ANSWERED = 68,	    /* the operation was done (error 0) or failed; the peer's text follows */
};

/* Privileged operations: each is one call to the service manager or the login manager. */
enum runner_operation {
	RUNNER_OPERATION_NONE,
	RUNNER_OPERATION_START, /* START, STOP and RESTART of a unit are answered when the job has ended, with its
				   result */
	RUNNER_OPERATION_STOP,
	RUNNER_OPERATION_RESTART,
	RUNNER_OPERATION_ENABLE, /* ENABLE and DISABLE a unit file; the manager is reloaded afterwards */
	RUNNER_OPERATION_DISABLE,
	RUNNER_OPERATION_REBOOT, /* REBOOT to HYBRID_SLEEP have no argument */
	RUNNER_OPERATION_POWER_OFF,
	RUNNER_OPERATION_HALT,
	RUNNER_OPERATION_SUSPEND, /* to memory; to disk; to both. Answered when the machine goes on, or when it cannot
				   */
	RUNNER_OPERATION_HIBERNATE,
	RUNNER_OPERATION_HYBRID_SLEEP,
	RUNNER_OPERATION_FREEZE, /* of file systems, with a socket (agent/rules/freeze_rules.h); the argument is the
				    mount points */
	RUNNER_OPERATIONS,
};

enum runner_limit {
	RUNNER_LIMIT_AS,     /* address space, bytes */
	RUNNER_LIMIT_FSIZE,  /* a file, bytes */
	RUNNER_LIMIT_CPU,    /* seconds */
	RUNNER_LIMIT_NPROC,  /* processes of the user as a whole */
	RUNNER_LIMIT_NOFILE, /* open files */
	RUNNER_LIMITS,
};

/* The beginning of every request; CANCEL and STOP consist of it alone (STOP: id 0). */
struct runner_request {
	uint16_t version, op;
	uint32_t size;	  /* bytes of the whole message */
	uint64_t id;	  /* never 0 in RUN and CANCEL; each is used once */
	uint64_t term_ns; /* CLOCK_MONOTONIC; UINT64_MAX: never */
	uint64_t kill_ns; /* at or after term_ns */
};

struct runner_run {
	struct runner_request head;
	uint64_t limits[RUNNER_LIMITS]; /* RLIMIT_… values; 0: inherited */
	int32_t oom_score_adj;		/* -1000 … 1000 */
	uint32_t argc;			/* at least 1 */
	uint32_t envc;
	uint32_t strings; /* bytes of strings behind this structure */
	uint32_t group;	  /* enum policy_group of the action */
	uint32_t flags;	  /* RUNNER_RUN_… */
};

#define RUNNER_RUN_DETACHED 1U /* goes on when agent and executor end */
#define RUNNER_RUN_INPUT                                                                                               \
	2U /* an input comes along (input_new) and becomes RUNNER_INPUT_FD of the command; not with DETACHED */

#define RUNNER_INPUT_FD	  3
#define RUNNER_INPUT_PATH "/proc/self/fd/3"

struct runner_detached_cancel {
	struct runner_request head;
	char unit[40]; /* a valid name, ended by NUL */
};

struct runner_operation_request {
	struct runner_request head;
	uint32_t operation; /* enum runner_operation */
	uint32_t group;
	uint32_t strings;
	uint32_t reserved;
};

#define RUNNER_TIMED_OUT 1U /* a deadline passed and a signal was sent */
#define RUNNER_KILLED	 2U /* SIGKILL was sent */
#define RUNNER_CANCELLED 4U
#define RUNNER_STUCK	 8U  /* not ended RUNNER_STUCK_MS after SIGKILL; `status` is undefined */
#define RUNNER_LOST	 16U /* its supervisor died and the tree was killed; `status` is undefined */

#define RUNNER_OOM 32U /* killed for exceeding its memory limit */

#define RUNNER_STUCK_MS 80

/* The step that failed when a command did not start. */
enum runner_stage {
	RUNNER_STAGE_NONE,
	RUNNER_STAGE_RESOURCE, /* pipe, fork, memory, permits: worth another try */
	RUNNER_STAGE_USER,     /* unknown user, or not permitted to become it */
	RUNNER_STAGE_CWD,
	RUNNER_STAGE_LIMITS,
	RUNNER_STAGE_EXEC,     /* execve: ENOENT, EACCES, ENOEXEC … */
	RUNNER_STAGE_POLICY,   /* the executor's policy check refused it: the text is the reason */
	RUNNER_STAGE_CONNECT,  /* there is no executor; set by the agent itself, never in a reply */
	RUNNER_STAGE_UNIT,     /* the operation's unit must not be controlled (agent/rules/unit_rules.h): the text */
	RUNNER_STAGE_EXECUTOR, /* the executor can never start, or does not speak the protocol: the text */
};

struct runner_reply {
	uint16_t version, op;
	uint32_t flags;
	uint64_t id;
	int32_t pid;	 /* STARTED */
	int32_t error;	 /* STARTED, REFUSED: positive errno, or 0 */
	int32_t stage;	 /* with `error`: enum runner_stage */
	int32_t status;	 /* EXITED: as of waitpid */
	uint64_t end_ns; /* EXITED: when the exit was seen, CLOCK_MONOTONIC */
	uint32_t text,
		reserved; /* REFUSED, ANSWERED: bytes behind this structure, NUL included; at most RUNNER_TEXT_MAX */
};

/*
 * A reply with its text: of REFUSED the reason, or ""; of ANSWERED the result (error 0), else the name of the peer's
 * error, a blank, and its text.
 */
struct runner_answer {
	struct runner_reply reply;
	char text[RUNNER_TEXT_MAX];
};

/* A parsed RUN; the strings point into the message. */
struct runner_command {
	struct runner_run run;
	char *argv[RUNNER_ARGS_MAX + 1];
	char *envp[RUNNER_ARGS_MAX + 1];
	const char *cwd;    /* NULL: none */
	const char *user;   /* NULL: none */
	const char *action; /* NULL: none */
	const char *unit;   /* NULL: not detached */
};

/* A parsed OPERATION; the strings point into the message. */
struct runner_call {
	struct runner_operation_request operation;
	const char *action, *argument; /* never NULL */
};

/*
 * Checks the part common to all requests. 0 and *ret, -EBADMSG (sizes, op, id, deadlines) or -EPROTO (another version).
 */
int runner_request_parse(const void *message, size_t len, struct runner_request *ret);

/*
 * Whether `unit` has the form of the agent's part of a detached run's unit name: hexadecimal digits, a dash,
 * hexadecimal digits.
 */
bool runner_unit_valid(const char *unit);

/*
 * Parses a RUN: -EBADMSG for anything that is not exactly one well-formed RUN (detached: with a valid unit), -EINVAL
 * for argv[0] or cwd that is not an absolute path, an environment entry without a name, or a limit out of range. *ret
 * is undefined on failure. Changes nothing else.
 */
int runner_run_parse(char *message, size_t len, struct runner_command *ret);

/*
 * Builds a RUN: `run` has id and deadlines of its head, limits and oom_score_adj set; the counts are filled in. argv
 * and envp end with NULL; envp, cwd, user, action and unit may be NULL. Returns the length written to `out` (`size`
 * bytes), or -E2BIG or -EINVAL.
 */
int64_t runner_run_build(struct runner_run run, const char *const argv[], const char *const envp[], const char *cwd,
			 const char *user, const char *action, const char *unit, void *out, size_t size);

/* Parses a CANCEL_DETACHED: 0, -EBADMSG or -EPROTO. */
int runner_detached_cancel_parse(const void *message, size_t len, struct runner_detached_cancel *ret);

/* Makes a CANCEL_DETACHED for a valid unit name. */
struct runner_detached_cancel runner_detached_cancel_make(uint64_t id, const char *unit);

/* Parses an OPERATION: 0, -EBADMSG or -EPROTO. */
int runner_operation_parse(char *message, size_t len, struct runner_call *ret);

/* Builds an OPERATION: `operation` has id, deadlines, operation and group set. The length, or -E2BIG. */
int64_t runner_operation_build(struct runner_operation_request operation, const char *action, const char *argument,
			       void *out, size_t size);

/* Parses a reply: 0, or -EBADMSG. The text always ends with NUL. */
int runner_reply_parse(const void *message, size_t len, struct runner_answer *ret);

/* Puts `text`, cut to fit, and the sizes into the reply; the number of bytes to send. */
size_t runner_answer_fill(struct runner_answer *answer, const char *text);

/* ---- packets with their descriptors (SCM_RIGHTS) */

#define PACKET_FDS 3

/*
 * As recvmsg without blocking. `fds` are the descriptors received, the caller's to close, else -1. Descriptors beyond
 * PACKET_FDS are discarded by the kernel.
 */
ssize_t packet_receive(int fd, void *bytes, size_t size, int flags, int fds[PACKET_FDS]);

/* As sendmsg without blocking; `count` descriptors, at most PACKET_FDS, are passed along and stay open here. */
ssize_t packet_send(int fd, const void *bytes, size_t len, const int *fds, size_t count);

/* Closes all descriptors and sets them to -1. */
void packet_close(int fds[PACKET_FDS]);

/*
 * ---- the end record: how a detached run ended, one line of text in a file of the agent, written in one call by the
 * launcher, the run's parent (agent/executor/launch.h), and read by the agent, also after a restart
 */

#define END_RECORD_MAX 128 /* bytes */

struct end_record {
	uint32_t flags;	 /* RUNNER_TIMED_OUT, _KILLED, _CANCELLED, _STUCK, _OOM */
	int32_t status;	 /* as of waitpid; undefined with RUNNER_STUCK */
	int32_t error;	 /* positive errno: the program was not started; 0 otherwise */
	int32_t stage;	 /* with error: enum runner_stage, the step that failed; 0 otherwise */
	uint64_t end_ns; /* CLOCK_MONOTONIC */
};

/* Writes the line, newline included, without NUL; its length. */
size_t end_record_format(const struct end_record *record, char out[END_RECORD_MAX]);

/* 0, or -EBADMSG for anything but exactly one line as end_record_format writes it. */
int end_record_parse(const char *text, size_t len, struct end_record *ret);

/*
 * ---- the input: the text that a command reads from a descriptor (RUNNER_RUN_INPUT), a sealed memory file. Its reader
 * gets exactly what was written and never blocks, and the file has no name by which another process could open it.
 * Scripts are passed to their interpreter this way.
 */

#define INPUT_MAX (16 << 20) /* bytes; the upper bound of port.max_line_bytes */

/*
 * Makes a sealed memory file with these bytes, readable by the user of any process that gets the descriptor. A
 * descriptor or -errno (-E2BIG: more than INPUT_MAX).
 */
int input_new(const char *bytes, size_t len);

/* The length of an input; -EBADMSG when `fd` is no memory file, is not sealed, or is larger than INPUT_MAX. */
ssize_t input_check(int fd);

/* Copies `len` bytes at `from_at` of one file to `to_at` of another. 0 or -errno (-EBADMSG: there are fewer). */
int input_copy(int from, off_t from_at, size_t len, int to, off_t to_at);

/* Makes a sealed memory file from `len` bytes at `offset` of another file. A descriptor or -errno. */
int input_take(int from, off_t offset, size_t len);

#endif
