/* SPDX-License-Identifier: MIT */
/*
 * Listening at a path that somebody chose, perhaps by mistake. A socket that nobody holds any more, as a killed
 * listener leaves it, is replaced; whatever else is there stays, and the error says what it is.
 */
#ifndef TRANSPORT_SOCKET_PATH_H
#define TRANSPORT_SOCKET_PATH_H

#include <sys/types.h>

#include <infiniservice/err.h>

/** Tells a file at a path from another that came there later. */
struct socket_id {
	dev_t dev;
	ino_t ino;
};

/**
 * Binds `fd`, an unbound socket of AF_UNIX, to `path` ; the permission bits of `without` (0177, say) are not given, nor
 * those of the umask. *ret_id is for socket_path_remove. 0; -EADDRINUSE when something is in the way, -ENAMETOOLONG,
 * -EINVAL for "", or another -errno, `e` telling path, reason and cure. The caller has one thread: the umask is changed
 * for a moment.
 */
int socket_path_bind(int fd, const char *path, mode_t without, struct socket_id *ret_id, struct err *e);

/** Removes the socket that was bound, unless another file has taken its path by now. */
void socket_path_remove(const char *path, const struct socket_id *id);

#endif
