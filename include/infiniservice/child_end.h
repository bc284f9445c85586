/* SPDX-License-Identifier: MIT */
/* The end of a forked child that runs none of its parent's exit handlers, and yet counts in `make coverage`. */
#ifndef INFINISERVICE_CHILD_END_H
#define INFINISERVICE_CHILD_END_H

#include <stdlib.h>
#include <unistd.h>

/* Defined in a build with --coverage; else NULL. */
extern void __gcov_dump(void) __attribute__((weak)); /* NOLINT(bugprone-reserved-identifier) */

static inline __attribute__((noreturn)) void child_end(int status)
{
	if (__gcov_dump)
		__gcov_dump();
	_exit(status);
}

#endif
