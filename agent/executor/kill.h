/* SPDX-License-Identifier: MIT */
/*
 * `infiniservice-exec kill PID START_TICKS TERM|KILL`: one signal to exactly the process that was meant, by whoever has
 * the right. The exit status says what came of it.
 */
#ifndef INFINISERVICE_EXECUTOR_KILL_H
#define INFINISERVICE_EXECUTOR_KILL_H

enum kill_exit {
	KILL_EXIT_DONE = 0,
	KILL_EXIT_FAILED = 1,
	KILL_EXIT_USAGE = 2,
	KILL_EXIT_GONE = 3,	 /* there is no such process, or it is another one by now */
	KILL_EXIT_PROTECTED = 4, /* pid 1 and threads of the kernel */
};

int kill_main(int argc, char *argv[]);

#endif
