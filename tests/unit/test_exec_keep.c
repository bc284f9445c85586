/* SPDX-License-Identifier: MIT */
/*
 * Commands that outlive agent and executor: the client of agent/run/exec.c against an executor that the test plays,
 * which dies, comes back and tells of ends; what the command writes is in files.
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
#include "agent/run/exec_keep.h"
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
	int listener, peer; /* the executor's */
	int files[2];	    /* that came with the last request */
	struct answer answer;
};

static struct exec *agent_new(struct fixture *f)
{
	struct exec_config config = { .socket_path = f->socket_path, .keep_dir = f->dir, .max_output_bytes = CAP };

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

	*f = (struct fixture){ .loop = ev_default_loop(0), .peer = -1, .files = { -1, -1 } };
	strcpy(f->dir, "/tmp/test-keep-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->socket_path, sizeof(f->socket_path), "%s/exec.sock", f->dir);
	executor_begins(f);
	f->exec = agent_new(f);
	assert_non_null(f->exec);
	*state = f;
	return 0;
}

static void files_close(struct fixture *f)
{
	close_fd(&f->files[0]);
	close_fd(&f->files[1]);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	exec_free(f->exec);
	close_fd(&f->listener);
	close_fd(&f->peer);
	files_close(f);
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
					.keep_unit = UNIT,
					.attach = attach,
					.live = live };
	struct exec_job *job;

	assert_int_equal(exec_start(f->exec, &request, &callbacks, &f->answer, &job), 0);
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

	snprintf(path, sizeof(path), "%s/" EXEC_KEEP_PREFIX UNIT ".out", f->dir);
	return access(path, F_OK) == 0;
}

/* ---------------------------------------------------------------------------------------------------- the executor */

/* The next request, its descriptors in f->files; op 0: the connection is gone. Connects first if need be. */
static struct runner_request hear(struct fixture *f)
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr head;
	} control;
	static char message[RUNNER_MESSAGE_MAX];
	struct runner_request head = { .op = 0 };
	struct runner_unit_request request;
	struct runner_command *command = calloc(1, sizeof(*command));
	struct iovec iov = { .iov_base = message, .iov_len = sizeof(message) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + 20 * NS_PER_S;
	const char *unit = NULL;
	ssize_t len = -1;

	while (len < 0 && clock_ns(CLOCK_MONOTONIC) < end) {
		loop_turn(f->loop);
		if (f->peer < 0)
			f->peer = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (f->peer >= 0)
			len = recvmsg(f->peer, &msg, MSG_CMSG_CLOEXEC);
	}
	if (len > 0 && msg.msg_controllen >= CMSG_LEN(2 * sizeof(int)))
		memcpy(f->files, CMSG_DATA(&control.head), 2 * sizeof(int));
	if (len > 0)
		assert_int_equal(runner_request_parse(message, (size_t)len, &head), 0);
	if (head.op == RUNNER_RUN) {
		assert_int_equal(runner_run_parse(message, (size_t)len, command), 0);
		assert_string_equal(command->unit, UNIT);
	} else if (head.op == RUNNER_ATTACH || head.op == RUNNER_RELEASE) {
		assert_int_equal(runner_unit_parse(message, (size_t)len, &request, &unit), 0);
		assert_string_equal(unit, UNIT);
	}
	free(command);
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

static uint64_t hear_run(struct fixture *f)
{
	struct runner_request head = hear(f);

	assert_int_equal(head.op, RUNNER_RUN);
	assert_true(f->files[0] >= 0 && f->files[1] >= 0);
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
	uint64_t id;

	start(f, false, false);
	id = hear_run(f);
	assert_int_equal(fcntl(f->files[0], F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
	assert_int_equal(write(f->files[0], "out", 3), 3);
	wait_told(f, 3); /* as it grows, not at its end */
	assert_int_equal(write(f->files[1], "err", 3), 3);
	tell(f, (struct runner_reply){ .op = RUNNER_EXITED, .id = id, .status = 7 << 8 });
	wait_until(f, &f->answer.done);
	assert_int_equal(f->answer.outcome.exit_code, 7);
	assert_memory_equal(f->answer.outcome.out.bytes, "out", 3);
	assert_memory_equal(f->answer.outcome.err.bytes, "err", 3);
	assert_false(f->answer.outcome.truncated || f->answer.outcome.attached);
	assert_true(has_files(f));
	exec_release(f->exec, UNIT);
	assert_false(has_files(f));
	assert_int_equal(hear(f).op, RUNNER_RELEASE);
}

static void a_file_takes_no_more_room_than_what_is_kept(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	uint64_t id;

	start(f, false, false);
	id = hear_run(f);
	for (int i = 0; i < 40; i++) {
		write_some(f->files[0], 50000);
		loop_turn(f->loop);
	}
	wait_told(f, 2000000);
	assert_int_equal(fstat(f->files[0], &st), 0);
	assert_int_equal(st.st_size, 2000000);
	assert_in_range(st.st_blocks * 512, CAP, 3 * CAP);
	tell(f, (struct runner_reply){ .op = RUNNER_EXITED, .id = id });
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
	uint64_t id;

	start(f, false, true);
	id = hear_run(f);
	write_some(f->files[0], 1000000);
	tell(f, (struct runner_reply){ .op = RUNNER_EXITED, .id = id });
	wait_until(f, &f->answer.done);
	assert_int_equal(f->answer.told, 1000000);
	assert_int_equal(f->answer.skipped, 0);
	assert_int_equal(f->answer.outcome.out.len, CAP);
}

static void it_is_asked_after_when_the_executor_is_another(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	start(f, false, false);
	id = hear_run(f);
	assert_int_equal(write(f->files[0], "one ", 4), 4);
	for (int i = 0; i < 3; i++) {
		struct runner_request head;

		executor_dies(f);
		head = hear(f);
		assert_int_equal(head.op, RUNNER_ATTACH);
		assert_int_equal(head.id, id);
	}
	assert_int_equal(f->answer.done, 0);
	assert_int_equal(write(f->files[0], "two", 3), 3);
	tell(f, (struct runner_reply){ .op = RUNNER_STARTED, .id = id, .pid = 4711 });
	tell(f, (struct runner_reply){ .op = RUNNER_EXITED, .id = id, .flags = RUNNER_TIMED_OUT, .status = 15 });
	wait_until(f, &f->answer.done);
	assert_true(f->answer.outcome.timed_out);
	assert_false(f->answer.outcome.lost);
	assert_int_equal(f->answer.outcome.out.len, 7);
	assert_memory_equal(f->answer.outcome.out.bytes, "one two", 7);
}

static void it_is_lost_when_its_unit_is_gone(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	start(f, false, false);
	id = hear_run(f);
	executor_dies(f);
	assert_int_equal(hear(f).op, RUNNER_ATTACH);
	tell(f,
	     (struct runner_reply){ .op = RUNNER_REFUSED, .id = id, .error = ENOENT, .stage = RUNNER_STAGE_RESOURCE });
	wait_until(f, &f->answer.done);
	assert_true(f->answer.outcome.lost);
	assert_int_equal(f->answer.outcome.spawn_errno, 0);
}

static void what_was_handed_over_and_not_answered_is_never_run_twice(void **state)
{
	struct fixture *f = *state;

	start(f, false, false);
	assert_int_equal(hear(f).op, RUNNER_RUN);
	files_close(f);
	executor_dies(f);
	assert_int_equal(hear(f).op, RUNNER_ATTACH);
}

static void the_next_agent_finds_it_and_all_it_wrote(void **state)
{
	struct fixture *f = *state;
	struct runner_request head;

	start(f, false, false);
	hear_run(f);
	assert_int_equal(write(f->files[0], "before ", 7), 7);
	exec_stop(f->exec, 0);
	exec_free(f->exec);
	assert_int_equal(f->answer.done, 1);
	assert_true(f->answer.outcome.kept);
	free(f->answer.outcome.out.bytes);
	free(f->answer.outcome.err.bytes);
	f->answer = (struct answer){ .done = 0 };
	executor_dies(f);
	assert_int_equal(write(f->files[0], "between ", 8), 8);

	f->exec = agent_new(f);
	start(f, true, false);
	head = hear(f);
	assert_int_equal(head.op, RUNNER_ATTACH);
	assert_int_equal(write(f->files[0], "after", 5), 5);
	tell(f, (struct runner_reply){ .op = RUNNER_STARTED, .id = head.id, .pid = 4711 });
	tell(f, (struct runner_reply){ .op = RUNNER_EXITED, .id = head.id, .status = 0 });
	wait_until(f, &f->answer.done);
	assert_int_equal(f->answer.outcome.exit_code, 0);
	assert_true(f->answer.outcome.attached);
	assert_int_equal(f->answer.outcome.out.len, 20);
	assert_memory_equal(f->answer.outcome.out.bytes, "before between after", 20);
}

static void an_executor_that_is_away_is_waited_for_by_who_asks_after(void **state)
{
	struct fixture *f = *state;
	struct runner_request head;

	close_fd(&f->listener);
	unlink(f->socket_path);
	start(f, true, false);
	for (int i = 0; i < 20; i++)
		loop_turn(f->loop);
	assert_int_equal(f->answer.done, 0);
	executor_begins(f);
	head = hear(f);
	assert_int_equal(head.op, RUNNER_ATTACH);
	tell(f, (struct runner_reply){
			.op = RUNNER_REFUSED, .id = head.id, .error = ENOENT, .stage = RUNNER_STAGE_RESOURCE });
	wait_until(f, &f->answer.done);
	assert_true(f->answer.outcome.lost && f->answer.outcome.attached);
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
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(listen(f->listener, 4), 0);
	assert_int_equal(seteuid(0), 0);
	start(f, true, false);
	for (int i = 0; i < 20; i++)
		loop_turn(f->loop);
	assert_int_equal(f->answer.started, 0);
	while ((fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
		close_fd(&fd);
	}
	/* The same listener, once it is root's, is asked. */
	assert_int_equal(listen(f->listener, 4), 0);
	assert_int_equal(hear(f).op, RUNNER_ATTACH);
}

static bool keep_one(void *data, const char *unit)
{
	return strcmp(unit, data) == 0;
}

static void files_of_nobody_are_removed_and_others_are_not_touched(void **state)
{
	static const char *const names[] = { "keep-1-1.out", "keep-1-1.note", "keep-2-2.err",
					     "keep-notes",   "keep-../x",     "latest.json" };
	static const bool stays[] = { true, true, false, true, true, true };
	struct fixture *f = *state;
	int dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY);
	char one[] = "1-1";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strchr(names[i], '/'))
			close(openat(dir_fd, names[i], O_WRONLY | O_CREAT, 0600));
	exec_keep_clean(dir_fd, keep_one, one);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strchr(names[i], '/'))
			assert_int_equal(faccessat(dir_fd, names[i], F_OK, 0) == 0, stays[i]);
	close(dir_fd);
}

static void a_link_in_the_place_of_a_file_leads_nowhere(void **state)
{
	struct fixture *f = *state;
	struct exec_keep keep = EXEC_KEEP_NONE;
	int dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY);

	assert_int_equal(symlinkat("/etc/passwd", dir_fd, "keep-" UNIT ".err"), 0);
	assert_true(exec_keep_create(&keep, dir_fd, UNIT) < 0);
	assert_int_equal(keep.files[0], -1);
	assert_false(has_files(f));
	assert_int_equal(symlinkat("/dev/null", dir_fd, "keep-" UNIT ".out"), 0);
	assert_int_equal(symlinkat("exec.sock", dir_fd, "keep-" UNIT ".err"), 0);
	assert_int_equal(exec_keep_open(&keep, dir_fd, UNIT), -ELOOP);
	close(dir_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_it_writes_to_its_files_is_its_output, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_takes_no_more_room_than_what_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(all_is_told_when_that_is_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(it_is_asked_after_when_the_executor_is_another, setup, teardown),
		cmocka_unit_test_setup_teardown(it_is_lost_when_its_unit_is_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_handed_over_and_not_answered_is_never_run_twice, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_next_agent_finds_it_and_all_it_wrote, setup, teardown),
		cmocka_unit_test_setup_teardown(an_executor_that_is_away_is_waited_for_by_who_asks_after, setup,
						teardown),
		cmocka_unit_test_setup_teardown(somebody_else_who_listens_in_its_place_is_told_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(files_of_nobody_are_removed_and_others_are_not_touched, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_link_in_the_place_of_a_file_leads_nowhere, setup, teardown),
	};

	return cmocka_run_group_tests_name("exec_keep", tests, NULL, NULL);
}
