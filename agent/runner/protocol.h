/* SPDX-License-Identifier: MIT */
/*
 * What the agent and the runner or executor say to each other over a SOCK_SEQPACKET socket: fixed binary structures in
 * the machine's byte order, one message a packet, because no parser of free text belongs in the part that may hold
 * privilege. A RUN carries its strings behind the header, each ended by NUL: argv, then the environment, then cwd,
 * user, action and unit ("" for none); an OPERATION action and argument. Parsing is a pure function of bytes; every
 * count and length is checked against the packet.
 *
 * A detached RUN outlives both of them. Three files of the agent's come with it by SCM_RIGHTS: stdout, stderr, and the
 * one that its end is written to (end_record.h); the agent, or the next one, learns of the end from that file alone.
 * Its unit has a name that the agent chose, by which it can be cancelled.
 *
 * Two programs speak it: the runner that the agent starts for itself (runner.h), which runs what it is told, and
 * the one that an installation starts with privilege (agent/executor/), which asks the policy first and alone does
 * operations.
 */
#ifndef AGENT_RUNNER_PROTOCOL_H
#define AGENT_RUNNER_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUNNER_VERSION	   4
#define RUNNER_STRINGS_MAX (128 * 1024)
#define RUNNER_ARGS_MAX	   1024 /* argc and envc, each */
#define RUNNER_MESSAGE_MAX (RUNNER_STRINGS_MAX + 256)
#define RUNNER_SLOTS	   64
#define RUNNER_TEXT_MAX	   512 /* behind a reply */
#define RUNNER_UNIT_SIZE   34  /* of the agent's part of a detached run's unit: 16 digits, a dash, 16 digits, NUL */

enum runner_op {
	RUNNER_RUN = 1,	      /* answered by STARTED and, when that has no error, EXITED; or by REFUSED */
	RUNNER_CANCEL = 2,    /* SIGTERM now, SIGKILL at kill_ns; no answer of its own, unknown ids are ignored */
	RUNNER_STOP = 3,      /* as the end of the socket: SIGKILL to all, and the runner (or supervisor) leaves */
	RUNNER_OPERATION = 4, /* something done for the agent without a program; answered by ANSWERED or REFUSED */
	RUNNER_CANCEL_DETACHED = 5, /* as CANCEL, of a detached run of whichever agent; no answer */
	RUNNER_STARTED = 65,	    /* carries the read ends of stdout and stderr by SCM_RIGHTS, unless detached */
	RUNNER_EXITED = 66,	    /* never of a detached run */
	RUNNER_REFUSED = 67,	    /* never started: error says why */
	RUNNER_ANSWERED = 68,	    /* an operation was done (error 0), or could not be: the peer's words follow */
};

/* What needs rights and is one call to the service manager or the login manager. */
enum runner_operation {
	RUNNER_OPERATION_NONE,
	RUNNER_OPERATION_START, /* a unit; these three are answered when the job has ended, with its result */
	RUNNER_OPERATION_STOP,
	RUNNER_OPERATION_RESTART,
	RUNNER_OPERATION_ENABLE, /* a unit's file; the manager is reloaded then */
	RUNNER_OPERATION_DISABLE,
	RUNNER_OPERATION_REBOOT, /* no argument */
	RUNNER_OPERATION_POWER_OFF,
	RUNNER_OPERATIONS,
};

enum runner_limit {
	RUNNER_LIMIT_AS,
	RUNNER_LIMIT_FSIZE,
	RUNNER_LIMIT_CPU,
	RUNNER_LIMIT_NPROC,
	RUNNER_LIMIT_NOFILE,
	RUNNER_LIMITS,
};

/* All requests begin with this; CANCEL and STOP are nothing more (STOP: id 0). */
struct runner_request {
	uint16_t version, op;
	uint32_t size;	  /* of the whole message */
	uint64_t id;	  /* never 0 in RUN and CANCEL, never used twice */
	uint64_t term_ns; /* CLOCK_MONOTONIC; UINT64_MAX: never */
	uint64_t kill_ns; /* not before term_ns, unless UINT64_MAX */
};

struct runner_run {
	struct runner_request head;
	uint64_t limits[RUNNER_LIMITS]; /* 0: as inherited */
	int32_t oom_score_adj;		/* -1000 … 1000 */
	uint32_t argc;			/* at least 1 */
	uint32_t envc;
	uint32_t strings; /* bytes of strings after this structure */
	uint32_t group;	  /* enum policy_group of the action that it is for */
	uint32_t flags;	  /* RUNNER_RUN_… */
};

#define RUNNER_RUN_DETACHED 1U /* goes on when agent and executor end */
#define RUNNER_RUN_INPUT                                                                                               \
	2U /* a descriptor comes along, see input.h: it is RUNNER_INPUT_FD of the command; not with DETACHED */

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

#define RUNNER_TIMED_OUT 1U /* a signal was sent because a deadline passed */
#define RUNNER_KILLED	 2U /* SIGKILL was needed */
#define RUNNER_CANCELLED 4U
#define RUNNER_STUCK	 8U  /* still there RUNNER_STUCK_MS after SIGKILL: `status` means nothing */
#define RUNNER_LOST	 16U /* its supervisor died; the tree is killed; `status` means nothing */

#define RUNNER_OOM 32U /* killed because it went over its memory */

#define RUNNER_STUCK_MS 80

enum runner_stage { /* as enum exec_stage of agent/run/exec.h */
		    RUNNER_STAGE_NONE,
		    RUNNER_STAGE_RESOURCE,
		    RUNNER_STAGE_USER,
		    RUNNER_STAGE_CWD,
		    RUNNER_STAGE_LIMITS,
		    RUNNER_STAGE_EXEC,
		    RUNNER_STAGE_POLICY,  /* the executor's own look at the policy said no */
		    RUNNER_STAGE_CONNECT, /* the agent's own: never in a reply */
		    RUNNER_STAGE_UNIT, /* of an operation: its unit is not to be controlled (agent/rules/unit_rules.h)
					*/
		    RUNNER_STAGE_EXECUTOR, /* the executor can do nothing at all, for what the words say */
};

struct runner_reply {
	uint16_t version, op;
	uint32_t flags;
	uint64_t id;
	int32_t pid;	 /* STARTED */
	int32_t error;	 /* STARTED, REFUSED: positive errno, or 0 */
	int32_t stage;	 /* with error: enum runner_stage */
	int32_t status;	 /* EXITED: as of waitpid */
	uint64_t end_ns; /* EXITED: when it was seen, CLOCK_MONOTONIC */
	uint32_t text,
		reserved; /* REFUSED, ANSWERED: bytes behind this structure, NUL included; at most RUNNER_TEXT_MAX */
};

/*
 * A reply with its words: of REFUSED what is to be told, or ""; of ANSWERED the result (error 0), else the name of the
 * peer's error, a blank, and its words.
 */
struct runner_answer {
	struct runner_reply reply;
	char text[RUNNER_TEXT_MAX];
};

/* A RUN taken apart; the strings point into the message. */
struct runner_command {
	struct runner_run run;
	char *argv[RUNNER_ARGS_MAX + 1];
	char *envp[RUNNER_ARGS_MAX + 1];
	const char *cwd;    /* NULL: none given */
	const char *user;   /* NULL: none given */
	const char *action; /* NULL: none given */
	const char *unit;   /* NULL: not detached */
};

/* The same of a OPERATION. */
struct runner_call {
	struct runner_operation_request operation;
	const char *action, *argument; /* never NULL */
};

/* Checks what all requests share. 0 and *ret, -EBADMSG (sizes, op, id, deadlines) or -EPROTO (another version). */
int runner_request_parse(const void *message, size_t len, struct runner_request *ret);

/* Whether this may be the agent's part of the name of a detached run's unit: hexadecimal digits, a dash, hexadecimal
 * digits. */
bool runner_unit_valid(const char *unit);

/*
 * Takes a RUN apart: -EBADMSG for anything that is not exactly one well-formed RUN (detached: with a valid unit),
 * -EINVAL for argv[0] or cwd that is not an absolute path, an environment entry without a name, or a limit out of
 * range. *ret is scratch on failure. Writes nothing else.
 */
int runner_run_parse(char *message, size_t len, struct runner_command *ret);

/*
 * Builds a RUN: `run` with its head's id and deadlines, limits and oom_score_adj set; the counts are filled in. argv
 * and envp end with NULL; envp, cwd, user, action and unit may be NULL. Returns the length written to `out` (`size`
 * bytes), or -E2BIG or -EINVAL.
 */
int64_t runner_run_build(struct runner_run run, const char *const argv[], const char *const envp[], const char *cwd,
			 const char *user, const char *action, const char *unit, void *out, size_t size);

/* A CANCEL_DETACHED: 0, -EBADMSG or -EPROTO. */
int runner_detached_cancel_parse(const void *message, size_t len, struct runner_detached_cancel *ret);

/* Makes one for a valid name. */
struct runner_detached_cancel runner_detached_cancel_make(uint64_t id, const char *unit);

/* A OPERATION taken apart: 0, -EBADMSG or -EPROTO. */
int runner_operation_parse(char *message, size_t len, struct runner_call *ret);

/* Builds a OPERATION: id, deadlines, operation and group set. The length, or -E2BIG. */
int64_t runner_operation_build(struct runner_operation_request operation, const char *action, const char *argument,
			       void *out, size_t size);

/* 0, or -EBADMSG when these are not the bytes of a reply. The text is always ended. */
int runner_reply_parse(const void *message, size_t len, struct runner_answer *ret);

/* The bytes of a reply to send, its text cut to fit and counted in. */
size_t runner_answer_fill(struct runner_answer *answer, const char *text);

#endif
