/* SPDX-License-Identifier: MIT */
/*
 * The local socket with clients of several users: real sockets on a real loop, in a folder of its own. Who a client is
 * (SO_PEERCRED), who we are, and the clock are replaced: a test that includes this is linked with -Wl,--wrap for
 * getsockopt, geteuid, accept4 and clock_gettime. local_begin and local_end are setup and teardown of each test;
 * local_prepare leaves the socket to the test.
 */
#ifndef TESTS_LOCAL_FIXTURE_H
#define TESTS_LOCAL_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <ev.h>

#include <infiniservice/cleanup.h>

#include "agent/peer/local.h"
#include "agent/peer/session.h"
#include "tests/loop_turn.h"

#define OUR_UID	    990
#define CLIENTS_MAX 64
#define MIB	    (1u << 20)
#define ALMOST_MIB  (1000u << 10)

static char folder[32], path[64];
static struct loop loop;
static struct config config;
static struct secret secret;
static struct json_writer writer;
static char writer_text[4 * MIB];
static struct peers peers;
static struct local *local;

static struct client {
	int fd; /* 0: none */
	struct session *session;
	unsigned heard, drained;
	bool gone;
} clients[CLIENTS_MAX];
static unsigned client_count;

/* ----------------------------------------------------------------------------------------------- what is replaced */

static uid_t next_uid;
static uint64_t skew_ns, message_ns; /* of the clock; and what a message costs */
static unsigned accepts;
static int accept_error;

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
uid_t __wrap_geteuid(void);
int __real_clock_gettime(clockid_t id, struct timespec *time);
int __wrap_clock_gettime(clockid_t id, struct timespec *time);
int __real_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int r = __real_getsockopt(fd, level, name, value, len);

	if (r == 0 && level == SOL_SOCKET && name == SO_PEERCRED)
		((struct ucred *)value)->uid = next_uid;
	return r;
}

uid_t __wrap_geteuid(void)
{
	return OUR_UID;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *time)
{
	int r = __real_clock_gettime(id, time);
	uint64_t ns = (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec + skew_ns;

	time->tv_sec = (time_t)(ns / NS_PER_S);
	time->tv_nsec = (long)(ns % NS_PER_S);
	return r;
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
	accepts++;
	if (accept_error) {
		errno = accept_error;
		return -1;
	}
	return __real_accept4(fd, address, len, flags);
}

/* ---------------------------------------------------------------------------------------------------- the handler */

/* Clients say their number, as the id of a message. */
static inline void on_message(void *data, struct session *session, struct message *message)
{
	struct client *client = &clients[atoi(message->id)];

	(void)data;
	client->session = session;
	client->heard++;
	skew_ns += message_ns;
	message_free(message);
}

static inline struct client *client_of(const struct session *session)
{
	struct client *client = clients;

	while (client < clients + client_count && client->session != session)
		client++;
	return client < clients + client_count ? client : NULL;
}

static inline void on_gone(void *data, struct session *session, uint64_t before_ns)
{
	struct client *client = client_of(session);

	(void)data;
	assert_true(before_ns == UINT64_MAX);
	if (client)
		client->gone = true;
}

static inline void on_drained(void *data, struct session *session)
{
	(void)data;
	client_of(session)->drained++;
}

static inline void on_nonces(void *data, int error)
{
	(void)data;
	(void)error;
}

static const struct peer_handler handler = { .message = on_message, .gone = on_gone, .drained = on_drained };

/* ---------------------------------------------------------------------------------------------------- the clients */

static inline uint64_t reported(const char *key)
{
	char text[512], quoted[32], *at;
	struct json_writer out;
	unsigned long long value = 0;

	json_writer_init(&out, text, sizeof(text) - 1);
	sink_object_begin(&out.sink, NULL);
	local_report(local, &out.sink);
	sink_object_end(&out.sink);
	text[out.len] = '\0';
	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	at = strstr(text, quoted);
	assert_non_null(at);
	assert_int_equal(sscanf(at + strlen(quoted), "%llu", &value), 1);
	return value;
}

/* Turns the loop until nothing more is to be done. */
static inline void turns(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		loop_turn(loop.ev);
}

static inline unsigned join(uid_t uid)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct client *client = &clients[client_count];

	assert_true(client_count < CLIENTS_MAX);
	strcpy(address.sun_path, path);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	next_uid = uid;
	loop_turn(loop.ev);
	return client_count++;
}

static inline void say(unsigned number)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "{\"type\":\"Status\",\"id\":\"%u\"}\n", number);

	assert_int_equal(send(clients[number].fd, line, (size_t)len, MSG_NOSIGNAL), len);
}

/* A client that has said something, so that it can be answered. */
static inline unsigned talk(uid_t uid)
{
	unsigned number = join(uid);

	say(number);
	loop_turn(loop.ev);
	assert_non_null(clients[number].session);
	assert_int_equal(clients[number].session->uid, uid);
	return number;
}

/* Leaves so many bytes more for it to read; its session's count of answers lost. */
static inline uint64_t answer(unsigned number, size_t bytes)
{
	struct session *session = clients[number].session;

	memset(writer.buf, 'x', bytes);
	writer.len = bytes;
	session_answer(session, LINE_REPLY);
	return session->answers_lost;
}

static inline bool is_off(unsigned number)
{
	turns(2);
	return clients[number].gone;
}

/* Reads what has come; the bytes of it. */
static inline size_t read_all(unsigned number)
{
	static char bytes[65536];
	size_t sum = 0;
	ssize_t len;

	while ((len = recv(clients[number].fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		sum += (size_t)len;
	return sum;
}

static inline void set(const char *assignment)
{
	struct err e = { 0 };

	if (config_set(&config, assignment, &e) < 0)
		fail_msg("%s", e.text);
}

static inline void set_text(const char *key, const char *value)
{
	char assignment[128];

	snprintf(assignment, sizeof(assignment), "%s=%s", key, value);
	set(assignment);
}

static inline int local_prepare(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/test-local-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	memset(clients, 0, sizeof(clients));
	client_count = accepts = 0;
	accept_error = 0;
	skew_ns = message_ns = 0;
	loop_init(&loop, ev_loop_new(0));
	assert_int_equal(config_init(&config), 0);
	set_text("agent.state_dir", folder);
	set_text("agent.runtime_dir", folder);
	set_text("socket.path", path);
	set("socket.group=");
	set("socket.max_clients=64");
	set("socket.max_per_user=32");
	json_writer_init(&writer, writer_text, sizeof(writer_text));
	peers = (struct peers){ .loop = &loop,
				.config = &config,
				.secret = &secret,
				.writer = &writer,
				.handler = &handler,
				.nonces_changed = on_nonces };
	peers_init(&peers, 1);
	return 0;
}

static inline int local_begin(void **state)
{
	struct err warning, e = { 0 };

	local_prepare(state);
	assert_int_equal(local_new(&peers, &local, &warning, &e), 0);
	assert_string_equal(warning.text, "");
	return 0;
}

static inline int local_end(void **state)
{
	(void)state;
	local = local_free(local);
	peers_done(&peers);
	for (unsigned i = 0; i < client_count; i++)
		close_fd(&clients[i].fd);
	loop_done(&loop);
	ev_loop_destroy(loop.ev);
	config_free(&config);
	return rmdir(folder); /* with no socket in it any more */
}

#define local_test(function) cmocka_unit_test_setup_teardown(function, local_begin, local_end)

#endif
