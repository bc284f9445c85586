/* SPDX-License-Identifier: MIT */
/*
 * The text of a script while it runs: a file with a name nobody can guess, below a directory nobody can list, gone when
 * the script is. An interpreter takes it as an argument, so that its text is in no process list and its stdin stays
 * free.
 */
#ifndef AGENT_SCRIPT_FILE_H
#define AGENT_SCRIPT_FILE_H

#include <stddef.h>

struct script_file;

/* Directory within runtime_dir. */
#define SCRIPT_DIR "scripts"

/* Readable for `user` (NULL: who runs the agent). NULL when it cannot be written. */
struct script_file *script_file_new(const char *runtime_dir, const char *user, const char *bytes, size_t len);

const char *script_file_path(const struct script_file *file);

/* Removes it. NULL is accepted. (struct command's work_free.) */
void script_file_free(void *file);

/* Removes what an earlier run of the agent left. */
void script_file_sweep(const char *runtime_dir);

#endif
