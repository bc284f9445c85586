/* SPDX-License-Identifier: MIT */
/*
 * `infinihost demo -- AGENT [ARGUMENT...]`: an agent of one's own against an embedded host, in a private directory that
 * is removed afterwards; what `make run` shows.
 */
#ifndef INFINIHOST_DEMO_H
#define INFINIHOST_DEMO_H

#include "tools/infinihost/talk.h"

int demo_main(const struct host_options *options, int argc, char **argv);

#endif
