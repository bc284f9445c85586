/* SPDX-License-Identifier: MIT */
/*
 * The shares of local clients: how many there may be, what they may leave unread, and how long they are listened to in
 * a turn of the loop.
 */
#include "tests/local_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		local_test(a_client_that_leaves_two_mebibytes_unread_is_cut_off),
		local_test(clients_of_one_user_share_four_mebibytes),
		local_test(a_user_over_its_share_keeps_the_client_that_reads_and_takes_none_of_anothers),
		local_test(of_all_users_those_are_cut_off_who_leave_most),
		local_test(root_is_not_cut_off_for_what_users_leave_nor_they_for_what_root_does),
		local_test(some_places_are_roots_alone),
		local_test(root_takes_no_place_of_users),
		local_test(a_user_has_so_many_places_but_for_root_and_ourselves),
		local_test(without_descriptors_accepting_pauses_and_does_not_spin),
		local_test(all_clients_together_have_two_milliseconds_of_a_turn),
		local_test(clients_are_listened_to_in_turn_however_much_others_say),
	};

	return cmocka_run_group_tests_name("shares", tests, NULL, NULL);
}
