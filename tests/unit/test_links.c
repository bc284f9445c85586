/* SPDX-License-Identifier: MIT */
/* The table of links from hand-made RTNETLINK messages, and what an event means for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <infiniservice/cleanup.h>

#include "collectors/links.h"

struct datagram {
	uint8_t bytes[160];
	size_t len;
};

static void put(struct datagram *d, const void *data, size_t len)
{
	memcpy(d->bytes + d->len, data, len);
	d->len += len;
	while (d->len % 4)
		d->bytes[d->len++] = 0;
}

static void put_attr(struct datagram *d, uint16_t type, const void *data, size_t len)
{
	struct nlattr head = { .nla_len = (uint16_t)(sizeof(head) + len), .nla_type = type };

	put(d, &head, sizeof(head));
	put(d, data, len);
}

static struct datagram datagram_begin(uint16_t type)
{
	struct nlmsghdr head = { .nlmsg_type = type };
	struct datagram d = { .len = 0 };

	put(&d, &head, sizeof(head));
	return d;
}

static void datagram_end(struct datagram *d)
{
	uint32_t len = (uint32_t)d->len;

	memcpy(d->bytes, &len, sizeof(len));
}

static struct datagram link_message(uint16_t type, int index, const char *name, unsigned flags, uint32_t mtu)
{
	struct ifinfomsg body = { .ifi_index = index, .ifi_flags = flags };
	static const uint8_t mac[] = { 2, 0, 0, 0, 0, 1 };
	struct datagram d = datagram_begin(type);
	uint8_t operstate = 6;

	put(&d, &body, sizeof(body));
	put_attr(&d, IFLA_IFNAME, name, strlen(name) + 1);
	put_attr(&d, IFLA_MTU, &mtu, sizeof(mtu));
	put_attr(&d, IFLA_OPERSTATE, &operstate, 1);
	put_attr(&d, IFLA_ADDRESS, mac, sizeof(mac));
	datagram_end(&d);
	return d;
}

static struct datagram address_with_flags(uint16_t type, uint32_t index, const char *text, const char *peer,
					  uint8_t scope, uint32_t flags)
{
	uint8_t family = strchr(text, ':') ? AF_INET6 : AF_INET, bytes[16];
	struct ifaddrmsg body = { .ifa_family = family, .ifa_prefixlen = 24, .ifa_scope = scope, .ifa_index = index };

	body.ifa_flags = (uint8_t)flags;
	struct datagram d = datagram_begin(type);
	struct ifa_cacheinfo lifetimes = { .ifa_valid = 3600 };
	size_t len = family == AF_INET ? 4 : 16;

	put(&d, &body, sizeof(body));
	if (peer) {
		inet_pton(family, peer, bytes);
		put_attr(&d, IFA_ADDRESS, bytes, len);
	}
	inet_pton(family, text, bytes);
	put_attr(&d, peer ? IFA_LOCAL : IFA_ADDRESS, bytes, len);
	put_attr(&d, IFA_CACHEINFO, &lifetimes, sizeof(lifetimes));
	put_attr(&d, IFA_FLAGS, &flags, sizeof(flags));
	datagram_end(&d);
	return d;
}

static struct datagram address_message(uint16_t type, uint32_t index, const char *text, const char *peer, uint8_t scope)
{
	return address_with_flags(type, index, text, peer, scope, IFA_F_PERMANENT);
}

static int feed(struct links *links, struct datagram d)
{
	bool interrupted = false;

	return netlink_walk(d.bytes, d.len, 0, links_message, links, &interrupted);
}

/* eth0 (2) with two IPv4 and one IPv6 address, lo (1), a container's veth (5). */
static int setup(void **state)
{
	struct links *links = calloc(1, sizeof(*links));

	*state = links;
	feed(links, link_message(RTM_NEWLINK, 5, "veth1a2b3c4", IFF_UP | IFF_RUNNING, 1500));
	feed(links, link_message(RTM_NEWLINK, 1, "lo", IFF_UP | IFF_RUNNING | IFF_LOOPBACK, 65536));
	feed(links, link_message(RTM_NEWLINK, 2, "eth0", IFF_UP | IFF_RUNNING, 1500));
	feed(links, address_message(RTM_NEWADDR, 2, "fe80::1", NULL, RT_SCOPE_LINK));
	feed(links, address_message(RTM_NEWADDR, 1, "127.0.0.1", NULL, RT_SCOPE_HOST));
	feed(links, address_message(RTM_NEWADDR, 2, "192.0.2.9", NULL, RT_SCOPE_UNIVERSE));
	feed(links, address_message(RTM_NEWADDR, 2, "192.0.2.1", NULL, RT_SCOPE_UNIVERSE));
	feed(links, address_message(RTM_NEWADDR, 5, "fe80::5", NULL, RT_SCOPE_LINK));
	return links_finish(links);
}

static int teardown(void **state)
{
	links_free(*state);
	free(*state);
	return 0;
}

static void joins_addresses_to_their_links_ipv4_first_in_the_order_given(void **state)
{
	static const char *const want[] = { "192.0.2.9", "192.0.2.1", "fe80::1" };
	const struct links *links = *state;
	const struct link *eth0 = links_find(links, "eth0", 4);
	char text[64];

	assert_non_null(eth0);
	assert_int_equal(eth0->index, 2);
	assert_int_equal(eth0->mtu, 1500);
	assert_int_equal(eth0->mac_len, 6);
	assert_string_equal(link_operstate_name(eth0->operstate), "up");
	assert_int_equal(eth0->address_count, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct link_address *address = &links->addresses[eth0->address_first + i];

		assert_string_equal(inet_ntop(address->family, address->bytes, text, sizeof(text)), want[i]);
	}
	assert_null(links_find(links, "eth", 3));
	assert_null(links_find(links, "a-name-longer-than-any", 22));
}

static void shows_the_own_address_of_a_point_to_point_link(void **state)
{
	struct links *links = *state;
	const struct link *eth0;
	char text[64];

	feed(links, address_message(RTM_NEWADDR, 2, "198.51.100.1", "198.51.100.2", RT_SCOPE_UNIVERSE));
	links_finish(links);
	eth0 = links_find(links, "eth0", 4);
	assert_string_equal(inet_ntop(AF_INET, links->addresses[eth0->address_first + 2].bytes, text, sizeof(text)),
			    "198.51.100.1");
}

static void refuses_messages_cut_short(void **state)
{
	struct datagram whole = link_message(RTM_NEWLINK, 9, "eth9", IFF_UP, 1500);
	struct links *links = *state;

	for (size_t len = 0; len < sizeof(struct ifinfomsg) + 8; len++) {
		uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, whole.bytes + sizeof(struct nlmsghdr), len);
		assert_int_equal(links_message(links, RTM_NEWLINK, (struct netlink_part){ copy, copy + len }),
				 -EBADMSG);
		free(copy);
	}
	assert_int_equal(links->count, 3);
}

static void refuses_a_name_that_does_not_fit(void **state)
{
	struct links *links = *state;

	assert_int_equal(feed(links, link_message(RTM_NEWLINK, 9, "sixteen-bytes-xx", IFF_UP, 1500)), -EBADMSG);
	assert_int_equal(feed(links, link_message(RTM_NEWLINK, 9, "", IFF_UP, 1500)), -EBADMSG);
}

static void tells_changes_from_noise(void **state)
{
	const unsigned up = IFF_UP | IFF_RUNNING;
	const struct {
		const char *what;
		struct datagram event;
		enum links_change want;
	} cases[] = {
		{ "the same link again", link_message(RTM_NEWLINK, 2, "eth0", up, 1500), LINKS_SAME },
		{ "another flag", link_message(RTM_NEWLINK, 2, "eth0", up | IFF_PROMISC, 1500), LINKS_SAME },
		{ "another MTU", link_message(RTM_NEWLINK, 2, "eth0", up, 9000), LINKS_STALE },
		{ "no carrier", link_message(RTM_NEWLINK, 2, "eth0", IFF_UP, 1500), LINKS_CHANGED },
		{ "a new name", link_message(RTM_NEWLINK, 2, "lan0", up, 1500), LINKS_CHANGED },
		{ "a new link", link_message(RTM_NEWLINK, 7, "eth1", up, 1500), LINKS_CHANGED },
		{ "a link gone", link_message(RTM_DELLINK, 2, "eth0", 0, 1500), LINKS_CHANGED },
		{ "a link gone that was not there", link_message(RTM_DELLINK, 8, "eth8", 0, 1500), LINKS_SAME },
		{ "a container's link", link_message(RTM_NEWLINK, 8, "vethbeef123", up, 1500), LINKS_STALE },
		{ "a container's link gone", link_message(RTM_DELLINK, 5, "veth1a2b3c4", 0, 1500), LINKS_STALE },
		{ "lifetimes", address_message(RTM_NEWADDR, 2, "192.0.2.1", NULL, RT_SCOPE_UNIVERSE), LINKS_SAME },
		{ "a new address", address_message(RTM_NEWADDR, 2, "192.0.2.2", NULL, RT_SCOPE_UNIVERSE),
		  LINKS_CHANGED },
		{ "an address gone", address_message(RTM_DELADDR, 2, "192.0.2.1", NULL, RT_SCOPE_UNIVERSE),
		  LINKS_CHANGED },
		{ "an unknown address gone", address_message(RTM_DELADDR, 2, "192.0.2.3", NULL, RT_SCOPE_UNIVERSE),
		  LINKS_SAME },
		{ "a container's link-local", address_message(RTM_NEWADDR, 5, "fe80::6", NULL, RT_SCOPE_LINK),
		  LINKS_STALE },
		{ "an address for a container", address_message(RTM_NEWADDR, 5, "192.0.2.5", NULL, RT_SCOPE_UNIVERSE),
		  LINKS_CHANGED },
		{ "on the loopback", address_message(RTM_NEWADDR, 1, "127.0.0.2", NULL, RT_SCOPE_HOST), LINKS_STALE },
		{ "on a link not seen yet", address_message(RTM_NEWADDR, 9, "192.0.2.6", NULL, RT_SCOPE_UNIVERSE),
		  LINKS_CHANGED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (links_event(*state, cases[i].event.bytes, cases[i].event.len) != cases[i].want)
			fail_msg("%s: %d", cases[i].what,
				 links_event(*state, cases[i].event.bytes, cases[i].event.len));
}

static void takes_an_event_it_cannot_read_for_a_change(void **state)
{
	struct datagram event = link_message(RTM_NEWLINK, 2, "eth0", IFF_UP | IFF_RUNNING, 1500);

	assert_int_equal(links_event(*state, event.bytes, event.len - 1), LINKS_CHANGED);
}

static void knows_what_container_engines_make(void **state)
{
	static const struct {
		const char *name;
		bool bare, addressed; /* noise without and with an address */
	} cases[] = {
		{ "eth0", false, false },
		{ "ens3", false, false },
		{ "dummy0", false, false },
		{ "bond0", false, false },
		{ "wg0", false, false },
		{ "virbr0", false, false },
		{ "docker0", true, true },
		{ "docker_gwbridge", true, true },
		{ "br-0123456789ab", true, true },
		{ "cni0", true, true },
		{ "flannel.1", true, true },
		{ "veth12ab34c", true, false },
		{ "cali1234567890a", true, false },
		{ "br-lan", true, false },
		{ "br0", false, false },
		{ "br-0123456789ag", true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].name);

		if (link_is_noise(cases[i].name, len, false) != cases[i].bare ||
		    link_is_noise(cases[i].name, len, true) != cases[i].addressed)
			fail_msg("%s", cases[i].name);
	}
}

static void lists_only_addresses_that_can_be_used_and_the_lasting_ones_first(void **state)
{
	static const struct {
		const char *text;
		uint32_t flags;
	} given[] = {
		{ "2001:db8::dead", IFA_F_DEPRECATED },
		{ "2001:db8::7e", IFA_F_TEMPORARY },
		{ "2001:db8::1", IFA_F_PERMANENT },
		{ "2001:db8::2", IFA_F_TENTATIVE },
		{ "2001:db8::3", IFA_F_TENTATIVE | IFA_F_OPTIMISTIC },
		{ "2001:db8::4", IFA_F_PERMANENT | IFA_F_DADFAILED },
		{ "2001:db8::5", IFA_F_TENTATIVE | IFA_F_DADFAILED },
		{ "2001:db8::6", IFA_F_TEMPORARY | IFA_F_DEPRECATED },
		{ "2001:db8::7", IFA_F_MANAGETEMPADDR | IFA_F_STABLE_PRIVACY },
		{ "192.0.2.9", IFA_F_DEPRECATED },
		{ "192.0.2.1", IFA_F_PERMANENT },
		{ "192.0.2.2", IFA_F_PERMANENT | IFA_F_SECONDARY },
	};
	static const char *const want[] = { "192.0.2.1",    "192.0.2.2", "2001:db8::1",	   "2001:db8::3", "2001:db8::7",
					    "2001:db8::7e", "192.0.2.9", "2001:db8::dead", "2001:db8::6" };
	struct links links = { 0 };
	char text[INET6_ADDRSTRLEN];

	(void)state;
	assert_int_equal(feed(&links, link_message(RTM_NEWLINK, 2, "eth0", IFF_UP, 1500)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(given); i++)
		assert_int_equal(feed(&links, address_with_flags(RTM_NEWADDR, 2, given[i].text, NULL, RT_SCOPE_UNIVERSE,
								 given[i].flags)),
				 0);
	assert_int_equal(links_finish(&links), 0);
	assert_int_equal(links.address_count, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		inet_ntop(links.addresses[i].family, links.addresses[i].bytes, text, sizeof(text));
		assert_string_equal(text, want[i]);
	}
	links_free(&links);
}

static void an_address_counts_from_when_it_can_be_used(void **state)
{
	static const struct {
		uint16_t type;
		const char *text;
		uint32_t flags;
		enum links_change want;
	} cases[] = {
		{ RTM_NEWADDR, "2001:db8::2", IFA_F_TENTATIVE, LINKS_SAME },
		{ RTM_NEWADDR, "2001:db8::2", IFA_F_TENTATIVE | IFA_F_DADFAILED, LINKS_SAME },
		{ RTM_NEWADDR, "2001:db8::2", IFA_F_TENTATIVE | IFA_F_OPTIMISTIC, LINKS_CHANGED },
		{ RTM_NEWADDR, "2001:db8::2", IFA_F_PERMANENT, LINKS_CHANGED },
		{ RTM_DELADDR, "2001:db8::2", IFA_F_TENTATIVE, LINKS_SAME },
		{ RTM_NEWADDR, "2001:db8::1", IFA_F_PERMANENT, LINKS_SAME },
		{ RTM_NEWADDR, "2001:db8::1", IFA_F_PERMANENT | IFA_F_NOPREFIXROUTE, LINKS_SAME },
		{ RTM_NEWADDR, "2001:db8::1", IFA_F_DEPRECATED, LINKS_CHANGED },
		{ RTM_NEWADDR, "2001:db8::1", IFA_F_PERMANENT | IFA_F_DADFAILED, LINKS_CHANGED },
		{ RTM_DELADDR, "2001:db8::1", IFA_F_DEPRECATED, LINKS_CHANGED },
	};
	struct links links = { 0 };

	(void)state;
	assert_int_equal(feed(&links, link_message(RTM_NEWLINK, 2, "eth0", IFF_UP, 1500)), 0);
	assert_int_equal(feed(&links, address_message(RTM_NEWADDR, 2, "2001:db8::1", NULL, RT_SCOPE_UNIVERSE)), 0);
	assert_int_equal(links_finish(&links), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct datagram d =
			address_with_flags(cases[i].type, 2, cases[i].text, NULL, RT_SCOPE_UNIVERSE, cases[i].flags);

		if (links_event(&links, d.bytes, d.len) != cases[i].want)
			print_error("case %zu\n", i);
		assert_int_equal(links_event(&links, d.bytes, d.len), cases[i].want);
	}
	links_free(&links);
}

static void finds_each_of_many_links(void **state)
{
	struct links *links = *state;
	char name[IFNAMSIZ];

	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_int_equal(feed(links, link_message(RTM_NEWLINK, 100 + i, name, IFF_UP, 1500)), 0);
	}
	assert_int_equal(links_finish(links), 0);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_int_equal(links_find(links, name, strlen(name))->index, 100 + i);
	}
}

static void more_links_than_there_is_room_for_are_counted(void **state)
{
	struct links *links = *state;
	int room = 65536 - (int)links->count;
	char name[IFNAMSIZ];

	for (int i = 0; i < room + 4; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_int_equal(feed(links, link_message(RTM_NEWLINK, 100 + i, name, IFF_UP, 1500)), 0);
	}
	assert_int_equal(links->count, 65536);
	assert_int_equal(links->left_out, 4);
	assert_int_equal(links_finish(links), 0);
	snprintf(name, sizeof(name), "p%d", room - 1);
	assert_non_null(links_find(links, name, strlen(name)));
	snprintf(name, sizeof(name), "p%d", room);
	assert_null(links_find(links, name, strlen(name)));
}

static void dumps_the_running_kernel(void **state)
{
	struct links *links = *state;
	const struct link *lo;

	assert_int_equal(links_dump(links), 0);
	lo = links_find(links, "lo", 2);
	assert_non_null(lo);
	assert_true(lo->flags & IFF_LOOPBACK);
	assert_int_equal(lo->index, if_nametoindex("lo"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(more_links_than_there_is_room_for_are_counted, setup, teardown),
		cmocka_unit_test(lists_only_addresses_that_can_be_used_and_the_lasting_ones_first),
		cmocka_unit_test(an_address_counts_from_when_it_can_be_used),
		cmocka_unit_test_setup_teardown(joins_addresses_to_their_links_ipv4_first_in_the_order_given, setup,
						teardown),
		cmocka_unit_test_setup_teardown(shows_the_own_address_of_a_point_to_point_link, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_messages_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_a_name_that_does_not_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_changes_from_noise, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_an_event_it_cannot_read_for_a_change, setup, teardown),
		cmocka_unit_test_setup_teardown(knows_what_container_engines_make, setup, teardown),
		cmocka_unit_test_setup_teardown(finds_each_of_many_links, setup, teardown),
		cmocka_unit_test_setup_teardown(dumps_the_running_kernel, setup, teardown),
	};

	return cmocka_run_group_tests_name("links", tests, NULL, NULL);
}
