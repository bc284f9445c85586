/* SPDX-License-Identifier: MIT */
/* One verb for many VMs: each in a process of its own, so many at once, its lines with the VM's name in front. */
#ifndef INFINIHOST_FLEET_H
#define INFINIHOST_FLEET_H

#include <stdbool.h>

#include "tools/infinihost/talk.h"

#define FLEET_PARALLEL_MAX 64

struct fleet_options {
	bool all;
	bool fail_fast;	   /* begins no more after the first that failed */
	unsigned parallel; /* 0: the default */
};

/* True if the options mean several VMs: all, or a pattern of fnmatch(3). */
bool fleet_is_meant(const struct host_options *options, const struct fleet_options *fleet);

typedef int (*fleet_verb)(const struct host_options *options, int argc, char **argv);

/*
 * Runs the verb (argv[0]) for each VM that is meant. Returns 0 if all of them did, the status that those which did not
 * have in common, or HOST_FAILED.
 */
int fleet_run(const struct host_options *options, const struct fleet_options *fleet, fleet_verb verb, int argc,
	      char **argv);

#endif
