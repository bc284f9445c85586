/* SPDX-License-Identifier: MIT */
/* The table of ports from hand-made inet_diag messages, and the collector over sockets that the test opens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>

#include "collector_harness.h"
#include "collectors/portowner.h"
#include "collectors/ports.h"
#include "collectors/procnet.h"
#include "collectors/sockets.h"
#include "collectors/table.h"

/* ------------------------------------------------------------------------------------------------------ the table */

static int table_setup(void **state)
{
	struct port_table *table = calloc(1, sizeof(*table));

	*state = table;
	if (table)
		table->protocol = IPPROTO_TCP;
	return table ? 0 : -1;
}

static int table_teardown(void **state)
{
	port_table_free(*state);
	free(*state);
	return 0;
}

static void feed(struct port_table *table, uint8_t tcp_state, const char *address, uint16_t port, uint32_t inode)
{
	struct inet_diag_msg msg = { .idiag_family = strchr(address, ':') ? AF_INET6 : AF_INET,
				     .idiag_state = tcp_state,
				     .idiag_inode = inode };
	const uint8_t *at = (const uint8_t *)&msg;

	msg.id.idiag_sport = htons(port);
	msg.id.idiag_dport = htons(443);
	assert_int_equal(inet_pton(msg.idiag_family, address, msg.id.idiag_src), 1);
	assert_int_equal(port_table_message(table, SOCK_DIAG_BY_FAMILY, (struct netlink_part){ at, at + sizeof(msg) }),
			 0);
}

static void gathers_listeners_by_port_and_keeps_what_has_a_peer_apart(void **state)
{
	struct port_table *table = *state;

	feed(table, TCP_LISTEN, "0.0.0.0", 80, 5);
	feed(table, TCP_ESTABLISHED, "192.0.2.1", 80, 6);
	feed(table, TCP_ESTABLISHED, "2001:db8::1", 80, 7);
	feed(table, TCP_ESTABLISHED, "192.0.2.1", 40000, 8);
	feed(table, TCP_LISTEN, "::", 80, 9);
	assert_int_equal(table->count, 1);
	assert_int_equal(table->slots[0].port, 80);
	assert_int_equal(table->slots[0].listeners, 2);
	assert_int_equal(table->peers.count, 3);
	assert_int_equal(table->peers.items[2].port, 40000);
	assert_int_equal(table->peers.items[2].remote_port, 443);
	assert_int_equal(table->peers.items[2].inode, 8);
	assert_ptr_equal(port_table_listener(table, IPPROTO_TCP, 80), &table->slots[0]);
	assert_null(port_table_listener(table, IPPROTO_TCP, 40000));
	assert_null(port_table_listener(table, IPPROTO_UDP, 80));
}

static void keeps_protocols_apart(void **state)
{
	struct port_table *table = *state;

	feed(table, TCP_LISTEN, "0.0.0.0", 53, 5);
	table->protocol = IPPROTO_UDP;
	feed(table, TCP_CLOSE, "0.0.0.0", 53, 6);
	assert_int_equal(table->count, 2);
	assert_int_equal(table->slots[1].protocol, IPPROTO_UDP);
}

static void shows_the_listener_that_reaches_farthest_whatever_the_order(void **state)
{
	static const struct {
		const char *address;
		uint32_t inode;
	} sockets[] = { { "127.0.0.1", 1 }, { "192.0.2.1", 2 }, { "::", 9 }, { "0.0.0.0", 8 }, { "::1", 3 } };
	struct port_table *table = *state;

	for (size_t first = 0; first < ARRAY_SIZE(sockets); first++) {
		port_table_clear(table);
		for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
			size_t at = (first + i) % ARRAY_SIZE(sockets);

			feed(table, TCP_LISTEN, sockets[at].address, 53, sockets[at].inode);
		}
		assert_int_equal(table->count, 1);
		assert_int_equal(table->slots[0].listeners, 5);
		assert_int_equal(table->slots[0].inode, 8);
		assert_int_equal(table->slots[0].family, AF_INET);
	}
}

static void skips_sockets_without_a_port_and_other_states(void **state)
{
	struct port_table *table = *state;

	feed(table, TCP_CLOSE, "0.0.0.0", 0, 5);
	feed(table, TCP_TIME_WAIT, "192.0.2.1", 80, 0);
	feed(table, TCP_FIN_WAIT1, "192.0.2.1", 80, 7);
	assert_int_equal(table->count, 0);
	assert_int_equal(table->peers.count, 0);
}

static void sockstat_says_how_many_sockets_are_in_use(void **state)
{
	static const char text[] = "sockets: used 294\nTCP: inuse 31 orphan 0 tw 4 alloc 33 mem 2\nUDP: inuse 5 mem 1\n"
				   "TCP6: inuse 7\n";
	uint64_t count = 0;

	(void)state;
	assert_true(sockets_in_use(text, strlen(text), "TCP", &count));
	assert_int_equal(count, 31);
	assert_true(sockets_in_use(text, strlen(text), "TCP6", &count));
	assert_int_equal(count, 7);
	assert_false(sockets_in_use(text, strlen(text), "RAW", &count));
	assert_false(sockets_in_use("TCP: alloc 3\n", 13, "TCP", &count));
	assert_false(sockets_in_use("TCP: inuse x\n", 13, "TCP", &count));
	for (size_t len = 0; len < strlen("sockets: used 294\nTCP: inuse 3"); len++)
		assert_false(sockets_in_use(text, len, "TCP", &count));
}

static void refuses_every_message_cut_short(void **state)
{
	struct port_table *table = *state;

	for (size_t len = 0; len < sizeof(struct inet_diag_msg); len++) {
		uint8_t *bytes = calloc(1, len ? len : 1);

		assert_int_equal(
			port_table_message(table, TCPDIAG_GETSOCK, (struct netlink_part){ bytes, bytes + len }),
			-EBADMSG);
		free(bytes);
	}
	assert_int_equal(table->count, 0);
}

static void holds_every_port_there_is(void **state)
{
	struct port_table *table = *state;

	for (unsigned port = 1; port < 65536; port++)
		feed(table, TCP_LISTEN, "192.0.2.1", (uint16_t)port, port);
	for (unsigned port = 65535; port > 0; port--) {
		feed(table, TCP_LISTEN, "192.0.2.2", (uint16_t)port, port);
		feed(table, TCP_ESTABLISHED, "192.0.2.1", (uint16_t)port, port);
	}
	assert_int_equal(table->count, 65535);
	for (unsigned i = 0; i < table->count; i++)
		assert_int_equal(table->slots[i].listeners, 2);
	feed(table, TCP_ESTABLISHED, "192.0.2.1", 1, 1);
	feed(table, TCP_ESTABLISHED, "192.0.2.1", 1, 1);
	assert_int_equal(table->peers.count, PORT_PEERS_MAX);
	assert_int_equal(table->peers.left_out, 1);
}

/* ----------------------------------------------------------------------------------------------------- the owners */

static struct probe_request asked;
static uint64_t asked_inodes[8];
static unsigned asked_count;

static int ask_later(struct prober *prober, const struct probe_request *request)
{
	(void)prober;
	if (request->kind != PROBE_SOCKETS)
		return 0;
	asked = *request;
	asked_count++;
	memcpy(asked_inodes, request->arg,
	       request->arg_len < sizeof(asked_inodes) ? request->arg_len : sizeof(asked_inodes));
	return 0;
}

struct owners_test {
	struct portowners owners;
	struct prober prober;
	struct collect_ctx ctx;
};

static int owners_setup(void **state)
{
	struct owners_test *t = calloc(1, sizeof(*t));

	*state = t;
	if (!t)
		return -1;
	t->prober.request = ask_later;
	t->ctx.prober = &t->prober;
	t->ctx.now = moment_now();
	t->ctx.proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	asked_count = 0;
	return t->ctx.proc_fd < 0 ? -1 : 0;
}

static int owners_teardown(void **state)
{
	struct owners_test *t = *state;

	portowners_free(&t->owners);
	close_fd(&t->ctx.proc_fd);
	free(t);
	return 0;
}

/* One collect in which the sockets 7 and 8 are listening (8 only if asked for). */
static void look(struct owners_test *t, bool both)
{
	assert_int_equal(portowners_see(&t->owners, 7, true), 0);
	if (both)
		assert_int_equal(portowners_see(&t->owners, 8, true), 0);
	assert_int_equal(portowners_update(&t->owners, &t->ctx), 0);
	t->ctx.now.mono_ns += NS_PER_S;
}

static void answer(struct owners_test *t, const struct probe_socket *found, size_t count)
{
	portowners_probed(&t->owners, &(struct probe_result){ .kind = PROBE_SOCKETS,
							      .key = asked.key,
							      .data = found,
							      .data_len = count * sizeof(*found) });
}

static void asks_about_new_inodes_only(void **state)
{
	const struct probe_socket mine[] = { { 7, getpid() }, { 8, getpid() } };
	struct owners_test *t = *state;

	look(t, false);
	assert_int_equal(asked_count, 1);
	assert_int_equal(asked.arg_len, sizeof(uint64_t));
	assert_int_equal(asked_inodes[0], 7);
	look(t, false); /* one request at a time */
	assert_int_equal(asked_count, 1);
	answer(t, mine, 1);
	assert_int_equal(portowners_find(&t->owners, 7)->pid, getpid());
	look(t, false);
	assert_int_equal(asked_count, 1);
	look(t, true);
	assert_int_equal(asked_count, 2);
	assert_int_equal(asked.arg_len, sizeof(uint64_t));
	assert_int_equal(asked_inodes[0], 8);
}

static void means_the_service_and_not_the_systemd_that_opened_its_socket(void **state)
{
	const struct probe_socket found[] = { { 7, 1 }, { 7, getpid() }, { 7, INT32_MAX }, { 99, 5 }, { 7, -3 } };
	struct owners_test *t = *state;

	look(t, false);
	answer(t, found, ARRAY_SIZE(found));
	assert_int_equal(portowners_find(&t->owners, 7)->pid, getpid());
	assert_null(portowners_find(&t->owners, 99));
}

static void forgets_an_inode_that_has_gone(void **state)
{
	const struct probe_socket mine[] = { { 7, getpid() }, { 8, getpid() } };
	struct owners_test *t = *state;

	look(t, true);
	answer(t, mine, 2);
	assert_int_equal(portowners_see(&t->owners, 8, true), 0);
	assert_int_equal(portowners_update(&t->owners, &t->ctx), 0);
	assert_null(portowners_find(&t->owners, 7));
	assert_int_equal(portowners_find(&t->owners, 8)->pid, getpid());
}

static void asks_again_soon_once_and_then_seldom_where_nothing_was_found(void **state)
{
	struct owners_test *t = *state;

	for (int i = 0; i < 50; i++) {
		unsigned before = asked_count;

		look(t, false);
		if (asked_count > before)
			answer(t, NULL, 0);
	}
	assert_int_equal(asked_count, 2);
	assert_int_equal(portowners_find(&t->owners, 7)->state, PORTOWNER_UNKNOWN);
	t->ctx.now.mono_ns += 60 * NS_PER_S;
	look(t, false);
	assert_int_equal(asked_count, 3);
}

static void asks_anew_when_the_process_has_died(void **state)
{
	const struct probe_socket found[] = { { 7, INT32_MAX } };
	struct owners_test *t = *state;

	look(t, false);
	answer(t, found, 1); /* no such process: it was gone before its name could be read */
	assert_int_not_equal(portowners_find(&t->owners, 7)->state, PORTOWNER_KNOWN);
	look(t, false);
	assert_int_equal(asked_count, 2);
}

/* -------------------------------------------------------------------------------------------------- the collector */

static struct direct_prober direct;

static int live_setup(void **state)
{
	struct harness *h = harness_new(&collector_ports, true);

	*state = h;
	if (!h)
		return -1;
	direct_prober_attach(&direct, h);
	return collector_ports.open(&h->ctx, &h->state);
}

static int live_teardown(void **state)
{
	harness_free(*state);
	return 0;
}

/* A bound socket on a free port of the loopback; TCP ones listen. */
static int bound_socket(int family, int type, uint16_t *ret_port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr *address = family == AF_INET ? (struct sockaddr *)&four : (struct sockaddr *)&six;
	socklen_t len = family == AF_INET ? sizeof(four) : sizeof(six);
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, address, len) < 0 || (type == SOCK_STREAM && listen(fd, 5) < 0) ||
	    getsockname(fd, address, &len) < 0) {
		close_fd(&fd);
		return -1;
	}
	*ret_port = ntohs(family == AF_INET ? four.sin_port : six.sin6_port);
	return fd;
}

static struct json_object *port_of(struct json_object *all, const char *protocol, uint16_t port)
{
	struct json_object *list = json_at(all, "ports");

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (json_object_get_int(json_at(item, "port")) == port &&
		    strcmp(json_object_get_string(json_at(item, "protocol")), protocol) == 0)
			return item;
	}
	return NULL;
}

static struct json_object *collect(struct harness *h)
{
	assert_int_equal(collector_ports.collect(h->state, &h->ctx), 0);
	return harness_emit(h);
}

static void shows_a_listening_socket_with_its_process_by_the_second_sample(void **state)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct harness *h = *state;

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct json_object *all, *row;
		uint16_t port = 0;
		int fd = bound_socket(families[i], SOCK_STREAM, &port);

		if (fd < 0 && families[i] == AF_INET6)
			continue; /* a kernel without IPv6 */
		assert_true(fd >= 0);
		json_object_put(collect(h));
		all = collect(h);
		row = port_of(all, "TCP", port);
		assert_non_null(row);
		assert_string_equal(json_object_get_string(json_at(row, "state")), "LISTEN");
		assert_true(json_object_get_boolean(json_at(row, "is_listening")));
		assert_int_equal(json_object_get_int(json_at(row, "pid")), getpid());
		assert_string_equal(json_object_get_string(json_at(row, "process_name")), "test_ports");
		assert_non_null(strstr(json_object_get_string(json_at(row, "exe_path")), "test_ports"));
		assert_string_equal(json_object_get_string(json_at(row, "address")),
				    families[i] == AF_INET ? "127.0.0.1" : "::1");
		json_object_put(all);
		close(fd);
		all = collect(h);
		assert_null(port_of(all, "TCP", port));
		json_object_put(all);
	}
}

static struct json_object *connection_to(struct json_object *all, uint16_t remote_port)
{
	struct json_object *list = json_at(all, "connections");

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (json_object_get_int(json_at(item, "remote_port")) == remote_port)
			return item;
	}
	return NULL;
}

/* So much later that connections are looked at again. */
static struct json_object *collect_later(struct harness *h)
{
	h->ctx.now.mono_ns += 40 * NS_PER_S;
	return collect(h);
}

static void counts_connections_to_a_listener_and_shows_the_other_end_by_its_process(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct harness *h = *state;
	struct json_object *all, *row;
	uint16_t port = 0;
	int listener = bound_socket(AF_INET, SOCK_STREAM, &port), clients[3], servers[3];

	assert_true(listener >= 0);
	to.sin_port = htons(port);
	for (int i = 0; i < 3; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(clients[i], (struct sockaddr *)&to, sizeof(to)), 0);
		servers[i] = accept(listener, NULL, NULL);
	}
	all = collect(h);
	assert_int_equal(json_object_get_int(json_at(port_of(all, "TCP", port), "connection_count")), 3);
	assert_false(json_object_object_get_ex(port_of(all, "TCP", port), "counted_age_s", NULL));
	row = connection_to(all, port);
	assert_int_equal(json_object_get_int(json_at(row, "count")), 3);
	assert_string_equal(json_object_get_string(json_at(row, "state")), "ESTABLISHED");
	assert_string_equal(json_object_get_string(json_at(row, "protocol")), "TCP");
	json_object_put(all);
	/* By the second count its process is known. It is too early for another walk: the count is of the first. */
	close(servers[0]);
	close(clients[0]);
	h->ctx.now.mono_ns += 5 * NS_PER_S;
	all = collect(h);
	row = connection_to(all, port);
	assert_int_equal(json_object_get_int(json_at(row, "pid")), getpid());
	assert_string_equal(json_object_get_string(json_at(row, "process_name")), "test_ports");
	assert_int_equal(json_object_get_int(json_at(row, "count")), 3);
	assert_int_equal(json_object_get_int(json_at(row, "counted_age_s")), 5);
	row = port_of(all, "TCP", port);
	assert_int_equal(json_object_get_int(json_at(row, "counted_age_s")), 5);
	json_object_put(all);
	h->ctx.fresh = true;
	all = collect(h);
	assert_int_equal(json_object_get_int(json_at(connection_to(all, port), "count")), 2);
	json_object_put(all);
	h->ctx.fresh = false;
	for (int i = 1; i < 3; i++)
		close(servers[i]);
	all = collect_later(h);
	row = connection_to(all, port);
	assert_string_equal(json_object_get_string(json_at(row, "state")), "CLOSE_WAIT");
	assert_int_equal(json_object_get_int(json_at(row, "count")), 2);
	assert_int_equal(json_object_get_int(json_at(port_of(all, "TCP", port), "connection_count")), 0);
	json_object_put(all);
	for (int i = 1; i < 3; i++)
		close(clients[i]);
	close(listener);
}

/* In slices as in one go. */
static void many_connections_are_counted_in_slices(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct harness *h = *state;
	struct json_object *all;
	unsigned calls = 1;
	uint16_t port = 0;
	int listener = bound_socket(AF_INET, SOCK_STREAM, &port), clients[40], servers[40], r;

	to.sin_port = htons(port);
	for (int i = 0; i < 40; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(clients[i], (struct sockaddr *)&to, sizeof(to)), 0);
		servers[i] = accept(listener, NULL, NULL);
	}
	h->ctx.slice = 1;
	while ((r = collector_ports.collect(h->state, &h->ctx)) == COLLECT_MORE)
		calls++;
	assert_int_equal(r, 0);
	assert_true(calls >= 5); /* 80 sockets, 16 a call */
	all = harness_emit(h);
	assert_int_equal(json_object_get_int(json_at(connection_to(all, port), "count")), 40);
	assert_int_equal(json_object_get_int(json_at(port_of(all, "TCP", port), "connection_count")), 40);
	json_object_put(all);
	h->ctx.slice = 0;
	for (int i = 0; i < 40; i++) {
		close(clients[i]);
		close(servers[i]);
	}
	close(listener);
}

/* A connection over the loopback: both ends and the listener. Returns the listener's port. */
static uint16_t connect_one(int fds[3])
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint16_t port = 0;

	fds[0] = bound_socket(AF_INET, SOCK_STREAM, &port);
	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	to.sin_port = htons(port);
	assert_int_equal(connect(fds[1], (struct sockaddr *)&to, sizeof(to)), 0);
	fds[2] = accept(fds[0], NULL, NULL);
	assert_true(fds[2] >= 0);
	return port;
}

static void see_connections(struct harness *h, uint16_t port, int count, int age_s)
{
	struct json_object *all = collect(h), *row = port_of(all, "TCP", port), *age = json_at(row, "counted_age_s");

	assert_non_null(row);
	assert_int_equal(json_object_get_int(json_at(row, "connection_count")), count);
	assert_int_equal(age ? json_object_get_int(age) : 0, age_s);
	json_object_put(all);
}

static void connections_are_walked_over_from_time_to_time_or_when_asked(void **state)
{
	struct harness *h = *state;
	int one[3], two[3];
	uint16_t port = connect_one(one), other;

	see_connections(h, port, 1, 0);
	other = connect_one(two);
	harness_pass(h, 30000);
	see_connections(h, other, 0, 30);
	see_connections(h, port, 1, 30);
	harness_pass(h, 1000);
	see_connections(h, other, 1, 0);
	for (int i = 1; i < 3; i++)
		close(two[i]);
	harness_pass(h, 5000);
	see_connections(h, other, 1, 5);
	h->ctx.fresh = true;
	see_connections(h, other, 0, 0);
	see_connections(h, port, 1, 0);
	for (int i = 0; i < 3; i++)
		close(one[i]);
	close(two[0]);
}

static void where_no_socket_is_in_use_no_connection_is_looked_for(void **state)
{
	static const char none[] = "TCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\n";
	struct harness *h = *state, *fixture = harness_new(&collector_ports, false);
	int proc_fd = h->ctx.proc_fd, fds[3];
	uint16_t port = connect_one(fds);

	see_connections(h, port, 1, 0);
	assert_int_equal(harness_printf(fixture, "proc/net/sockstat", "%s", none), 0);
	h->ctx.proc_fd = fixture->ctx.proc_fd;
	collector_ports.close(h->state);
	assert_int_equal(collector_ports.open(&h->ctx, &h->state), 0);
	see_connections(h, port, 0, 0);
	assert_int_equal(harness_printf(fixture, "proc/net/sockstat", "TCP: inuse 1000\n"), 0);
	collector_ports.close(h->state);
	assert_int_equal(collector_ports.open(&h->ctx, &h->state), 0);
	see_connections(h, port, 1, 0);
	h->ctx.proc_fd = proc_fd;
	harness_free(fixture);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void many_sockets_are_read_in_parts(void **state)
{
	enum { MANY = 300 };
	struct harness *h = *state;
	struct json_object *all;
	int fds[MANY], r, parts = 1;
	uint16_t ports[MANY];

	for (int i = 0; i < MANY; i++) {
		fds[i] = bound_socket(AF_INET, i % 2 ? SOCK_STREAM : SOCK_DGRAM, &ports[i]);
		assert_true(fds[i] >= 0);
	}
	h->ctx.slice = 32;
	for (; (r = collector_ports.collect(h->state, &h->ctx)) == COLLECT_MORE; parts++)
		assert_true(parts < 100);
	assert_int_equal(r, 0);
	assert_true(parts > 2);
	all = harness_emit(h);
	for (int i = 0; i < MANY; i++) {
		assert_non_null(port_of(all, i % 2 ? "TCP" : "UDP", ports[i]));
		close(fds[i]);
	}
	json_object_put(all);
}

static void shows_a_bound_udp_socket_as_unconn(void **state)
{
	struct json_object *all, *row;
	uint16_t port = 0;
	int fd = bound_socket(AF_INET, SOCK_DGRAM, &port);

	assert_true(fd >= 0);
	all = collect(*state);
	row = port_of(all, "UDP", port);
	assert_string_equal(json_object_get_string(json_at(row, "state")), "UNCONN");
	assert_true(json_object_get_boolean(json_at(row, "is_listening")));
	json_object_put(all);
	close(fd);
}

static void shows_at_most_ports_max_and_says_so(void **state)
{
	struct harness *h = *state;
	struct json_object *all;
	uint16_t port;
	int one = bound_socket(AF_INET, SOCK_STREAM, &port), two = bound_socket(AF_INET, SOCK_STREAM, &port);

	assert_true(one >= 0 && two >= 0);
	h->ctx.limits.ports_max = 1;
	all = collect(h);
	assert_int_equal(json_object_array_length(json_at(all, "ports")), 1);
	assert_true(json_object_get_boolean(json_at(all, "ports_truncated")));
	assert_true(json_object_get_int(json_at(all, "ports_total")) >= 2);
	json_object_put(all);
	close(one);
	close(two);
}

static void says_null_for_a_process_it_may_not_see(void **state)
{
	struct json_object *all, *row;
	uint16_t port = 0;
	int fd = bound_socket(AF_INET, SOCK_STREAM, &port);

	direct.denied = true;
	json_object_put(collect(*state));
	all = collect(*state);
	row = port_of(all, "TCP", port);
	assert_true(json_object_object_get_ex(row, "pid", NULL));
	assert_null(json_at(row, "pid"));
	assert_null(json_at(row, "process_name"));
	json_object_put(all);
	close(fd);
}

static void has_nothing_to_say_of_a_fixture(void **state)
{
	struct harness *h = *state;

	h->ctx.live = false;
	assert_int_equal(collector_ports.collect(h->state, &h->ctx), -EOPNOTSUPP);
}

/* ------------------------------------------------------------------------------------------ the texts of /proc/net */

static void a_line_of_proc_net_is_one_socket(void **state)
{
	static const struct {
		const char *line, *address;
		uint16_t port;
		uint8_t state;
		uint32_t inode;
	} cases[] = {
		{ "   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17463 1 "
		  "0 100 0",
		  "127.0.0.1", 22, TCP_LISTEN, 17463 },
		{ "  12: 00000000:FFFF 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 "
		  "4294967295 2 0",
		  "0.0.0.0", 65535, TCP_CLOSE, UINT32_MAX },
		{ " 0: 0100007F:1F90 0100007F:C000 01 00000000:00000000 02:000004FC 00000000 0 0 5", "127.0.0.1", 8080,
		  TCP_ESTABLISHED, 5 },
		{ "1: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 0A 00000000:00000000 "
		  "00:00000000 00000000 0 0 77 1 0",
		  "::1", 53, TCP_LISTEN, 77 },
		{ "1: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 "
		  "00:00000000 00000000 0 0 78 1 0",
		  "2001:db8::1", 80, TCP_LISTEN, 78 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct port_socket socket;
		uint8_t address[16] = { 0 };

		assert_int_equal(procnet_parse_line(cases[i].line, strlen(cases[i].line), &socket), 0);
		assert_int_equal(inet_pton(socket.family, cases[i].address, address), 1);
		assert_memory_equal(socket.address, address, sizeof(address));
		assert_int_equal(socket.port, cases[i].port);
		assert_int_equal(socket.state, cases[i].state);
		assert_true(socket.inode == cases[i].inode);
		/* Every cut of it is one too, or none. */
		for (size_t len = 0; len < strlen(cases[i].line); len++) {
			char *exact = malloc(len ? len : 1);

			memcpy(exact, cases[i].line, len);
			procnet_parse_line(exact, len, &socket);
			free(exact);
		}
	}
}

static void lines_of_proc_net_that_make_no_sense_are_refused(void **state)
{
	static const char *const lines[] = {
		"",
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
		" 0: 0100007F:0016",
		" 0: 0100007F0016 00000000:0000 0A 0:0 0:0 0 0 0 5",
		" 0: 0100007G:0016 00000000:0000 0A 0:0 0:0 0 0 0 5",
		" 0: 0100007F:001 00000000:0000 0A 0:0 0:0 0 0 0 5",
		" 0: 0100007F:0016 00000000:0000 A 0:0 0:0 0 0 0 5",
		" 0: 0100007F:0016 00000000:0000 0A 0:0 0:0 0 0 0 x",
		" 0: 0100007F:0016 00000000:0000 0A 0:0 0:0 0 0 0 4294967296",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct port_socket socket;

		assert_int_equal(procnet_parse_line(lines[i], strlen(lines[i]), &socket), -EBADMSG);
	}
}

#define LINE                                                                                                           \
	"%d: 0100007F:%04X 00000000:01BB %s 00000000:00000000 00:00000000 00000000     0        0 %d 1 "               \
	"0000000000000000 100 0 0 10 0\n"

/* Much more than one piece of reading, with every line at another place in it. */
static void all_of_a_long_text_is_counted_and_what_does_not_fit_is_said(void **state)
{
	static char text[4 << 20];
	static unsigned char data[PROBE_DATA_MAX];
	struct harness *h = harness_new(&collector_ports, false);
	struct procnet_answer answer;
	struct port_slot slot;
	struct port_peer peer;
	size_t len = 0;
	int n;

	(void)state;
	assert_non_null(h);
	for (int i = 1; i <= 20000; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, LINE, i, i % 5000 + 1,
					i % 5000 == 7 ? "0A" : "01", i);
	harness_write(h, "proc/net/tcp", text, len);
	n = procnet_read(h->ctx.proc_fd, IPPROTO_TCP, data, sizeof(data));
	assert_true(n > 0 && (size_t)n <= sizeof(data));
	memcpy(&answer, data, sizeof(answer));
	assert_int_equal(answer.total, 1);
	assert_int_equal(answer.count, 1);
	memcpy(&slot, data + sizeof(answer), sizeof(slot));
	assert_int_equal(slot.port, 8);
	assert_int_equal(slot.listeners, 4);
	assert_int_equal(answer.peers_total, 19996);
	assert_int_equal(answer.peers, (sizeof(data) - sizeof(answer) - sizeof(slot)) / sizeof(peer));
	memcpy(&peer, data + sizeof(answer) + sizeof(slot), sizeof(peer));
	assert_int_equal(peer.port, 2);
	assert_int_equal(peer.remote_port, 443);
	assert_int_equal(peer.state, TCP_ESTABLISHED);
	assert_int_equal(procnet_read(h->ctx.proc_fd, IPPROTO_UDP, data, sizeof(data)), -ENOENT);
	harness_free(h);
}

static void the_slots_of_one_protocol_are_dropped_and_the_others_found(void **state)
{
	struct port_table *table = *state;

	for (uint16_t port = 1; port < 100; port++) {
		table->protocol = port % 3 ? IPPROTO_TCP : IPPROTO_UDP;
		feed(table, port % 3 ? TCP_LISTEN : TCP_CLOSE, "0.0.0.0", port, port);
	}
	assert_int_equal(port_table_drop(table, IPPROTO_UDP), 0);
	assert_int_equal(table->count, 66);
	table->protocol = IPPROTO_TCP;
	for (uint16_t port = 1; port < 100; port++)
		if (port % 3)
			feed(table, TCP_LISTEN, "192.0.2.1", port, 0);
	assert_int_equal(table->count, 66);
	for (size_t i = 0; i < table->count; i++)
		assert_int_equal(table->slots[i].listeners, 2);
}

int main(void)
{
#define TABLE(name)  cmocka_unit_test_setup_teardown(name, table_setup, table_teardown)
#define OWNERS(name) cmocka_unit_test_setup_teardown(name, owners_setup, owners_teardown)
#define LIVE(name)   cmocka_unit_test_setup_teardown(name, live_setup, live_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_of_proc_net_is_one_socket),
		cmocka_unit_test(lines_of_proc_net_that_make_no_sense_are_refused),
		cmocka_unit_test(all_of_a_long_text_is_counted_and_what_does_not_fit_is_said),
		cmocka_unit_test_setup_teardown(the_slots_of_one_protocol_are_dropped_and_the_others_found, table_setup,
						table_teardown),
		TABLE(gathers_listeners_by_port_and_keeps_what_has_a_peer_apart),
		TABLE(keeps_protocols_apart),
		TABLE(shows_the_listener_that_reaches_farthest_whatever_the_order),
		TABLE(skips_sockets_without_a_port_and_other_states),
		cmocka_unit_test(sockstat_says_how_many_sockets_are_in_use),
		TABLE(refuses_every_message_cut_short),
		TABLE(holds_every_port_there_is),
		OWNERS(asks_about_new_inodes_only),
		OWNERS(means_the_service_and_not_the_systemd_that_opened_its_socket),
		OWNERS(forgets_an_inode_that_has_gone),
		OWNERS(asks_again_soon_once_and_then_seldom_where_nothing_was_found),
		OWNERS(asks_anew_when_the_process_has_died),
		LIVE(shows_a_listening_socket_with_its_process_by_the_second_sample),
		LIVE(counts_connections_to_a_listener_and_shows_the_other_end_by_its_process),
		LIVE(many_connections_are_counted_in_slices),
		LIVE(connections_are_walked_over_from_time_to_time_or_when_asked),
		LIVE(where_no_socket_is_in_use_no_connection_is_looked_for),
		LIVE(many_sockets_are_read_in_parts),
		LIVE(shows_a_bound_udp_socket_as_unconn),
		LIVE(shows_at_most_ports_max_and_says_so),
		LIVE(says_null_for_a_process_it_may_not_see),
		LIVE(has_nothing_to_say_of_a_fixture),
	};

	return cmocka_run_group_tests_name("ports", tests, NULL, NULL);
}
