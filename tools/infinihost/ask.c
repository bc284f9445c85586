/* SPDX-License-Identifier: MIT */
#include "ask.h"

#include <errno.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/infinihost/commands.h"
#include "tools/infinihost/request.h"
#include "tools/infinihost/summary.h"
#include "tools/show/show.h"

/* A command that ignores SIGTERM is killed after 2 s at most; then its answer has to cross the port. */
#define CANCEL_TIMEOUT_S 10.0

static void json_putp(struct json_object **object)
{
	json_object_put(*object);
}

int ask_explain_failure(struct json_object *answer)
{
	bool is_response = !strcmp(summary_find_text(answer, "type"), "response");
	const char *code = summary_find_text(answer, is_response ? "error_code" : "details.code");
	const char *reason = summary_find_text(answer, is_response ? "data.reason" : "details.reason");

	show(stderr, "infinihost: ");
	if (*code)
		show(stderr, "%s: ", code);
	show_cut(stderr, summary_find_text(answer, "error"), 2000);
	if (*reason)
		show(stderr, " (%s)", reason);
	show(stderr, "\n");
	return !strcmp(code, "COMMAND_TIMEOUT") ? HOST_TIMEOUT : HOST_AGENT_ERROR;
}

/*
 * Waits for the end of the cancelled command. 1 when its answer came, 0 when the agent knows of none, or as talk_next.
 */
static int await_end(struct talk *talk, const char *target, const char *id)
{
	uint64_t deadline_ns = command_deadline(CANCEL_TIMEOUT_S);
	struct talk_message message;
	int r;

	while ((r = talk_next(talk, -1, deadline_ns, &message)) == LINK_LINE) {
		bool response = !strcmp(summary_find_text(message.json, "type"), "response");
		const char *of = summary_find_text(message.json, "id");
		bool ended = response && !strcmp(of, target);
		bool refused = (response && !strcmp(of, id) &&
				!json_object_get_boolean(summary_find(message.json, "success"))) ||
			       talk_refused(talk, message.json, id);

		if (refused)
			ask_explain_failure(message.json);
		talk_message_done(&message);
		if (ended || refused)
			return ended;
	}
	return r;
}

static void cancel(struct talk *talk, const char *target)
{
	_cleanup_(json_putp) struct json_object *message = json_object_new_object();
	char id[TALK_ID_SIZE];
	int r = -ENOMEM;

	link_go_on();
	show(stderr, "infinihost: interrupted, cancelling the command in the guest (a second interrupt leaves it)\n");
	talk_id(id);
	if (message && !request_add_text(message, "type", "CancelCommand") && !request_add_text(message, "id", id) &&
	    !request_add_text(message, "target_id", target))
		r = talk_send(talk, message, command_deadline(CANCEL_TIMEOUT_S));
	if (r >= 0)
		r = await_end(talk, target, id);
	if (r == 1)
		show(stderr, "infinihost: the command has ended in the guest\n");
	else
		show(stderr, "infinihost: the command may still run in the guest%s\n",
		     r == -ETIMEDOUT  ? ": no answer in time"
		     : r == -ENOTCONN ? ": the connection was closed"
				      : "");
}

int ask(const struct host_options *options, struct json_object *message, double timeout_s, struct talk_message *ret,
	struct talk *talk, int *ret_exit)
{
	const char *id = summary_find_text(message, "id");
	uint64_t deadline_ns = command_deadline(timeout_s);
	int r = talk_begin(talk, options, deadline_ns, ret_exit);

	if (r < 0)
		return r;
	/* The command has its whole time from here, without the time spent waiting for the agent. */
	deadline_ns = command_deadline((double)request_time_limit(timeout_s));
	r = talk_send(talk, message, deadline_ns);
	if (r >= 0)
		r = talk_answer(talk, id, deadline_ns, ret);
	if (r == -EINTR)
		cancel(talk, id);
	if (r < 0)
		*ret_exit = talk_explain(options, r, "answer");
	return r;
}
