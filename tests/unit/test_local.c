/* SPDX-License-Identifier: MIT */
/*
 * The local socket and the shares of its clients: how many there may be, what they may leave unread, and how long they
 * are listened to in a turn of the loop. Real sockets on a real loop; who a client is (SO_PEERCRED), who we are, and
 * the clock are replaced (-Wl,--wrap).
 */
#include <errno.h>
#include <grp.h>
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
static void on_message(void *data, struct session *session, struct message *message)
{
	struct client *client = &clients[atoi(message->id)];

	(void)data;
	client->session = session;
	client->heard++;
	skew_ns += message_ns;
	message_free(message);
}

static struct client *client_of(const struct session *session)
{
	struct client *client = clients;

	while (client < clients + client_count && client->session != session)
		client++;
	return client < clients + client_count ? client : NULL;
}

static void on_gone(void *data, struct session *session, uint64_t before_ns)
{
	struct client *client = client_of(session);

	(void)data;
	assert_true(before_ns == UINT64_MAX);
	if (client)
		client->gone = true;
}

static void on_drained(void *data, struct session *session)
{
	(void)data;
	client_of(session)->drained++;
}

static void on_nonces(void *data, int error)
{
	(void)data;
	(void)error;
}

static const struct peer_handler handler = { .message = on_message, .gone = on_gone, .drained = on_drained };

/* ---------------------------------------------------------------------------------------------------- the clients */

static uint64_t reported(const char *key)
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
static void turns(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		loop_turn(loop.ev);
}

static unsigned join(uid_t uid)
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

static void say(unsigned number)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "{\"type\":\"Status\",\"id\":\"%u\"}\n", number);

	assert_int_equal(send(clients[number].fd, line, (size_t)len, MSG_NOSIGNAL), len);
}

/* A client that has said something, so that it can be answered. */
static unsigned talk(uid_t uid)
{
	unsigned number = join(uid);

	say(number);
	loop_turn(loop.ev);
	assert_non_null(clients[number].session);
	assert_int_equal(clients[number].session->uid, uid);
	return number;
}

/* Leaves so many bytes more for it to read; its session's count of answers lost. */
static uint64_t answer(unsigned number, size_t bytes)
{
	struct session *session = clients[number].session;

	memset(writer.buf, 'x', bytes);
	writer.len = bytes;
	session_answer(session, LINE_REPLY);
	return session->answers_lost;
}

static bool is_off(unsigned number)
{
	turns(2);
	return clients[number].gone;
}

/* Reads what has come; the bytes of it. */
static size_t read_all(unsigned number)
{
	static char bytes[65536];
	size_t sum = 0;
	ssize_t len;

	while ((len = recv(clients[number].fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		sum += (size_t)len;
	return sum;
}

static void set(const char *assignment)
{
	struct err e = { 0 };

	if (config_set(&config, assignment, &e) < 0)
		fail_msg("%s", e.text);
}

static void set_text(const char *key, const char *value)
{
	char assignment[128];

	snprintf(assignment, sizeof(assignment), "%s=%s", key, value);
	set(assignment);
}

static int prepare(void **state)
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

static int begin(void **state)
{
	struct err warning, e = { 0 };

	prepare(state);
	assert_int_equal(local_new(&peers, &local, &warning, &e), 0);
	assert_string_equal(warning.text, "");
	return 0;
}

static int end(void **state)
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

/* ------------------------------------------------------------------------------------------------- lines and answers
 */

static void a_client_is_known_by_the_uid_of_the_kernel_and_is_answered(void **state)
{
	unsigned a = talk(1000);

	(void)state;
	assert_int_equal(clients[a].heard, 1);
	assert_string_equal(clients[a].session->name, "uid 1000");
	assert_int_equal(answer(a, 100), 0);
	assert_int_equal(read_all(a), 100);
	assert_int_equal(reported("clients"), 1);
	assert_int_equal(reported("accepted"), 1);
}

static void an_answer_longer_than_the_socket_takes_arrives_whole_as_it_is_read(void **state)
{
	unsigned a = talk(1000);
	size_t sum = 0;

	(void)state;
	assert_int_equal(answer(a, MIB), 0);
	assert_int_equal(answer(a, 5), 0);
	assert_true(session_crowded(clients[a].session));
	for (unsigned i = 0; i < 100 && sum < MIB + 5; i++) {
		sum += read_all(a);
		loop_turn(loop.ev);
	}
	assert_int_equal(sum, MIB + 5);
	assert_int_equal(clients[a].drained, 1);
	assert_false(session_crowded(clients[a].session));
}

static void a_client_that_goes_is_gone_with_what_it_left_unread(void **state)
{
	unsigned a = talk(1000);

	(void)state;
	answer(a, MIB);
	close_fd(&clients[a].fd);
	turns(3);
	assert_true(clients[a].gone);
	assert_int_equal(reported("clients"), 0);
	assert_int_equal(reported("cut_off"), 0);
}

/* -------------------------------------------------------------------------------------------------- what is unread */

static void a_client_that_leaves_two_mebibytes_unread_is_cut_off(void **state)
{
	unsigned a = talk(1000), b = talk(1000);

	(void)state;
	answer(b, MIB);
	assert_int_equal(answer(a, ALMOST_MIB), 0);
	assert_int_equal(answer(a, ALMOST_MIB), 0);
	assert_int_equal(answer(a, ALMOST_MIB), 1);
	assert_int_equal(answer(a, 5), 2); /* it is told nothing more */
	assert_true(is_off(a) && !is_off(b));
	assert_int_equal(reported("cut_off"), 1);
}

static void clients_of_one_user_share_four_mebibytes(void **state)
{
	unsigned numbers[4], last = 0;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		numbers[i] = talk(1000);
		answer(numbers[i], MIB);
		answer(numbers[i], 700 << 10);
	}
	for (unsigned i = 0; i < 4; i++)
		last += answer(numbers[i], 100) > 0;
	assert_true(last >= 1 && last < 4);
	assert_int_equal(reported("cut_off"), last);
}

static void a_user_over_its_share_keeps_the_client_that_reads_and_takes_none_of_anothers(void **state)
{
	unsigned greedy[3], reader = talk(1000), other = talk(1001);

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		greedy[i] = talk(1000);
		answer(greedy[i], MIB);
		answer(greedy[i], 700 << 10);
	}
	assert_int_equal(answer(reader, 300 << 10), 0); /* of which the socket takes most */
	assert_int_equal(answer(other, MIB), 0);
	assert_false(is_off(reader));
	assert_false(is_off(other));
}

static size_t unread_of(unsigned number)
{
	return clients[number].session->backlog(clients[number].session);
}

/* Users leave almost 32 MiB unread, two clients of each almost 4; the first of them, and how many clients. */
static unsigned fill(unsigned *ret_count)
{
	unsigned first = client_count;
	size_t unread = 0;

	while (unread + 2 * ALMOST_MIB <= LOCAL_USERS_BYTES) {
		unsigned number = talk(1000 + client_count / 2);

		answer(number, ALMOST_MIB);
		assert_int_equal(answer(number, ALMOST_MIB), 0);
		unread += unread_of(number);
	}
	*ret_count = client_count - first;
	return first;
}

static void of_all_users_those_are_cut_off_who_leave_most(void **state)
{
	unsigned few = talk(2000), more = talk(2001), count, first = fill(&count), off = 0;

	(void)state;
	answer(few, 300 << 10);
	while (reported("cut_off") == 0)
		assert_int_equal(answer(more, 100 << 10), 0);
	assert_int_equal(answer(few, 5), 0);
	for (unsigned i = first; i < first + count; i++)
		off += is_off(i);
	assert_int_equal(off, 1);
	assert_false(is_off(more) || is_off(few));
}

static void root_is_not_cut_off_for_what_users_leave_nor_they_for_what_root_does(void **state)
{
	unsigned roots = talk(0), other = talk(0), count;

	(void)state;
	assert_int_equal(answer(roots, ALMOST_MIB), 0);
	assert_int_equal(answer(roots, ALMOST_MIB), 0);
	fill(&count);
	assert_int_equal(answer(other, ALMOST_MIB), 0);
	assert_int_equal(answer(other, 5), 0);
	assert_int_equal(answer(roots, 5), 0);
	assert_int_equal(reported("cut_off"), 0);
}

/* ------------------------------------------------------------------------------------------------------------ places
 */

static void some_places_are_roots_alone(void **state)
{
	(void)state;
	set("socket.max_clients=8");
	for (unsigned i = 0; i < 6; i++)
		join(1000 + i);
	assert_int_equal(reported("clients"), 6);
	join(2000);
	assert_int_equal(reported("clients"), 6);
	assert_int_equal(reported("refused"), 1);
	join(0);
	join(0);
	assert_int_equal(reported("clients"), 8);
	join(0);
	assert_int_equal(reported("clients"), 8);
}

static void root_takes_no_place_of_users(void **state)
{
	(void)state;
	set("socket.max_clients=8");
	join(0);
	join(0);
	for (unsigned i = 0; i < 6; i++)
		join(1000 + i);
	assert_int_equal(reported("clients"), 8);
}

static void a_user_has_so_many_places_but_for_root_and_ourselves(void **state)
{
	(void)state;
	set("socket.max_per_user=2");
	for (unsigned i = 0; i < 4; i++) {
		join(1000);
		join(OUR_UID);
		join(0);
	}
	assert_int_equal(reported("clients"), 2 + 4 + 4);
	assert_int_equal(reported("refused"), 2);
	/* A place is free again when a client goes. */
	close_fd(&clients[0].fd);
	turns(2);
	join(1000);
	assert_int_equal(reported("clients"), 10);
}

static void without_descriptors_accepting_pauses_and_does_not_spin(void **state)
{
	(void)state;
	accept_error = EMFILE;
	join(1000);
	turns(5);
	assert_int_equal(accepts, 1);
	assert_int_equal(reported("clients"), 0);
}

/* -------------------------------------------------------------------------------------------------- a turn of the loop
 */

static void all_clients_together_have_two_milliseconds_of_a_turn(void **state)
{
	unsigned before = 0;

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		join(1000 + i);
	message_ns = NS_PER_MS;
	for (unsigned i = 0; i < 8; i++)
		for (unsigned j = 0; j < 40; j++) /* more than is read at once */
			say(i);
	for (unsigned turn = 0; turn < 3; turn++) {
		unsigned heard = 0;

		loop_turn(loop.ev);
		for (unsigned i = 0; i < 8; i++)
			heard += clients[i].heard;
		/* What one read brings is worked on. */
		assert_in_range(heard - before, 1, 38);
		before = heard;
	}
}

/* Each message takes a turn, and all have more to say than is listened to. */
static void clients_are_listened_to_in_turn_however_much_others_say(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		join(1000 + i);
	message_ns = 3 * NS_PER_MS;
	for (unsigned turn = 0; turn < 20; turn++) {
		for (unsigned i = 0; i < 4; i++)
			say(i);
		loop_turn(loop.ev);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(clients[i].heard, 16, 20);
}

/* ------------------------------------------------------------------------------------------------- the socket itself
 */

static void the_socket_is_its_users_alone_and_gone_at_the_end(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(reported("accepted"), 0);
	local = local_free(local);
	assert_int_equal(stat(path, &st), -1);
}

static void a_group_that_there_is_may_use_it_too(void **state)
{
	struct err warning, e = { 0 };
	struct group *own = getgrgid(getegid());
	struct stat st;

	(void)state;
	if (!own)
		skip();
	set_text("socket.group", own->gr_name);
	assert_int_equal(local_new(&peers, &local, &warning, &e), 0);
	assert_string_equal(warning.text, "");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
}

static void a_group_that_there_is_not_is_a_warning(void **state)
{
	struct err warning, e = { 0 };

	(void)state;
	set("socket.group=nobody-calls-it-so");
	assert_int_equal(local_new(&peers, &local, &warning, &e), 0);
	assert_non_null(strstr(warning.text, "no group 'nobody-calls-it-so'"));
}

static void a_path_that_cannot_be_made_is_an_error_that_names_the_key(void **state)
{
	struct err warning, e = { 0 };

	(void)state;
	set("socket.path=/nowhere/at/all");
	assert_true(local_new(&peers, &local, &warning, &e) < 0);
	assert_non_null(strstr(e.text, "socket.path"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_client_is_known_by_the_uid_of_the_kernel_and_is_answered, begin, end),
		cmocka_unit_test_setup_teardown(an_answer_longer_than_the_socket_takes_arrives_whole_as_it_is_read,
						begin, end),
		cmocka_unit_test_setup_teardown(a_client_that_goes_is_gone_with_what_it_left_unread, begin, end),
		cmocka_unit_test_setup_teardown(a_client_that_leaves_two_mebibytes_unread_is_cut_off, begin, end),
		cmocka_unit_test_setup_teardown(clients_of_one_user_share_four_mebibytes, begin, end),
		cmocka_unit_test_setup_teardown(
			a_user_over_its_share_keeps_the_client_that_reads_and_takes_none_of_anothers, begin, end),
		cmocka_unit_test_setup_teardown(of_all_users_those_are_cut_off_who_leave_most, begin, end),
		cmocka_unit_test_setup_teardown(root_is_not_cut_off_for_what_users_leave_nor_they_for_what_root_does,
						begin, end),
		cmocka_unit_test_setup_teardown(some_places_are_roots_alone, begin, end),
		cmocka_unit_test_setup_teardown(root_takes_no_place_of_users, begin, end),
		cmocka_unit_test_setup_teardown(a_user_has_so_many_places_but_for_root_and_ourselves, begin, end),
		cmocka_unit_test_setup_teardown(without_descriptors_accepting_pauses_and_does_not_spin, begin, end),
		cmocka_unit_test_setup_teardown(all_clients_together_have_two_milliseconds_of_a_turn, begin, end),
		cmocka_unit_test_setup_teardown(clients_are_listened_to_in_turn_however_much_others_say, begin, end),
		cmocka_unit_test_setup_teardown(the_socket_is_its_users_alone_and_gone_at_the_end, begin, end),
		cmocka_unit_test_setup_teardown(a_group_that_there_is_may_use_it_too, prepare, end),
		cmocka_unit_test_setup_teardown(a_group_that_there_is_not_is_a_warning, prepare, end),
		cmocka_unit_test_setup_teardown(a_path_that_cannot_be_made_is_an_error_that_names_the_key, prepare,
						end),
	};

	return cmocka_run_group_tests_name("local", tests, NULL, NULL);
}
