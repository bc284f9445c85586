/* SPDX-License-Identifier: MIT */
/* latest.json: the last sample, for readers without a socket; always whole because it is replaced by rename. */
#ifndef AGENT_LOG_LATEST_H
#define AGENT_LOG_LATEST_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/log/readers.h"

#define LATEST_NAME "latest.json"

/* Replaces DIR/latest.json (0640, or 0600 without a viewing group). 0 or -errno. Blocks if the disk does. */
int latest_write(const char *dir, const struct log_readers *readers, const char *text, size_t len);

/*
 * False if something of that name is not a regular file, such as a FIFO: it belongs to another program, and would be
 * replaced.
 */
bool latest_is_free(const char *dir);

/* True if the directory is in memory (tmpfs, ramfs), where writing never blocks on a disk. */
bool latest_in_memory(const char *dir);

#endif
