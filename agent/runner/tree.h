/* SPDX-License-Identifier: MIT */
/*
 * The processes below this one, found in /proc by parent pid, and the deadlines at which they are signalled. With the
 * caller a subreaper (PR_SET_CHILD_SUBREAPER) nothing it started can leave the tree, not even by double fork and
 * setsid; and waitpid saying ECHILD means the tree is empty.
 */
#ifndef AGENT_RUNNER_TREE_H
#define AGENT_RUNNER_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tree_process {
	pid_t pid, parent;
	uint64_t start_ticks; /* together with the pid it identifies a process uniquely */
	bool dead;	      /* a zombie, not reaped yet */
	bool kernel;	      /* a kernel thread */
};

/* Parses the text of /proc/PID/stat; the name in it may hold anything. 0 or -EBADMSG. */
int tree_stat_parse(const char *text, size_t len, struct tree_process *ret);

/* Reads and parses /proc/PID/stat. 0 or -errno. */
int tree_stat_read(pid_t pid, struct tree_process *ret);

/*
 * Sends `sig` to every living descendant except the `count` pids of `except` and their descendants. Returns how many
 * there were, or -errno when /proc cannot be read. Processes may have been forked meanwhile: call until it returns 0.
 */
int tree_signal(int sig, const pid_t *except, size_t count);

/* The deadlines of one command, CLOCK_MONOTONIC; TIME_NEVER: not set, or passed. */
struct deadlines {
	uint64_t term_ns, kill_ns; /* SIGTERM and SIGKILL to the whole command */
	uint64_t stuck_ns;	   /* RUNNER_STUCK_MS after SIGKILL: the command is given up */
	uint64_t round_ns;	   /* the next pass of tree_enforce that kills the tree */
	uint64_t round_gap_ns;	   /* from that pass to the one after it; doubled each time */
	uint32_t flags;		   /* RUNNER_TIMED_OUT, _KILLED, _CANCELLED */
};

/* Two deadlines, nothing passed yet. */
struct deadlines deadlines_make(uint64_t term_ns, uint64_t kill_ns);

/* A cancel: SIGTERM is due now, SIGKILL at kill_ns if that is earlier. */
void deadlines_cancel(struct deadlines *deadlines, uint64_t kill_ns);

enum deadline { DEADLINE_NONE, DEADLINE_TERM, DEADLINE_KILL, DEADLINE_STUCK };

/* What is due at `now`; each is told once. Keeps flags and times up to date. */
enum deadline deadlines_pass(struct deadlines *deadlines, uint64_t now);

/* The earliest of the times; TIME_NEVER: none. */
uint64_t deadlines_next(const struct deadlines *deadlines);

/*
 * Signals this process's tree as its deadlines say. `root`, unless it is 0, is the command itself, a child that has not
 * been reaped: it is killed before the others, which are found by a pass over /proc. True when the command is to be
 * given up as stuck.
 */
bool tree_enforce(struct deadlines *deadlines, pid_t root, uint64_t now);

#endif
