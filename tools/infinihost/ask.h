/* SPDX-License-Identifier: MIT */
/*
 * One command, from the message to its answer: sent, waited for, and cancelled in the guest when the person here gives
 * up.
 */
#ifndef INFINIHOST_ASK_H
#define INFINIHOST_ASK_H

#include "tools/infinihost/talk.h"

/*
 * Opens the conversation, sends `message` and waits for its answer, as long as the agent has for it
 * (request_time_limit). LINK_LINE with *ret (talk_message_done), or a negative errno after saying why; *ret_exit is
 * then the exit code. talk_close is allowed either way. An interrupt cancels the command in the guest (CancelCommand)
 * and says what became of it.
 */
int ask(const struct host_options *options, struct json_object *message, double timeout_s, struct talk_message *ret,
	struct talk *talk, int *ret_exit);

/* Says a failed answer on stderr; the exit code for it. */
int ask_explain_failure(struct json_object *answer);

#endif
