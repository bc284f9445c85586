/* SPDX-License-Identifier: MIT */
/*
 * The processes below this one, found in /proc by parent pid. With the caller a subreaper (PR_SET_CHILD_SUBREAPER)
 * nothing it started can leave the tree, not even by double fork and setsid; and waitpid saying ECHILD means the tree
 * is empty.
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

/*
 * Sends `sig` to every living descendant except the `count` pids of `except` and their descendants. Returns how many
 * there were, or -errno when /proc cannot be read. Processes may have been forked meanwhile: call until it returns 0.
 */
int tree_signal(int sig, const pid_t *except, size_t count);

#endif
