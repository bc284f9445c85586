/* SPDX-License-Identifier: MIT */
/*
 * What the agent and the executor say to each other over a SOCK_SEQPACKET socket: fixed binary structures in the
 * machine's byte order, one message a packet, because no parser of free text belongs in the part that may hold
 * privilege. A RUN carries its strings behind the header, each ended by NUL: argv, then the environment, then cwd and
 * user ("" for none). Parsing is a pure function of bytes; every count and length is checked against the packet.
 */
#ifndef INFINISERVICE_EXECUTOR_PROTOCOL_H
#define INFINISERVICE_EXECUTOR_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#define EXECUTOR_VERSION 1
#define EXECUTOR_STRINGS_MAX (128 * 1024)
#define EXECUTOR_ARGS_MAX 1024 /* argc and envc, each */
#define EXECUTOR_MESSAGE_MAX (EXECUTOR_STRINGS_MAX + 256)
#define EXECUTOR_SLOTS 64

enum executor_op {
	EXECUTOR_RUN = 1,    /* answered by STARTED and, when that has no error, EXITED; or by REFUSED */
	EXECUTOR_CANCEL = 2, /* SIGTERM now, SIGKILL at kill_ns; no answer of its own, unknown ids are ignored */
	EXECUTOR_STOP = 3,   /* as the end of the socket: SIGKILL to all, and the executor (or supervisor) leaves */
	EXECUTOR_STARTED = 65, /* carries the read ends of stdout and stderr by SCM_RIGHTS unless error is set */
	EXECUTOR_EXITED = 66,
	EXECUTOR_REFUSED = 67, /* never started: error says why */
};

enum executor_limit {
	EXECUTOR_LIMIT_AS,
	EXECUTOR_LIMIT_FSIZE,
	EXECUTOR_LIMIT_CPU,
	EXECUTOR_LIMIT_NPROC,
	EXECUTOR_LIMIT_NOFILE,
	EXECUTOR_LIMITS,
};

/* All requests begin with this; CANCEL and STOP are nothing more (STOP: id 0). */
struct executor_request {
	uint16_t version, op;
	uint32_t size;    /* of the whole message */
	uint64_t id;      /* never 0 in RUN and CANCEL, never used twice */
	uint64_t term_ns; /* CLOCK_MONOTONIC; UINT64_MAX: never */
	uint64_t kill_ns; /* not before term_ns, unless UINT64_MAX */
};

struct executor_run {
	struct executor_request head;
	uint64_t limits[EXECUTOR_LIMITS]; /* 0: as inherited */
	int32_t oom_score_adj;            /* -1000 … 1000 */
	uint32_t argc;                    /* at least 1 */
	uint32_t envc;
	uint32_t strings; /* bytes of strings after this structure */
};

#define EXECUTOR_TIMED_OUT 1U /* a signal was sent because a deadline passed */
#define EXECUTOR_KILLED 2U    /* SIGKILL was needed */
#define EXECUTOR_CANCELLED 4U
#define EXECUTOR_STUCK 8U /* still there EXECUTOR_STUCK_MS after SIGKILL: `status` means nothing */
#define EXECUTOR_LOST 16U /* its supervisor died; the tree is killed; `status` means nothing */

#define EXECUTOR_STUCK_MS 80

enum executor_stage { /* as enum exec_stage of agent/exec.h */
	EXECUTOR_STAGE_NONE,
	EXECUTOR_STAGE_RESOURCE,
	EXECUTOR_STAGE_USER,
	EXECUTOR_STAGE_CWD,
	EXECUTOR_STAGE_LIMITS,
	EXECUTOR_STAGE_EXEC,
};

struct executor_reply {
	uint16_t version, op;
	uint32_t flags;
	uint64_t id;
	int32_t pid;    /* STARTED */
	int32_t error;  /* STARTED, REFUSED: positive errno, or 0 */
	int32_t stage;  /* with error: enum executor_stage */
	int32_t status; /* EXITED: as of waitpid */
	uint64_t end_ns; /* EXITED: when it was seen, CLOCK_MONOTONIC */
};

/* A RUN taken apart; the strings point into the message. */
struct executor_command {
	struct executor_run run;
	char *argv[EXECUTOR_ARGS_MAX + 1];
	char *envp[EXECUTOR_ARGS_MAX + 1];
	const char *cwd;  /* NULL: none given */
	const char *user; /* NULL: none given */
};

/* Checks what all requests share. 0 and *ret, -EBADMSG (sizes, op, id, deadlines) or -EPROTO (another version). */
int executor_request_parse(const void *message, size_t len, struct executor_request *ret);

/*
 * Takes a RUN apart: -EBADMSG for anything that is not exactly one well-formed RUN, -EINVAL for argv[0] or cwd that
 * is not an absolute path, an environment entry without a name, or a limit out of range. *ret is scratch on failure.
 * Writes nothing else.
 */
int executor_run_parse(char *message, size_t len, struct executor_command *ret);

/*
 * Builds a RUN: `run` with its head's id and deadlines, limits and oom_score_adj set; the counts are filled in. argv
 * and envp end with NULL; envp, cwd and user may be NULL. Returns the length written to `out` (`size` bytes), or
 * -E2BIG or -EINVAL.
 */
int64_t executor_run_build(struct executor_run run, const char *const argv[], const char *const envp[], const char *cwd,
			   const char *user, void *out, size_t size);

/* 0, or -EBADMSG when these are not the bytes of a reply. */
int executor_reply_parse(const void *message, size_t len, struct executor_reply *ret);

#endif
