/* SPDX-License-Identifier: MIT */
/*
 * Detached runs: the client of agent/run/exec.c against an executor and a launcher that the test plays, which die, come
 * back and tell of ends; what the command writes, and its end, is in files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/run/exec.h"
#include "agent/run/detached_files.h"
#include "agent/runner/protocol.h"
#include "tests/loop_turn.h"
#include "tests/room.h"

const bool test_can_destroy = true;

#define UNIT "1a-2b"
#define CAP  65536

struct answer {
	unsigned done, started;
	uint64_t told, skipped;
	struct exec_outcome outcome; /* with the outputs taken over */
};

struct fixture {
	struct ev_loop *loop;
	struct exec *exec;
	char dir[64], socket_path[128];
	int listener, peer;    /* the executor's */
	int files[PACKET_FDS]; /* that came with the last RUN: the launcher has them */
	struct answer answer;
	struct exec_job *job;
};

static struct exec *agent_new(struct fixture *f)
{
	struct exec_config config = { .socket_path = f->socket_path, .detached_dir = f->dir, .max_output_bytes = CAP };

	return exec_new(f->loop, &config);
}

static void executor_begins(struct fixture *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(f->socket_path);
	strcpy(address.sun_path, f->socket_path);
	assert_int_equal(bind(f->listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(f->listener, 4), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*f = (struct fixture){ .loop = ev_default_loop(0), .peer = -1, .files = { -1, -1, -1 } };
	strcpy(f->dir, "/tmp/test-detached-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->socket_path, sizeof(f->socket_path), "%s/exec.sock", f->dir);
	executor_begins(f);
	f->exec = agent_new(f);
	assert_non_null(f->exec);
	*state = f;
	return 0;
}

/* The launcher is killed. */
static void launcher_dies(struct fixture *f)
{
	packet_close(f->files);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	exec_free(f->exec);
	close_fd(&f->listener);
	close_fd(&f->peer);
	packet_close(f->files);
	free(f->answer.outcome.out.bytes);
	free(f->answer.outcome.err.bytes);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* ---------------------------------------------------------------------------------------------------- the agent */

static void on_started(void *data, pid_t pid)
{
	(void)pid;
	((struct answer *)data)->started++;
}

static void on_output(void *data, enum exec_stream stream, const char *bytes, size_t len)
{
	struct answer *answer = data;

	(void)stream;
	if (bytes)
		answer->told += len;
	else
		answer->skipped += len;
}

static void on_done(void *data, struct exec_outcome *outcome)
{
	struct answer *answer = data;

	answer->done++;
	answer->outcome = *outcome;
	outcome->out.bytes = outcome->err.bytes = NULL;
}

static void start(struct fixture *f, bool attach, bool live)
{
	static const char *const argv[] = { "/usr/bin/apt-get", "install", NULL };
	static const struct exec_callbacks callbacks = { .started = on_started, .output = on_output, .done = on_done };
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	struct exec_request request = { .argv = argv,
					.term_ns = now + 50 * NS_PER_S,
					.kill_ns = now + 60 * NS_PER_S,
					.unit = UNIT,
					.attach = attach,
					.live = live };

	assert_int_equal(exec_start(f->exec, &request, &callbacks, &f->answer, &f->job), 0);
}

static void wait_until(struct fixture *f, const unsigned *what)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + 20 * NS_PER_S;

	while (!*what && clock_ns(CLOCK_MONOTONIC) < end)
		loop_turn(f->loop);
	assert_int_equal(*what, 1);
}

/* So much is read, or passed over. */
static void wait_told(struct fixture *f, uint64_t want)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + 20 * NS_PER_S;

	while (f->answer.told + f->answer.skipped < want && clock_ns(CLOCK_MONOTONIC) < end)
		loop_turn(f->loop);
	assert_int_equal(f->answer.told + f->answer.skipped, want);
}

static bool has_files(const struct fixture *f)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/" DETACHED_FILES_PREFIX UNIT ".out", f->dir);
	return access(path, F_OK) == 0;
}

/* ---------------------------------------------------------------------------------------------------- the executor */

/* The next request, those of a RUN in f->files; op 0: the connection is gone. Connects first if need be. */
static struct runner_request hear(struct fixture *f)
{
	static char message[RUNNER_MESSAGE_MAX];
	static struct runner_command command;
	struct runner_request head = { .op = 0 };
	struct runner_detached_cancel cancel;
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + 20 * NS_PER_S;
	int fds[PACKET_FDS] = { -1, -1, -1 };
	ssize_t len = -1;

	while (len < 0 && clock_ns(CLOCK_MONOTONIC) < end) {
		loop_turn(f->loop);
		if (f->peer < 0)
			f->peer = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (f->peer >= 0)
			len = packet_receive(f->peer, message, sizeof(message), 0, fds);
	}
	if (len > 0)
		assert_int_equal(runner_request_parse(message, (size_t)len, &head), 0);
	if (head.op == RUNNER_RUN) {
		assert_int_equal(runner_run_parse(message, (size_t)len, &command), 0);
		assert_string_equal(command.unit, UNIT);
		memcpy(f->files, fds, sizeof(fds));
	} else if (head.op == RUNNER_CANCEL_DETACHED) {
		assert_int_equal(runner_detached_cancel_parse(message, (size_t)len, &cancel), 0);
		assert_string_equal(cancel.unit, UNIT);
	}
	return head;
}

static void tell(struct fixture *f, struct runner_reply reply)
{
	struct runner_answer answer = { .reply = reply };
	size_t len = runner_answer_fill(&answer, "");

	assert_int_equal(send(f->peer, &answer, len, 0), len);
}

static void executor_dies(struct fixture *f)
{
	close_fd(&f->peer);
}

/* No executor is there, and none will be. */
static void executor_is_off(struct fixture *f)
{
	executor_dies(f);
	close_fd(&f->listener);
	unlink(f->socket_path);
}

/* The launcher's last word. */
static void launcher_ends(struct fixture *f, struct end_record end)
{
	char line[END_RECORD_MAX];
	size_t len = end_record_format(&end, line);

	assert_int_equal(write(f->files[DETACHED_END], line, len), len);
	launcher_dies(f);
}

static void turns(struct fixture *f, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		loop_turn(f->loop);
}

static uint64_t hear_run(struct fixture *f)
{
	struct runner_request head = hear(f);

	assert_int_equal(head.op, RUNNER_RUN);
	assert_true(f->files[0] >= 0 && f->files[1] >= 0 && f->files[2] >= 0);
	tell(f, (struct runner_reply){ .op = RUNNER_STARTED, .id = head.id, .pid = 4711 });
	wait_until(f, &f->answer.started);
	return head.id;
}

static void write_some(int fd, size_t len)
{
	char *bytes = malloc(len);

	memset(bytes, 'x', len);
	assert_int_equal(write(fd, bytes, len), len);
	free(bytes);
}

/* ---------------------------------------------------------------------------------------------------- the tests */

static void what_it_writes_to_its_files_is_its_output(void **state)
{
	struct fixture *f = *state;

	start(f, false, false);
	hear_run(f);
	for (int i = 0; i < PACKET_FDS; i++)
		assert_int_equal(fcntl(f->files[i], F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
	assert_int_equal(write(f->files[0], "out", 3), 3);
	wait_told(f, 3); /* as it grows, not at its end */
	assert_int_equal(write(f->files[1], "err", 3), 3);
	launcher_ends(f, (struct end_record){ .status = 7 << 8 });
	wait_until(f, &f->answer.done);
	assert_int_equal(f->answer.outcome.exit_code, 7);
	assert_memory_equal(f->answer.outcome.out.bytes, "out", 3);
	assert_memory_equal(f->answer.outcome.err.bytes, "err", 3);
	assert_false(f->answer.outcome.truncated || f->answer.outcome.attached);
	assert_true(has_files(f));
	exec_forget(f->exec, UNIT);
	assert_false(has_files(f));
}

static void a_file_takes_no_more_room_than_what_is_kept(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	start(f, false, false);
	hear_run(f);
	for (int i = 0; i < 40; i++) {
		write_some(f->files[0], 50000);
		loop_turn(f->loop);
	}
	wait_told(f, 2000000);
	assert_int_equal(fstat(f->files[0], &st), 0);
	assert_int_equal(st.st_size, 2000000);
	assert_in_range(st.st_blocks * 512, CAP, 3 * CAP);
	launcher_ends(f, (struct end_record){ .status = 0 });
	wait_until(f, &f->answer.done);
	assert_int_equal(f->answer.outcome.out.total, 2000000);
	assert_int_equal(f->answer.outcome.out.len, CAP);
	assert_true(f->answer.outcome.truncated);
	for (size_t i = 0; i < CAP; i++)
		assert_int_equal(f->answer.outcome.out.bytes[i], 'x');
}

static void all_is_told_when_that_is_wanted(void **state)
{
	struct fixture *f = *state;

	start(f, false, true);
	hear_run(f);
	write_some(f->files[0], 1000000);
	launcher_ends(f, (struct end_record){ .status = 0 });
	wait_until(f, &f->answer.done);
	assert_int_equal(f->answer.told, 1000000);
	assert_int_equal(f->answer.skipped, 0);
	assert_int_equal(f->answer.outcome.out.len, CAP);
}

static void how_it_ended_is_in_its_record(void **state)
{
	static const struct {
		struct end_record end;
		struct exec_outcome want;
	} cases[] = {
		{ { .status = 15 }, { .signal = 15, .exit_code = 143 } },
		{ { .flags = RUNNER_TIMED_OUT | RUNNER_KILLED, .status = 9 },
		  { .timed_out = true, .signal = 9, .exit_code = 137 } },
		{ { .flags = RUNNER_CANCELLED, .status = 15 }, { .cancelled = true, .signal = 15, .exit_code = 143 } },
		{ { .flags = RUNNER_OOM, .status = 100 << 8 }, { .oom_killed = true, .exit_code = 100 } },
		{ { .flags = RUNNER_TIMED_OUT | RUNNER_KILLED | RUNNER_STUCK },
		  { .timed_out = true, .stuck = true, .exit_code = -1 } },
		{ { .error = ENOENT, .stage = RUNNER_STAGE_EXEC },
		  { .spawn_errno = ENOENT, .spawn_stage = RUNNER_STAGE_EXEC, .exit_code = -1 } },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct exec_outcome *want = &cases[i].want, *got = &f->answer.outcome;

		f->answer = (struct answer){ .done = 0 };
		start(f, false, false);
		hear_run(f);
		launcher_ends(f, cases[i].end);
		wait_until(f, &f->answer.done);
		assert_int_equal(got->signal, want->signal);
		assert_int_equal(got->exit_code, want->exit_code);
		assert_int_equal(got->timed_out, want->timed_out);
		assert_int_equal(got->cancelled, want->cancelled);
		assert_int_equal(got->oom_killed, want->oom_killed);
		assert_int_equal(got->stuck, want->stuck);
		assert_int_equal(got->spawn_errno, want->spawn_errno);
		assert_int_equal(got->spawn_stage, want->spawn_stage);
		assert_false(got->lost);
		exec_forget(f->exec, UNIT);
	}
}

static void no_executor_is_needed_once_it_has_begun(void **state)
{
	struct fixture *f = *state;

	start(f, false, false);
	hear_run(f);
	assert_int_equal(write(f->files[0], "one ", 4), 4);
	executor_is_off(f);
	turns(f, 20);
	assert_int_equal(f->answer.done, 0);
	assert_int_equal(write(f->files[0], "two", 3), 3);
	launcher_ends(f, (struct end_record){ .flags = RUNNER_TIMED_OUT, .status = 15 });
	wait_until(f, &f->answer.done);
	assert_true(f->answer.outcome.timed_out);
	assert_false(f->answer.outcome.lost);
	assert_memory_equal(f->answer.outcome.out.bytes, "one two", 7);
}

static void it_is_lost_when_its_launcher_died_without_a_word(void **state)
{
	struct fixture *f = *state;

	start(f, false, false);
	hear_run(f);
	turns(f, 5);
	assert_int_equal(f->answer.done, 0);
	launcher_dies(f);
	wait_until(f, &f->answer.done);
	assert_true(f->answer.outcome.lost && f->answer.outcome.started);
	assert_int_equal(f->answer.outcome.spawn_errno, 0);
}

static void what_was_handed_over_and_not_answered_is_never_run_twice(void **state)
{
	struct fixture *f = *state;

	start(f, false, false);
	assert_int_equal(hear(f).op, RUNNER_RUN);
	executor_dies(f);
	turns(f, 20);
	assert_int_equal(f->answer.done, 0); /* somebody has its files: it may run */
	launcher_ends(f, (struct end_record){ .status = 3 << 8 });
	wait_until(f, &f->answer.done);
	assert_int_equal(f->answer.outcome.exit_code, 3);
}

static void an_executor_that_never_said_a_word_is_told_as_such(void **state)
{
	struct fixture *f = *state;

	start(f, false, false);
	assert_int_equal(hear(f).op, RUNNER_RUN);
	executor_dies(f);
	launcher_dies(f);
	wait_until(f, &f->answer.done);
	assert_int_equal(f->answer.outcome.spawn_stage, RUNNER_STAGE_EXECUTOR);
	assert_false(f->answer.outcome.lost);
}

static void a_refusal_counts_though_nobody_has_the_files_any_more(void **state)
{
	struct fixture *f = *state;
	struct runner_request head;

	start(f, false, false);
	head = hear(f);
	launcher_dies(f); /* the executor closes them when it has refused */
	turns(f, 20);
	assert_int_equal(f->answer.done, 0);
	tell(f, (struct runner_reply){
			.op = RUNNER_REFUSED, .id = head.id, .error = EBUSY, .stage = RUNNER_STAGE_RESOURCE });
	wait_until(f, &f->answer.done);
	assert_int_equal(f->answer.outcome.spawn_errno, EBUSY);
}

static void the_agent_ends(struct fixture *f)
{
	exec_stop(f->exec, 0);
	exec_free(f->exec);
	assert_int_equal(f->answer.done, 1);
	assert_true(f->answer.outcome.goes_on);
	free(f->answer.outcome.out.bytes);
	free(f->answer.outcome.err.bytes);
	f->answer = (struct answer){ .done = 0 };
	executor_dies(f);
}

static void the_next_agent_finds_it_and_all_it_wrote(void **state)
{
	struct fixture *f = *state;

	start(f, false, false);
	hear_run(f);
	assert_int_equal(write(f->files[0], "before ", 7), 7);
	the_agent_ends(f);
	assert_int_equal(write(f->files[0], "between ", 8), 8);

	f->exec = agent_new(f);
	executor_is_off(f);
	start(f, true, false);
	assert_int_equal(f->answer.done, 0);
	assert_int_equal(write(f->files[0], "after", 5), 5);
	turns(f, 5);
	assert_int_equal(f->answer.done, 0);
	launcher_ends(f, (struct end_record){ .status = 0 });
	wait_until(f, &f->answer.done);
	assert_int_equal(f->answer.outcome.exit_code, 0);
	assert_true(f->answer.outcome.attached);
	assert_int_equal(f->answer.outcome.out.len, 20);
	assert_memory_equal(f->answer.outcome.out.bytes, "before between after", 20);
}

static void the_next_agent_is_told_of_what_ended_or_was_lost_before_it_came(void **state)
{
	struct fixture *f = *state;

	start(f, false, false);
	hear_run(f);
	the_agent_ends(f);
	launcher_ends(f, (struct end_record){ .status = 4 << 8 });
	f->exec = agent_new(f);
	start(f, true, false);
	wait_until(f, &f->answer.done);
	assert_int_equal(f->answer.outcome.exit_code, 4);
	exec_forget(f->exec, UNIT);
	f->answer = (struct answer){ .done = 0 };
	start(f, true, false); /* its files are gone */
	assert_int_equal(f->answer.done, 0);
	wait_until(f, &f->answer.done);
	assert_true(f->answer.outcome.lost && f->answer.outcome.attached);
}

static void it_is_cancelled_by_its_unit_once_it_has_begun_by_whichever_executor_there_is(void **state)
{
	struct fixture *f = *state;
	uint64_t id;
	char byte;

	start(f, false, false);
	id = hear(f).id;
	exec_cancel(f->job, 2 * NS_PER_S);
	turns(f, 10);
	assert_int_equal(recv(f->peer, &byte, 1, MSG_DONTWAIT), -1);
	tell(f, (struct runner_reply){ .op = RUNNER_STARTED, .id = id, .pid = 4711 });
	assert_int_equal(hear(f).op, RUNNER_CANCEL_DETACHED);
	the_agent_ends(f);
	f->exec = agent_new(f);
	start(f, true, false);
	turns(f, 10);
	assert_int_equal(accept4(f->listener, NULL, NULL, SOCK_NONBLOCK), -1);
	exec_cancel(f->job, 2 * NS_PER_S);
	assert_int_equal(hear(f).op, RUNNER_CANCEL_DETACHED);
	launcher_dies(f); /* before it could say why */
	wait_until(f, &f->answer.done);
	assert_true(f->answer.outcome.cancelled);
	assert_false(f->answer.outcome.lost);
}

/* Whoever listens there was somebody else when it did (SO_PEERCRED, unix(7)): it is told nothing. */
static void somebody_else_who_listens_in_its_place_is_told_nothing(void **state)
{
	struct fixture *f = *state;
	char byte;
	int fd;

	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	start(f, false, false);
	hear_run(f);
	the_agent_ends(f);
	f->exec = agent_new(f);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(listen(f->listener, 4), 0);
	assert_int_equal(seteuid(0), 0);
	start(f, true, false);
	exec_cancel(f->job, NS_PER_S);
	turns(f, 20);
	while ((fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
		close_fd(&fd);
	}
	/* The same listener, once it is root's, is asked. */
	assert_int_equal(listen(f->listener, 4), 0);
	assert_int_equal(hear(f).op, RUNNER_CANCEL_DETACHED);
	launcher_dies(f);
	wait_until(f, &f->answer.done);
}

static bool keep_one(void *data, const char *unit)
{
	return strcmp(unit, data) == 0;
}

static void files_of_nobody_are_removed_and_others_are_not_touched(void **state)
{
	static const char *const names[] = { "detached-1-1.out", "detached-1-1.note", "detached-2-2.end",
					     "detached-notes",	 "detached-../x",     "latest.json" };
	static const bool stays[] = { true, true, false, true, true, true };
	struct fixture *f = *state;
	int dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY);
	char one[] = "1-1";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strchr(names[i], '/'))
			close(openat(dir_fd, names[i], O_WRONLY | O_CREAT, 0600));
	detached_files_clean(dir_fd, keep_one, one);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strchr(names[i], '/'))
			assert_int_equal(faccessat(dir_fd, names[i], F_OK, 0) == 0, stays[i]);
	close(dir_fd);
}

static void a_link_in_the_place_of_a_file_leads_nowhere(void **state)
{
	struct fixture *f = *state;
	struct detached_files files = DETACHED_FILES_NONE;
	int dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY);

	assert_int_equal(symlinkat("/etc/passwd", dir_fd, DETACHED_FILES_PREFIX UNIT ".err"), 0);
	assert_true(detached_files_create(&files, dir_fd, UNIT) < 0);
	assert_int_equal(files.files[0], -1);
	assert_false(has_files(f));
	assert_int_equal(symlinkat("/dev/null", dir_fd, DETACHED_FILES_PREFIX UNIT ".out"), 0);
	assert_int_equal(symlinkat("exec.sock", dir_fd, DETACHED_FILES_PREFIX UNIT ".err"), 0);
	assert_int_equal(detached_files_open(&files, dir_fd, UNIT), -ELOOP);
	close(dir_fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_it_writes_to_its_files_is_its_output),
		TEST(a_file_takes_no_more_room_than_what_is_kept),
		TEST(all_is_told_when_that_is_wanted),
		TEST(how_it_ended_is_in_its_record),
		TEST(no_executor_is_needed_once_it_has_begun),
		TEST(it_is_lost_when_its_launcher_died_without_a_word),
		TEST(what_was_handed_over_and_not_answered_is_never_run_twice),
		TEST(an_executor_that_never_said_a_word_is_told_as_such),
		TEST(a_refusal_counts_though_nobody_has_the_files_any_more),
		TEST(the_next_agent_finds_it_and_all_it_wrote),
		TEST(the_next_agent_is_told_of_what_ended_or_was_lost_before_it_came),
		TEST(it_is_cancelled_by_its_unit_once_it_has_begun_by_whichever_executor_there_is),
		TEST(somebody_else_who_listens_in_its_place_is_told_nothing),
		TEST(files_of_nobody_are_removed_and_others_are_not_touched),
		TEST(a_link_in_the_place_of_a_file_leads_nowhere),
	};

	return cmocka_run_group_tests_name("detached", tests, NULL, NULL);
}
