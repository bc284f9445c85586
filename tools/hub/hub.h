/* SPDX-License-Identifier: MIT */
/* The hub: one process that owns the channels of all of a host's VMs, for Prometheus and for every verb of infinihost.
 */
#ifndef HUB_HUB_H
#define HUB_HUB_H

#include <infiniservice/err.h>

#include "tools/hub/hubconf.h"

struct hub_options {
	const char *control; /* path of control.sock; view.sock stands beside it */
	const char *view;
	const char *state; /* a folder; "": nothing is kept over a restart */
};

/* Runs until SIGTERM or SIGINT. 0, or -errno with a text when it cannot start. SIGHUP has it look for sockets. */
int hub_run(const struct hubconf *conf, const struct hub_options *options, struct err *e);

#endif
