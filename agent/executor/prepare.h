/* SPDX-License-Identifier: MIT */
/*
 * infiniservice-exec prepare WORD…: what root does for the agent before it starts. It works on descriptors below
 * directories that only root can write, follows no symbolic link, and says on stderr what it would not do. The words,
 * done in the order given:
 *
 *	identity     copies the product UUID, which root alone may read, to /run/infiniservice-root/product_uuid
 *	directories  makes the agent's three directories and gives them to it, where no service manager does
 *	home         removes .config and .local below the state directory, from which a user's service manager would
 *	             start units
 */
#ifndef AGENT_EXECUTOR_PREPARE_H
#define AGENT_EXECUTOR_PREPARE_H

/* Of root alone, so that nothing in it was put there by another. */
#define PREPARE_DIR  "infiniservice-root"
#define PREPARE_UUID "product_uuid"

/* The verb; `argv` begins with it. 0, 1: something was not done; 2: wrong words. */
int prepare_main(int argc, char *argv[]);

/*
 * The parts of it, below the directory `root_fd` ("/" but for tests), for the user and group of the agent. Each says on
 * stderr what it could not do, and returns 0 or -errno.
 */
int prepare_identity(int root_fd, unsigned gid);
int prepare_directories(int root_fd, unsigned uid, unsigned gid);
int prepare_home(int root_fd);

#endif
