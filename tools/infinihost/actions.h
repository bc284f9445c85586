/* SPDX-License-Identifier: MIT */
/*
 * The actions that a host can ask for and their parameters, for people and for completions; a test compares them with
 * the agent's table and the protocol. An agent may know more actions: an unknown action is reported, and sent.
 */
#ifndef INFINIHOST_ACTIONS_H
#define INFINIHOST_ACTIONS_H

/* Prints on stderr which of `words` (an action and its "key=value") are not known here. */
void actions_judge(int count, char **words);

/*
 * Prints the names of all actions, or the possible words after `action`: "key=" or "key=value" for each of its
 * values. 0, -ENOENT.
 */
int actions_print(const char *action);

#endif
