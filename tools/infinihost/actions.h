/* SPDX-License-Identifier: MIT */
/*
 * The actions that a host can ask for and their parameters, for people and for completions; a test compares them with
 * the agent's table and the protocol. An agent may know more: what is unknown here is said, and sent.
 */
#ifndef INFINIHOST_ACTIONS_H
#define INFINIHOST_ACTIONS_H

/* Says on stderr what `words` (an action and its "key=value") has that is not known here. */
void actions_judge(int count, char **words);

/*
 * Prints the names of all actions, or what may be written behind `action`: "key=" or "key=value" for each of its
 * values. 0, -ENOENT.
 */
int actions_print(const char *action);

#endif
