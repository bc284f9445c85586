/* SPDX-License-Identifier: MIT */
/*
 * `infiniservice-exec port NAME`: gives the node of a virtio port to the service's user, mode 0600. Run as root by
 * infiniservice-port@.service, which udev starts for the port; NAME comes from the kernel and is validated
 * nevertheless.
 */
#ifndef AGENT_EXECUTOR_PORT_H
#define AGENT_EXECUTOR_PORT_H

#include <stdbool.h>
#include <sys/types.h>

/* Whether `name` has the form of the kernel's names for virtio ports: "vport1p2". */
bool port_name_valid(const char *name);

/*
 * Gives /dev/NAME below `root_fd` to `uid` and `gid`, mode 0600, if it is the node of the device that sysfs has under
 * that name. 0, -EINVAL (the name), -ENODEV (no such port, or a node of another device) or -errno.
 */
int port_give(int root_fd, const char *name, uid_t uid, gid_t gid);

/* The verb `port`. Returns the exit status. */
int port_main(int argc, char *argv[]);

#endif
