/* SPDX-License-Identifier: MIT */
/*
 * `infiniservice-exec join`: becomes realm(8), which joins this machine to a domain. What it is about comes in the
 * command's input (rules/join_rule.h), never in an argument. The password goes on to realm's stdin, which is a pipe of
 * nobody else's.
 */
#ifndef AGENT_EXECUTOR_JOIN_H
#define AGENT_EXECUTOR_JOIN_H

/* Returns the exit status when realm could not be started. */
int join_main(int argc, char *argv[]);

#endif
