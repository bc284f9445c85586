/* SPDX-License-Identifier: MIT */
/*
 * The port over real fds of this process: unix sockets, ptys, files, and a made-up sysfs. The time is made up too.
 * What only a real virtio-serial port shows is tested in a guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "transport/port.h"
#include "transport/port_private.h"

#define NAME "org.infinibay.agent"

struct fixture {
	char dir[64], sock[96], spec[112];
	int listener, host; /* the host's side */
	int std[2];	    /* the test's own stdin and stdout while they are replaced */
	struct port *port;
	struct moment now;
	unsigned connected, renewed, disconnected, sent, dropped, faults;
	uint64_t gone_ns; /* of the last `renewed` */
	uint64_t dropped_seq;
	struct port_fault fault;
	char in[4096]; /* what was received, the end of it if it is much */
	size_t in_len, in_total;
	unsigned echoes; /* of all that comes */
	bool greet;
};

static void on_connected(void *data)
{
	struct fixture *f = data;

	f->connected++;
	if (f->greet) {
		struct line *line = line_new(LINE_EVENT, "hello\n", 6);

		assert_int_equal(port_send(f->port, line), 0);
		line_unref(line);
	}
}

static void on_renewed(void *data, uint64_t gone_ns)
{
	struct fixture *f = data;

	f->renewed++;
	f->gone_ns = gone_ns;
}

static void on_received(void *data, const char *bytes, size_t len)
{
	struct fixture *f = data;

	f->in_total += len;
	if (f->in_len + len < sizeof(f->in)) {
		memcpy(f->in + f->in_len, bytes, len);
		f->in_len += len;
	}
	for (unsigned i = 0; i < f->echoes; i++) {
		struct line *line = line_new(LINE_REPLY, bytes, len);

		assert_int_equal(port_send(f->port, line), 0);
		line_unref(line);
	}
}

static void on_disconnected(void *data)
{
	struct fixture *f = data;
	struct line *line = line_new(LINE_REPLY, "late\n", 5);

	f->disconnected++;
	assert_int_equal(port_send(f->port, line), -ENOTCONN);
	line_unref(line);
}

static void on_dropped(void *data, const struct line *line)
{
	struct fixture *f = data;

	f->dropped++;
	f->dropped_seq = line->seq;
}

static void on_sent(void *data, const struct line *line)
{
	(void)line;
	((struct fixture *)data)->sent++;
}

static void on_fault(void *data, const struct port_fault *fault)
{
	struct fixture *f = data;

	f->faults++;
	f->fault = *fault;
	f->fault.text = NULL;
}

static const struct port_events events = {
	.connected = on_connected,
	.renewed = on_renewed,
	.received = on_received,
	.disconnected = on_disconnected,
	.dropped = on_dropped,
	.sent = on_sent,
	.fault = on_fault,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_port.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->sock, sizeof(f->sock), "%s/sock", f->dir);
	snprintf(f->spec, sizeof(f->spec), "unix:%s", f->sock);
	f->listener = f->host = f->std[0] = f->std[1] = -1;
	f->now.mono_ns = 1000 * NS_PER_S;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[96];

	assert_true(getuid() != 0 || seteuid(0) == 0);
	for (int i = 0; i < 2; i++)
		if (f->std[i] >= 0) {
			dup2(f->std[i], i);
			close_fd(&f->std[i]);
		}
	port_free(f->port);
	close_fd(&f->host);
	close_fd(&f->listener);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void port_make_kept(struct fixture *f, const char *spec, size_t queue_bytes, const struct port_kept *kept)
{
	char sys[80], dev[80];
	struct port_config config = {
		.spec = spec, .queue_bytes = queue_bytes, .sys_dir = sys, .dev_dir = dev, .kept = kept
	};
	struct err err = { 0 };

	snprintf(sys, sizeof(sys), "%s/sys", f->dir);
	snprintf(dev, sizeof(dev), "%s/dev", f->dir);
	assert_int_equal(port_new(&config, &events, f, 1, &f->port, &err), 0);
}

static void port_make(struct fixture *f, const char *spec, size_t queue_bytes)
{
	port_make_kept(f, spec, queue_bytes, NULL);
}

static void listen_there(struct fixture *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->sock);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(f->listener, 4), 0);
}

static void turn(struct fixture *f)
{
	port_dispatch(f->port, &f->now);
}

/* Lets the time of the next deadline come, and dispatches. */
static void turn_when_due(struct fixture *f)
{
	uint64_t due = port_deadline_ns(f->port);

	assert_true(due != TIME_NEVER);
	if (due > f->now.mono_ns)
		f->now.mono_ns = due;
	turn(f);
}

/* Runs until there is nothing due now. */
static void settle(struct fixture *f)
{
	for (int i = 0; i < 1000; i++) {
		struct pollfd p = { .fd = port_fd(f->port), .events = POLLIN };

		if (poll(&p, 1, 0) == 0 && port_deadline_ns(f->port) > f->now.mono_ns)
			return;
		turn(f);
	}
	fail_msg("the port never comes to rest");
}

/* A pty passes bytes on by a workqueue: waits for them to arrive. */
static void await(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 5000), 1);
}

static void session(struct fixture *f)
{
	if (f->listener < 0)
		listen_there(f);
	settle(f);
	close_fd(&f->host);
	f->host = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(f->host >= 0);
	settle(f);
	assert_int_equal(port_state(f->port), PORT_CONNECTED);
}

static int send_line(struct fixture *f, enum line_class class, uint64_t seq, size_t len)
{
	char *text = malloc(len), head[32];
	struct line *line;
	size_t n = (size_t)snprintf(head, sizeof(head), "%c%llu", "rbes"[class], (unsigned long long)seq);
	int r;

	assert_non_null(text);
	memset(text, 'x', len);
	memcpy(text, head, n < len ? n : len);
	text[len - 1] = '\n';
	line = line_new(class, text, len);
	free(text);
	line->seq = seq;
	r = port_send(f->port, line);
	line_unref(line);
	return r;
}

/* Reads what the host has been sent, without waiting; returns the number of bytes. */
static size_t host_read(struct fixture *f, char *bytes, size_t size)
{
	size_t used = 0;
	ssize_t n;

	while (used < size - 1 && (n = read(f->host, bytes + used, size - 1 - used)) > 0)
		used += (size_t)n;
	bytes[used] = '\0';
	return used;
}

/* ---------------------------------------------------------------------------------------------------- specs */

#define TEN "0123456789"

static void rejects_bad_specs_naming_the_valid_forms(void **state)
{
	static const char *const bad[] = {
		"",	     "virtio:", "virtio:a/b", "virtio:a\nb",
		"virtio:..", "unix:",	"unix:/run/", "tty",
		"stdio ",    "NONE",	"/dev/",      "unix:/" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct port_config config = { .spec = bad[i] };
		struct port *port = NULL;
		struct err err = { 0 };

		assert_int_equal(port_new(&config, &events, *state, 0, &port, &err), -EINVAL);
		assert_null(port);
		assert_non_null(strstr(err.text, "virtio:NAME"));
		assert_non_null(strstr(err.text, "unix:PATH"));
	}
}

static void a_port_without_a_spec_never_connects(void **state)
{
	struct fixture *f = *state;

	port_make(f, "none", 0);
	turn(f);
	assert_int_equal(port_state(f->port), PORT_CLOSED);
	assert_true(port_deadline_ns(f->port) == TIME_NEVER);
	assert_int_equal(send_line(f, LINE_REPLY, 1, 10), -ENOTCONN);
	assert_null(port_free(NULL));
}

/* ------------------------------------------------------------------------------------------------- unix socket */

static void the_first_byte_of_a_session_is_a_newline(void **state)
{
	struct fixture *f = *state;
	char text[64];

	f->greet = true;
	port_make(f, f->spec, 0);
	session(f);
	host_read(f, text, sizeof(text));
	assert_string_equal(text, "\nhello\n");
	assert_int_equal(port_stats(f->port)->writes, 1);
	assert_int_equal(f->sent, 1);
}

static void answers_within_the_turn_that_read(void **state)
{
	struct fixture *f = *state;
	char text[64];

	f->echoes = 1;
	port_make(f, f->spec, 0);
	session(f);
	assert_int_equal(write(f->host, "ping\n", 5), 5);
	turn(f);
	host_read(f, text, sizeof(text));
	assert_string_equal(text, "\nping\n");
}

static void nobody_listening_is_retried_with_backoff_and_no_exit(void **state)
{
	struct fixture *f = *state;

	port_make(f, f->spec, 0);
	for (unsigned i = 1; i <= 10; i++) {
		turn_when_due(f);
		assert_int_equal(port_state(f->port), PORT_ABSENT);
		assert_int_equal(f->faults, i);
		assert_int_equal(f->fault.kind, PORT_FAULT_OPEN);
		assert_int_equal(f->fault.error, -ENOENT);
		assert_int_equal(f->fault.consecutive, i);
		assert_true(f->fault.retry_ns == port_deadline_ns(f->port));
	}
	assert_in_range(port_deadline_ns(f->port) - f->now.mono_ns, 20 * NS_PER_S, 30 * NS_PER_S);
}

static void a_socket_that_appears_is_connected_at_once(void **state)
{
	struct fixture *f = *state;

	port_make(f, f->spec, 0);
	for (int i = 0; i < 10; i++)
		turn_when_due(f);
	/* Between bind and listen the port may be refused once and come back after the shortest wait. */
	listen_there(f);
	settle(f);
	if (port_state(f->port) != PORT_CONNECTED)
		turn_when_due(f);
	assert_int_equal(f->connected, 1);
}

static void what_was_sent_before_the_end_is_delivered(void **state)
{
	struct fixture *f = *state;

	port_make(f, f->spec, 0);
	session(f);
	assert_int_equal(write(f->host, "last words\n", 11), 11);
	close_fd(&f->host);
	settle(f);
	assert_int_equal(f->in_len, 11);
	assert_int_equal(f->disconnected, 1);
}

static void unsent_output_is_dropped_when_the_host_goes_mid_line(void **state)
{
	struct fixture *f = *state;
	char text[64];

	port_make(f, f->spec, 0);
	session(f);
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(send_line(f, LINE_REPLY, i, 400000), 0);
	assert_true(port_queued_bytes(f->port) > 0 && port_queued_bytes(f->port) < 1200000);
	close_fd(&f->host);
	settle(f);
	assert_int_equal(f->disconnected, 1);
	assert_int_equal(f->sent + f->dropped, 3);
	assert_true(f->dropped > 0);
	assert_int_equal(port_queued_bytes(f->port), 0);
	turn_when_due(f);
	f->host = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	host_read(f, text, sizeof(text));
	assert_string_equal(text, "\n");
	assert_int_equal(f->connected, 2);
}

static void partial_writes_lose_and_repeat_nothing(void **state)
{
	struct fixture *f = *state;
	size_t total = 0, lines = 0;
	int size = 1;
	char chunk[1000];

	port_make(f, f->spec, 0);
	session(f);
	setsockopt(f->port->link.out.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(send_line(f, LINE_REPLY, i, 1000 + i), 0);
	for (int i = 0; i < 10000 && total < 1 + 100 * 1000 + 99 * 50; i++) {
		size_t n = host_read(f, chunk, sizeof(chunk));

		for (size_t at = 0; at < n; at++)
			lines += chunk[at] == '\n';
		total += n;
		settle(f);
	}
	assert_int_equal(total, 1 + 100 * 1000 + 99 * 50);
	assert_int_equal(lines, 101);
	assert_int_equal(f->sent, 100);
}

static void samples_wait_behind_replies_and_are_dropped_oldest_first(void **state)
{
	struct fixture *f = *state;
	unsigned accepted = 0;
	uint64_t first_kept;
	size_t size = 1 << 20, used = 0;
	char *text = malloc(size), want[32], *reply;
	bool reply_before_sample;

	port_make(f, f->spec, 100000);
	session(f);
	while (!f->port->blocked)
		accepted += send_line(f, LINE_SAMPLE, accepted + 1, 8000) == 0;
	for (unsigned i = 0; i < 20; i++)
		accepted += send_line(f, LINE_SAMPLE, accepted + 1, 8000) == 0;
	assert_true(f->dropped >= 9);
	first_kept = f->dropped_seq + 1;
	assert_int_equal(send_line(f, LINE_REPLY, 0, 500), 0);
	for (int i = 0; i < 100 && port_queued_bytes(f->port); i++) {
		used += host_read(f, text + used, size - used);
		settle(f);
	}
	host_read(f, text + used, size - used);
	snprintf(want, sizeof(want), "\ns%llux", (unsigned long long)first_kept);
	reply = strstr(text, "\nr0x");
	reply_before_sample = reply && strstr(reply, want);
	free(text);
	assert_true(reply_before_sample);
	assert_int_equal(f->sent + f->dropped, accepted + 1);
}

static void a_reply_without_room_is_refused_and_reported_once(void **state)
{
	struct fixture *f = *state;
	int r = 0;

	port_make(f, f->spec, 100000);
	session(f);
	for (unsigned i = 0; i < 1000 && r == 0; i++)
		r = send_line(f, LINE_REPLY, i, 9000);
	assert_int_equal(r, -ENOBUFS);
	assert_int_equal(send_line(f, LINE_REPLY, 0, 9000), -ENOBUFS);
	assert_int_equal(f->faults, 1);
	assert_int_equal(f->fault.kind, PORT_FAULT_REFUSED);
	assert_int_equal(port_stats(f->port)->lines_refused[LINE_REPLY], 2);
	assert_int_equal(f->dropped, 0);
}

static void many_answers_in_one_turn_are_not_refused(void **state)
{
	struct fixture *f = *state;
	char block[4096];
	int size = 1 << 20;

	f->echoes = 24;
	port_make(f, f->spec, 2 * PORT_CHUNK + 1000);
	session(f);
	setsockopt(f->port->link.out.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	memset(block, '\n', sizeof(block));
	for (size_t len = 0; len < PORT_INPUT_TURN; len += sizeof(block))
		assert_int_equal(write(f->host, block, sizeof(block)), sizeof(block));
	turn(f); /* on_received asserts that every port_send is accepted */
	assert_int_equal(f->in_total, PORT_INPUT_TURN);
}

static void a_host_that_takes_nothing_is_a_stall(void **state)
{
	struct fixture *f = *state;

	port_make(f, f->spec, 0);
	session(f);
	assert_int_equal(send_line(f, LINE_REPLY, 1, 1000000), 0);
	settle(f);
	assert_int_equal(port_deadline_ns(f->port), f->now.mono_ns + PORT_STALL_NS);
	f->now.mono_ns += PORT_STALL_NS - 1;
	turn(f);
	assert_int_equal(f->faults, 0);
	turn_when_due(f);
	assert_int_equal(f->fault.kind, PORT_FAULT_STALL);
	assert_int_equal(f->dropped, 1);
	assert_int_equal(f->disconnected, 1);
	assert_int_equal(port_state(f->port), PORT_BACKOFF);
	assert_in_range(port_deadline_ns(f->port) - f->now.mono_ns, PORT_STALL_WAIT_NS, PORT_STALL_WAIT_NS * 3 / 2);
	turn_when_due(f);
	assert_int_equal(f->connected, 2);
}

static void a_slow_host_is_no_stall(void **state)
{
	static char text[65536];
	struct fixture *f = *state;

	port_make(f, f->spec, 0);
	session(f);
	assert_int_equal(send_line(f, LINE_REPLY, 1, 1000000), 0);
	for (int i = 0; i < 60 && f->sent == 0; i++) {
		f->now.mono_ns += 5 * NS_PER_S;
		host_read(f, text, sizeof(text));
		settle(f);
	}
	assert_int_equal(f->faults, 0);
	assert_int_equal(f->sent, 1);
}

static void a_flooding_host_cannot_keep_a_turn_for_ever(void **state)
{
	struct fixture *f = *state;
	static const char block[65536];
	int size = 4 << 20, big = 0;

	port_make(f, f->spec, 0);
	session(f);
	setsockopt(f->host, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	while (big < 700000) {
		ssize_t n = write(f->host, block, sizeof(block));

		if (n <= 0)
			break;
		big += (int)n;
	}
	if (big <= (int)(PORT_INPUT_TURN + PORT_INPUT_CHUNK))
		skip(); /* net.core.wmem_max is too small here for more than a turn */
	turn(f);
	assert_in_range(f->in_total, PORT_INPUT_TURN, PORT_INPUT_TURN + PORT_INPUT_CHUNK);
	assert_true(port_deadline_ns(f->port) <= f->now.mono_ns);
	settle(f);
	assert_int_equal(f->in_total, big);
}

static unsigned count_fds(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void ten_thousand_sessions_leak_no_fd(void **state)
{
	struct fixture *f = *state;
	unsigned before;

	f->greet = true;
	port_make(f, f->spec, 0);
	session(f);
	close_fd(&f->host);
	settle(f);
	before = count_fds();
	for (int i = 0; i < 10000; i++) {
		turn_when_due(f);
		f->host = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(f->host >= 0);
		assert_int_equal(write(f->host, "x\n", 2), 2);
		close_fd(&f->host);
		settle(f);
	}
	assert_int_equal(count_fds(), before);
	assert_int_equal(f->connected, 10001);
	assert_int_equal(f->disconnected, 10001);
	assert_int_equal(f->in_total, 20000);
	assert_int_equal(f->sent + f->dropped, 10001);
}

static void an_idle_session_has_no_deadline_and_no_wakeup(void **state)
{
	struct fixture *f = *state;
	struct pollfd p;

	port_make(f, f->spec, 0);
	session(f);
	p = (struct pollfd){ .fd = port_fd(f->port), .events = POLLIN };
	assert_int_equal(poll(&p, 1, 30), 0);
	assert_true(port_deadline_ns(f->port) == TIME_NEVER);
	assert_false(port_needs_poll(f->port));
}

static void closing_ends_the_session_and_is_final(void **state)
{
	struct fixture *f = *state;

	port_make(f, f->spec, 0);
	session(f);
	assert_int_equal(send_line(f, LINE_REPLY, 1, 2000000), 0);
	port_close(f->port);
	assert_int_equal(f->disconnected, 1);
	assert_int_equal(f->dropped, 1);
	turn(f);
	assert_int_equal(port_state(f->port), PORT_CLOSED);
	assert_int_equal(f->connected, 1);
}

/* --------------------------------------------------------------------------------------- ptys and virtio names */

static int pty_open(char *path, size_t size)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	assert_int_equal(ptsname_r(master, path, size), 0);
	return master;
}

static void a_pty_is_used_raw(void **state)
{
	struct fixture *f = *state;
	char path[64], text[64];

	f->host = pty_open(path, sizeof(path));
	f->echoes = 1;
	port_make(f, path, 0);
	settle(f);
	assert_int_equal(f->connected, 1);
	await(f->host);
	host_read(f, text, sizeof(text));
	assert_string_equal(text, "\n");
	assert_int_equal(write(f->host, "\x03ping\n", 6), 6);
	while (f->in_total < 6) {
		await(port_fd(f->port));
		settle(f);
	}
	await(f->host);
	host_read(f, text, sizeof(text));
	assert_string_equal(text, "\x03ping\n");
	assert_false(port_needs_poll(f->port));
}

static void a_pty_whose_master_goes_ends_the_session(void **state)
{
	struct fixture *f = *state;
	char path[64];

	f->host = pty_open(path, sizeof(path));
	port_make(f, path, 0);
	settle(f);
	close_fd(&f->host);
	await(port_fd(f->port));
	settle(f);
	assert_int_equal(f->disconnected, 1);
	assert_true(port_state(f->port) != PORT_CONNECTED);
	turn_when_due(f);
	assert_int_equal(f->connected, 1);
}

static void a_path_that_is_no_device_is_a_fault(void **state)
{
	struct fixture *f = *state;
	char path[96];

	snprintf(path, sizeof(path), "%s/file", f->dir);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	port_make(f, path, 0);
	for (int i = 0; i < 3; i++)
		turn_when_due(f);
	assert_int_equal(f->fault.error, -ENOTTY);
	assert_int_equal(port_state(f->port), PORT_BACKOFF);
	settle(f);
}

static void make_dirs(struct fixture *f, const char *relative)
{
	char command[256];

	snprintf(command, sizeof(command), "mkdir -p %s/%s", f->dir, relative);
	assert_int_equal(system(command), 0);
}

static void sysfs_port(struct fixture *f, const char *entry, const char *name)
{
	char path[160];
	FILE *file;

	snprintf(path, sizeof(path), "sys/class/virtio-ports/%s", entry);
	make_dirs(f, path);
	snprintf(path, sizeof(path), "%s/sys/class/virtio-ports/%s/name", f->dir, entry);
	file = fopen(path, "we");
	assert_non_null(file);
	fprintf(file, "%s\n", name);
	fclose(file);
}

static void dev_link(struct fixture *f, const char *entry, const char *target)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/dev/%s", f->dir, entry);
	assert_int_equal(symlink(target, path), 0);
}

static void a_virtio_port_is_found_by_its_name_in_sysfs(void **state)
{
	struct fixture *f = *state;
	char path[64];

	f->host = pty_open(path, sizeof(path));
	make_dirs(f, "dev");
	sysfs_port(f, "vport0p1", "org.qemu.guest_agent.0");
	sysfs_port(f, "vport3p7", NAME);
	dev_link(f, "vport3p7", path);
	port_make(f, "virtio:" NAME, 0);
	settle(f);
	assert_int_equal(port_state(f->port), PORT_CONNECTED);
	assert_non_null(strstr(port_where(f->port), "/dev/vport3p7"));
}

/* A file as an agent leaves it behind: the beginning of a line. */
static int half_line(const char *text)
{
	int fd = memfd_create("half", MFD_CLOEXEC);

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

/* Under a number that nothing else takes once it is closed. */
static int high(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 100);

	assert_true(copy >= 100 && close(fd) == 0);
	return copy;
}

static void a_port_that_was_left_open_is_taken_over_with_its_half_line(void **state)
{
	struct fixture *f = *state;
	struct port_kept kept;
	char path[64];

	f->host = pty_open(path, sizeof(path));
	make_dirs(f, "dev");
	sysfs_port(f, "vport3p7", NAME);
	dev_link(f, "vport3p7", path);
	kept = (struct port_kept){ high(open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)), high(half_line("{\"half")) };
	assert_int_equal(write(f->host, "line\"}\n", 7), 7);
	port_make_kept(f, "virtio:" NAME, 0, &kept);
	settle(f);
	assert_int_equal(port_keep(f->port), kept.fd);
	assert_int_equal(f->connected, 1);
	assert_memory_equal(f->in, "{\"halfline\"}\n", 13);
	assert_int_equal(fcntl(kept.input_fd, F_GETFD), -1);
	assert_true(fcntl(kept.fd, F_GETFL) & O_NONBLOCK);
}

static void what_was_left_open_of_another_port_is_closed(void **state)
{
	struct fixture *f = *state;
	struct port_kept kept;
	char path[64], other[64];
	int other_host = pty_open(other, sizeof(other));

	f->host = pty_open(path, sizeof(path));
	make_dirs(f, "dev");
	sysfs_port(f, "vport3p7", NAME);
	dev_link(f, "vport3p7", path);
	kept = (struct port_kept){ high(open(other, O_RDWR | O_NOCTTY | O_CLOEXEC)), half_line("half") };
	port_make_kept(f, "virtio:" NAME, 0, &kept);
	settle(f);
	assert_int_equal(port_state(f->port), PORT_CONNECTED);
	assert_true(port_keep(f->port) >= 0 && port_keep(f->port) != kept.fd);
	assert_int_equal(fcntl(kept.fd, F_GETFD), -1);
	assert_int_equal(f->in_total, 0);
	close(other_host);
}

static void after(struct fixture *f, uint64_t ns)
{
	f->now.mono_ns += ns;
	settle(f);
}

/* The node comes as root's, and is given to the agent's user later. That is a fault only when it does not happen. */
static void a_virtio_port_that_is_not_ours_yet_is_a_fault_only_when_that_lasts(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX];
	bool root = geteuid() == 0;

	sysfs_port(f, "vport3p7", NAME);
	snprintf(path, sizeof(path), "%s/dev/vport3p7", f->dir);
	make_dirs(f, "dev");
	close(open(path, O_WRONLY | O_CREAT, 0000));
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_true(!root || seteuid(65534) == 0);
	port_make(f, "virtio:" NAME, 0);
	/* From 1 s to 29 s later, at whatever moment it is looked for. */
	for (unsigned step = 0; step < 28; step++) {
		after(f, NS_PER_S);
		assert_int_equal(f->faults, 0);
	}
	after(f, 4 * NS_PER_S);
	assert_int_equal(f->faults, 1);
	assert_int_equal(f->fault.kind, PORT_FAULT_OPEN);
	assert_int_equal(f->fault.error, -EACCES);
	assert_true(f->fault.consecutive > 5);
	/* Gone and come again, it has its time again. */
	assert_true(!root || seteuid(0) == 0);
	snprintf(path, sizeof(path), "%s/sys/class/virtio-ports/vport3p7/name", f->dir);
	unlink(path);
	assert_true(!root || seteuid(65534) == 0);
	for (unsigned step = 0; step < 40; step++)
		after(f, NS_PER_S);
	assert_int_not_equal(f->fault.error, -EACCES);
	assert_true(!root || seteuid(0) == 0);
	sysfs_port(f, "vport3p7", NAME);
	f->faults = 0;
	assert_true(!root || seteuid(65534) == 0);
	for (unsigned step = 0; step < 55; step++)
		after(f, NS_PER_S);
	assert_true(f->faults <= 2);
	assert_true(!root || seteuid(0) == 0);
}

static void only_a_virtio_port_without_output_is_left_open(void **state)
{
	struct fixture *f = *state;
	struct port_kept kept = { high(half_line("")), -1 };

	port_make_kept(f, f->spec, 0, &kept);
	assert_int_equal(port_keep(f->port), -1);
	assert_int_equal(fcntl(kept.fd, F_GETFD), -1);
}

static void a_virtio_port_is_found_by_the_link_of_udev(void **state)
{
	struct fixture *f = *state;
	char path[64];

	f->host = pty_open(path, sizeof(path));
	make_dirs(f, "dev/virtio-ports");
	dev_link(f, "virtio-ports/" NAME, path);
	port_make(f, "virtio:" NAME, 0);
	settle(f);
	assert_int_equal(port_state(f->port), PORT_CONNECTED);
}

static void a_node_without_a_name_yet_is_waited_for(void **state)
{
	struct fixture *f = *state;
	char path[64];

	f->host = pty_open(path, sizeof(path));
	make_dirs(f, "dev");
	sysfs_port(f, "vport0p1", "");
	dev_link(f, "vport0p1", path);
	port_make(f, "virtio:" NAME, 0);
	settle(f);
	assert_int_equal(f->fault.error, -ENXIO);
	assert_int_equal(port_state(f->port), PORT_BACKOFF);
	sysfs_port(f, "vport0p1", NAME);
	turn_when_due(f);
	assert_int_equal(port_state(f->port), PORT_CONNECTED);
}

static void a_node_that_appears_is_opened_at_once(void **state)
{
	struct fixture *f = *state;
	char path[64];

	f->host = pty_open(path, sizeof(path));
	make_dirs(f, "dev");
	port_make(f, "virtio:" NAME, 0);
	for (int i = 0; i < 12; i++)
		turn_when_due(f);
	sysfs_port(f, "vport0p2", NAME);
	dev_link(f, "vport0p2", path);
	settle(f);
	assert_int_equal(port_state(f->port), PORT_CONNECTED);
}

static void a_replugged_port_is_found_under_its_new_number(void **state)
{
	struct fixture *f = *state;
	char path[64], old[160];

	f->host = pty_open(path, sizeof(path));
	make_dirs(f, "dev");
	sysfs_port(f, "vport0p1", NAME);
	dev_link(f, "vport0p1", path);
	port_make(f, "virtio:" NAME, 0);
	settle(f);
	snprintf(old, sizeof(old), "%s/sys/class/virtio-ports/vport0p1/name", f->dir);
	unlink(old);
	snprintf(old, sizeof(old), "%s/sys/class/virtio-ports/vport0p1", f->dir);
	assert_int_equal(rmdir(old), 0);
	snprintf(old, sizeof(old), "%s/dev/vport0p1", f->dir);
	unlink(old);
	/* What ENODEV leads to; a pty cannot give it. */
	port_lost(f->port, PORT_FAULT_GONE, -ENODEV);
	assert_int_equal(f->disconnected, 1);
	settle(f);
	assert_int_equal(port_state(f->port), PORT_ABSENT);
	sysfs_port(f, "vport1p4", NAME);
	dev_link(f, "vport1p4", path);
	settle(f);
	assert_int_equal(port_state(f->port), PORT_CONNECTED);
	assert_non_null(strstr(port_where(f->port), "vport1p4"));
}

/* A pty behaves as a virtio port does as long as its other side stays: enough for the rules about edges. */
static void virtio_session(struct fixture *f)
{
	char path[64];

	f->host = pty_open(path, sizeof(path));
	make_dirs(f, "dev");
	sysfs_port(f, "vport0p1", NAME);
	dev_link(f, "vport0p1", path);
	port_make(f, "virtio:" NAME, 0);
	settle(f);
	assert_int_equal(f->connected, 1);
}

static void an_edge_that_nothing_explains_renews_the_session(void **state)
{
	struct fixture *f = *state;

	virtio_session(f);
	f->now.mono_ns += 10 * NS_PER_S;
	turn(f);
	f->port->answered = true;
	port_virtio_edge(f->port, EPOLLOUT);
	port_virtio_settle(f->port, false);
	assert_int_equal(f->renewed, 1);
	assert_int_equal(f->gone_ns, 0);
	assert_true(f->port->newline_due);
	/* A second one right after it is put off, not lost. */
	port_virtio_edge(f->port, EPOLLOUT);
	port_virtio_settle(f->port, false);
	assert_int_equal(f->renewed, 1);
	assert_int_equal(port_deadline_ns(f->port), f->now.mono_ns + PORT_RENEW_GAP_NS);
	turn_when_due(f);
	assert_int_equal(f->renewed, 2);
}

static void edges_of_our_own_traffic_renew_nothing(void **state)
{
	struct fixture *f = *state;

	virtio_session(f);
	f->now.mono_ns += 10 * NS_PER_S;
	turn(f);
	f->port->credits = 0;
	send_line(f, LINE_REPLY, 1, 10);
	send_line(f, LINE_REPLY, 2, 10);
	for (int i = 0; i < 2; i++) {
		port_virtio_edge(f->port, EPOLLOUT);
		port_virtio_settle(f->port, false);
	}
	port_virtio_edge(f->port, EPOLLIN | EPOLLOUT);
	port_virtio_settle(f->port, false);
	assert_int_equal(f->renewed, 0);
}

static void a_hangup_right_after_input_is_doubted(void **state)
{
	struct fixture *f = *state;

	virtio_session(f);
	assert_int_equal(write(f->host, "ask\n", 4), 4);
	await(port_fd(f->port));
	settle(f);
	assert_int_equal(f->in_total, 4);
	port_virtio_edge(f->port, EPOLLIN | EPOLLHUP);
	port_virtio_settle(f->port, true);
	assert_int_equal(f->disconnected, 0);
	port_virtio_edge(f->port, EPOLLOUT);
	port_virtio_settle(f->port, false);
	assert_int_equal(f->disconnected, 0);
	assert_int_equal(f->renewed, 1);
	port_virtio_edge(f->port, EPOLLIN | EPOLLHUP);
	port_virtio_settle(f->port, true);
	f->now.mono_ns = port_deadline_ns(f->port);
	port_virtio_tick(f->port);
	f->port->now_ns = f->now.mono_ns;
	port_virtio_tick(f->port);
	assert_int_equal(f->disconnected, 1);
	assert_int_equal(port_state(f->port), PORT_WAITING);
}

/* Hangs up right behind input, as a host that dies in the middle of its traffic. */
static void doubted_hangup(struct fixture *f)
{
	f->port->session_heard = true;
	f->port->input_ns = f->port->now_ns;
	port_virtio_edge(f->port, EPOLLIN | EPOLLHUP);
	port_virtio_settle(f->port, true);
	assert_int_equal(f->disconnected, 0);
}

/* Lets the doubt run out `times` times; it is to be believed at the last only. */
static void doubt_lasts(struct fixture *f, unsigned times)
{
	uint64_t hung_up_ns = f->port->now_ns;

	for (unsigned i = 0; i < times; i++) {
		assert_int_equal(f->disconnected, 0);
		f->port->now_ns = port_deadline_ns(f->port);
		port_virtio_tick(f->port);
		/* Nobody is there still, as every read says. */
		port_virtio_settle(f->port, true);
	}
	assert_int_equal(f->disconnected, 1);
	assert_int_equal(f->port->now_ns - hung_up_ns, times * PORT_LINGER_NS);
}

/* The next host's bytes overtook its arrival by more than the doubt lasts: its answers wait for it. */
static void a_host_that_wrote_behind_a_hangup_is_waited_for(void **state)
{
	struct fixture *f = *state;

	virtio_session(f);
	f->now.mono_ns += 10 * NS_PER_S;
	turn(f);
	f->port->blocked = true;
	assert_int_equal(send_line(f, LINE_REPLY, 1, 10), 0);
	f->port->now_ns += 60 * NS_PER_MS;
	doubted_hangup(f);
	f->port->now_ns += 30 * NS_PER_MS;
	f->port->input_ns = f->port->now_ns;
	port_virtio_settle(f->port, true);
	assert_int_equal(send_line(f, LINE_REPLY, 2, 10), 0);
	f->port->now_ns = port_virtio_deadline(f->port);
	port_virtio_tick(f->port);
	assert_int_equal(f->disconnected, 0);
	f->port->now_ns += 20 * NS_PER_MS;
	port_virtio_edge(f->port, EPOLLOUT);
	port_virtio_settle(f->port, false);
	assert_int_equal(f->renewed, 1);
	assert_int_equal(f->disconnected, 0);
	/* Only what the former host was to get is gone. */
	assert_int_equal(f->dropped, 1);
	assert_int_equal(f->dropped_seq, 1);
	port_flush(f->port);
	assert_int_equal(f->sent, 1);
}

static void a_host_that_never_arrives_is_not_waited_for_without_end(void **state)
{
	struct fixture *f = *state;

	virtio_session(f);
	f->now.mono_ns += 10 * NS_PER_S;
	turn(f);
	send_line(f, LINE_REPLY, 1, 10);
	assert_false(f->port->newline_due);
	doubted_hangup(f);
	f->port->input_ns = f->port->now_ns + 1;
	doubt_lasts(f, 1 + PORT_LINGERS_MAX);
	/* The next doubt has its whole time again. */
	port_session_begin(f->port);
	f->disconnected = 0;
	doubted_hangup(f);
	f->port->input_ns = f->port->now_ns + 1;
	doubt_lasts(f, 1 + PORT_LINGERS_MAX);
}

/* Bytes that began a session in which the port has never been writable: their host has not been told of at all. */
static void a_host_whose_first_bytes_overtook_its_arrival_is_waited_for(void **state)
{
	struct fixture *f = *state;

	virtio_session(f);
	f->port->newline_due = f->port->unsaid = f->port->blocked = true;
	doubted_hangup(f);
	doubt_lasts(f, 1 + PORT_LINGERS_MAX);
}

/* A host that was there and has gone: nothing to wait for. */
static void a_hangup_with_nothing_behind_it_is_believed_once_its_time_is_over(void **state)
{
	struct fixture *f = *state;

	virtio_session(f);
	f->now.mono_ns += 10 * NS_PER_S;
	turn(f);
	send_line(f, LINE_REPLY, 1, 10);
	doubted_hangup(f);
	doubt_lasts(f, 1);
}

/* The port has shown the border: what waits for the host that is gone does not go to the next one. */
static void a_hangup_that_is_over_drops_what_the_former_host_was_to_get(void **state)
{
	struct fixture *f = *state;

	virtio_session(f);
	f->now.mono_ns += 10 * NS_PER_S;
	turn(f);
	f->port->blocked = true;
	assert_int_equal(send_line(f, LINE_REPLY, 1, 10), 0);
	assert_int_equal(send_line(f, LINE_EVENT, 2, 10), 0);
	f->port->now_ns += 60 * NS_PER_MS;
	assert_int_equal(send_line(f, LINE_REPLY, 3, 10), 0);
	f->port->session_heard = true;
	f->port->input_ns = f->port->now_ns;
	port_virtio_edge(f->port, EPOLLIN | EPOLLHUP);
	port_virtio_settle(f->port, true);
	assert_int_equal(f->disconnected, 0);
	f->port->now_ns += 10 * NS_PER_MS;
	port_virtio_edge(f->port, EPOLLIN | EPOLLOUT);
	port_virtio_settle(f->port, false);
	assert_int_equal(f->renewed, 1);
	assert_int_equal(f->gone_ns, f->now.mono_ns + 60 * NS_PER_MS - PORT_LINGER_NS);
	assert_int_equal(f->dropped, 2);
	assert_int_equal(f->disconnected, 0);
}

static void samples_are_held_until_the_host_consumes(void **state)
{
	struct fixture *f = *state;

	virtio_session(f);
	f->port->unanswered = PORT_SAMPLE_WINDOW;
	assert_int_equal(send_line(f, LINE_SAMPLE, 1, 100), 0);
	assert_int_equal(f->sent, 0);
	assert_int_equal(send_line(f, LINE_REPLY, 2, 100), 0);
	assert_int_equal(f->sent, 1);
	port_virtio_edge(f->port, EPOLLOUT);
	turn(f);
	assert_int_equal(f->sent, 2);
}

/* ------------------------------------------------------------------------------------------------------ stdio */

static void stdio_becomes(struct fixture *f, int in, int out)
{
	fflush(stdout);
	f->std[0] = fcntl(0, F_DUPFD_CLOEXEC, 10);
	f->std[1] = fcntl(1, F_DUPFD_CLOEXEC, 10);
	dup2(in, 0);
	dup2(out, 1);
}

static void stdio_ends(struct fixture *f)
{
	for (int i = 0; i < 2; i++) {
		dup2(f->std[i], i);
		close_fd(&f->std[i]);
	}
}

static void stdio_over_pipes_leaves_their_flags_alone(void **state)
{
	struct fixture *f = *state;
	int in[2], out[2], flags;
	char text[64];
	ssize_t n;

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	f->echoes = 1;
	port_make(f, "stdio", 0);
	stdio_becomes(f, in[0], out[1]);
	settle(f);
	assert_int_equal(write(in[1], "ping\n", 5), 5);
	settle(f);
	flags = fcntl(0, F_GETFL) | fcntl(1, F_GETFL);
	stdio_ends(f);
	n = read(out[0], text, sizeof(text));
	close(in[1]);
	settle(f);
	for (int i = 0; i < 2; i++) {
		close(out[i]);
		close(in[0]);
		in[0] = -1;
	}
	assert_int_equal(n, 6);
	assert_memory_equal(text, "\nping\n", 6);
	assert_int_equal(flags & O_NONBLOCK, 0);
	assert_int_equal(f->disconnected, 1);
	assert_int_equal(port_state(f->port), PORT_CLOSED);
	assert_true(port_deadline_ns(f->port) == TIME_NEVER);
}

static void a_regular_file_needs_polling(void **state)
{
	struct fixture *f = *state;
	char path[96];
	bool needed;
	int fd;

	snprintf(path, sizeof(path), "%s/in", f->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "a\nb\n", 4), 4);
	lseek(fd, 0, SEEK_SET);
	port_make(f, "stdio", 0);
	stdio_becomes(f, fd, fd);
	/* One opening without reading, to see the state before the end of the file. */
	needed = port_stdio_open(f->port) == 0 && (f->port->link.open = true) &&
		 epoll_ctl(f->port->epoll_fd, EPOLL_CTL_ADD, f->port->link.in.fd, &(struct epoll_event){ 0 }) < 0 &&
		 errno == EPERM;
	port_link_close(f->port);
	settle(f);
	stdio_ends(f);
	close(fd);
	assert_true(needed);
	assert_int_equal(f->in_len, 4);
	assert_int_equal(port_state(f->port), PORT_CLOSED);
}

static void a_device_that_epoll_refuses_needs_polling(void **state)
{
	struct fixture *f = *state;
	char text[8];
	int fds[2], out;
	bool needs, blocked_reader;

	/* A pipe to read from and /dev/null to write to: epoll takes one and refuses the other. */
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	out = open("/dev/null", O_RDWR | O_CLOEXEC);
	port_make(f, "stdio", 0);
	stdio_becomes(f, fds[0], out);
	turn(f);
	needs = port_needs_poll(f->port);
	stdio_ends(f);
	assert_int_equal(write(fds[1], "x\n", 2), 2);
	turn(f);
	close(fds[0]);
	close(fds[1]);
	close(out);
	blocked_reader = f->in_len == 2;
	memcpy(text, f->in, 2);
	assert_true(needs);
	assert_true(blocked_reader);
	assert_memory_equal(text, "x\n", 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(rejects_bad_specs_naming_the_valid_forms),
		T(a_port_without_a_spec_never_connects),
		T(the_first_byte_of_a_session_is_a_newline),
		T(answers_within_the_turn_that_read),
		T(nobody_listening_is_retried_with_backoff_and_no_exit),
		T(a_socket_that_appears_is_connected_at_once),
		T(what_was_sent_before_the_end_is_delivered),
		T(unsent_output_is_dropped_when_the_host_goes_mid_line),
		T(partial_writes_lose_and_repeat_nothing),
		T(samples_wait_behind_replies_and_are_dropped_oldest_first),
		T(a_reply_without_room_is_refused_and_reported_once),
		T(many_answers_in_one_turn_are_not_refused),
		T(a_host_that_takes_nothing_is_a_stall),
		T(a_slow_host_is_no_stall),
		T(a_flooding_host_cannot_keep_a_turn_for_ever),
		T(ten_thousand_sessions_leak_no_fd),
		T(an_idle_session_has_no_deadline_and_no_wakeup),
		T(closing_ends_the_session_and_is_final),
		T(a_pty_is_used_raw),
		T(a_pty_whose_master_goes_ends_the_session),
		T(a_path_that_is_no_device_is_a_fault),
		T(a_virtio_port_is_found_by_its_name_in_sysfs),
		T(a_port_that_was_left_open_is_taken_over_with_its_half_line),
		T(what_was_left_open_of_another_port_is_closed),
		T(a_virtio_port_that_is_not_ours_yet_is_a_fault_only_when_that_lasts),
		T(only_a_virtio_port_without_output_is_left_open),
		T(a_virtio_port_is_found_by_the_link_of_udev),
		T(a_node_without_a_name_yet_is_waited_for),
		T(a_node_that_appears_is_opened_at_once),
		T(a_replugged_port_is_found_under_its_new_number),
		T(an_edge_that_nothing_explains_renews_the_session),
		T(edges_of_our_own_traffic_renew_nothing),
		T(a_hangup_right_after_input_is_doubted),
		T(a_host_that_wrote_behind_a_hangup_is_waited_for),
		T(a_host_that_never_arrives_is_not_waited_for_without_end),
		T(a_host_whose_first_bytes_overtook_its_arrival_is_waited_for),
		T(a_hangup_with_nothing_behind_it_is_believed_once_its_time_is_over),
		T(a_hangup_that_is_over_drops_what_the_former_host_was_to_get),
		T(samples_are_held_until_the_host_consumes),
		T(stdio_over_pipes_leaves_their_flags_alone),
		T(a_regular_file_needs_polling),
		T(a_device_that_epoll_refuses_needs_polling),
	};

	return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
