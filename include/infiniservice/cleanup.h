/* SPDX-License-Identifier: MIT */
/*
 * Ownership as a declaration: a variable marked _cleanup_(f) is released when its scope ends, on every path.
 * Initialise it on the line that declares it. TAKE_PTR and TAKE_FD are the visible hand-over to another owner.
 * cmocka leaves a failing test by longjmp, which skips these: tests keep resources in setup and teardown.
 */
#ifndef INFINISERVICE_CLEANUP_H
#define INFINISERVICE_CLEANUP_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

/* Frees what the pointer variable at `p` points to. */
static inline void freep(void *p)
{
	free(*(void **)p);
}

/* Closes *fd if it is open (>= 0) and keeps errno. */
static inline void closep(const int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
	}
}

/* Closes the stream if there is one. */
static inline void fclosep(FILE **stream)
{
	if (*stream)
		fclose(*stream);
}

/* Closes *fd once and sets it to -1. */
static inline void close_fd(int *fd)
{
	closep(fd);
	*fd = -1;
}

#define TAKE_PTR(ptr)                                                                                                  \
	({                                                                                                             \
		__typeof__(ptr) _taken = ptr;                                                                          \
		(ptr) = NULL;                                                                                          \
		_taken;                                                                                                \
	})

#define TAKE_FD(fd)                                                                                                    \
	({                                                                                                             \
		int _taken = fd;                                                                                       \
		(fd) = -1;                                                                                             \
		_taken;                                                                                                \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
