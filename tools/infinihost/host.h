/* SPDX-License-Identifier: MIT */
/* infinihost: the host's side of an agent's port, for a person at a terminal and for scripts. */
#ifndef INFINIHOST_HOST_H
#define INFINIHOST_HOST_H

/* The whole program: returns its exit code (enum host_exit, or that of the command `exec` ran). */
int host_main(int argc, char **argv);

#endif
