/* SPDX-License-Identifier: MIT */
/*
 * The files of a detached run, in a directory in memory where the next agent finds them: its stdout and stderr, read as
 * they grow (inotify) and cut out once their bytes are no longer needed, and its end record (runner/protocol.h). The
 *file for the end record is locked (flock(2)) through the descriptor that is passed to the launcher: while the lock is
 *held the run has not ended; when it is free and there is no record, the launcher died.
 *
 *	detached-UNIT.out  .err  .end  .note (what its action has to know after a restart)
 */
#ifndef AGENT_RUN_DETACHED_FILES_H
#define AGENT_RUN_DETACHED_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/runner/protocol.h"

#define DETACHED_FILES_PREFIX "detached-"

enum { DETACHED_OUT, DETACHED_ERR, DETACHED_END, DETACHED_FILES };

struct detached_files {
	int files[DETACHED_FILES];   /* open for reading, the outputs for cutting too; -1: none */
	int writers[DETACHED_FILES]; /* for the executor; -1 once they are sent */
	int watch;		     /* inotify; -1: none */
	uint64_t cut[2];	     /* end of the hole, bytes */
};

#define DETACHED_FILES_NONE ((struct detached_files){ .files = { -1, -1, -1 }, .writers = { -1, -1, -1 }, .watch = -1 })

/* Makes the files of a new run and locks the file for the end record. 0, or -errno and no files. */
int detached_files_create(struct detached_files *files, int dir_fd, const char *unit);

/* Opens the files of a run in progress or ended. 0 or -errno. */
int detached_files_open(struct detached_files *files, int dir_fd, const char *unit);

void detached_files_close(struct detached_files *files);
void detached_files_close_writers(struct detached_files *files);

/* Reads `size` bytes of an output at offset `at`. As pread, but -errno; 0: end of the file so far. */
ssize_t detached_files_read(const struct detached_files *files, int stream, void *out, size_t size, uint64_t at);

/* How many bytes have been written so far. */
uint64_t detached_files_size(const struct detached_files *files, int stream);

/* Frees the bytes between `from` and `to`, which are no longer needed. */
void detached_files_cut(struct detached_files *files, int stream, uint64_t from, uint64_t to);

/*
 * Reads pending inotify events. True if the writer has closed the file for the end record: its lock will be free soon.
 */
bool detached_files_woken(const struct detached_files *files);

enum detached_state { DETACHED_RUNNING, DETACHED_ENDED, DETACHED_LOST };

/* The state of the run; *ret is filled in when it has ended. Without files it is DETACHED_LOST. */
enum detached_state detached_files_state(const struct detached_files *files, struct end_record *ret);

/* Removes the run's files. */
void detached_files_remove(int dir_fd, const char *unit);

/* Removes the files of all units for which `wanted` is false. */
void detached_files_clean(int dir_fd, bool (*wanted)(void *data, const char *unit), void *data);

/* The note beside the files: 0 or -errno; *ret is allocated and ends with NUL. */
int detached_files_note_write(int dir_fd, const char *unit, const char *text, size_t len);
int detached_files_note_read(int dir_fd, const char *unit, char **ret, size_t *ret_len);

#endif
