/* SPDX-License-Identifier: MIT */
/*
 * The way to an agent: through the hub while one runs (a chardev serves one client, and that is the hub then), else
 * to the socket itself.
 */
#ifndef INFINIHOST_DIAL_H
#define INFINIHOST_DIAL_H

#include <json-c/json.h>

#include "tools/infinihost/talk.h"

/* The sockets of VMs that are looked through for a name where no hub runs: folders and patterns, spaces between. */
#define DIAL_SOCKETS_VARIABLE "INFINIHOST_SOCKETS"
#define DIAL_SOCKET_VARIABLE  "INFINIHOST_SOCKET"

/*
 * Connects to the VM or path of the options. 1: through the hub, which signs; 0: to the socket itself; or -errno with a
 * text.
 */
int dial(struct link *link, const struct host_options *options, struct err *e);

/*
 * What the hub says of its VMs, an array of objects, to be put; where no hub runs, those of INFINIHOST_SOCKETS, with
 * "vm" and "path" alone. NULL with a text.
 */
struct json_object *dial_vms(const struct host_options *options, struct err *e);

#endif
