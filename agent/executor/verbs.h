/* SPDX-License-Identifier: MIT */
/*
 * The tasks that infiniservice-exec does as a program of its own, `infiniservice-exec VERB …`; more are in launch.h and
 * agent/cleaner/cleaner.h. `argv` of each begins with the verb; each returns the exit status.
 */
#ifndef AGENT_EXECUTOR_VERBS_H
#define AGENT_EXECUTOR_VERBS_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent/config/config.h"

/* Whether `name` is a verb. */
bool executor_has_verb(const char *name);

/*
 * `infiniservice-exec join`: becomes realm(8), which joins this machine to a domain. The parameters come in the
 * command's input (rules/requests.h), never in an argument. The password is passed to realm on stdin, a pipe that no
 * other process has. Returns when realm could not be started.
 */
int join_main(int argc, char *argv[]);

/*
 * `infiniservice-exec kill PID START_TICKS TERM|KILL`: sends one signal to exactly the process with this pid and start
 * time, with the executor's privilege. The exit status (enum kill_exit of rules/requests.h) tells the result.
 */
int kill_main(int argc, char *argv[]);

/*
 * `infiniservice-exec port NAME`: gives the node of a virtio port to the service's user, mode 0600. Run as root by
 * infiniservice-port@.service, which udev starts for the port; NAME comes from the kernel and is validated
 * nevertheless.
 */
int port_main(int argc, char *argv[]);

/* Whether `name` has the form of the kernel's names for virtio ports: "vport1p2". */
bool port_name_valid(const char *name);

/*
 * Gives /dev/NAME below `root_fd` to `uid` and `gid`, mode 0600, if it is the node of the device that sysfs has under
 * that name. 0, -EINVAL (the name), -ENODEV (no such port, or a node of another device) or -errno.
 */
int port_give(int root_fd, const char *name, uid_t uid, gid_t gid);

/* Whether the configuration has the agent open the virtio port of this kernel name, by the name that the host gave it.
 */
bool port_is_wanted(int root_fd, const char *name, const struct config *config);

/*
 * `infiniservice-exec prepare WORD…`: root's work before the start of the agent. It works on descriptors below
 * directories that only root can write, follows no symbolic link, and reports on stderr each step it refused. Returns
 * 0, 1 (something was not done) or 2 (wrong words). The words, done in the order given:
 *
 *	identity     copies the product UUID, which root alone may read, to /run/infiniservice-root/product_uuid
 *	directories  makes the agent's three directories and gives them to it, for systems without a service manager
 *	home         removes .config and .local below the state directory, from which a user's service manager would
 *	             start units
 *	ports        gives the virtio ports that the configuration names (port.spec, qga.spec) to the agent
 */
int prepare_main(int argc, char *argv[]);

/* A directory of root's alone, so that no other user can place files in it. */
#define PREPARE_DIR  "infiniservice-root"
#define PREPARE_UUID "product_uuid"

/*
 * The steps, below the directory `root_fd` ("/" except in tests), for the user and group of the agent. Each reports on
 * stderr what it could not do, and returns 0 or -errno.
 */
int prepare_identity(int root_fd, unsigned gid);
int prepare_directories(int root_fd, unsigned uid, unsigned gid);
int prepare_home(int root_fd);
int prepare_ports(int root_fd, const struct config *config, unsigned uid, unsigned gid);

#endif
