/* SPDX-License-Identifier: MIT */
/*
 * The files of a detached run, in a directory in memory, so that the next agent finds them: what it writes to its
 *stdout and stderr, read as it grows, woken by inotify, and cut out once it has been read and will not be read again;
 *and how it ended (end_record.h). The file for the end is locked (flock(2)) by the descriptor that the launcher is
 *given, from before it is handed over: while the lock is held the run has not ended, and when it is free without a
 *record the launcher died without a word.
 *
 *	detached-UNIT.out  .err  .end  .note (what its action has to know after a restart)
 */
#ifndef AGENT_RUN_DETACHED_FILES_H
#define AGENT_RUN_DETACHED_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/runner/end_record.h"

#define DETACHED_FILES_PREFIX "detached-"

enum { DETACHED_OUT, DETACHED_ERR, DETACHED_END, DETACHED_FILES };

struct detached_files {
	int files[DETACHED_FILES];   /* to read, and the outputs to cut; -1: none */
	int writers[DETACHED_FILES]; /* for the executor; -1 once it has them */
	int watch;		     /* inotify; -1: none */
	uint64_t cut[2];	     /* where the hole ends */
};

#define DETACHED_FILES_NONE ((struct detached_files){ .files = { -1, -1, -1 }, .writers = { -1, -1, -1 }, .watch = -1 })

/* Makes the files of a new run, the last of them locked. 0 or -errno, and then nothing is left of them. */
int detached_files_create(struct detached_files *files, int dir_fd, const char *unit);

/* Opens those of one that runs, or has ended. 0 or -errno. */
int detached_files_open(struct detached_files *files, int dir_fd, const char *unit);

void detached_files_close(struct detached_files *files);
void detached_files_close_writers(struct detached_files *files);

/* Reads on at `at`. As pread, with 0 where the file ends for now. */
ssize_t detached_files_read(const struct detached_files *files, int stream, void *out, size_t size, uint64_t at);

/* How much has been written so far. */
uint64_t detached_files_size(const struct detached_files *files, int stream);

/* What lies between `from` and `to` is needed no more. */
void detached_files_cut(struct detached_files *files, int stream, uint64_t from, uint64_t to);

/* Takes what inotify has to say. True if the file for the end has been let go of by its writer: its lock is free soon.
 */
bool detached_files_woken(const struct detached_files *files);

enum detached_state { DETACHED_RUNNING, DETACHED_ENDED, DETACHED_LOST };

/* How it is with the run; *ret is filled in when it has ended. Without files it is lost. */
enum detached_state detached_files_state(const struct detached_files *files, struct end_record *ret);

/* The files are no longer wanted. */
void detached_files_remove(int dir_fd, const char *unit);

/* All that belongs to no unit for which `wanted` is true. */
void detached_files_clean(int dir_fd, bool (*wanted)(void *data, const char *unit), void *data);

/* The note beside the files: 0 or -errno; *ret is on the heap, with a NUL behind it. */
int detached_files_note_write(int dir_fd, const char *unit, const char *text, size_t len);
int detached_files_note_read(int dir_fd, const char *unit, char **ret, size_t *ret_len);

#endif
