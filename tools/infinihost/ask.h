/* SPDX-License-Identifier: MIT */
/*
 * One command, from the message to its answer: sent, waited for, and cancelled in the guest when the person here gives
 * up.
 */
#ifndef INFINIHOST_ASK_H
#define INFINIHOST_ASK_H

#include "tools/infinihost/talk.h"

/*
 * Opens the session, sends `message` and waits for its answer, as long as the agent has for it
 * (request_time_limit). LINK_LINE with *ret (talk_message_done), or a negative errno after printing why; *ret_exit is
 * then the exit code. talk_close may be called in either case. An interrupt cancels the command in the guest
 * (CancelCommand) and prints the result.
 */
int ask(const struct host_options *options, struct json_object *message, double timeout_s, struct talk_message *ret,
	struct talk *talk, int *ret_exit);

/* Prints a failed answer on stderr; returns the exit code for it. */
int ask_explain_failure(struct json_object *answer);

#endif
