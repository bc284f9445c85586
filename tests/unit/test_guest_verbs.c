/* SPDX-License-Identifier: MIT */
/*
 * The verbs of infiniservice-exec that change the guest for the QEMU guest agent's language: what they refuse, and what
 * they do to files that stand for the machine's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/child_end.h>
#include <infiniservice/cleanup.h>

#include "agent/executor/guest_verbs.h"
#include "agent/runner/protocol.h"
#include "tests/room.h"

const bool test_can_destroy = true;

static char root[] = "/tmp/test-guest-verbs-XXXXXX";
static int root_fd, status_of_last;

static int setup(void **state)
{
	(void)state;
	strcpy(root + sizeof(root) - 7, "XXXXXX");
	assert_non_null(mkdtemp(root));
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	root_fd = fcntl(fd, F_DUPFD_CLOEXEC, 20); /* above what a verb has */
	close(fd);
	return root_fd < 0;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	close(root_fd);
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static void put(const char *path, const char *text, mode_t mode)
{
	int fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static const char *text_of(const char *path)
{
	static char text[1024];
	int fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	close_fd(&fd);
	if (len < 0)
		return "(none)";
	text[len] = '\0';
	return text;
}

/*
 * Runs the verb in a child with this input (its texts behind each other, `len` bytes; 0: none). What it wrote to both
 * streams; its exit status in status_of_last.
 */
static const char *verb(int (*verb_main)(int argc, char *argv[]), const char *words, const char *input, size_t len)
{
	static char said[1024];
	char text[256], *argv[16], *at = text;
	int argc = 0, out[2], status, memory = len ? input_new(input, len) : -1;
	ssize_t got, size = 0;
	pid_t pid;

	snprintf(text, sizeof(text), "%s", words);
	while ((argv[argc] = strsep(&at, " ")))
		argc++;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (memory >= 0 && memory != RUNNER_INPUT_FD)
			dup2(memory, RUNNER_INPUT_FD);
		else if (memory < 0)
			close(RUNNER_INPUT_FD);
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		status = verb_main(argc, argv);
		fflush(NULL);
		child_end(status);
	}
	close(out[1]);
	close_fd(&memory);
	while ((got = read(out[0], said + size, sizeof(said) - 1 - (size_t)size)) > 0)
		size += got;
	said[size] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	status_of_last = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return said;
}

/* ------------------------------------------------------------------------------------------------------ processors */

static int vcpus_below_root(int argc, char *argv[])
{
	return vcpus_set(root_fd, argc, argv);
}

static void processors_are_turned_in_order_until_one_fails(void **state)
{
	char command[256];

	(void)state;
	snprintf(command, sizeof(command),
		 "cd %s && mkdir -p devices/system/cpu/cpu0 devices/system/cpu/cpu1 devices/system/cpu/cpu12", root);
	assert_int_equal(system(command), 0);
	put("devices/system/cpu/cpu1/online", "1", 0600);
	put("devices/system/cpu/cpu12/online", "1", 0600);
	assert_string_equal(verb(vcpus_below_root, "vcpus 0-on 1-off 12-off", NULL, 0), "3\n");
	assert_int_equal(status_of_last, 0);
	assert_string_equal(text_of("devices/system/cpu/cpu1/online"), "0");
	assert_string_equal(text_of("devices/system/cpu/cpu12/online"), "0");
	assert_non_null(strstr(verb(vcpus_below_root, "vcpus 1-on 0-off 12-on", NULL, 0), "1\n"));
	assert_int_equal(status_of_last, 0);
	assert_string_equal(text_of("devices/system/cpu/cpu1/online"), "1");
	assert_string_equal(text_of("devices/system/cpu/cpu12/online"), "0");
	verb(vcpus_below_root, "vcpus 7-on", NULL, 0);
	assert_int_equal(status_of_last, 1);
	verb(vcpus_below_root, "vcpus 1-out", NULL, 0);
	assert_int_equal(status_of_last, 2);
	verb(vcpus_below_root, "vcpus x-on", NULL, 0);
	assert_int_equal(status_of_last, 2);
}

/* ------------------------------------------------------------------------------------------------------------ keys */

static const char *given[4];
static const char *given_word;

static int keys_below_root(int argc, char *argv[])
{
	(void)argc;
	(void)argv;
	umask(077);
	return keys_do(root_fd, given_word, given);
}

static const char *keys(const char *word, const char *one, const char *two)
{
	given_word = word;
	given[0] = one;
	given[1] = two;
	return verb(keys_below_root, "keys", NULL, 0);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(root_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

static void keys_are_added_once_removed_and_replaced(void **state)
{
	(void)state;
	assert_string_equal(keys("get", NULL, NULL), "");
	assert_int_equal(status_of_last, 0);
	keys("remove", "ssh-rsa A a", NULL);
	assert_int_equal(status_of_last, 0);
	assert_string_equal(text_of(".ssh/authorized_keys"), "(none)");
	assert_string_equal(keys("add", "ssh-rsa A a", "ssh-rsa B b"), "");
	assert_int_equal(status_of_last, 0);
	assert_int_equal(mode_of(".ssh"), 0700);
	assert_int_equal(mode_of(".ssh/authorized_keys"), 0600);
	keys("add", "ssh-rsa B b", "ssh-rsa C c");
	assert_string_equal(keys("get", NULL, NULL), "ssh-rsa A a\nssh-rsa B b\nssh-rsa C c\n");
	keys("remove", "ssh-rsa B b", "ssh-rsa C");
	assert_string_equal(text_of(".ssh/authorized_keys"), "ssh-rsa A a\nssh-rsa C c\n");
	keys("reset", "ssh-rsa D d", "ssh-rsa D d");
	assert_string_equal(text_of(".ssh/authorized_keys"), "ssh-rsa D d\n");
	put(".ssh/authorized_keys", "# a comment\nssh-rsa A a", 0644);
	keys("add", "ssh-rsa B b", NULL);
	assert_string_equal(text_of(".ssh/authorized_keys"), "# a comment\nssh-rsa A a\nssh-rsa B b\n");
	assert_int_equal(mode_of(".ssh/authorized_keys"), 0600);
}

static void a_link_in_the_home_leads_nowhere(void **state)
{
	(void)state;
	put("elsewhere", "ssh-rsa X x\n", 0600);
	assert_int_equal(mkdirat(root_fd, "other", 0755), 0);
	assert_int_equal(symlinkat("other", root_fd, ".ssh"), 0);
	keys("add", "ssh-rsa A a", NULL);
	assert_int_equal(status_of_last, 1);
	assert_string_equal(text_of("other/authorized_keys"), "(none)");
	assert_int_equal(unlinkat(root_fd, ".ssh", 0), 0);
	assert_int_equal(mkdirat(root_fd, ".ssh", 0700), 0);
	assert_int_equal(symlinkat("../elsewhere", root_fd, ".ssh/authorized_keys"), 0);
	assert_null(strstr(keys("get", NULL, NULL), "ssh-rsa"));
	assert_int_equal(status_of_last, 1);
	keys("add", "ssh-rsa A a", NULL);
	assert_int_equal(status_of_last, 1);
	assert_string_equal(text_of("elsewhere"), "ssh-rsa X x\n");
	assert_int_equal(unlinkat(root_fd, ".ssh/authorized_keys", 0), 0);
	/* A file of that name that is prepared for the write is not written through either. */
	assert_int_equal(symlinkat("../elsewhere", root_fd, ".ssh/.authorized_keys.infiniservice"), 0);
	keys("add", "ssh-rsa A a", NULL);
	assert_int_equal(status_of_last, 1);
	assert_string_equal(text_of("elsewhere"), "ssh-rsa X x\n");
}

static void users_of_the_system_and_what_is_no_key_are_refused(void **state)
{
	static const char root_key[] = "root\0ssh-rsa A a", daemon_key[] = "daemon\0ssh-rsa A a",
			  absent[] = "no-such-user\0ssh-rsa A a", two_lines[] = "daemon\0ssh-rsa A\nB b",
			  option[] = "daemon\0nospace";

	(void)state;
	assert_non_null(strstr(verb(keys_main, "keys add", root_key, sizeof(root_key)), "left alone"));
	assert_int_equal(status_of_last, 1);
	assert_non_null(strstr(verb(keys_main, "keys add", daemon_key, sizeof(daemon_key)), "left alone"));
	assert_non_null(strstr(verb(keys_main, "keys get", absent, sizeof(absent)), "no such user"));
	assert_non_null(strstr(verb(keys_main, "keys add", two_lines, sizeof(two_lines)), "no list of public keys"));
	assert_non_null(strstr(verb(keys_main, "keys add", option, sizeof(option)), "no list of public keys"));
	verb(keys_main, "keys put", root_key, sizeof(root_key));
	assert_int_equal(status_of_last, 2);
	verb(keys_main, "keys get", "root", 4); /* not ended by NUL */
	assert_int_equal(status_of_last, 2);
}

/* -------------------------------------------------------------------------------------------------------- password */

static void a_password_is_refused_before_any_program_gets_it(void **state)
{
	static const char of_root[] = "root\0secret", absent[] = "no-such-user\0secret", line[] = "daemon\0sec\nret",
			  colon[] = "daemon\0$6$:", user_line[] = "x\ny\0secret", alone[] = "daemon";
	const char *said;

	(void)state;
	said = verb(password_main, "password keep-root", of_root, sizeof(of_root));
	assert_non_null(strstr(said, "root's password is left alone"));
	assert_null(strstr(said, "secret"));
	assert_int_equal(status_of_last, 1);
	assert_non_null(strstr(verb(password_main, "password keep-root", absent, sizeof(absent)), "no such user"));
	assert_non_null(strstr(verb(password_main, "password any-user", user_line, sizeof(user_line)), "no such user"));
	assert_non_null(strstr(verb(password_main, "password any-user", line, sizeof(line)), "neither a newline"));
	assert_non_null(
		strstr(verb(password_main, "password any-user crypted", colon, sizeof(colon)), "neither a newline"));
	verb(password_main, "password any-user", alone, sizeof(alone));
	assert_int_equal(status_of_last, 2);
	verb(password_main, "password", of_root, sizeof(of_root));
	assert_int_equal(status_of_last, 2);
	verb(password_main, "password any-user plain", of_root, sizeof(of_root));
	assert_int_equal(status_of_last, 2);
}

/* ---------------------------------------------------------------------------------------------------- the others */

static void a_time_that_is_none_is_refused(void **state)
{
	static const char *const words[] = { "settime", "settime -1", "settime 1x", "settime 9223372036854775808",
					     "settime 1 2" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		verb(settime_main, words[i], NULL, 0);
		assert_int_equal(status_of_last, 2);
	}
}

static void a_program_gets_the_input_and_both_streams_as_it_was_asked(void **state)
{
	(void)state;
	assert_string_equal(verb(become_main, "become input -- cat", "hello", 5), "hello");
	assert_int_equal(status_of_last, 0);
	assert_string_equal(verb(become_main, "become merged -- echo x", NULL, 0), "x\n");
	assert_string_equal(verb(become_main, "become -- echo --", NULL, 0), "--\n");
	assert_non_null(strstr(verb(become_main, "become -- no-such-program", NULL, 0), "No such file"));
	assert_int_equal(status_of_last, 127);
	verb(become_main, "become input echo", "x", 1);
	assert_int_equal(status_of_last, 2);
	verb(become_main, "become --", NULL, 0);
	assert_int_equal(status_of_last, 2);
}

#define IN_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FIXTURE(processors_are_turned_in_order_until_one_fails),
		IN_FIXTURE(keys_are_added_once_removed_and_replaced),
		IN_FIXTURE(a_link_in_the_home_leads_nowhere),
		IN_FIXTURE(users_of_the_system_and_what_is_no_key_are_refused),
		IN_FIXTURE(a_password_is_refused_before_any_program_gets_it),
		IN_FIXTURE(a_time_that_is_none_is_refused),
		IN_FIXTURE(a_program_gets_the_input_and_both_streams_as_it_was_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
