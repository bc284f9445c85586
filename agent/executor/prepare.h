/* SPDX-License-Identifier: MIT */
/*
 * infiniservice-exec prepare WORD…: root's work before the start of the agent. It works on descriptors below
 * directories that only root can write, follows no symbolic link, and reports on stderr each step it refused. The
 * words, done in the order given:
 *
 *	identity     copies the product UUID, which root alone may read, to /run/infiniservice-root/product_uuid
 *	directories  makes the agent's three directories and gives them to it, for systems without a service manager
 *	home         removes .config and .local below the state directory, from which a user's service manager would
 *	             start units
 */
#ifndef AGENT_EXECUTOR_PREPARE_H
#define AGENT_EXECUTOR_PREPARE_H

/* A directory of root's alone, so that no other user can place files in it. */
#define PREPARE_DIR  "infiniservice-root"
#define PREPARE_UUID "product_uuid"

/* The verb; `argv` begins with it. Returns 0, 1 (something was not done) or 2 (wrong words). */
int prepare_main(int argc, char *argv[]);

/*
 * The steps, below the directory `root_fd` ("/" except in tests), for the user and group of the agent. Each reports on
 * stderr what it could not do, and returns 0 or -errno.
 */
int prepare_identity(int root_fd, unsigned gid);
int prepare_directories(int root_fd, unsigned uid, unsigned gid);
int prepare_home(int root_fd);

#endif
