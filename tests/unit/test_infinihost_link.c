/* SPDX-License-Identifier: MIT */
/* The host's end of a port: lines in any chunking, within a bound, from a guest that may do anything. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/infinihost/link.h"

struct fixture {
	char dir[32], path[64];
	struct link link;
	int peer;
};

static uint64_t soon(void)
{
	return clock_ns(CLOCK_MONOTONIC) + 5 * NS_PER_S;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		close_fd(&fd);
	return fd;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e = { 0 };

	if (!f || !mkdtemp(strcpy(f->dir, "/tmp/link-XXXXXX")))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/port", f->dir);
	if (link_listen(&f->link, f->path, &e) < 0)
		return -1;
	f->peer = connect_to(f->path);
	*state = f;
	return f->peer < 0 || link_accept(&f->link, soon()) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->peer >= 0)
		close(f->peer);
	link_close(&f->link);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void peer_sends(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->peer, text, strlen(text)), strlen(text));
}

static void assert_next(struct fixture *f, const char *want)
{
	char *line;
	size_t len;

	assert_int_equal(link_next(&f->link, -1, soon(), &line, &len), LINK_LINE);
	assert_string_equal(line, want);
	assert_int_equal(len, strlen(want));
}

static void gives_lines_whatever_the_chunks_and_leaves_out_blank_ones(void **state)
{
	struct fixture *f = *state;
	char *line;
	size_t len;

	peer_sends(f, "\n{\"a\":1}\r\n\n{\"b\"");
	assert_next(f, "{\"a\":1}");
	assert_int_equal(link_next(&f->link, -1, clock_ns(CLOCK_MONOTONIC), &line, &len), -ETIMEDOUT);
	peer_sends(f, ":2}\nx\ny\n");
	assert_next(f, "{\"b\":2}");
	assert_next(f, "x");
	assert_next(f, "y");
}

static void throws_a_half_line_away_when_the_peer_is_gone(void **state)
{
	struct fixture *f = *state;
	char *line;
	size_t len;

	peer_sends(f, "whole\nhalf");
	close_fd(&f->peer);
	assert_next(f, "whole");
	assert_int_equal(link_next(&f->link, -1, soon(), &line, &len), -ENOTCONN);
	f->peer = connect_to(f->path);
	assert_int_equal(link_accept(&f->link, soon()), 0);
	peer_sends(f, "new\n");
	assert_next(f, "new");
}

static void send_a_line_that_is_too_long(int fd)
{
	size_t size = LINK_LINE_MAX + 100000;
	char *text = malloc(size);

	memset(text, 'x', size);
	for (size_t sent = 0; sent < size;) {
		ssize_t n = send(fd, text + sent, size - sent, MSG_NOSIGNAL);

		if (n < 0)
			break;
		sent += (size_t)n;
	}
	send(fd, "\nafter\n", 7, MSG_NOSIGNAL);
	free(text);
}

static void skips_a_line_that_is_too_long_and_counts_it(void **state)
{
	struct fixture *f = *state;
	pid_t child = fork();
	int status;

	if (child == 0) {
		send_a_line_that_is_too_long(f->peer);
		_exit(0);
	}
	assert_next(f, "after");
	assert_int_equal(f->link.skipped, 1);
	assert_int_equal(waitpid(child, &status, 0), child);
}

static void a_readable_second_descriptor_is_told(void **state)
{
	struct fixture *f = *state;
	int pair[2];
	char *line;
	size_t len;

	assert_int_equal(pipe(pair), 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(link_next(&f->link, pair[0], soon(), &line, &len), LINK_OTHER);
	close(pair[0]);
	close(pair[1]);
}

static void sends_a_large_text_to_a_peer_that_answers_meanwhile(void **state)
{
	struct fixture *f = *state;
	const size_t size = 2 << 20;
	char *text = malloc(size);
	pid_t child;
	int status;

	memset(text, 'y', size);
	child = fork();
	if (child == 0) { /* answers before it reads: a sender that did not read would wait for ever */
		char buffer[4096];
		size_t seen = 0;
		ssize_t n;

		for (int i = 0; i < 20; i++)
			if (write(f->peer, text, 65535) != 65535 || write(f->peer, "\n", 1) != 1)
				_exit(1);
		while (seen < size && (n = read(f->peer, buffer, sizeof(buffer))) > 0)
			seen += (size_t)n;
		_exit(seen == size ? 0 : 1);
	}
	assert_int_equal(link_send(&f->link, text, size, soon()), 0);
	for (int i = 0; i < 20; i++) {
		char *line;
		size_t len;

		assert_int_equal(link_next(&f->link, -1, soon(), &line, &len), LINK_LINE);
		assert_int_equal(len, 65535);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	free(text);
}

static void sending_to_a_peer_that_is_gone_is_told(void **state)
{
	struct fixture *f = *state;

	close_fd(&f->peer);
	assert_int_equal(link_send(&f->link, "x\n", 2, soon()), -ENOTCONN);
}

static void a_path_nobody_listens_on_is_refused_with_its_name(void **state)
{
	struct fixture *f = *state;
	struct link other;
	struct err e = { 0 };
	char path[80];

	snprintf(path, sizeof(path), "%s/nobody", f->dir);
	assert_int_equal(link_connect(&other, path, &e), -ENOENT);
	assert_non_null(strstr(e.text, path));
}

static void listening_takes_the_place_of_a_dead_socket_only(void **state)
{
	struct fixture *f = *state;
	struct link other;
	struct err e = { 0 };
	struct stat info;

	assert_int_equal(link_listen(&other, f->path, &e), -EADDRINUSE);
	close_fd(&f->link.listen_fd); /* as a listener that was killed leaves it */
	assert_int_equal(link_listen(&other, f->path, &e), 0);
	link_close(&other);
	assert_int_equal(stat(f->path, &info), -1);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
	struct link other;
	struct err e = { 0 };
	char path[200];

	(void)state;
	memset(path, 'p', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(link_connect(&other, path, &e), -ENAMETOOLONG);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(gives_lines_whatever_the_chunks_and_leaves_out_blank_ones),
		STORY(throws_a_half_line_away_when_the_peer_is_gone),
		STORY(skips_a_line_that_is_too_long_and_counts_it),
		STORY(a_readable_second_descriptor_is_told),
		STORY(sends_a_large_text_to_a_peer_that_answers_meanwhile),
		STORY(sending_to_a_peer_that_is_gone_is_told),
		STORY(a_path_nobody_listens_on_is_refused_with_its_name),
		STORY(listening_takes_the_place_of_a_dead_socket_only),
		STORY(a_path_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests_name("infinihost_link", tests, NULL, NULL);
}
