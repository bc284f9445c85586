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
	uint64_t start_ticks; /* with the pid it names one process for good */
	bool dead;	      /* zombie: only waits for its parent */
	bool kernel;	      /* a thread of the kernel */
};

/* Parses the text of /proc/PID/stat; the name in it may hold anything. 0 or -EBADMSG. */
int tree_stat_parse(const char *text, size_t len, struct tree_process *ret);

/*
 * Sends `sig` to every living descendant, those below the `count` pids of `except` (and these) left out. Returns
 * how many there were, or -errno when /proc cannot be read. New ones may have been born meanwhile: call until 0.
 */
int tree_signal(int sig, const pid_t *except, size_t count);

#endif
