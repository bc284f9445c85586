/* SPDX-License-Identifier: MIT */
/* The command line of infiniservice. */
#ifndef AGENT_CLI_H
#define AGENT_CLI_H

/* Everything `main` does. Returns the exit code: 0 done, 1 failed at run time, 2 usage or configuration error. */
int service_main(int argc, char *argv[]);

#endif
