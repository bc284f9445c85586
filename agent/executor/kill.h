/* SPDX-License-Identifier: MIT */
/*
 * `infiniservice-exec kill PID START_TICKS TERM|KILL`: one signal to exactly the process that was meant, by whoever has
 * the right. The exit status (enum kill_exit of rules/kill_rule.h) says what came of it.
 */
#ifndef AGENT_EXECUTOR_KILL_H
#define AGENT_EXECUTOR_KILL_H

int kill_main(int argc, char *argv[]);

#endif
