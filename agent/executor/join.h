/* SPDX-License-Identifier: MIT */
/*
 * `infiniservice-exec join`: becomes realm(8), which joins this machine to a domain. The parameters come in the
 * command's input (rules/join_rule.h), never in an argument. The password is passed to realm on stdin, a pipe that no
 * other process has.
 */
#ifndef AGENT_EXECUTOR_JOIN_H
#define AGENT_EXECUTOR_JOIN_H

/* Returns the exit status when realm could not be started. */
int join_main(int argc, char *argv[]);

#endif
