/* SPDX-License-Identifier: MIT */
/* A port that hosts connect to (listen:PATH), and a bare one, which writes nothing of its own. The time is made up. */
#include <poll.h>
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
#include <unistd.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "transport/port.h"
#include "transport/port_private.h"

struct fixture {
	char dir[64], path[96], spec[112];
	int hosts[2];
	struct port *port;
	struct moment now;
	unsigned connected, disconnected, faults;
	char in[64];
	size_t in_len;
};

static void on_connected(void *data)
{
	((struct fixture *)data)->connected++;
}

static void on_received(void *data, const char *bytes, size_t len)
{
	struct fixture *f = data;

	assert_true(f->in_len + len < sizeof(f->in));
	memcpy(f->in + f->in_len, bytes, len);
	f->in_len += len;
}

static void on_disconnected(void *data)
{
	((struct fixture *)data)->disconnected++;
}

static void on_fault(void *data, const struct port_fault *fault)
{
	(void)fault;
	((struct fixture *)data)->faults++;
}

static const struct port_events events = {
	.connected = on_connected, .received = on_received, .disconnected = on_disconnected, .fault = on_fault
};

static void make(struct fixture *f, bool bare)
{
	struct port_config config = { .spec = f->spec, .bare = bare };
	struct err err;

	assert_int_equal(port_new(&config, &events, f, 1, &f->port, &err), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_port_listen.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
	snprintf(f->spec, sizeof(f->spec), "listen:%s", f->path);
	f->hosts[0] = f->hosts[1] = -1;
	f->now.mono_ns = 1000 * NS_PER_S;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	port_free(f->port);
	close_fd(&f->hosts[0]);
	close_fd(&f->hosts[1]);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void settle(struct fixture *f)
{
	for (int i = 0; i < 100; i++) {
		struct pollfd p = { .fd = port_fd(f->port), .events = POLLIN };

		if (poll(&p, 1, 0) == 0 && port_deadline_ns(f->port) > f->now.mono_ns)
			return;
		port_dispatch(f->port, &f->now);
	}
	fail_msg("the port never comes to rest");
}

static void arrive(struct fixture *f, unsigned host)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(address.sun_path, f->path);
	f->hosts[host] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(f->hosts[host], (struct sockaddr *)&address, sizeof(address)), 0);
	settle(f);
}

static void say(struct fixture *f, const char *text)
{
	struct line *line = line_new(LINE_REPLY, text, strlen(text));

	assert_int_equal(port_send(f->port, line), 0);
	line_unref(line);
	settle(f);
}

static void expect(struct fixture *f, unsigned host, const char *want)
{
	char text[64] = "";
	ssize_t n = read(f->hosts[host], text, sizeof(text) - 1);

	assert_int_equal(n, (ssize_t)strlen(want));
	assert_memory_equal(text, want, strlen(want));
}

static void it_waits_for_hosts_without_a_deadline_and_for_itself_alone(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	make(f, true);
	settle(f);
	assert_int_equal(port_state(f->port), PORT_WAITING);
	assert_true(port_deadline_ns(f->port) == TIME_NEVER);
	assert_int_equal(f->faults, 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void hosts_are_served_one_after_the_other(void **state)
{
	struct fixture *f = *state;

	make(f, true);
	settle(f);
	arrive(f, 0);
	assert_int_equal(port_state(f->port), PORT_CONNECTED);
	arrive(f, 1);
	assert_int_equal(f->connected, 1);
	assert_int_equal(write(f->hosts[1], "two", 3), 3);
	assert_int_equal(write(f->hosts[0], "one", 3), 3);
	settle(f);
	assert_memory_equal(f->in, "one", 3);
	assert_int_equal(f->in_len, 3);
	close_fd(&f->hosts[0]);
	settle(f);
	assert_int_equal(f->disconnected, 1);
	assert_int_equal(f->connected, 2);
	assert_memory_equal(f->in, "onetwo", 6);
	close_fd(&f->hosts[1]);
	settle(f);
	assert_int_equal(port_state(f->port), PORT_WAITING);
	assert_true(port_deadline_ns(f->port) == TIME_NEVER);
	assert_int_equal(f->faults, 0);
}

static void a_bare_port_writes_nothing_but_lines(void **state)
{
	struct fixture *f = *state;

	make(f, true);
	settle(f);
	arrive(f, 0);
	say(f, "answer\n");
	expect(f, 0, "answer\n");
}

static void another_port_begins_with_a_newline(void **state)
{
	struct fixture *f = *state;

	make(f, false);
	settle(f);
	arrive(f, 0);
	say(f, "answer\n");
	expect(f, 0, "\nanswer\n");
}

static void the_socket_goes_with_the_port_and_a_file_in_its_way_stays(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	FILE *file;

	make(f, true);
	settle(f);
	port_close(f->port);
	assert_int_equal(stat(f->path, &st), -1);
	f->port = port_free(f->port);
	file = fopen(f->path, "we");
	assert_non_null(file);
	fclose(file);
	make(f, true);
	port_dispatch(f->port, &f->now);
	assert_int_equal(f->faults, 1);
	assert_true(port_deadline_ns(f->port) > f->now.mono_ns);
	assert_int_equal(stat(f->path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	unlink(f->path);
	f->now.mono_ns = port_deadline_ns(f->port);
	settle(f);
	assert_int_equal(port_state(f->port), PORT_WAITING);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(it_waits_for_hosts_without_a_deadline_and_for_itself_alone),
		T(hosts_are_served_one_after_the_other),
		T(a_bare_port_writes_nothing_but_lines),
		T(another_port_begins_with_a_newline),
		T(the_socket_goes_with_the_port_and_a_file_in_its_way_stays),
	};

	return cmocka_run_group_tests_name("port_listen", tests, NULL, NULL);
}
