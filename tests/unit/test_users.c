/* SPDX-License-Identifier: MIT */
/* etc/passwd as UserList reads it, and the names and numbers in such files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/base/users.h"

static void assert_text(const struct user_text *text, const char *want)
{
	assert_int_equal(text->len, strlen(want));
	assert_memory_equal(text->at, want, text->len);
}

static void reads_all_fields_of_each_line(void **state)
{
	const char *text =
		"root:x:0:0:root:/root:/bin/bash\nann:x:1000:1001:Ann Example,Room 1,,:/home/ann:/usr/bin/zsh";
	size_t len = strlen(text);
	struct user user;

	(void)state;
	assert_true(users_next(&text, &len, &user));
	assert_text(&user.name, "root");
	assert_int_equal(user.uid, 0);
	assert_true(users_next(&text, &len, &user));
	assert_text(&user.name, "ann");
	assert_int_equal(user.uid, 1000);
	assert_int_equal(user.gid, 1001);
	assert_text(&user.full_name, "Ann Example");
	assert_text(&user.home, "/home/ann");
	assert_text(&user.shell, "/usr/bin/zsh");
	assert_false(users_next(&text, &len, &user));
}

static void skips_lines_that_make_no_sense(void **state)
{
	static const char *const lines[] = {
		"",
		"::::::",
		":x:1:1::/:/bin/sh",
		"a:x:b:1::/:/bin/sh",
		"a:x:-1:1::/:/bin/sh",
		"a:x:4294967296:1::/:/bin/sh",
		"a:x:1:1:x:/",
		"a:x:1",
		"+::::::",
		"+@group:x:0:0:::",
		"-bad:x:1:1::/:/bin/sh",
		"#a:x:1:1::/:/bin/sh",
		"a:x: 1:1::/:/bin/sh",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const char *text = lines[i];
		size_t len = strlen(text);
		struct user user;

		if (users_next(&text, &len, &user))
			fail_msg("\"%s\" was taken", lines[i]);
	}
}

static void goes_on_after_a_bad_line(void **state)
{
	const char *text = "bad\nz:x:5:6:::\n";
	size_t len = strlen(text);
	struct user user;

	(void)state;
	assert_true(users_next(&text, &len, &user));
	assert_text(&user.name, "z");
	assert_text(&user.shell, "");
	assert_false(users_next(&text, &len, &user));
}

/* Exactly as many bytes as given, so that a sanitizer sees a step too far. */
static void reads_no_byte_behind_the_text_wherever_it_is_cut(void **state)
{
	static const char whole[] = "root:x:0:0:root,a:/root:/bin/bash\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n";

	(void)state;
	for (size_t cut = 0; cut < sizeof(whole); cut++) {
		char *copy = malloc(cut ? cut : 1);
		const char *text = copy;
		size_t len = cut;
		struct user user;

		assert_non_null(copy);
		memcpy(copy, whole, cut);
		while (users_next(&text, &len, &user))
			user_can_login(&user);
		assert_int_equal(len, 0);
		free(copy);
	}
}

static void tells_who_can_log_in(void **state)
{
	static const struct {
		const char *shell;
		bool can;
	} cases[] = {
		{ "/bin/bash", true },	 { "", true },		 { "/usr/sbin/nologin", false },
		{ "/bin/false", false }, { "/bin/sync", false }, { "/usr/bin/falsework", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct user user = { .shell = { cases[i].shell, strlen(cases[i].shell) } };

		assert_int_equal(user_can_login(&user), cases[i].can);
	}
}

static void names_and_numbers_are_found_in_files_without_the_name_service(void **state)
{
	static const char passwd[] = "root:x:0:0::/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n"
				     "a-very-long-name-that-no-user-has-since-useradd-refuses-it-at-once:x:1000:1::/:\n"
				     "bob:x:1000:1::/:\n",
			  group[] = "adm:x:4:\nstaff:x:50:ann\n";
	char path[] = "/tmp/infini-XXXXXX", names[3][PASSWD_NAME_SIZE];
	int fd = mkstemp(path);
	uid_t uid = 7;
	gid_t gid = 7;

	(void)state;
	assert_int_equal(write(fd, passwd, strlen(passwd)), strlen(passwd));
	assert_int_equal(passwd_uid_of(path, "ann", &uid), 0);
	assert_int_equal(uid, 1000);
	assert_int_equal(passwd_uid_of(path, "eve", &uid), -ENOENT);
	passwd_names_of(path, 1000, names, ARRAY_SIZE(names));
	assert_string_equal(names[0], "ann");
	assert_string_equal(names[1], "bob");
	assert_string_equal(names[2], "");
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, group, strlen(group), 0), strlen(group));
	assert_int_equal(passwd_gid_of(path, "staff", &gid), 0);
	assert_int_equal(gid, 50);
	assert_int_equal(passwd_gid_of(path, "wheel", &gid), -ENOENT);
	close(fd);
	unlink(path);
	assert_int_equal(passwd_uid_of(path, "ann", &uid), -ENOENT);
	assert_int_equal(passwd_gid_of(path, "staff", &gid), -ENOENT);
	passwd_names_of(path, 1000, names, ARRAY_SIZE(names));
	assert_string_equal(names[0], "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_all_fields_of_each_line),
		cmocka_unit_test(skips_lines_that_make_no_sense),
		cmocka_unit_test(goes_on_after_a_bad_line),
		cmocka_unit_test(reads_no_byte_behind_the_text_wherever_it_is_cut),
		cmocka_unit_test(tells_who_can_log_in),
		cmocka_unit_test(names_and_numbers_are_found_in_files_without_the_name_service),
	};

	return cmocka_run_group_tests_name("users", tests, NULL, NULL);
}
