/* SPDX-License-Identifier: MIT */
/* The agent's part of a freeze; executor and helper are played by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/run/freeze.h"
#include "agent/runner/protocol.h"
#include "tests/loop_turn.h"

static char dir[] = "/tmp/test-freeze-client-XXXXXX", path[64];
static struct loop loop;
static struct exec *exec;
static struct freeze freeze;
static int listener, executor, helper;
static char heard[1024]; /* what was told, in order */
static uint64_t request_id;

static void say(const char *what, const struct freeze_answer *answer)
{
	size_t len = strlen(heard);

	snprintf(heard + len, sizeof(heard) - len, "%s %d %u %u %s|", what, answer->error, answer->count, answer->other,
		 answer->words);
}

static void on_answer(void *data, const struct freeze_answer *answer)
{
	say(data, answer);
}

static void on_frozen(void *data, bool frozen)
{
	(void)data;
	strcat(heard, frozen ? "rest|" : "go on|");
}

static void on_unasked(void *data, const char *words)
{
	(void)data;
	say("unasked", &(struct freeze_answer){ .words = words });
}

static char frozen_word[] = "frozen", thawed_word[] = "thawed", status_word[] = "status";

static int setup(void **state)
{
	static const struct freeze_hooks hooks = { on_frozen, on_unasked, NULL };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct exec_config config = { .socket_path = path };

	(void)state;
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/exec.sock", dir);
	memcpy(address.sun_path, path, sizeof(path));
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	executor = helper = -1;
	loop_init(&loop, ev_default_loop(0));
	exec = exec_new(loop.ev, &config);
	freeze_init(&freeze, &loop, exec, dir, &hooks);
	*heard = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	freeze_done(&freeze);
	exec = exec_free(exec);
	loop_done(&loop);
	close_fd(&listener);
	close_fd(&executor);
	close_fd(&helper);
	unlink(path);
	unlink(freeze.marker);
	return rmdir(dir);
}

/* Until something more was heard, within 5 s. */
static void turn_until_heard(void)
{
	size_t before = strlen(heard);

	for (int i = 0; i < 1000 && strlen(heard) == before; i++)
		loop_turn(loop.ev);
}

/* Begins, and takes the request as the executor: its action and argument, and the helper's socket. */
static void begin(const char *action, const char *mounts)
{
	char message[512];
	struct runner_call call;
	int fds[PACKET_FDS];
	ssize_t len = -1;

	assert_int_equal(freeze_begin(&freeze, action, mounts, on_answer, frozen_word), 0);
	for (int i = 0; i < 1000 && len < 0; i++) {
		loop_turn(loop.ev);
		if (executor < 0)
			executor = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (executor >= 0)
			len = packet_receive(executor, message, sizeof(message), 0, fds);
	}
	assert_true(len > 0);
	assert_int_equal(runner_operation_parse(message, (size_t)len, &call), 0);
	assert_int_equal(call.operation.operation, RUNNER_OPERATION_FREEZE);
	assert_string_equal(call.action, action);
	assert_string_equal(call.argument, mounts);
	assert_true(fds[0] >= 0);
	close_fd(&helper);
	helper = fds[0];
	request_id = call.operation.head.id;
}

static void answer_as_executor(unsigned op, int error, const char *words)
{
	struct runner_answer answer = { .reply = { .op = (uint16_t)op, .id = request_id, .error = error } };
	size_t len = runner_answer_fill(&answer, words);

	if (op == RUNNER_REFUSED)
		answer.reply.stage = RUNNER_STAGE_POLICY;
	assert_int_equal(packet_send(executor, &answer, len, NULL, 0), len);
}

static void tell(enum freeze_message_kind kind, enum freeze_reason reason, unsigned count, const char *text)
{
	struct freeze_message message = { .kind = kind, .reason = reason, .count = count, .error = EIO };

	snprintf(message.text, sizeof(message.text), "%s", text);
	assert_int_equal(send(helper, &message, sizeof(message), MSG_DONTWAIT), sizeof(message));
}

static void expect_asked(char what)
{
	char asked = 0;

	assert_int_equal(recv(helper, &asked, 1, MSG_DONTWAIT), 1);
	assert_int_equal(asked, what);
}

static void freeze_now(void)
{
	begin("guest-fsfreeze-freeze", "");
	answer_as_executor(RUNNER_ANSWERED, 0, "done");
	tell(FREEZE_FROZEN, 0, 3, "");
	while (freeze.state != FREEZE_STATE_FROZEN || freeze.job)
		turn_until_heard();
	*heard = '\0';
}

static void freezes_asks_and_thaws(void **state)
{
	(void)state;
	assert_false(freeze_is_frozen(&freeze));
	begin("guest-fsfreeze-freeze-list", "/srv\n/home");
	assert_string_equal(heard, "rest|"); /* before anything is frozen */
	assert_true(freeze_is_frozen(&freeze));
	assert_int_equal(freeze_begin(&freeze, "x", "", on_answer, frozen_word), -EBUSY);
	assert_int_equal(freeze_thaw(&freeze, on_answer, thawed_word), -EBUSY);
	answer_as_executor(RUNNER_ANSWERED, 0, "done");
	tell(FREEZE_FROZEN, 0, 2, "");
	turn_until_heard();
	assert_string_equal(heard, "rest|frozen 0 2 0 |");
	assert_int_equal(freeze_begin(&freeze, "x", "", on_answer, frozen_word), -EALREADY);
	assert_int_equal(freeze_status(&freeze, on_answer, status_word), 0);
	assert_int_equal(freeze_status(&freeze, on_answer, status_word), -EBUSY);
	expect_asked(FREEZE_ASK_STATUS);
	tell(FREEZE_STATUS, 0, 2, "");
	turn_until_heard();
	assert_string_equal(heard, "rest|frozen 0 2 0 |status 0 2 0 |");
	assert_int_equal(freeze_thaw(&freeze, on_answer, thawed_word), 0);
	expect_asked(FREEZE_ASK_THAW);
	tell(FREEZE_THAWED, FREEZE_ASKED, 2, "");
	*heard = '\0';
	turn_until_heard();
	assert_string_equal(heard, "go on|thawed 0 2 0 it was asked for|");
	assert_false(freeze_is_frozen(&freeze));
	/* Nothing to thaw is no fault. */
	*heard = '\0';
	assert_int_equal(freeze_thaw(&freeze, on_answer, thawed_word), 0);
	assert_string_equal(heard, "thawed 0 0 0 |");
}

static void a_thaw_that_nobody_asked_for_is_told_at_once_and_by_the_next_thaw_once(void **state)
{
	(void)state;
	freeze_now();
	tell(FREEZE_THAWED, FREEZE_TIME_LIMIT, 3, "");
	turn_until_heard();
	assert_string_equal(heard, "go on|unasked 0 0 0 the time limit of this guest's owner was over "
				   "(qga.freeze_max_s)|");
	*heard = '\0';
	freeze_thaw(&freeze, on_answer, thawed_word);
	freeze_thaw(&freeze, on_answer, thawed_word);
	assert_non_null(strstr(heard, "thawed -116 0 0 the file systems had been thawed before: the time limit"));
	assert_non_null(strstr(heard, "|thawed 0 0 0 |"));
}

static void a_helper_that_is_killed_is_the_end_of_the_freeze(void **state)
{
	(void)state;
	freeze_now();
	assert_int_equal(freeze_status(&freeze, on_answer, status_word), 0);
	close_fd(&helper);
	turn_until_heard();
	assert_string_equal(heard, "go on|unasked 0 0 0 the freeze helper was killed|status 0 0 0 |");
	*heard = '\0';
	freeze_now();
	assert_int_equal(freeze_thaw(&freeze, on_answer, thawed_word), 0);
	close_fd(&helper);
	turn_until_heard();
	assert_string_equal(heard, "go on|thawed -10 0 0 the freeze helper was killed|");
}

static bool is_marked(void)
{
	return access(freeze.marker, F_OK) == 0;
}

static void an_agent_that_follows_one_that_ended_while_frozen_tells_the_host(void **state)
{
	static const struct freeze_hooks none = { .data = NULL };

	(void)state;
	assert_false(is_marked());
	freeze_now();
	assert_true(is_marked());
	/* The agent ends, and the helper thaws. The next one has not begun this freeze, but knows of it. */
	freeze_done(&freeze);
	freeze_init(&freeze, &loop, exec, dir, &none);
	freeze_thaw(&freeze, on_answer, thawed_word);
	assert_string_equal(heard, "thawed -116 0 0 the file systems had been thawed before: the agent had ended|");
	assert_false(is_marked());
	/* What was thawed as it was asked for, or never frozen, leaves nothing to tell. */
	*heard = '\0';
	freeze_now();
	freeze_thaw(&freeze, on_answer, thawed_word);
	tell(FREEZE_THAWED, FREEZE_ASKED, 3, "");
	turn_until_heard();
	assert_false(is_marked());
	begin("guest-fsfreeze-freeze", "");
	assert_true(is_marked());
	answer_as_executor(RUNNER_REFUSED, EACCES, "no");
	*heard = '\0';
	turn_until_heard();
	assert_false(is_marked());
	freeze_thaw(&freeze, on_answer, thawed_word);
	assert_non_null(strstr(heard, "thawed 0 0 0 |"));
}

static void a_failure_is_told_with_its_place(void **state)
{
	(void)state;
	begin("guest-fsfreeze-freeze", "");
	answer_as_executor(RUNNER_ANSWERED, 0, "done");
	tell(FREEZE_FAILED, 0, 0, "/srv cannot be frozen");
	turn_until_heard();
	assert_string_equal(heard, "rest|go on|frozen -5 0 0 /srv cannot be frozen: Input/output error|");
}

static void hooks_and_refusals_of_the_executor_are_told(void **state)
{
	(void)state;
	begin("guest-fsfreeze-freeze", "");
	/* Of a helper that never started the socket ends, before or after the executor's word. */
	close_fd(&helper);
	loop_turn(loop.ev);
	answer_as_executor(RUNNER_ANSWERED, 0, "dependency");
	turn_until_heard();
	assert_non_null(strstr(heard, "frozen -125 0 0 a hook failed, or took too long"));
	*heard = '\0';
	begin("guest-fsfreeze-freeze", "");
	answer_as_executor(RUNNER_REFUSED, EACCES, "the owner does not want it");
	turn_until_heard();
	assert_string_equal(heard, "rest|go on|frozen -13 0 0 the owner does not want it|");
	*heard = '\0';
	begin("guest-fsfreeze-freeze", "");
	close_fd(&helper);
	loop_turn(loop.ev);
	answer_as_executor(RUNNER_ANSWERED, 0, "done");
	turn_until_heard();
	assert_non_null(strstr(heard, "frozen -10 0 0 the freeze helper ended without a word"));
}

static void without_an_executor_nothing_is_begun(void **state)
{
	(void)state;
	close_fd(&listener);
	unlink(path);
	assert_int_equal(freeze_begin(&freeze, "guest-fsfreeze-freeze", "", on_answer, frozen_word), -ENOTCONN);
	assert_string_equal(heard, "");
	assert_false(freeze_is_frozen(&freeze));
}

#define IN_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FIXTURE(freezes_asks_and_thaws),
		IN_FIXTURE(a_thaw_that_nobody_asked_for_is_told_at_once_and_by_the_next_thaw_once),
		IN_FIXTURE(a_helper_that_is_killed_is_the_end_of_the_freeze),
		IN_FIXTURE(an_agent_that_follows_one_that_ended_while_frozen_tells_the_host),
		IN_FIXTURE(a_failure_is_told_with_its_place),
		IN_FIXTURE(hooks_and_refusals_of_the_executor_are_told),
		IN_FIXTURE(without_an_executor_nothing_is_begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
