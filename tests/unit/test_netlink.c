/* SPDX-License-Identifier: MIT */
/* Netlink messages with honest and with hostile lengths, in buffers of exactly their size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "collectors/netlink.h"

struct seen {
	unsigned count;
	uint16_t type;
	size_t len;
	int answer;
};

static int see(void *user, uint16_t type, struct netlink_part body)
{
	struct seen *seen = user;

	seen->count++;
	seen->type = type;
	seen->len = (size_t)(body.end - body.at);
	return seen->answer;
}

/* Walks a copy on the heap that ends where the datagram ends, so that the sanitizer sees every byte beyond it. */
static int walk(const void *datagram, size_t len, uint32_t seq, struct seen *seen, bool *interrupted)
{
	void *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, datagram, len);
	r = netlink_walk(copy, len, seq, see, seen, interrupted);
	free(copy);
	return r;
}

struct message {
	struct nlmsghdr head;
	int32_t body;
};

static struct message message(uint16_t type, uint32_t seq, int32_t body)
{
	return (struct message){ { .nlmsg_len = sizeof(struct message), .nlmsg_type = type, .nlmsg_seq = seq }, body };
}

static void hands_over_each_message_and_ends_at_done(void **state)
{
	struct message datagram[] = { message(20, 7, 0), message(21, 7, 0), message(NLMSG_DONE, 7, 0),
				      message(22, 7, 0) };
	struct seen seen = { 0 };
	bool interrupted = false;

	(void)state;
	assert_int_equal(walk(datagram, sizeof(datagram), 7, &seen, &interrupted), NETLINK_DONE);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.type, 21);
	assert_int_equal(seen.len, sizeof(int32_t));
	assert_false(interrupted);
}

static void skips_answers_to_another_request(void **state)
{
	struct message datagram[] = { message(20, 6, 0), message(NLMSG_DONE, 6, 0), message(20, 7, 0) };
	struct seen seen = { 0 };
	bool interrupted = false;

	(void)state;
	assert_int_equal(walk(datagram, sizeof(datagram), 7, &seen, &interrupted), NETLINK_MORE);
	assert_int_equal(seen.count, 1);
}

static void says_when_the_list_changed_under_the_dump(void **state)
{
	struct message datagram[] = { message(20, 7, 0), message(NLMSG_DONE, 7, 0) };
	struct seen seen = { 0 };
	bool interrupted = false;

	(void)state;
	datagram[0].head.nlmsg_flags = NLM_F_DUMP_INTR;
	assert_int_equal(walk(datagram, sizeof(datagram), 7, &seen, &interrupted), NETLINK_DONE);
	assert_true(interrupted);
}

static void passes_errors_of_the_kernel_and_of_the_callback_on(void **state)
{
	struct message refused = message(NLMSG_ERROR, 7, -ENOENT), failed_dump = message(NLMSG_DONE, 7, -EPERM);
	struct message nonsense = message(NLMSG_ERROR, 7, 12345), plain = message(20, 7, 0);
	struct seen seen = { .answer = -ENOMEM };
	bool interrupted = false;

	(void)state;
	assert_int_equal(walk(&refused, sizeof(refused), 7, &seen, &interrupted), -ENOENT);
	assert_int_equal(walk(&failed_dump, sizeof(failed_dump), 7, &seen, &interrupted), -EPERM);
	assert_int_equal(walk(&nonsense, sizeof(nonsense), 7, &seen, &interrupted), -EBADMSG);
	assert_int_equal(walk(&plain, sizeof(plain), 7, &seen, &interrupted), -ENOMEM);
}

static void refuses_lengths_that_make_no_sense(void **state)
{
	static const uint32_t lengths[] = { 0, 1, sizeof(struct nlmsghdr) - 1, sizeof(struct message) + 1, UINT32_MAX };
	bool interrupted = false;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct message bad = message(20, 7, 0);
		struct seen seen = { 0 };

		bad.head.nlmsg_len = lengths[i];
		assert_int_equal(walk(&bad, sizeof(bad), 7, &seen, &interrupted), -EBADMSG);
		assert_int_equal(seen.count, 0);
	}
}

static void survives_every_cut_of_a_datagram(void **state)
{
	struct message datagram[] = { message(20, 7, 0), message(NLMSG_DONE, 7, 0) };

	(void)state;
	for (size_t len = 0; len <= sizeof(datagram); len++) {
		struct seen seen = { 0 };
		bool interrupted = false;
		int r = walk(datagram, len, 7, &seen, &interrupted);

		if (len == 0 || len == sizeof(datagram[0]))
			assert_int_equal(r, NETLINK_MORE);
		else if (len == sizeof(datagram))
			assert_int_equal(r, NETLINK_DONE);
		else
			assert_int_equal(r, -EBADMSG);
	}
}

static void walks_attributes_up_to_the_first_bad_length(void **state)
{
	struct {
		struct nlattr head;
		uint32_t value;
	} attrs[2] = { { { 8, 3 }, 17 }, { { 8, 4 | NLA_F_NESTED }, 18 } };
	static const uint16_t bad[] = { 0, 3, 9, UINT16_MAX };
	struct netlink_attr attr;
	uint32_t value = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint8_t *copy = malloc(sizeof(attrs));
		struct netlink_part part = { copy, copy + sizeof(attrs) };

		memcpy(copy, attrs, sizeof(attrs));
		memcpy(copy + 8, &bad[i], sizeof(bad[i]));
		assert_true(netlink_attr_next(&part, &attr));
		assert_int_equal(attr.type, 3);
		assert_true(netlink_attr_u32(&attr, &value));
		assert_int_equal(value, 17);
		assert_false(netlink_attr_next(&part, &attr));
		free(copy);
	}
}

static void drops_the_flags_of_an_attribute_type_and_checks_the_size_of_a_number(void **state)
{
	struct {
		struct nlattr head;
		uint8_t bytes[4];
	} attrs = { { 6, 4 | NLA_F_NESTED | NLA_F_NET_BYTEORDER }, { 1, 2, 0, 0 } };
	struct netlink_part part = { (uint8_t *)&attrs, (uint8_t *)&attrs + sizeof(attrs) };
	struct netlink_attr attr;
	uint32_t value = 99;

	(void)state;
	assert_true(netlink_attr_next(&part, &attr));
	assert_int_equal(attr.type, 4);
	assert_int_equal(attr.len, 2);
	assert_false(netlink_attr_u32(&attr, &value));
	assert_int_equal(value, 99);
	assert_false(netlink_attr_next(&part, &attr));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hands_over_each_message_and_ends_at_done),
		cmocka_unit_test(skips_answers_to_another_request),
		cmocka_unit_test(says_when_the_list_changed_under_the_dump),
		cmocka_unit_test(passes_errors_of_the_kernel_and_of_the_callback_on),
		cmocka_unit_test(refuses_lengths_that_make_no_sense),
		cmocka_unit_test(survives_every_cut_of_a_datagram),
		cmocka_unit_test(walks_attributes_up_to_the_first_bad_length),
		cmocka_unit_test(drops_the_flags_of_an_attribute_type_and_checks_the_size_of_a_number),
	};

	return cmocka_run_group_tests_name("netlink", tests, NULL, NULL);
}
