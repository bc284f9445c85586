/* SPDX-License-Identifier: MIT */
/*
 * The verbs of infiniservice-exec, each in a child as the program runs it: what it does, what it refuses, and what it
 * leaves alone. The preparation works below a directory that stands for the root of a machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/child_end.h>
#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/executor/launch.h"
#include "agent/executor/verbs.h"
#include "agent/rules/requests.h"
#include "agent/runner/protocol.h"
#include "agent/runner/tree.h"
#include "tests/room.h"

const bool test_can_destroy = true;

struct fixture {
	char root[64];
	int root_fd;
	char out[4096]; /* what the last verb wrote to both streams */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->root, "/tmp/test-verbs-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	f->root_fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->root_fd >= 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	close(f->root_fd);
	snprintf(command, sizeof(command), "rm -rf %s", f->root);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void make_dirs(struct fixture *f, const char *const *paths)
{
	for (; *paths; paths++)
		assert_int_equal(mkdirat(f->root_fd, *paths, 0755), 0);
}

static void make_file(struct fixture *f, const char *path, const char *text)
{
	int fd = openat(f->root_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Runs the verb with `words` (at most 6), stdin and its input; the exit status. -1: a descriptor it does not get. */
static int run(struct fixture *f, int (*verb)(int argc, char *argv[]), int in, int input, const char *const *words)
{
	int out[2], status;
	size_t len = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		static char copies[6][64];
		char *argv[7] = { NULL };
		int argc = 0;

		for (; words[argc]; argc++) {
			snprintf(copies[argc], sizeof(copies[argc]), "%s", words[argc]);
			argv[argc] = copies[argc];
		}
		if (dup2(out[1], STDOUT_FILENO) < 0 || dup2(out[1], STDERR_FILENO) < 0 ||
		    (in >= 0 && dup2(in, STDIN_FILENO) < 0) || (input >= 0 && dup2(input, RUNNER_INPUT_FD) < 0))
			_exit(99);
		status = verb(argc, argv);
		fflush(NULL);
		child_end(status);
	}
	close(out[1]);
	while (len < sizeof(f->out) - 1 && (got = read(out[0], f->out + len, sizeof(f->out) - 1 - len)) > 0)
		len += (size_t)got;
	f->out[len] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define RUN(verb, ...) run(f, verb, -1, -1, (const char *const[]){ __VA_ARGS__, NULL })

static const char *text_of(struct fixture *f, const char *path)
{
	static char text[256];
	int fd = openat(f->root_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[len < 0 ? 0 : len] = '\0';
	return len < 0 ? NULL : text;
}

static struct stat stat_of(struct fixture *f, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(f->root_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

/* ------------------------------------------------------------------------------------------------------------ kill */

static void exactly_the_process_with_pid_and_start_time_is_killed(void **state)
{
	struct fixture *f = *state;
	char pid_text[16], ticks[32], later[32];
	struct tree_process process;
	pid_t pid = fork();
	int status;

	if (pid == 0)
		for (;;)
			pause();
	assert_int_equal(tree_stat_read(pid, &process), 0);
	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	snprintf(ticks, sizeof(ticks), "%llu", (unsigned long long)process.start_ticks);
	snprintf(later, sizeof(later), "%llu", (unsigned long long)process.start_ticks + 1);
	assert_int_equal(RUN(kill_main, "kill", pid_text, later, "KILL"), KILL_EXIT_GONE);
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(RUN(kill_main, "kill", pid_text, ticks, "TERM"), KILL_EXIT_DONE);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), SIGTERM);
	assert_int_equal(RUN(kill_main, "kill", pid_text, ticks, "KILL"), KILL_EXIT_GONE);
}

static void the_first_process_is_protected(void **state)
{
	struct fixture *f = *state;
	struct tree_process first;
	char ticks[32];

	assert_int_equal(tree_stat_read(1, &first), 0);
	snprintf(ticks, sizeof(ticks), "%llu", (unsigned long long)first.start_ticks);
	assert_int_equal(RUN(kill_main, "kill", "1", ticks, "KILL"), KILL_EXIT_PROTECTED);
}

static void words_that_name_no_process_and_no_signal_are_refused(void **state)
{
	static const char *const cases[][5] = {
		{ "kill" },
		{ "kill", "5", "6" },
		{ "kill", "0", "6", "TERM" },
		{ "kill", "-5", "6", "TERM" },
		{ "kill", "5x", "6", "TERM" },
		{ "kill", "5", "", "TERM" },
		{ "kill", "99999999999", "6", "TERM" },
		{ "kill", "5", "18446744073709551615", "TERM" },
		{ "kill", "5", "99999999999999999999", "TERM" },
		{ "kill", "5", "6", "HUP" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(run(f, kill_main, -1, -1, cases[i]), KILL_EXIT_USAGE);
		assert_non_null(strstr(f->out, "usage: "));
	}
}

/* ------------------------------------------------------------------------------------------------------------ join */

#define JOIN_TEXT "d.example\0admin\0se cret\0OU=x\0pc"

/* A realm(8) that tells what it is given. False: none can be put here. */
static bool realm_put(const char *path)
{
	FILE *out = fopen(path, "wex");

	return out && fputs("#!/bin/sh\nprintf '<%s>' \"$@\"\ncat\nls /proc/self/fd\n", out) >= 0 && fclose(out) == 0 &&
	       chmod(path, 0755) == 0;
}

static void realm_gets_the_password_on_stdin_and_the_rest_as_words(void **state)
{
	struct fixture *f = *state;
	int full = input_new(JOIN_TEXT, sizeof(JOIN_TEXT)), least = input_new("d\0u\0p\0\0", sizeof("d\0u\0p\0\0"));
	const char *const words[] = { "join", NULL };
	char path[64];

	assert_int_equal(run(f, join_main, -1, full, words), 1);
	assert_string_equal(f->out, "realm is not installed (package realmd)\n");
	snprintf(path, sizeof(path), "%s/realm", runner_directories[0]);
	if (!realm_put(path))
		skip();
	assert_int_equal(run(f, join_main, -1, full, words), 0);
	assert_non_null(strstr(f->out, "<join><--unattended><--user=admin><--computer-ou=OU=x><--computer-name=pc>"
				       "<--><d.example>se cret\n"));
	assert_int_equal(run(f, join_main, -1, least, words), 0);
	assert_non_null(strstr(f->out, "<join><--unattended><--user=u><--><d>p\n"));
	unlink(path);
	close(full);
	close(least);
}

static void a_wish_to_join_that_is_none_starts_nothing(void **state)
{
	struct fixture *f = *state;
	int bad = input_new("d\0u", 4);
	const char *const words[] = { "join", NULL }, *const more[] = { "join", "d.example", NULL };

	assert_int_equal(run(f, join_main, -1, bad, words), 2);
	assert_int_equal(run(f, join_main, -1, bad, more), 2);
	assert_non_null(strstr(f->out, "usage: "));
	close(bad);
}

/* ------------------------------------------------------------------------------------------------- port and prepare */

static void what_is_no_port_and_no_word_of_the_preparation_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN(port_main, "port"), 2);
	assert_int_equal(RUN(port_main, "port", "../etc/passwd"), 2);
	assert_non_null(strstr(f->out, "usage: "));
	assert_int_equal(RUN(port_main, "port", "vport90p90"), 1);
	assert_int_equal(RUN(prepare_main, "prepare"), 2);
	assert_int_equal(RUN(prepare_main, "prepare", "identity", "everything"), 2);
	assert_non_null(strstr(f->out, "usage: "));
}

static void the_identity_is_copied_for_the_agent_s_group_alone(void **state)
{
	static const char *const dirs[] = { "run", "sys", "sys/class", "sys/class/dmi", "sys/class/dmi/id", NULL };
	struct fixture *f = *state;
	struct stat first, again;

	if (geteuid() != 0)
		skip();
	assert_int_equal(prepare_identity(f->root_fd, getegid()), -ENOENT); /* no /run */
	make_dirs(f, dirs);
	make_file(f, "sys/class/dmi/id/product_uuid", "0123-4567\n");
	umask(077);
	assert_int_equal(prepare_identity(f->root_fd, getegid()), 0);
	umask(022);
	assert_int_equal(stat_of(f, "run/" PREPARE_DIR).st_mode & 07777, 0755);
	assert_string_equal(text_of(f, "run/" PREPARE_DIR "/" PREPARE_UUID), "0123-4567\n");
	first = stat_of(f, "run/" PREPARE_DIR "/" PREPARE_UUID);
	assert_int_equal(first.st_mode & 07777, 0440);
	/* The same once more changes nothing; another text replaces it. */
	assert_int_equal(prepare_identity(f->root_fd, getegid()), 0);
	again = stat_of(f, "run/" PREPARE_DIR "/" PREPARE_UUID);
	assert_int_equal(again.st_ino, first.st_ino);
	assert_int_equal(unlinkat(f->root_fd, "sys/class/dmi/id/product_uuid", 0), 0);
	make_file(f, "sys/class/dmi/id/product_uuid", "89ab-cdef\n");
	assert_int_equal(prepare_identity(f->root_fd, getegid()), 0);
	assert_string_equal(text_of(f, "run/" PREPARE_DIR "/" PREPARE_UUID), "89ab-cdef\n");
	/* A machine that has none does not keep another's. */
	assert_int_equal(unlinkat(f->root_fd, "sys/class/dmi/id/product_uuid", 0), 0);
	assert_int_equal(prepare_identity(f->root_fd, getegid()), 0);
	assert_null(text_of(f, "run/" PREPARE_DIR "/" PREPARE_UUID));
}

static void a_directory_for_the_identity_that_others_can_change_is_not_used(void **state)
{
	static const char *const dirs[] = { "run", "run/" PREPARE_DIR, NULL };
	struct fixture *f = *state;

	make_dirs(f, dirs);
	assert_int_equal(fchmodat(f->root_fd, "run/" PREPARE_DIR, 0777, 0), 0);
	assert_int_equal(prepare_identity(f->root_fd, getegid()), -EPERM);
	assert_int_equal(unlinkat(f->root_fd, "run/" PREPARE_DIR, AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/tmp", f->root_fd, "run/" PREPARE_DIR), 0);
	assert_true(prepare_identity(f->root_fd, getegid()) < 0);
}

static void the_agent_s_directories_are_made_with_their_modes(void **state)
{
	static const char *const dirs[] = { "run", "var", "var/lib", "var/log", NULL };
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	make_dirs(f, dirs);
	for (int i = 0; i < 2; i++) { /* once more, they are there */
		assert_int_equal(prepare_directories(f->root_fd, geteuid(), getegid()), 0);
		assert_int_equal(stat_of(f, "var/lib/infiniservice").st_mode & 07777, 0750);
		assert_int_equal(stat_of(f, "var/log/infiniservice").st_mode & 07777, 0750);
		assert_int_equal(stat_of(f, "run/infiniservice").st_mode & 07777, 0755);
	}
}

static void a_link_or_a_file_in_place_of_a_directory_is_left_alone_and_the_others_are_made(void **state)
{
	static const char *const dirs[] = { "run", "var", "var/lib", "var/log", "elsewhere", NULL };
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	make_dirs(f, dirs);
	assert_int_equal(fchmodat(f->root_fd, "elsewhere", 0700, 0), 0);
	assert_int_equal(symlinkat("../../elsewhere", f->root_fd, "var/lib/infiniservice"), 0);
	make_file(f, "var/log/infiniservice", "");
	assert_int_equal(prepare_directories(f->root_fd, geteuid(), getegid()), -ENOTDIR);
	assert_int_equal(stat_of(f, "elsewhere").st_mode & 07777, 0700);
	assert_int_equal(stat_of(f, "run/infiniservice").st_mode & 07777, 0755);
}

/* In a directory that others can write root's own may have been moved there by one of them. */
static void a_directory_that_may_be_another_s_is_not_given_away(void **state)
{
	static const char *const dirs[] = { "run", "var", "var/lib", "var/log", "var/log/infiniservice", NULL };
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	make_dirs(f, dirs);
	assert_int_equal(fchmodat(f->root_fd, "var/log", 0777, 0), 0);
	assert_int_equal(prepare_directories(f->root_fd, 4711, getegid()) < 0, 1);
	assert_int_equal(stat_of(f, "var/log/infiniservice").st_uid, 0);
	assert_int_equal(stat_of(f, "var/log/infiniservice").st_mode & 07777, 0755);
}

static void units_of_a_user_s_service_manager_are_removed_from_the_home(void **state)
{
	static const char *const dirs[] = { "var",
					    "var/lib",
					    "var/lib/infiniservice",
					    "var/lib/infiniservice/.config",
					    "var/lib/infiniservice/.config/systemd",
					    "kept",
					    NULL };
	struct fixture *f = *state;

	assert_int_equal(prepare_home(f->root_fd), 0); /* there is no home */
	make_dirs(f, dirs);
	make_file(f, "var/lib/infiniservice/.config/systemd/x.service", "");
	make_file(f, "var/lib/infiniservice/state.json", "");
	make_file(f, "kept/file", "");
	assert_int_equal(symlinkat("../../../../kept", f->root_fd, "var/lib/infiniservice/.config/link"), 0);
	assert_int_equal(symlinkat("../../../kept", f->root_fd, "var/lib/infiniservice/.local"), 0);
	assert_int_equal(prepare_home(f->root_fd), 0);
	assert_int_equal(faccessat(f->root_fd, "var/lib/infiniservice/.config", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(faccessat(f->root_fd, "var/lib/infiniservice/.local", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	assert_non_null(text_of(f, "var/lib/infiniservice/state.json"));
	assert_non_null(text_of(f, "kept/file"));
}

/* ---------------------------------------------------------------------------------------------------------- launch */

/* The launcher's stdin: a RUN of this program, with an input behind it or none. */
static int stdin_make(const char *const argv[], const char *cwd, uint32_t flags, const char *input)
{
	static char message[RUNNER_MESSAGE_MAX];
	static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	struct runner_run run = { .head = { .id = 1, .term_ns = TIME_NEVER, .kill_ns = TIME_NEVER },
				  .flags = flags,
				  .limits = { [RUNNER_LIMIT_NOFILE] = 33 },
				  .oom_score_adj = 500 };
	int64_t len = runner_run_build(run, argv, env, cwd, NULL, "unsafe", NULL, message, sizeof(message));
	int fd = launch_file(message, (size_t)len);

	assert_true(fd >= 0);
	if (input)
		assert_int_equal(pwrite(fd, input, strlen(input), LAUNCH_INPUT_OFFSET), strlen(input));
	return fd;
}

static void the_launcher_becomes_the_command_with_its_input_and_limits(void **state)
{
	static const char *const argv[] = { "/bin/sh", "-c", "cat /proc/self/fd/3; ulimit -n; pwd; read x || echo end",
					    NULL };
	static const char *const words[] = { "launch", "unsafe", NULL };
	struct fixture *f = *state;
	int fd = stdin_make(argv, "/tmp", RUNNER_RUN_INPUT, "some text\n");

	assert_false(launch_begun(fd));
	assert_int_equal(run(f, launch_main, fd, -1, words), 0);
	assert_string_equal(f->out, "some text\n33\n/tmp\nend\n");
	assert_true(launch_begun(fd));
	assert_int_equal(launch_failure(fd).error, 0);
	close(fd);
}

static void what_keeps_a_command_from_starting_is_written_behind_the_request(void **state)
{
	static const char *const good[] = { "/bin/true", NULL }, *const bad[] = { "/no/such/program", NULL };
	static const char *const words[] = { "launch", "unsafe", NULL };
	const struct {
		const char *const *argv;
		const char *cwd;
		uint32_t flags;
		int error, stage;
	} cases[] = {
		{ bad, NULL, 0, ENOENT, RUNNER_STAGE_EXEC },
		{ good, "/no/such/folder", 0, ENOENT, RUNNER_STAGE_CWD },
		{ good, NULL, RUNNER_RUN_INPUT, EBADMSG, RUNNER_STAGE_RESOURCE }, /* it has none */
	};
	struct fixture *f = *state;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fd = stdin_make(cases[i].argv, cases[i].cwd, cases[i].flags, NULL);
		assert_int_equal(run(f, launch_main, fd, -1, words), LAUNCH_EXIT_NOT_EXECUTED);
		assert_int_equal(launch_failure(fd).error, cases[i].error);
		assert_int_equal(launch_failure(fd).stage, cases[i].stage);
		close(fd);
	}
	/* Without a request there is nobody to read of it but the journal. */
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(run(f, launch_main, fd, -1, words), LAUNCH_EXIT_NOT_EXECUTED);
	assert_non_null(strstr(f->out, "could not be started"));
	close(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(exactly_the_process_with_pid_and_start_time_is_killed),
		T(the_first_process_is_protected),
		T(words_that_name_no_process_and_no_signal_are_refused),
		T(realm_gets_the_password_on_stdin_and_the_rest_as_words),
		T(a_wish_to_join_that_is_none_starts_nothing),
		T(what_is_no_port_and_no_word_of_the_preparation_is_refused),
		T(the_identity_is_copied_for_the_agent_s_group_alone),
		T(a_directory_for_the_identity_that_others_can_change_is_not_used),
		T(the_agent_s_directories_are_made_with_their_modes),
		T(a_link_or_a_file_in_place_of_a_directory_is_left_alone_and_the_others_are_made),
		T(a_directory_that_may_be_another_s_is_not_given_away),
		T(units_of_a_user_s_service_manager_are_removed_from_the_home),
		T(the_launcher_becomes_the_command_with_its_input_and_limits),
		T(what_keeps_a_command_from_starting_is_written_behind_the_request),
	};

	return cmocka_run_group_tests_name("verbs", tests, NULL, NULL);
}
