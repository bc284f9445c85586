/* SPDX-License-Identifier: MIT */
/*
 * `infiniservice-exec kill PID START_TICKS TERM|KILL`: sends one signal to exactly the process with this pid and start
 * time, with the executor's privilege. The exit status (enum kill_exit of rules/kill_rule.h) tells the result.
 */
#ifndef AGENT_EXECUTOR_KILL_H
#define AGENT_EXECUTOR_KILL_H

int kill_main(int argc, char *argv[]);

#endif
