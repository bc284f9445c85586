/* SPDX-License-Identifier: MIT */
/*
 * Opening for reading what another user could have made: the agent's uid owns the directories of the log and of the
 * record, and it is root who looks. Whatever lies there in the place of a file is refused with words, at once: symbolic
 * links that are neither root's nor ours (anywhere on the path), FIFOs, devices, sockets, directories, files of more
 * than the caller can use (a hole of 64 GiB costs nothing to make), files of somebody else, files with further names.
 */
#ifndef AGENT_LOG_GUARDED_H
#define AGENT_LOG_GUARDED_H

#include <stdint.h>

#include <infiniservice/err.h>

/*
 * Each returns a descriptor (close-on-exec), or -errno with words that name the path: -ELOOP for a link, -EINVAL or
 * -EISDIR for what is no regular file, -EFBIG, -EPERM for owner and further names, else that of open(2).
 */
int guarded_open(const char *path, uint64_t max_bytes, struct err *err);

/* The same below an open directory; `name` is one component. */
int guarded_open_at(int dir_fd, const char *name, uint64_t max_bytes, struct err *err);

int guarded_open_dir(const char *path, struct err *err);

/* The socket at `path`, O_PATH: connect(2) reaches it as /proc/self/fd/N. */
int guarded_find_socket(const char *path, struct err *err);

#endif
