/* SPDX-License-Identifier: MIT */
/*
 * Listening at a configured path, which may be a mistake. An abandoned socket, as a killed listener leaves it, is
 * replaced; any other file there stays, and the error says what it is.
 */
#ifndef TRANSPORT_SOCKET_PATH_H
#define TRANSPORT_SOCKET_PATH_H

#include <sys/types.h>

#include <infiniservice/err.h>

/* Identifies a file, to tell it from a later file at the same path. */
struct socket_id {
	dev_t dev;
	ino_t ino;
};

/*
 * Binds `fd`, an unbound socket of AF_UNIX, to `path`, without the permission bits in `without` (0177, say) and in the
 * umask. *ret_id is for socket_path_remove. 0; -EADDRINUSE when another file is in the way, -ENAMETOOLONG, -EINVAL for
 * "", or another -errno, with path, reason and cure in `e`. The process must have one thread: the umask is changed for
 * a moment.
 */
int socket_path_bind(int fd, const char *path, mode_t without, struct socket_id *ret_id, struct err *e);

/* Removes the socket that was bound, unless another file has taken its path by now. */
void socket_path_remove(const char *path, const struct socket_id *id);

#endif
