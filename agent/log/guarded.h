/* SPDX-License-Identifier: MIT */
/*
 * Safe opening for reading of files that another user could have placed: the agent's uid owns the directories of the
 * log and of the command record, and the reader is root. Instead of a file there may be: symbolic links that are not
 * root's or the reader's (anywhere on the path), FIFOs, devices, sockets, directories, files of more bytes than the
 * caller can use (a hole of 64 GiB costs nothing to make), files with several hard links and, where only the
 * directory's owner can write, files of another user. All are refused at once, with a reason.
 */
#ifndef AGENT_LOG_GUARDED_H
#define AGENT_LOG_GUARDED_H

#include <stdint.h>

#include <infiniservice/err.h>

/*
 * Opens a file under these rules. Returns a descriptor (close-on-exec), or -errno with the path and reason in `err`:
 * -ELOOP for a link, -EINVAL or -EISDIR for other types, -EFBIG, -EPERM for owner and hard links, else that of open(2).
 */
int guarded_open(const char *path, uint64_t max_bytes, struct err *err);

/* Like guarded_open, below an open directory; `name` is one component. guarded_open_dir opens a directory. */
int guarded_open_at(int dir_fd, const char *name, uint64_t max_bytes, struct err *err);

int guarded_open_dir(const char *path, struct err *err);

/* Finds the socket at `path` as an O_PATH descriptor: connect(2) reaches it as /proc/self/fd/N. */
int guarded_find_socket(const char *path, struct err *err);

#endif
