/* SPDX-License-Identifier: MIT */
/*
 * The files of a command that outlives us: what it writes to its stdout and stderr, in a directory in memory, so that
 * the next agent finds it. Read as they grow, woken by inotify; what has been read and will not be read again is cut
 * out of them, so that the memory they take stays within what is kept of an output.
 *
 *	keep-UNIT.out  keep-UNIT.err  keep-UNIT.note (what its action has to know after a restart)
 */
#ifndef AGENT_RUN_EXEC_KEEP_H
#define AGENT_RUN_EXEC_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define EXEC_KEEP_PREFIX "keep-"

struct exec_keep {
	int files[2];	 /* to read from and to cut; -1: none */
	int writers[2];	 /* for the executor; -1 once it has them */
	int watch;	 /* inotify; -1: none, then they are read at the end */
	uint64_t cut[2]; /* where the hole ends */
};

#define EXEC_KEEP_NONE ((struct exec_keep){ .files = { -1, -1 }, .writers = { -1, -1 }, .watch = -1 })

/* Makes the files of a new unit. 0 or -errno, and then nothing is left of them. */
int exec_keep_create(struct exec_keep *keep, int dir_fd, const char *unit);

/* Opens those of one that runs, or has ended. */
int exec_keep_open(struct exec_keep *keep, int dir_fd, const char *unit);

void exec_keep_close(struct exec_keep *keep);
void exec_keep_close_writers(struct exec_keep *keep);

/* Reads on at `at`. As pread, with 0 where the file ends for now. */
ssize_t exec_keep_read(const struct exec_keep *keep, int stream, void *out, size_t size, uint64_t at);

/* How much has been written so far. */
uint64_t exec_keep_size(const struct exec_keep *keep, int stream);

/* What lies between `from` and `to` is needed no more. */
void exec_keep_cut(struct exec_keep *keep, int stream, uint64_t from, uint64_t to);

/* Takes what inotify has to say: that something was written. */
void exec_keep_woken(const struct exec_keep *keep);

/* The three files are no longer wanted. */
void exec_keep_remove(int dir_fd, const char *unit);

/* All that belongs to no unit for which `wanted` is true. */
void exec_keep_clean(int dir_fd, bool (*wanted)(void *data, const char *unit), void *data);

/* The note beside the files: 0 or -errno; *ret is on the heap, with a NUL behind it. */
int exec_keep_note_write(int dir_fd, const char *unit, const char *text, size_t len);
int exec_keep_note_read(int dir_fd, const char *unit, char **ret, size_t *ret_len);

#endif
