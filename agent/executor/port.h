/* SPDX-License-Identifier: MIT */
/*
 * `infiniservice-exec port NAME`: gives the node of a virtio port to the service's user, 0600. Run as root by
 * infiniservice-port@.service, which udev has started for the port; NAME is the kernel's and is taken as data.
 */
#ifndef AGENT_EXECUTOR_PORT_H
#define AGENT_EXECUTOR_PORT_H

#include <stdbool.h>
#include <sys/types.h>

/* Whether this is a name that the kernel gives to a virtio port: "vport1p2". */
bool port_name_valid(const char *name);

/*
 * Gives /dev/NAME below `root_fd` to these, if it is the node of the device that sysfs has under that name. 0, -EINVAL
 * (the name), -ENODEV (no such port, or a node of something else) or -errno.
 */
int port_give(int root_fd, const char *name, uid_t uid, gid_t gid);

/* The verb. */
int port_main(int argc, char *argv[]);

#endif
