/* SPDX-License-Identifier: MIT */
/* What is opened below a directory that another user may write: files, and nothing else. */
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/log_fixture.h"

#include <infiniservice/cleanup.h>

#include "agent/log/guarded.h"

static char path[256];

static const char *in(const struct log_fixture *f, const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", f->base, name);
	return path;
}

static void expect(const struct log_fixture *f, const char *name, int error, const char *words)
{
	struct err e = { 0 };
	_cleanup_(closep) int fd = guarded_open(in(f, name), 100, &e);

	if (fd < 0 ? fd != error : error != 0)
		fail_msg("%s: %d instead of %d (%s)", name, fd, error, e.text);
	if (error && (!strstr(e.text, words) || !strstr(e.text, f->base)))
		fail_msg("%s: \"%s\" instead of \"%s\"", name, e.text, words);
	if (!error)
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void files_are_opened_through_links_of_ones_own(void **state)
{
	struct log_fixture *f = *state;

	run(f->base, "mkdir -p d/e; echo x >d/e/file; ln -s d/e near; ln -s \"$PWD/d\" far; ln -s ../d/e/file d/up; ln "
		     "-s e/file d/down");
	expect(f, "d/e/file", 0, NULL);
	expect(f, "d//e/./file", 0, NULL);
	expect(f, "near/file", 0, NULL);
	expect(f, "far/e/file", 0, NULL);
	expect(f, "d/up", 0, NULL);
	expect(f, "far/down", 0, NULL);
}

static void what_is_no_file_is_refused_at_once(void **state)
{
	static const struct {
		const char *name;
		int error;
		const char *words;
	} cases[] = {
		{ "missing", -ENOENT, "No such file" },		  { "file/below", -ENOTDIR, "Not a directory" },
		{ "dir", -EISDIR, "is a directory, not a file" }, { "fifo", -EINVAL, "is a FIFO, not a file" },
		{ "socket", -EINVAL, "is a socket, not a file" }, { "big", -EFBIG, "more than the 100 that are read" },
		{ "round", -ELOOP, "Too many levels" },		  { "shared/twice", -EPERM, "further names" },
	};
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct log_fixture *f = *state;
	static char longest[PATH_MAX + 16];
	struct err e;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", f->base);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	run(f->base,
	    "mkdir dir shared; echo >file; mkfifo fifo; truncate -s 101 big; ln -s round round; echo >shared/twice; "
	    "ln shared/twice shared/again; chmod 777 shared");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect(f, cases[i].name, cases[i].error, cases[i].words);
	assert_int_equal(guarded_open("", 100, &e), -ENOENT);
	assert_int_equal(guarded_open("/", 100, &e), -EISDIR);
	assert_int_equal(guarded_open("/dev/null", 100, &e), -EINVAL);
	assert_non_null(strstr(e.text, "is a device"));
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(guarded_open(longest, 100, &e), -ENAMETOOLONG);
	longest[NAME_MAX + 1] = '\0';
	assert_int_equal(guarded_open(longest, 100, &e), -ENAMETOOLONG);
}

static void a_link_to_a_path_that_is_too_long_is_refused(void **state)
{
	struct log_fixture *f = *state;
	char target[PATH_MAX - 8], rest[256] = "link/";

	for (size_t i = 0; i + 2 < sizeof(target); i += 2)
		memcpy(target + i, "./", 3);
	assert_int_equal(symlink(target, in(f, "link")), 0);
	memset(rest + 5, 'y', 100);
	expect(f, rest, -ENAMETOOLONG, "File name too long");
}

static void directories_and_sockets_are_found_by_the_same_rules(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_(closep) int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	struct log_fixture *f = *state;
	struct err e;
	int fd;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", f->base);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	run(f->base, "mkdir d; echo >d/file; ln -s socket link; ln -s nowhere dangling");
	fd = guarded_find_socket(in(f, "link"), &e);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(guarded_find_socket(in(f, "d/file"), &e), -ENOTSOCK);
	assert_non_null(strstr(e.text, "is a file, not a socket"));
	assert_int_equal(guarded_find_socket(in(f, "d"), &e), -ENOTSOCK);
	assert_non_null(strstr(e.text, "is a directory, not a socket"));
	assert_int_equal(guarded_find_socket(in(f, "dangling"), &e), -ENOENT);
	fd = guarded_open_dir(in(f, "d"), &e);
	assert_true(fd >= 0);
	listener = (close(listener), guarded_open_at(fd, "file", 10, &e));
	assert_true(listener >= 0);
	assert_int_equal(symlinkat("file", fd, "link"), 0);
	assert_int_equal(guarded_open_at(fd, "link", 10, &e), -ELOOP); /* one component, no link */
	assert_int_equal(guarded_open_at(fd, "none", 10, &e), -ENOENT);
	close(fd);
	assert_int_equal(guarded_open_dir(in(f, "d/file"), &e), -ENOTDIR);
	assert_int_equal(guarded_open_dir(in(f, "none"), &e), -ENOENT);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, log_setup, log_teardown)
	const struct CMUnitTest tests[] = {
		T(files_are_opened_through_links_of_ones_own),
		T(what_is_no_file_is_refused_at_once),
		T(a_link_to_a_path_that_is_too_long_is_refused),
		T(directories_and_sockets_are_found_by_the_same_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
