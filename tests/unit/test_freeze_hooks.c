/* SPDX-License-Identifier: MIT */
/* The hooks of a freeze: which programs run, in which order, and what lets a freeze fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/child_end.h>
#include <infiniservice/cleanup.h>

#include "agent/executor/freeze.h"

static char root[] = "/tmp/test-hooks-XXXXXX", one[64], two[64], log_path[64];

static void hook(const char *dir, const char *name, mode_t mode, int status)
{
	char path[128], text[256];
	int fd, len = snprintf(text, sizeof(text), "#!/bin/sh\necho %s $1 >>%s\nexit %d\n", name, log_path, status);

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, (size_t)len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	strcpy(root + sizeof(root) - 7, "XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(one, sizeof(one), "%s/one", root);
	snprintf(two, sizeof(two), "%s/two", root);
	snprintf(log_path, sizeof(log_path), "%s/log", root);
	assert_int_equal(mkdir(one, 0755), 0);
	assert_int_equal(mkdir(two, 0755), 0);
	hook(one, "20-second", 0755, 0);
	hook(one, "10-first", 0755, 0);
	hook(two, "third", 0700, 0);
	hook(one, "15-off", 0644, 0);
	hook(one, "10-first.dpkg-old", 0755, 0);
	hook(one, ".hidden", 0755, 0);
	hook(one, "back~", 0755, 0);
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

/* What the verb ran, its exit status in front. */
static const char *ran(const char *word)
{
	static char text[512];
	char verb[] = "hooks", arg[16], absent[] = "/nowhere/at/all", *argv[] = { verb, arg, absent, one, two, NULL };
	int status, fd;
	ssize_t len;
	pid_t pid;

	snprintf(arg, sizeof(arg), "%s", word);
	unlink(log_path);
	pid = fork();
	if (pid == 0)
		child_end(hooks_main(5, argv));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	snprintf(text, sizeof(text), "%d: ", WEXITSTATUS(status));
	fd = open(log_path, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? 0 : read(fd, text + 3, sizeof(text) - 4);
	close_fd(&fd);
	text[3 + len] = '\0';
	return text;
}

static void hooks_run_in_order_and_after_the_thaw_in_the_reverse_order(void **state)
{
	(void)state;
	assert_string_equal(ran("freeze"), "0: 10-first freeze\n20-second freeze\nthird freeze\n");
	assert_string_equal(ran("thaw"), "0: third thaw\n20-second thaw\n10-first thaw\n");
	assert_string_equal(ran("melt"), "2: ");
}

static void a_hook_that_fails_ends_the_freeze_but_no_thaw(void **state)
{
	(void)state;
	hook(one, "12-fails", 0755, 3);
	assert_string_equal(ran("freeze"), "1: 10-first freeze\n12-fails freeze\n");
	assert_string_equal(ran("thaw"), "1: third thaw\n20-second thaw\n12-fails thaw\n10-first thaw\n");
}

static void what_others_can_write_is_not_run_and_nothing_is_frozen(void **state)
{
	char path[128];

	(void)state;
	hook(one, "12-loose", 0777, 0);
	assert_string_equal(ran("freeze"), "1: 10-first freeze\n");
	snprintf(path, sizeof(path), "%s/12-loose", one);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("10-first", path), 0);
	assert_string_equal(ran("freeze"), "1: 10-first freeze\n");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(chmod(two, 0775), 0);
	assert_string_equal(ran("freeze"), "1: 10-first freeze\n20-second freeze\n");
}

static void copies_that_editors_and_packages_leave_are_no_hooks(void **state)
{
	static const char *const copies[] = { ".x", "x~", "x.bak", "x.rpmsave", "x.sample", "x.dpkg-new" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(copies); i++)
		assert_false(hook_name_counts(copies[i]));
	assert_true(hook_name_counts("x") && hook_name_counts("x.sh") && hook_name_counts("10-mysql"));
}

#define IN_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FIXTURE(hooks_run_in_order_and_after_the_thaw_in_the_reverse_order),
		IN_FIXTURE(a_hook_that_fails_ends_the_freeze_but_no_thaw),
		IN_FIXTURE(what_others_can_write_is_not_run_and_nothing_is_frozen),
		cmocka_unit_test(copies_that_editors_and_packages_leave_are_no_hooks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
