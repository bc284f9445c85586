/* SPDX-License-Identifier: MIT */
/* The executor's parsers over bytes: requests, replies and the text of /proc/PID/stat. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/runner/protocol.h"
#include "agent/runner/tree.h"

static struct runner_command command;
static char message[RUNNER_MESSAGE_MAX];

static const struct runner_run plain = { .head = { .id = 7, .term_ns = 10, .kill_ns = 20 },
					 .limits = { 1, 2, 3, 4, 5 } };
static const char *const args[] = { "/bin/echo", "", "three words here", NULL };
static const char *const env[] = { "A=1", "B=", NULL };

static size_t build(void)
{
	int64_t len = runner_run_build(plain, args, env, "/tmp", "nobody", "unsafe", NULL, message, sizeof(message));

	assert_true(len > 0);
	return (size_t)len;
}

static void takes_apart_what_was_built(void **state)
{
	size_t len = build();

	(void)state;
	assert_int_equal(runner_run_parse(message, len, &command), 0);
	assert_int_equal(command.run.head.id, 7);
	assert_int_equal(command.run.head.term_ns, 10);
	assert_int_equal(command.run.limits[4], 5);
	for (int i = 0; i < 3; i++)
		assert_string_equal(command.argv[i], args[i]);
	assert_null(command.argv[3]);
	assert_string_equal(command.envp[1], "B=");
	assert_null(command.envp[2]);
	assert_string_equal(command.cwd, "/tmp");
	assert_string_equal(command.user, "nobody");
	assert_string_equal(command.action, "unsafe");
}

static void absent_strings_are_null(void **state)
{
	int64_t len = runner_run_build(plain, args, NULL, NULL, NULL, NULL, NULL, message, sizeof(message));

	(void)state;
	assert_int_equal(runner_run_parse(message, (size_t)len, &command), 0);
	assert_null(command.envp[0]);
	assert_null(command.cwd);
	assert_null(command.user);
	assert_null(command.action);
}

static void rejects_every_shorter_and_longer_message(void **state)
{
	size_t len = build();

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		char *exact = malloc(cut + 1); /* so that a sanitizer sees a read behind the end */

		memcpy(exact, message, cut);
		assert_int_equal(runner_run_parse(exact, cut, &command), -EBADMSG);
		free(exact);
	}
	assert_int_equal(runner_run_parse(message, len + 1, &command), -EBADMSG);
}

static void rejects_wrong_heads_and_counts(void **state)
{
	const struct {
		size_t offset, width;
		uint64_t value;
		int error;
	} cases[] = {
		{ offsetof(struct runner_run, head.version), 2, 1, -EPROTO },
		{ offsetof(struct runner_run, head.op), 2, 0, -EBADMSG },
		{ offsetof(struct runner_run, head.op), 2, RUNNER_CANCEL, -EBADMSG },
		{ offsetof(struct runner_run, head.op), 2, RUNNER_STARTED, -EBADMSG },
		{ offsetof(struct runner_run, head.size), 4, 5, -EBADMSG },
		{ offsetof(struct runner_run, head.id), 8, 0, -EBADMSG },
		{ offsetof(struct runner_run, head.kill_ns), 8, 9, -EBADMSG }, /* before term_ns */
		{ offsetof(struct runner_run, argc), 4, 0, -EBADMSG },
		{ offsetof(struct runner_run, argc), 4, 2, -EBADMSG },
		{ offsetof(struct runner_run, argc), 4, 4, -EBADMSG },
		{ offsetof(struct runner_run, argc), 4, RUNNER_ARGS_MAX + 1, -EBADMSG },
		{ offsetof(struct runner_run, argc), 4, UINT32_MAX, -EBADMSG },
		{ offsetof(struct runner_run, envc), 4, RUNNER_ARGS_MAX, -EBADMSG },
		{ offsetof(struct runner_run, envc), 4, UINT32_MAX, -EBADMSG },
		{ offsetof(struct runner_run, strings), 4, 1, -EBADMSG },
		{ offsetof(struct runner_run, strings), 4, UINT32_MAX, -EBADMSG },
		{ offsetof(struct runner_run, oom_score_adj), 4, 1001, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = build();

		memcpy(message + cases[i].offset, &cases[i].value, cases[i].width);
		assert_int_equal(runner_run_parse(message, len, &command), cases[i].error);
	}
}

static void rejects_paths_that_are_not_absolute_and_nameless_variables(void **state)
{
	const struct {
		const char *path, *variable, *cwd;
	} cases[] = { { "sh", "A=1", "/" },
		      { "/bin/sh", "A", "/" },
		      { "/bin/sh", "=1", "/" },
		      { "/bin/sh", "A=1", "tmp" },
		      { "", "A=1", "/" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *const argv[] = { cases[i].path, NULL }, *const envp[] = { cases[i].variable, NULL };
		int64_t len =
			runner_run_build(plain, argv, envp, cases[i].cwd, NULL, NULL, NULL, message, sizeof(message));

		assert_int_equal(runner_run_parse(message, (size_t)len, &command), -EINVAL);
	}
}

static void builds_no_more_than_fits(void **state)
{
	static char big[RUNNER_STRINGS_MAX + 1];
	static const char *many[RUNNER_ARGS_MAX + 2];
	const char *const argv[] = { "/bin/echo", big, NULL }, *const none[] = { NULL };

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	for (size_t i = 0; i <= RUNNER_ARGS_MAX; i++)
		many[i] = "/x";
	assert_int_equal(runner_run_build(plain, argv, NULL, NULL, NULL, NULL, NULL, message, sizeof(message)), -E2BIG);
	assert_int_equal(runner_run_build(plain, many, NULL, NULL, NULL, NULL, NULL, message, sizeof(message)), -E2BIG);
	assert_int_equal(runner_run_build(plain, none, NULL, NULL, NULL, NULL, NULL, message, sizeof(message)),
			 -EINVAL);
	assert_int_equal(runner_run_build(plain, args, env, NULL, NULL, NULL, NULL, message, 10), -E2BIG);
	big[RUNNER_STRINGS_MAX - 15] = '\0'; /* "/bin/echo" and five NULs more: exactly the limit */
	assert_int_equal(runner_run_build(plain, argv, NULL, NULL, NULL, NULL, NULL, message, sizeof(message)),
			 RUNNER_STRINGS_MAX + sizeof(struct runner_run));
}

/* Not a fuzzer, but none of these may read outside: run under a sanitizer. */
static void survives_damaged_messages(void **state)
{
	uint32_t random = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t len = build();
		char *copy = malloc(len);

		memcpy(copy, message, len);
		for (int k = 0; k < 1 + i % 4; k++) {
			random = random * 1664525 + 1013904223;
			copy[(random >> 8) % len] = (char)random;
		}
		assert_true(runner_run_parse(copy, len, &command) <= 0);
		free(copy);
	}
}

static void takes_only_whole_replies(void **state)
{
	struct runner_reply reply = { .version = RUNNER_VERSION, .op = RUNNER_EXITED, .id = 3, .status = 256 };
	struct runner_answer got;

	(void)state;
	assert_int_equal(runner_reply_parse(&reply, sizeof(reply), &got), 0);
	assert_int_equal(got.reply.status, 256);
	assert_string_equal(got.text, "");
	assert_int_equal(runner_reply_parse(&reply, sizeof(reply) - 1, &got), -EBADMSG);
	reply.op = RUNNER_RUN;
	assert_int_equal(runner_reply_parse(&reply, sizeof(reply), &got), -EBADMSG);
	reply.op = RUNNER_EXITED;
	reply.id = 0;
	assert_int_equal(runner_reply_parse(&reply, sizeof(reply), &got), -EBADMSG);
}

static void replies_carry_their_words_and_nothing_unended(void **state)
{
	struct runner_answer answer = { .reply = { .op = RUNNER_ANSWERED, .id = 3 } }, got;
	char longer[2 * RUNNER_TEXT_MAX];
	size_t len = runner_answer_fill(&answer, "done");

	(void)state;
	assert_int_equal(runner_reply_parse(&answer, len, &got), 0);
	assert_string_equal(got.text, "done");
	for (size_t cut = sizeof(answer.reply); cut < len; cut++)
		assert_int_equal(runner_reply_parse(&answer, cut, &got), -EBADMSG);
	assert_int_equal(runner_reply_parse(&answer, len + 1, &got), -EBADMSG);
	answer.text[4] = 'x';
	assert_int_equal(runner_reply_parse(&answer, len, &got), -EBADMSG);

	memset(longer, 'y', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	len = runner_answer_fill(&answer, longer);
	assert_int_equal(len, sizeof(answer));
	assert_int_equal(runner_reply_parse(&answer, len, &got), 0);
	assert_int_equal(strlen(got.text), RUNNER_TEXT_MAX - 1);
}

static const struct runner_operation_request start = { .head = { .id = 9, .term_ns = 1, .kill_ns = 2 },
						       .operation = RUNNER_OPERATION_START,
						       .group = 1 };

static void takes_apart_a_operation(void **state)
{
	int64_t len = runner_operation_build(start, "ServiceControl", "cron.service", message, sizeof(message));
	struct runner_call call;

	(void)state;
	assert_true(len > 0);
	assert_int_equal(runner_operation_parse(message, (size_t)len, &call), 0);
	assert_int_equal(call.operation.operation, RUNNER_OPERATION_START);
	assert_string_equal(call.action, "ServiceControl");
	assert_string_equal(call.argument, "cron.service");
	assert_int_equal(runner_run_parse(message, (size_t)len, &command), -EBADMSG);
}

static void rejects_damaged_operations(void **state)
{
	const struct {
		size_t offset, width;
		uint64_t value;
	} cases[] = {
		{ offsetof(struct runner_operation_request, operation), 4, RUNNER_OPERATION_NONE },
		{ offsetof(struct runner_operation_request, operation), 4, RUNNER_OPERATIONS },
		{ offsetof(struct runner_operation_request, operation), 4, UINT32_MAX },
		{ offsetof(struct runner_operation_request, strings), 4, 3 },
		{ offsetof(struct runner_operation_request, reserved), 4, 1 },
		{ offsetof(struct runner_operation_request, head.op), 2, RUNNER_RUN },
		{ offsetof(struct runner_operation_request, head.id), 8, 0 },
	};
	struct runner_call call;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t len = runner_operation_build(start, "a", "b", message, sizeof(message));

		memcpy(message + cases[i].offset, &cases[i].value, cases[i].width);
		assert_int_equal(runner_operation_parse(message, (size_t)len, &call), -EBADMSG);
	}
	for (size_t cut = 0; cut < sizeof(start) + 4; cut++) {
		char *exact = malloc(cut + 1);

		runner_operation_build(start, "a", "b", message, sizeof(message));
		memcpy(exact, message, cut);
		assert_int_equal(runner_operation_parse(exact, cut, &call), -EBADMSG);
		free(exact);
	}
}

static void a_detached_run_has_a_unit_and_nothing_else_has(void **state)
{
	struct runner_run detached = plain;
	int64_t len;

	(void)state;
	detached.flags = RUNNER_RUN_DETACHED;
	len = runner_run_build(detached, args, env, NULL, NULL, "PackageInstall", "0f-1e", message, sizeof(message));
	assert_int_equal(runner_run_parse(message, (size_t)len, &command), 0);
	assert_string_equal(command.unit, "0f-1e");
	len = runner_run_build(detached, args, env, NULL, NULL, "PackageInstall", NULL, message, sizeof(message));
	assert_int_equal(runner_run_parse(message, (size_t)len, &command), -EBADMSG);
	len = runner_run_build(plain, args, env, NULL, NULL, "PackageInstall", "0f-1e", message, sizeof(message));
	assert_int_equal(runner_run_parse(message, (size_t)len, &command), -EBADMSG);
	len = runner_run_build(detached, args, env, NULL, NULL, "PackageInstall", "0f-1e/../x", message,
			       sizeof(message));
	assert_int_equal(runner_run_parse(message, (size_t)len, &command), -EBADMSG);
}

static void takes_names_of_units_by_their_grammar_alone(void **state)
{
	static const char *const bad[] = { "",
					   "-",
					   "1-",
					   "-1",
					   "1",
					   "1-2-3",
					   "1-2.",
					   "1-g",
					   "A-1",
					   "1 -2",
					   "../1-2",
					   "1-2\n",
					   "1_2",
					   "12345678901234567-1",
					   "1-12345678901234567",
					   "1-\xff" };

	(void)state;
	assert_true(runner_unit_valid("0-0"));
	assert_true(runner_unit_valid("0123456789abcdef-fedcba9876543210"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct runner_detached_cancel cancel = runner_detached_cancel_make(1, bad[i]);

		assert_false(runner_unit_valid(bad[i]));
		assert_int_equal(runner_detached_cancel_parse(&cancel, sizeof(cancel), &cancel), -EBADMSG);
	}
}

static void takes_apart_what_cancels_a_detached_run(void **state)
{
	struct runner_detached_cancel cancel = runner_detached_cancel_make(5, "1a-2b"), got;
	struct runner_call call;

	(void)state;
	assert_int_equal(runner_detached_cancel_parse(&cancel, sizeof(cancel), &got), 0);
	assert_string_equal(got.unit, "1a-2b");
	assert_int_equal(got.head.id, 5);
	memcpy(message, &cancel, sizeof(cancel));
	assert_int_equal(runner_run_parse(message, sizeof(cancel), &command), -EBADMSG);
	assert_int_equal(runner_operation_parse(message, sizeof(cancel), &call), -EBADMSG);
}

static void rejects_damaged_ones_that_cancel_a_detached_run(void **state)
{
	const struct {
		size_t offset, width;
		uint64_t value;
		int error;
	} cases[] = {
		{ offsetof(struct runner_detached_cancel, head.version), 2, 3, -EPROTO },
		{ offsetof(struct runner_detached_cancel, head.op), 2, RUNNER_RUN, -EBADMSG },
		{ offsetof(struct runner_detached_cancel, head.op), 2, RUNNER_CANCEL, -EBADMSG },
		{ offsetof(struct runner_detached_cancel, head.id), 8, 0, -EBADMSG },
		{ offsetof(struct runner_detached_cancel, head.term_ns), 8, 2, -EBADMSG },
		{ offsetof(struct runner_detached_cancel, unit), 1, '/', -EBADMSG },
		{ offsetof(struct runner_detached_cancel, unit) + 2, 1, 0, -EBADMSG },
		{ offsetof(struct runner_detached_cancel, unit) + 39, 1, '1', -EBADMSG },
	};
	struct runner_detached_cancel got;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct runner_detached_cancel cancel = runner_detached_cancel_make(5, "1a-2b");

		memcpy((char *)&cancel + cases[i].offset, &cases[i].value, cases[i].width);
		assert_int_equal(runner_detached_cancel_parse(&cancel, sizeof(cancel), &got), cases[i].error);
	}
	for (size_t cut = 0; cut < sizeof(got); cut++) {
		struct runner_detached_cancel cancel = runner_detached_cancel_make(5, "1a-2b");
		char *exact = malloc(cut + 1);

		memcpy(exact, &cancel, cut);
		assert_int_equal(runner_detached_cancel_parse(exact, cut, &got), -EBADMSG);
		free(exact);
	}
}

static void an_end_is_one_line_and_nothing_else_is(void **state)
{
	const struct end_record record = { RUNNER_TIMED_OUT | RUNNER_KILLED, -1, 0, 0, UINT64_MAX };
	static const char *const bad[] = { "",
					   "end 1 0 0 0 0 5",
					   "end 1 0 0 0 0 5\n\n",
					   "end 1 0 0 0 0 05\n",
					   "end 1 0 0 0 0 -5\n",
					   "end 1 +0 0 0 0 5\n",
					   "end 1 4294967296 0 0 0 5\n",
					   "end 1 0 0 -2 0 5\n",
					   "end 1 0  0 0 0 5\n",
					   "end 2 0 0 0 0 5\n",
					   "end 1 0 0 0 0 5\nend 1 0 0 0 0 5\n" };
	char line[END_RECORD_MAX];
	struct end_record got;
	size_t len = end_record_format(&record, line);

	(void)state;
	assert_int_equal(end_record_parse(line, len, &got), 0);
	assert_memory_equal(&got, &record, sizeof(got));
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(end_record_parse(line, cut, &got), -EBADMSG);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(end_record_parse(bad[i], strlen(bad[i]), &got), -EBADMSG);
	memset(line, '1', sizeof(line));
	assert_int_equal(end_record_parse(line, sizeof(line), &got), -EBADMSG);
}

/* Row 71: a name may hold parentheses, spaces and newlines. */
static void reads_a_stat_line_whatever_the_name(void **state)
{
	static const char line[] = "4242 (a) S 1 (\n) Z 99 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 9\n";
	static const char thread[] = "9 (rcu) S 7 0 0 0 -1 2129984 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 9\n";
	struct tree_process p;

	(void)state;
	assert_int_equal(tree_stat_parse(line, sizeof(line) - 1, &p), 0);
	assert_int_equal(p.pid, 4242);
	assert_int_equal(p.parent, 99);
	assert_int_equal(p.start_ticks, 123456);
	assert_true(p.dead);
	assert_false(p.kernel);
	assert_int_equal(tree_stat_parse(thread, sizeof(thread) - 1, &p), 0);
	assert_true(p.kernel);
	for (size_t cut = 0; cut <= (size_t)(strstr(line, "123456") - line); cut++)
		assert_int_equal(tree_stat_parse(line, cut, &p), -EBADMSG);
}

/* The number that the next descriptor gets: the same before and after when none was left open below it. */
static int next_descriptor(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static int pair[2], free_before;

static int open_pair(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	free_before = next_descriptor();
	return 0;
}

static int close_pair(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	return 0;
}

/* `count` came, close-on-exec, and nothing is left open beside them. */
static void take_descriptors(int fds[PACKET_FDS], size_t count)
{
	for (size_t i = 0; i < PACKET_FDS; i++) {
		assert_int_equal(fds[i] >= 0, i < count);
		if (fds[i] >= 0)
			assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
	}
	packet_close(fds);
	assert_int_equal(next_descriptor(), free_before);
}

/* More than packet_send takes, as one that means ill sends them. */
static void send_with_many(const void *bytes, size_t len, size_t count)
{
	union {
		char bytes[CMSG_SPACE((PACKET_FDS + 3) * sizeof(int))];
		struct cmsghdr head;
	} control = { .bytes = "" };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
	int sent[PACKET_FDS + 3];

	assert_true(count <= PACKET_FDS + 3);
	for (size_t i = 0; i < count; i++)
		sent[i] = pair[0];
	control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
					 .cmsg_type = SCM_RIGHTS,
					 .cmsg_len = CMSG_LEN(count * sizeof(int)) };
	memcpy(CMSG_DATA(&control.head), sent, count * sizeof(int));
	msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
	assert_int_equal(sendmsg(pair[0], &msg, MSG_NOSIGNAL), len);
}

static void descriptors_of_a_packet_are_known_whatever_else_it_holds(void **state)
{
	int send[PACKET_FDS], fds[PACKET_FDS];
	char byte = 'x';

	(void)state;
	for (size_t i = 0; i < PACKET_FDS; i++)
		send[i] = pair[i % 2];
	for (size_t len = 0; len < 2; len++) {
		for (size_t count = 0; count <= PACKET_FDS; count++) {
			assert_int_equal(packet_send(pair[0], &byte, len, send, count), len);
			assert_int_equal(packet_receive(pair[1], &byte, 1, 0, fds), len);
			take_descriptors(fds, count);
		}
	}
}

static void descriptors_beyond_those_of_a_packet_never_arrive(void **state)
{
	int fds[PACKET_FDS];
	char byte = 'x';

	(void)state;
	for (size_t len = 0; len < 2; len++) {
		for (size_t count = PACKET_FDS + 1; count <= PACKET_FDS + 3; count++) {
			send_with_many(&byte, len, count);
			assert_int_equal(packet_receive(pair[1], &byte, 1, 0, fds), len);
			take_descriptors(fds, PACKET_FDS);
		}
	}
}

static void a_packet_that_is_too_long_brings_its_descriptors_all_the_same(void **state)
{
	static const char bytes[] = "more than there is room for";
	int fds[PACKET_FDS];
	char room[4];

	(void)state;
	send_with_many(bytes, sizeof(bytes), PACKET_FDS + 1);
	assert_int_equal(packet_receive(pair[1], room, sizeof(room), MSG_TRUNC, fds), sizeof(bytes));
	take_descriptors(fds, PACKET_FDS);
	send_with_many(bytes, sizeof(bytes), 1);
	assert_int_equal(packet_receive(pair[1], room, sizeof(room), 0, fds), sizeof(room));
	take_descriptors(fds, 1);
	for (size_t i = 0; i < PACKET_FDS; i++)
		fds[i] = pair[0];
	assert_int_equal(packet_receive(pair[1], room, sizeof(room), 0, fds), -1); /* nothing there: nothing to close */
	take_descriptors(fds, 0);
}

#define P(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_apart_what_was_built),
		cmocka_unit_test(absent_strings_are_null),
		cmocka_unit_test(rejects_every_shorter_and_longer_message),
		cmocka_unit_test(rejects_wrong_heads_and_counts),
		cmocka_unit_test(rejects_paths_that_are_not_absolute_and_nameless_variables),
		cmocka_unit_test(builds_no_more_than_fits),
		cmocka_unit_test(survives_damaged_messages),
		cmocka_unit_test(takes_only_whole_replies),
		cmocka_unit_test(replies_carry_their_words_and_nothing_unended),
		cmocka_unit_test(takes_apart_a_operation),
		cmocka_unit_test(rejects_damaged_operations),
		cmocka_unit_test(a_detached_run_has_a_unit_and_nothing_else_has),
		cmocka_unit_test(takes_names_of_units_by_their_grammar_alone),
		cmocka_unit_test(takes_apart_what_cancels_a_detached_run),
		cmocka_unit_test(an_end_is_one_line_and_nothing_else_is),
		cmocka_unit_test(rejects_damaged_ones_that_cancel_a_detached_run),
		cmocka_unit_test(reads_a_stat_line_whatever_the_name),
		P(descriptors_of_a_packet_are_known_whatever_else_it_holds),
		P(descriptors_beyond_those_of_a_packet_never_arrive),
		P(a_packet_that_is_too_long_brings_its_descriptors_all_the_same),
	};

	return cmocka_run_group_tests_name("exec_protocol", tests, NULL, NULL);
}
