/* SPDX-License-Identifier: MIT */
/*
 * What agent, executor and freeze helper have to agree on. The agent makes a socket (SOCK_SEQPACKET) and passes one end
 * with its request; the helper, a unit of its own, gets that end and one of the executor's. It freezes at once and
 * tells, and thaws when it is told to, at its time limit, on SIGTERM, or when either socket ends:
 *
 *	agent ─OPERATION FREEZE, socket─► executor ─StartTransientUnit─► hooks ─► helper ─FROZEN or FAILED─► agent
 *	agent ─THAW, STATUS─► helper ─THAWED, STATUS─► agent
 */
#ifndef AGENT_RULES_FREEZE_RULES_H
#define AGENT_RULES_FREEZE_RULES_H

#include <stddef.h>
#include <stdint.h>

/* Time that all hooks together have before a freeze, and again after the thaw. */
#define FREEZE_HOOKS_S 60

/* A file there means that file systems are frozen, or were until their helper died a moment ago. */
#define FREEZE_RECORD_DIR  "infiniservice-root" /* in /run */
#define FREEZE_RECORD_NAME "frozen"
#define FREEZE_RECORD_PATH "/run/" FREEZE_RECORD_DIR "/" FREEZE_RECORD_NAME

/* From the agent: one packet of one byte. */
enum freeze_request {
	FREEZE_ASK_THAW = 'T',
	FREEZE_ASK_STATUS = 'S',
};

enum freeze_message_kind {
	FREEZE_FROZEN = 1, /* the file systems are frozen */
	FREEZE_FAILED,	   /* they are not, and the helper ends: `error`, text */
	FREEZE_THAWED,	   /* they are thawed, and the helper ends: `reason` */
	FREEZE_STATUS,
};

enum freeze_reason {
	FREEZE_ASKED,	      /* the agent asked for it */
	FREEZE_TIME_LIMIT,    /* [qga] freeze_max_s */
	FREEZE_AGENT_GONE,    /* nobody is told */
	FREEZE_EXECUTOR_GONE, /* the executor ended, or was killed */
	FREEZE_STOPPED,	      /* SIGTERM: the unit was stopped */
	FREEZE_REASONS,
};

/* From the helper to the agent. */
struct freeze_message {
	uint32_t kind;
	uint32_t reason;
	int32_t error;	/* FAILED: positive errno */
	uint32_t count; /* FROZEN, STATUS: file systems frozen by the helper; THAWED: those it thawed */
	uint32_t other; /* FROZEN: that were frozen already, by another program, and stay its own; STATUS, THAWED: of
			   ours that another program has thawed meanwhile */
	uint32_t text_len;
	char text[256]; /* FAILED: what failed, with the mount point; FROZEN: a mount point counted in `other` */
};

#define FREEZE_ORDER_TEXT 16384

/* From the helper to the executor: one byte, when all is thawed. From the executor to the helper, one packet: */
struct freeze_order {
	uint32_t limit_s;
	uint32_t len;		      /* bytes of text used */
	char text[FREEZE_ORDER_TEXT]; /* mount points, each ended by NUL; empty: all file systems */
};

/*
 * The argument of the operation: mount points separated by '\n' (a mount point with that byte cannot be named); "" for
 * all. The text of the order from it: its length, or -1 (not absolute, too long).
 */
int freeze_order_fill(struct freeze_order *order, uint32_t limit_s, const char *argument);

#endif
