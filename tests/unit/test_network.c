/* SPDX-License-Identifier: MIT */
/* The network collector over a fixture of /proc/net/dev and over the running kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "collector_harness.h"
#include "collectors/network.h"
#include "collectors/table.h"

#define HEADING                                                                                                        \
	"Inter-|   Receive                                                |  Transmit\n"                               \
	" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls "     \
	"carrier compressed\n"

static int open_harness(void **state, bool live)
{
	struct harness *h = harness_new(&collector_network, live);

	*state = h;
	return h ? collector_network.open(&h->ctx, &h->state) : -1;
}

static int setup(void **state)
{
	return open_harness(state, false);
}

static int setup_live(void **state)
{
	return open_harness(state, true);
}

static int teardown(void **state)
{
	harness_free(*state);
	return 0;
}

static int collect(struct harness *h, const char *lines)
{
	assert_int_equal(harness_printf(h, "proc/net/dev", HEADING "%s", lines), 0);
	return collector_network.collect(h->state, &h->ctx);
}

static void parses_a_line_whatever_the_name_holds(void **state)
{
	static const char *const names[] = { "eth0", "a\"b\\c", "\x7f\xff\x1b", "eth0.100", "x" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct netdev_counters c;
		struct scan name;
		char line[128];
		int n = snprintf(line, sizeof(line), "  %s:18446744073709551615 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0",
				 names[i]);

		assert_int_equal(netdev_parse(scan_text(line, (size_t)n), &name, &c), 0);
		assert_int_equal(scan_len(&name), strlen(names[i]));
		assert_memory_equal(name.at, names[i], strlen(names[i]));
		assert_true(c.rx_bytes == UINT64_MAX);
		assert_int_equal(c.rx_packets, 2);
		assert_int_equal(c.rx_errors, 3);
		assert_int_equal(c.rx_dropped, 4);
		assert_int_equal(c.tx_bytes, 5);
		assert_int_equal(c.tx_packets, 6);
		assert_int_equal(c.tx_errors, 7);
		assert_int_equal(c.tx_dropped, 8);
	}
}

static void refuses_lines_that_make_no_sense(void **state)
{
	static const char *const lines[] = { "",
					     "eth0",
					     "eth0:",
					     "eth0: 1 2 3",
					     ": 1 2 3 4 5 6 7 8 9 10 11 12",
					     "eth0: 1 2 3 x 5 6 7 8 9 10 11 12",
					     "eth0: -1 2 3 4 5 6 7 8 9 10 11 12",
					     "a-name-of-sixteen: 1 2 3 4 5 6 7 8 9 10 11 12" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct netdev_counters c;
		struct scan name;

		assert_int_equal(netdev_parse(scan_text(lines[i], strlen(lines[i])), &name, &c), -EBADMSG);
	}
}

static void a_default_route_names_its_interface(void **state)
{
	static const struct {
		const char *line, *name;
		bool six;
	} cases[] = {
		{ "eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0", "eth0", false },
		{ "eth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0", NULL, false },
		{ "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0", NULL, false },
		{ "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask", NULL, false },
		{ "eth0\t00000000", NULL, false },
		{ "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
		  "fe800000000000000000000000000001 "
		  "00000400 00000001 00000000 00450003     eth1",
		  "eth1", true },
		{ "20010db8000000000000000000000000 40 00000000000000000000000000000000 00 "
		  "00000000000000000000000000000000 "
		  "00000100 00000001 00000000 00000001     eth1",
		  NULL, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scan name;
		bool found = route_is_default(scan_text(cases[i].line, strlen(cases[i].line)), cases[i].six, &name);

		assert_int_equal(found, cases[i].name != NULL);
		assert_true(!found || scan_equals(&name, cases[i].name));
	}
}

static void shows_counters_and_rates_and_hides_lo_and_containers(void **state)
{
	struct json_object *all, *list, *eth0;
	struct harness *h = *state;

	assert_int_equal(collect(h,
				 "lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\neth0: 1000 10 1 2 0 0 0 0 500 5 3 4 0 0 0 0\n"
				 "veth1: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\ndocker0: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"),
			 0);
	all = harness_emit(h);
	assert_string_equal(
		json_object_get_string(json_at(harness_item(json_at(all, "interfaces"), "name", "eth0"), "rate_state")),
		"first");
	json_object_put(all);
	harness_pass(h, 2000);
	assert_int_equal(collect(h,
				 "lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\neth0: 3000 20 1 2 0 0 0 0 600 5 3 4 0 0 0 0\n"
				 "veth1: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\ndocker0: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"),
			 0);
	all = harness_emit(h);
	list = json_at(all, "interfaces");
	assert_int_equal(json_object_array_length(list), 1);
	eth0 = harness_item(list, "name", "eth0");
	assert_int_equal(json_object_get_int64(json_at(eth0, "bytes_received")), 3000);
	assert_int_equal(json_object_get_int64(json_at(eth0, "bytes_sent")), 600);
	assert_int_equal(json_object_get_int64(json_at(eth0, "packets_received")), 20);
	assert_int_equal(json_object_get_int64(json_at(eth0, "packets_sent")), 5);
	assert_int_equal(json_object_get_int64(json_at(eth0, "errors_in")), 1);
	assert_int_equal(json_object_get_int64(json_at(eth0, "errors_out")), 3);
	assert_int_equal(json_object_get_int64(json_at(eth0, "drops_in")), 2);
	assert_int_equal(json_object_get_int64(json_at(eth0, "drops_out")), 4);
	assert_true(json_object_get_double(json_at(eth0, "rx_bytes_per_sec")) == 1000.0);
	assert_true(json_object_get_double(json_at(eth0, "tx_bytes_per_sec")) == 50.0);
	assert_true(json_object_get_double(json_at(eth0, "rx_packets_per_sec")) == 5.0);
	json_object_put(all);
}

static void says_null_for_addresses_it_cannot_know(void **state)
{
	struct json_object *all, *eth0;
	struct harness *h = *state;

	assert_int_equal(collect(h, "eth0: 1000 10 1 2 0 0 0 0 500 5 3 4 0 0 0 0\n"), 0);
	all = harness_emit(h);
	eth0 = harness_item(json_at(all, "interfaces"), "name", "eth0");
	assert_true(json_object_object_get_ex(eth0, "ip_addresses", NULL));
	assert_null(json_at(eth0, "ip_addresses"));
	assert_null(json_at(eth0, "is_up"));
	json_object_put(all);
}

static void keeps_the_rates_of_each_interface_when_their_order_changes(void **state)
{
	struct json_object *all, *list;
	struct harness *h = *state;

	collect(h, "a0: 100 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0\nb0: 7000 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0\nc0: 1 1 0 0 0 0 0 0 "
		   "0 0 0 0 0 0 0 0\n");
	harness_pass(h, 1000);
	collect(h, "new0: 5 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0\nb0: 7010 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0\na0: 150 1 0 0 0 0 0 "
		   "0 0 0 0 0 0 0 0 0\n");
	all = harness_emit(h);
	list = json_at(all, "interfaces");
	assert_true(json_object_get_double(json_at(harness_item(list, "name", "a0"), "rx_bytes_per_sec")) == 50.0);
	assert_true(json_object_get_double(json_at(harness_item(list, "name", "b0"), "rx_bytes_per_sec")) == 10.0);
	assert_null(json_at(harness_item(list, "name", "new0"), "rx_bytes_per_sec"));
	assert_null(harness_item(list, "name", "c0"));
	json_object_put(all);
}

static void calls_a_counter_that_went_back_a_reset(void **state)
{
	struct json_object *all, *eth0;
	struct harness *h = *state;

	collect(h, "eth0: 1000 10 0 0 0 0 0 0 500 5 0 0 0 0 0 0\n");
	harness_pass(h, 1000);
	collect(h, "eth0: 10 10 0 0 0 0 0 0 500 5 0 0 0 0 0 0\n");
	all = harness_emit(h);
	eth0 = harness_item(json_at(all, "interfaces"), "name", "eth0");
	assert_null(json_at(eth0, "rx_bytes_per_sec"));
	assert_string_equal(json_object_get_string(json_at(eth0, "rate_state")), "reset");
	json_object_put(all);
}

static void takes_a_text_it_cannot_read_for_an_error_and_keeps_its_values(void **state)
{
	struct json_object *all;
	struct harness *h = *state;

	assert_int_equal(collector_network.collect(h->state, &h->ctx), -ENOENT);
	assert_int_equal(collect(h, "eth0: 1000 10 0 0 0 0 0 0 500 5 0 0 0 0 0 0\n"), 0);
	assert_int_equal(collect(h, "eth0: nonsense\n"), -EBADMSG);
	harness_write(h, "proc/net/dev", "", 0);
	assert_int_equal(collector_network.collect(h->state, &h->ctx), -EBADMSG);
	all = harness_emit(h);
	assert_int_equal(json_object_array_length(json_at(all, "interfaces")), 1);
	json_object_put(all);
}

static void cuts_a_list_that_does_not_fit_and_says_so(void **state)
{
	static char text[5 << 20];
	struct harness *h = *state;
	struct json_object *all;
	size_t len = 0;

	/* One that is not shown is not missing. */
	len += (size_t)snprintf(text, sizeof(text), HEADING "lo: 1 1 0 0 0 0 0 0 2 3 0 0 0 0 0 0\n");
	for (int i = 0; i < 2000; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "p%d: %d 1 0 0 0 0 0 0 2 3 0 0 0 0 0 0\n", i,
					i);
	harness_write(h, "proc/net/dev", text, len);
	assert_int_equal(collector_network.collect(h->state, &h->ctx), 0);
	all = harness_emit(h);
	assert_int_equal(json_object_array_length(json_at(all, "interfaces")), 2000);
	json_object_put(all);
	all = harness_emit_bounded(h, 65536);
	assert_non_null(all);
	assert_in_range(json_object_array_length(json_at(all, "interfaces")), 10, 1000);
	assert_true(json_object_get_boolean(json_at(all, "truncated")));
	assert_int_equal(json_object_get_int(json_at(all, "total_count")), 2000);
	json_object_put(all);
	/* A text that is not read to its end does not say how many there are. */
	for (; len < sizeof(text) - 100; len += 100)
		snprintf(text + len, sizeof(text) - len, "%98s\n ", "nothing");
	harness_write(h, "proc/net/dev", text, len);
	assert_int_equal(collector_network.collect(h->state, &h->ctx), 0);
	all = harness_emit(h);
	assert_true(json_object_get_boolean(json_at(all, "truncated")));
	assert_null(json_at(all, "total_count"));
	json_object_put(all);
}

/* getifaddrs names the same interfaces and addresses by another way. */
static void agrees_with_getifaddrs(void **state)
{
	struct harness *h = *state;
	struct ifaddrs *others, *other;
	struct json_object *all, *list, *addresses;
	char text[INET6_ADDRSTRLEN];

	assert_int_equal(collector_network.collect(h->state, &h->ctx), 0);
	all = harness_emit(h);
	list = json_at(all, "interfaces");
	assert_null(harness_item(list, "name", "lo"));
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		assert_int_not_equal(if_nametoindex(json_object_get_string(json_at(item, "name"))), 0);
		assert_true(json_object_is_type(json_at(item, "ip_addresses"), json_type_array));
		assert_true(json_object_is_type(json_at(item, "is_up"), json_type_boolean));
	}
	assert_int_equal(getifaddrs(&others), 0);
	for (other = others; other; other = other->ifa_next) {
		struct json_object *item = harness_item(list, "name", other->ifa_name);
		const void *bytes;
		bool found = false;

		if (!item || !other->ifa_addr ||
		    (other->ifa_addr->sa_family != AF_INET && other->ifa_addr->sa_family != AF_INET6))
			continue;
		bytes = other->ifa_addr->sa_family == AF_INET
				? (const void *)&((const struct sockaddr_in *)(const void *)other->ifa_addr)->sin_addr
				: (const void *)&((const struct sockaddr_in6 *)(const void *)other->ifa_addr)
					  ->sin6_addr;
		inet_ntop(other->ifa_addr->sa_family, bytes, text, sizeof(text));
		addresses = json_at(item, "ip_addresses");
		for (size_t i = 0; i < json_object_array_length(addresses); i++)
			found |= strcmp(json_object_get_string(json_object_array_get_idx(addresses, i)), text) == 0;
		assert_true(found);
		assert_int_equal(json_object_get_boolean(json_at(item, "is_up")),
				 (other->ifa_flags & IFF_UP) && (other->ifa_flags & IFF_RUNNING));
	}
	freeifaddrs(others);
	json_object_put(all);
}

/*
 * In a network of its own, in a child: 0 when the events of the loopback, which nobody is shown, came in and were taken
 * for noise. (A netlink socket without an address joins its groups and never hears anything.)
 */
static int hears_events_in_child(void)
{
	struct harness *h = unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 ? harness_new(&collector_network, true) : NULL;
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result = 1;
	struct pollfd watched;

	if (!h || collector_network.open(&h->ctx, &h->state) < 0)
		return 77;
	watched = (struct pollfd){ .fd = collector_network.wake_fd(h->state), .events = POLLIN };
	if (ioctl(fd, SIOCSIFFLAGS, &request) == 0 && poll(&watched, 1, 1000) == 1 &&
	    !collector_network.wake(h->state) && poll(&watched, 1, 0) == 0)
		result = 0;
	close(fd);
	harness_free(h);
	return result;
}

static void hears_the_events_of_the_kernel(void **state)
{
	pid_t child = fork();
	int status = -1;

	(void)state;
	if (child == 0)
		_exit(hears_events_in_child());
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip(); /* namespaces are not for everyone everywhere */
	assert_int_equal(status, 0);
}

static void watches_for_events_and_is_quiet_without_any(void **state)
{
	struct harness *h = *state;
	int fd = collector_network.wake_fd(h->state);

	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_false(collector_network.wake(h->state));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_a_line_whatever_the_name_holds),
		cmocka_unit_test(refuses_lines_that_make_no_sense),
		cmocka_unit_test(a_default_route_names_its_interface),
		cmocka_unit_test_setup_teardown(shows_counters_and_rates_and_hides_lo_and_containers, setup, teardown),
		cmocka_unit_test_setup_teardown(says_null_for_addresses_it_cannot_know, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_the_rates_of_each_interface_when_their_order_changes, setup,
						teardown),
		cmocka_unit_test_setup_teardown(calls_a_counter_that_went_back_a_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_a_text_it_cannot_read_for_an_error_and_keeps_its_values, setup,
						teardown),
		cmocka_unit_test_setup_teardown(cuts_a_list_that_does_not_fit_and_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(agrees_with_getifaddrs, setup_live, teardown),
		cmocka_unit_test(hears_the_events_of_the_kernel),
		cmocka_unit_test_setup_teardown(watches_for_events_and_is_quiet_without_any, setup_live, teardown),
	};

	return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
