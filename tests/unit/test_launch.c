/* SPDX-License-Identifier: MIT */
/* The launcher of a detached run: a child of the test, which holds what the agent and the executor would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/child_end.h>
#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/executor/launch.h"
#include "agent/run/detached_files.h"
#include "tests/room.h"

const bool test_can_destroy = true;

#define UNIT	"1a-2b"
#define WAIT_MS 10000

static char dir[] = "/tmp/test-launch-XXXXXX";

struct fixture {
	int dir_fd;
	struct detached_files files;
	pid_t launcher; /* 0: reaped */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	assert_non_null(mkdtemp(dir));
	*f = (struct fixture){ .dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .files = DETACHED_FILES_NONE };
	assert_int_equal(detached_files_create(&f->files, f->dir_fd, UNIT), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];

	/* A launcher whose program has ended is about to end too, and then counts in `make coverage`. */
	for (int ms = 0; f->launcher && ms < 300; ms++) {
		if (waitpid(f->launcher, NULL, WNOHANG) != 0)
			f->launcher = 0;
		else
			usleep(1000);
	}
	if (f->launcher) {
		kill(f->launcher, SIGKILL);
		waitpid(f->launcher, NULL, 0);
	}
	detached_files_close(&f->files);
	close(f->dir_fd);
	free(f);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* As PID 1 starts it: stdio in place, and nothing else of ours. */
static void launcher_main(struct fixture *f, int socket_fd)
{
	char verb[] = "launch", *argv[] = { verb, NULL };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(f->files.writers[DETACHED_OUT], STDOUT_FILENO) < 0 ||
	    dup2(f->files.writers[DETACHED_ERR], STDERR_FILENO) < 0)
		_exit(1);
	if (dup2(socket_fd, STDIN_FILENO) < 0 || close_range(3, ~0U, 0) < 0)
		_exit(1);
	child_end(launch_main(1, argv));
}

/* Runs the script of a shell, or the program alone. Deadlines from now on; 0: none. */
static void launch(struct fixture *f, const char *program, const char *script, uint64_t term_ms, uint64_t kill_ms)
{
	static char message[RUNNER_MESSAGE_MAX];
	const char *const argv[] = { program, script ? "-c" : NULL, script, NULL };
	const char *const envp[] = { "PATH=/usr/bin:/bin", NULL };
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	struct runner_run run = { .head = { .id = 1,
					    .term_ns = term_ms ? now + term_ms * NS_PER_MS : TIME_NEVER,
					    .kill_ns = kill_ms ? now + kill_ms * NS_PER_MS : TIME_NEVER },
				  .flags = RUNNER_RUN_DETACHED };
	int64_t len = runner_run_build(run, argv, envp, NULL, NULL, "PackageInstall", UNIT, message, sizeof(message));
	int permit = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), socket_fd;

	assert_true(len > 0);
	assert_int_equal(flock(permit, LOCK_EX | LOCK_NB), 0);
	socket_fd = launch_packet(message, (size_t)len, f->files.writers[DETACHED_END], permit);
	assert_true(socket_fd >= 0);
	close(permit);
	fflush(NULL);
	f->launcher = fork();
	if (f->launcher == 0)
		launcher_main(f, socket_fd);
	assert_true(f->launcher > 0);
	close(socket_fd);
	detached_files_close_writers(&f->files);
}

static bool permit_is_free(void)
{
	_cleanup_(closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* The next state that is not this one. */
static enum detached_state wait_state(struct fixture *f, enum detached_state old, struct end_record *end)
{
	enum detached_state is = old;

	for (int i = 0; i < WAIT_MS && is == old; i++) {
		poll(NULL, 0, i > 0);
		is = detached_files_state(&f->files, end);
	}
	return is;
}

static struct end_record ends(struct fixture *f)
{
	struct end_record end = { 0 };

	assert_int_equal(wait_state(f, DETACHED_RUNNING, &end), DETACHED_ENDED);
	assert_true(permit_is_free());
	return end;
}

static const char *output(struct fixture *f, int stream)
{
	static char text[4096];
	ssize_t len = detached_files_read(&f->files, stream, text, sizeof(text) - 1, 0);

	text[len < 0 ? 0 : len] = '\0';
	return text;
}

static void wait_output(struct fixture *f, const char *text)
{
	for (int i = 0; i < WAIT_MS && !strstr(output(f, DETACHED_OUT), text); i++)
		poll(NULL, 0, 1);
	assert_non_null(strstr(output(f, DETACHED_OUT), text));
}

static void reap(struct fixture *f, int want)
{
	int status = -1;

	assert_int_equal(waitpid(f->launcher, &status, 0), f->launcher);
	f->launcher = 0;
	assert_int_equal(status, want);
}

static void the_end_of_the_program_is_written_when_it_comes(void **state)
{
	struct fixture *f = *state;
	struct end_record end;

	launch(f, "/bin/sh", "echo out; echo err >&2; read x; exit 7", 0, 0);
	end = ends(f);
	assert_int_equal(end.flags, 0);
	assert_int_equal(WEXITSTATUS(end.status), 7);
	assert_int_equal(end.error, 0);
	assert_in_range(end.end_ns, clock_ns(CLOCK_MONOTONIC) - 10 * NS_PER_S, clock_ns(CLOCK_MONOTONIC));
	assert_string_equal(output(f, DETACHED_OUT), "out\n");
	assert_string_equal(output(f, DETACHED_ERR), "err\n");
	reap(f, 0);
}

static void a_program_has_none_of_what_its_launcher_holds(void **state)
{
	struct fixture *f = *state;

	launch(f, "/bin/sh",
	       "for fd in /proc/$$/fd/*; do readlink $fd; done; exec sed -n 's/^SigBlk:.//p;s/^SigIgn:.//p' "
	       "/proc/self/status",
	       0, 0);
	assert_int_equal(ends(f).status, 0);
	assert_null(strstr(output(f, DETACHED_OUT), ".end"));
	assert_null(strstr(output(f, DETACHED_OUT), "socket:"));
	assert_non_null(strstr(output(f, DETACHED_OUT), "/dev/null\n"));
	assert_non_null(strstr(output(f, DETACHED_OUT), "0000000000000000\n0000000000000000\n"));
}

static void one_that_is_killed_has_the_signal(void **state)
{
	struct fixture *f = *state;
	struct end_record end;

	launch(f, "/bin/sh", "kill -9 $$", 0, 0);
	end = ends(f);
	assert_int_equal(end.flags, 0);
	assert_int_equal(WTERMSIG(end.status), SIGKILL);
}

static void what_cannot_be_executed_is_told_with_the_reason(void **state)
{
	struct fixture *f = *state;
	struct end_record end;

	launch(f, "/nonexistent/program", NULL, 0, 0);
	end = ends(f);
	assert_int_equal(end.error, ENOENT);
	assert_int_equal(end.stage, RUNNER_STAGE_EXEC);
	reap(f, LAUNCH_EXIT_NOT_EXECUTED << 8);
}

static void a_deadline_is_kept_without_anybody_s_help(void **state)
{
	struct fixture *f = *state;
	struct end_record end;

	launch(f, "/bin/sh", "trap 'echo asked; exit 5' TERM; echo ready; while :; do sleep 0.01; done", 2000, 60000);
	end = ends(f);
	assert_int_equal(end.flags, RUNNER_TIMED_OUT);
	assert_int_equal(WEXITSTATUS(end.status), 5);
	assert_non_null(strstr(output(f, DETACHED_OUT), "asked"));
}

static void what_does_not_end_by_itself_is_killed_with_all_its_children(void **state)
{
	struct fixture *f = *state;
	struct end_record end;
	pid_t child;

	launch(f, "/bin/sh", "trap '' TERM; (setsid sleep 600 & echo $!) ; while :; do sleep 0.01; done", 1500, 2000);
	end = ends(f);
	assert_int_equal(end.flags, RUNNER_TIMED_OUT | RUNNER_KILLED);
	assert_int_equal(WTERMSIG(end.status), SIGKILL);
	reap(f, 0);
	child = (pid_t)atoi(output(f, DETACHED_OUT));
	assert_true(child > 1);
	/* Dead by now, and gone when the room's first process has reaped it. */
	for (int i = 0; i < 1000 && kill(child, 0) == 0; i++)
		usleep(1000);
	assert_int_equal(kill(child, 0), -1);
}

static void a_cancelled_one_is_asked_to_end_and_then_killed(void **state)
{
	struct fixture *f = *state;
	struct end_record end;

	launch(f, "/bin/sh", "trap 'echo asked' TERM; echo ready; while :; do sleep 0.01; done", 0, 0);
	wait_output(f, "ready");
	kill(f->launcher, LAUNCH_CANCEL_SIGNAL);
	wait_output(f, "asked");
	end = ends(f);
	assert_int_equal(end.flags, RUNNER_CANCELLED | RUNNER_KILLED);
	assert_int_equal(WTERMSIG(end.status), SIGKILL);
}

/* PID 1 sends it to all of the unit. */
static void a_launcher_that_is_stopped_waits_for_its_program(void **state)
{
	struct fixture *f = *state;

	launch(f, "/bin/sh", "echo ready; sleep 0.3; exit 3", 0, 0);
	wait_output(f, "ready");
	kill(f->launcher, SIGTERM);
	assert_int_equal(WEXITSTATUS(ends(f).status), 3);
}

static void a_launcher_that_is_killed_leaves_no_program_no_lock_and_no_word(void **state)
{
	struct fixture *f = *state;
	struct end_record end;
	pid_t program;

	launch(f, "/bin/sh", "echo $$ ready; while :; do sleep 0.01; done", 0, 0);
	wait_output(f, "ready");
	program = (pid_t)atoi(output(f, DETACHED_OUT));
	assert_int_equal(detached_files_state(&f->files, &end), DETACHED_RUNNING);
	assert_false(permit_is_free());
	kill(f->launcher, SIGKILL);
	reap(f, SIGKILL);
	assert_int_equal(detached_files_state(&f->files, &end), DETACHED_LOST);
	assert_true(permit_is_free());
	for (int i = 0; i < WAIT_MS && kill(program, 0) == 0; i++)
		poll(NULL, 0, 1);
	assert_int_equal(kill(program, 0), -1);
}

static void rubbish_is_told_as_such_and_runs_nothing(void **state)
{
	struct fixture *f = *state;
	char rubbish[] = "GET / HTTP/1.1\r\n";
	int permit = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), socket_fd;
	struct end_record end;

	socket_fd = launch_packet(rubbish, sizeof(rubbish), f->files.writers[DETACHED_END], permit);
	close(permit);
	fflush(NULL);
	f->launcher = fork();
	if (f->launcher == 0)
		launcher_main(f, socket_fd);
	close(socket_fd);
	detached_files_close_writers(&f->files);
	end = ends(f);
	assert_int_equal(end.error, EBADMSG);
	reap(f, LAUNCH_EXIT_NOT_EXECUTED << 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_end_of_the_program_is_written_when_it_comes),
		TEST(a_program_has_none_of_what_its_launcher_holds),
		TEST(one_that_is_killed_has_the_signal),
		TEST(what_cannot_be_executed_is_told_with_the_reason),
		TEST(a_deadline_is_kept_without_anybody_s_help),
		TEST(what_does_not_end_by_itself_is_killed_with_all_its_children),
		TEST(a_cancelled_one_is_asked_to_end_and_then_killed),
		TEST(a_launcher_that_is_stopped_waits_for_its_program),
		TEST(a_launcher_that_is_killed_leaves_no_program_no_lock_and_no_word),
		TEST(rubbish_is_told_as_such_and_runs_nothing),
	};

	return cmocka_run_group_tests_name("launch", tests, NULL, NULL);
}
