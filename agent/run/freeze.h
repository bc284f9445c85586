/* SPDX-License-Identifier: MIT */
/*
 * Freezing of file systems as the agent sees it: one at a time, begun by the executor and ended by the freeze helper,
 * with which the agent speaks over a socket of its own (agent/rules/freeze_rules.h). The helper thaws by itself when
 * the agent or the executor is gone or the time limit is over; the agent then knows why.
 *
 *	THAWED ─freeze_begin─► BEGINNING ─FROZEN─► FROZEN ─freeze_thaw─► ENDING ─THAWED─► THAWED
 *	   ▲───────────────────failed───┘           └──nobody asked: `unasked`, and the next freeze_thaw tells──► THAWED
 */
#ifndef AGENT_RUN_FREEZE_H
#define AGENT_RUN_FREEZE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/loop.h"
#include "agent/rules/freeze_rules.h"
#include "agent/run/exec.h"

enum freeze_state { FREEZE_STATE_THAWED, FREEZE_STATE_BEGINNING, FREEZE_STATE_FROZEN, FREEZE_STATE_ENDING };

struct freeze_answer {
	int error;	/* 0 or -errno; -EACCES: refused by the policy that the executor reads; -ENOTCONN: there is no
			   executor; -EALREADY, -EBUSY: see freeze_begin */
	unsigned count; /* file systems that were frozen, or thawed */
	unsigned other; /* frozen before by another program, and left; of ours thawed meanwhile by another program */
	const char *words; /* the error, or a mount point counted in `other`; never NULL */
};
/* Called once, from the loop. */
typedef void (*freeze_done_fn)(void *data, const struct freeze_answer *answer);

struct freeze_hooks {
	/* Before anything is frozen and after all is thawed: the log writer rests in between. */
	void (*frozen)(void *data, bool frozen);
	/* Thawed though no host asked for it: `words` say why. */
	void (*unasked)(void *data, const char *words);
	void *data;
};

struct freeze {
	struct loop *loop;
	struct exec *executor;
	struct freeze_hooks hooks;
	enum freeze_state state;
	struct exec_job *job;
	int fd; /* to the helper; -1: none */
	ev_io io;
	struct deadline late;
	freeze_done_fn done, status_done;
	void *done_data, *status_data;
	unsigned count;	   /* file systems frozen */
	char unasked[256]; /* why all was thawed though nobody asked; "": told, or not so */
	char marker[4096]; /* path of a file that is there from the begin of a freeze until its thaw was told; "": none
			    */
	char words[320];   /* of the present answer */
};

/*
 * `executor`: the privileged one. `loop` and `freeze` must not move. `runtime_dir` (NULL: none) keeps a file by which
 * the next agent knows that this one ended while file systems were frozen, so that its first thaw tells the host.
 */
void freeze_init(struct freeze *freeze, struct loop *loop, struct exec *executor, const char *runtime_dir,
		 const struct freeze_hooks *hooks);
/* Closes the socket, by which the helper thaws. What is waited for is not answered. Accepts zeroed memory. */
void freeze_done(struct freeze *freeze);

/*
 * Freezes: `action` is guest-fsfreeze-freeze or guest-fsfreeze-freeze-list, `mounts` the mount points of the latter
 * separated by '\n', or "" for all. 0: `done` follows; or -EALREADY (frozen), -EBUSY (freezing or thawing), -E2BIG,
 * -ENOTCONN and -EHOSTDOWN as of exec_start, or another -errno.
 */
int freeze_begin(struct freeze *freeze, const char *action, const char *mounts, freeze_done_fn done, void *data);

/*
 * Thaws. 0: `done` follows. Where nothing is frozen it answers at once with 0 file systems; but once with -ESTALE and
 * the reason, when all was thawed though nobody asked: the backup made meanwhile is not whole.
 */
int freeze_thaw(struct freeze *freeze, freeze_done_fn done, void *data);

/*
 * Asks the helper: `done` gets the number of file systems that are frozen now, 0 where there is no helper. 0, or
 * -EBUSY: it is being asked already.
 */
int freeze_status(struct freeze *freeze, freeze_done_fn done, void *data);

/* True from before the first file system is frozen until the last is thawed; also while one is that an earlier agent
 * had frozen and whose helper is just thawing it. */
bool freeze_is_frozen(const struct freeze *freeze);

#endif
