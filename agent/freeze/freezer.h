/* SPDX-License-Identifier: MIT */
/*
 * The freeze helper: a program that PID 1 starts for the executor as a transient unit before anything is frozen. It
 * holds a descriptor of each mount, and while file systems are frozen it waits in memory alone: all its pages are
 * locked, and it allocates, logs and asks nobody. See agent/rules/freeze_rules.h for what it is told and tells.
 *
 *	order ─► mountinfo ─► descriptors, record in /run ─► mlockall ─► FIFREEZE … ─► FROZEN
 *	THAW, time limit, SIGTERM, end of a socket ─► FITHAW … ─► record removed ─► THAWED
 *	killed ─► PID 1 runs `infiniservice-exec thaw`, which thaws by the record
 */
#ifndef AGENT_FREEZE_FREEZER_H
#define AGENT_FREEZE_FREEZER_H

#include "agent/freeze/kernel.h"
#include "agent/rules/freeze_rules.h"

struct freezer_options {
	int agent_fd, executor_fd;
	int root_fd;		 /* of "/", for /run and /sys */
	const char *mounts_path; /* the text of mountinfo */
	uint64_t limit_ns;	 /* 0: the order's limit; tests need a shorter one */
	const struct freeze_kernel *kernel;
};

/*
 * Takes the order from executor_fd, freezes, waits and thaws. Returns the exit status: 0, or 1 when nothing was frozen
 * or something could not be thawed.
 */
int freezer_run(const struct freezer_options *options);

/*
 * Thaws what the record names, and removes it. Prints what could not be thawed to stderr, at the end. 0 also where
 * there is no record, and for what is mounted no more; 1 when something stays frozen, and then the record stays too.
 */
int freezer_thaw_recorded(int root_fd, const char *mounts_path, const struct freeze_kernel *kernel);

/*
 * The verbs of infiniservice-exec: `freeze`, with the two sockets as stdin and stdout; `thaw`, without arguments. They
 * return the exit status.
 */
int freeze_main(int argc, char *argv[]);
int thaw_main(int argc, char *argv[]);

/*
 * `infiniservice-exec trim MINIMUM`: discards unused blocks (FITRIM) of every file system that is not read-only, and
 * prints for each one line: "PATH TRIMMED MINIMUM" in bytes, or "PATH - ERROR"; the path escaped as in mountinfo.
 */
int trim_main(int argc, char *argv[]);

#endif
