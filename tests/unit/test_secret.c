/* SPDX-License-Identifier: MIT */
#include "agent/config/secret.h"
#include "tests/log_fixture.h"

static void path_of(struct log_fixture *f, char path[128])
{
	snprintf(path, 128, "%s/secret", f->base);
}

static void white_space_at_the_end_is_no_part_of_the_secret(void **state)
{
	struct log_fixture *f = *state;
	struct secret secret;
	char path[128];

	path_of(f, path);
	spit(f->base, "secret", " 69694c4d \r\n\t\n", 14);
	assert_int_equal(secret_load(path, &secret, NULL, NULL), 0);
	assert_int_equal(secret.len, 9);
	assert_string_equal(secret.bytes, " 69694c4d");
	secret_wipe(&secret);
	assert_int_equal(secret.len + (size_t)secret.bytes[1], 0);
}

static void an_empty_or_too_long_secret_is_an_error(void **state)
{
	struct log_fixture *f = *state;
	struct secret secret;
	struct err err = { 0 };
	char path[128], *text = malloc(8000);

	path_of(f, path);
	spit(f->base, "secret", "\n\n", 2);
	assert_int_equal(secret_load(path, &secret, NULL, &err), -EINVAL);
	memset(text, 'x', 8000);
	spit(f->base, "secret", text, SECRET_MAX + 1);
	assert_int_equal(secret_load(path, &secret, NULL, &err), -EFBIG);
	spit(f->base, "secret", text, 8000);
	assert_int_equal(secret_load(path, &secret, NULL, &err), -EFBIG);
	assert_null(strstr(err.text, "xxx"));
	spit(f->base, "secret", text, SECRET_MAX);
	assert_int_equal(secret_load(path, &secret, NULL, &err), 0);
	assert_int_equal(secret.len, SECRET_MAX);
	free(text);
}

static void a_secret_that_others_may_write_is_refused(void **state)
{
	struct log_fixture *f = *state;
	struct secret secret;
	struct err err = { 0 };
	char path[128];

	path_of(f, path);
	spit(f->base, "secret", "abc", 3);
	assert_int_equal(chmod(path, 0622), 0);
	assert_int_equal(secret_load(path, &secret, NULL, &err), -EPERM);
	assert_non_null(strstr(err.text, "chmod"));
}

static void a_credential_wins_over_the_environment(void **state)
{
	struct log_fixture *f = *state;
	struct secret secret;

	spit(f->base, "secret", "credential\n", 11);
	setenv("CREDENTIALS_DIRECTORY", f->base, 1);
	setenv(SECRET_ENVIRONMENT, "environment", 1);
	assert_int_equal(secret_find("", &secret, NULL, NULL), 0);
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_string_equal(secret.bytes, "credential");
}

static void the_environment_is_taken_and_forgotten(void **state)
{
	struct secret secret;

	(void)state;
	if (access("/etc/infiniservice/secret", F_OK) == 0)
		skip(); /* this machine has an installed secret, which goes first */
	setenv(SECRET_ENVIRONMENT, "environment \n", 1);
	assert_int_equal(secret_find("", &secret, NULL, NULL), 0);
	assert_string_equal(secret.bytes, "environment");
	secret_forget_environment();
	assert_null(getenv(SECRET_ENVIRONMENT));
	assert_int_equal(secret_find("", &secret, NULL, NULL), 0);
	assert_int_equal(secret.len, 0);
}

static void a_named_file_must_exist(void **state)
{
	struct secret secret;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(secret_find("/nonexistent/secret", &secret, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/secret"));
}

/* A file that is there but cannot be used must never mean "no secret". */
static void an_unusable_credential_is_an_error(void **state)
{
	struct log_fixture *f = *state;
	struct secret secret;

	spit(f->base, "secret", "", 0);
	setenv("CREDENTIALS_DIRECTORY", f->base, 1);
	assert_int_equal(secret_find("", &secret, NULL, NULL), -EINVAL);
	unsetenv("CREDENTIALS_DIRECTORY");
}

static void a_secret_that_others_can_read_is_taken_with_a_warning_and_the_cure(void **state)
{
	static const struct {
		mode_t mode;
		const char *who; /* NULL: no warning */
	} cases[] = { { 0600, NULL },	     { 0400, NULL },	    { 0640, "its group" },
		      { 0440, "its group" }, { 0644, "everybody" }, { 0604, "everybody" } };
	struct log_fixture *f = *state;
	struct secret secret;
	char path[128];

	path_of(f, path);
	spit(f->base, "secret", "abc", 3);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err warning = { .code = -1 };

		assert_int_equal(chmod(path, cases[i].mode), 0);
		assert_int_equal(secret_find(path, &secret, &warning, NULL), 0);
		assert_int_equal(secret.len, 3);
		assert_int_equal(warning.code, cases[i].who ? -EPERM : 0);
		if (cases[i].who) {
			assert_non_null(strstr(warning.text, cases[i].who));
			assert_non_null(strstr(warning.text, "chmod 0600"));
		}
	}
}

/* The service manager gives it by an access list, whose mask looks like a right of the group. */
static void a_credential_is_taken_without_a_warning(void **state)
{
	struct log_fixture *f = *state;
	struct err warning = { .code = -1 };
	struct secret secret;
	char path[128];

	path_of(f, path);
	spit(f->base, "secret", "abc", 3);
	assert_int_equal(chmod(path, 0440), 0);
	setenv("CREDENTIALS_DIRECTORY", f->base, 1);
	assert_int_equal(secret_find("", &secret, &warning, NULL), 0);
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_int_equal(warning.code, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, log_setup, log_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(white_space_at_the_end_is_no_part_of_the_secret),
		TEST(an_empty_or_too_long_secret_is_an_error),
		TEST(a_secret_that_others_may_write_is_refused),
		TEST(a_credential_wins_over_the_environment),
		TEST(the_environment_is_taken_and_forgotten),
		TEST(a_named_file_must_exist),
		TEST(an_unusable_credential_is_an_error),
		TEST(a_secret_that_others_can_read_is_taken_with_a_warning_and_the_cure),
		TEST(a_credential_is_taken_without_a_warning),
	};

	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
