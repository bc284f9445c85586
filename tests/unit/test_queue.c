/* SPDX-License-Identifier: MIT */
/* Who has a slot, who waits for one, and who may not even wait: the shares of the host, of root and of other users. */
#include "tests/commands_fixture.h"

/* One command after the other: PREFIX0, PREFIX1 … */
static void ask_many(struct peer *peer, const char *action, const char *prefix, unsigned count)
{
	char id[32];

	for (unsigned i = 0; i < count; i++) {
		snprintf(id, sizeof(id), "%s%u", prefix, i);
		ask(peer, action, id);
	}
}

/* ------------------------------------------------------------------------------------------------------- the host's */

static void the_host_has_so_many_slots_and_the_oldest_that_waits_is_next(void **state)
{
	(void)state;
	ask_many(&host, "Control", "c", 7);
	assert_true(runs("c0") && runs("c3") && is_queued("c4") && is_queued("c6"));
	finish("c2");
	turn();
	assert_true(runs("c4") && is_queued("c5"));
	assert_int_equal(commands_running(&commands), 4);
	assert_int_equal(commands_queued(&commands), 2);
}

static void packages_are_changed_by_one_at_a_time_and_hold_up_nobody_else(void **state)
{
	(void)state;
	ask_many(&host, "Package", "p", 3);
	ask(&host, "Control", "c");
	assert_true(runs("p0") && is_queued("p1") && runs("c"));
	finish("p0");
	turn();
	assert_true(runs("p1") && is_queued("p2"));
	assert_int_equal(commands_running(&commands), 2);
}

static void power_is_switched_by_one_at_a_time(void **state)
{
	(void)state;
	ask_many(&host, "Power", "p", 2);
	assert_true(runs("p0") && is_queued("p1"));
	ask(&host, "Package", "q");
	assert_true(runs("q"));
}

static void programs_of_the_host_leave_one_slot_to_others(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		say(&host, "{\"type\":\"UnsafeCommand\",\"id\":\"u%u\",\"raw_command\":\"true\"}", i);
	assert_true(runs("u2") && is_queued("u3"));
	ask(&host, "Control", "c");
	assert_true(runs("c"));
}

static void a_single_slot_is_for_all_kinds(void **state)
{
	(void)state;
	set("commands.max_concurrent=1");
	say(&host, "{\"type\":\"UnsafeCommand\",\"id\":\"u\",\"raw_command\":\"true\"}");
	ask(&host, "Package", "p");
	assert_true(runs("u") && is_queued("p"));
	finish("u");
	turn();
	assert_true(runs("p"));
}

static void a_slot_given_back_is_found_by_the_next_message_of_the_same_turn(void **state)
{
	(void)state;
	set("commands.max_concurrent=1");
	set("commands.queue_size=1");
	ask(&host, "Control", "a");
	ask(&host, "Control", "b");
	finish("a");
	ask(&host, "Control", "c");
	assert_true(runs("b") && is_queued("c"));
	assert_int_equal(answers(&host, "c"), 0);
}

/* ------------------------------------------------------------------------------------------ a host that does not read
 */

static void nothing_is_begun_for_a_host_that_does_not_read(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	seen.host_is_slow = true;
	ask(&host, "Control", "b");
	assert_true(runs("a") && is_queued("b"));
	finish("a");
	turn();
	assert_true(is_queued("b"));
	/* Its place is as full as when all slots are taken. */
	ask_many(&host, "Control", "c", 4);
	answered(&host, "c3", "QUEUE_FULL");
	/* What takes no slot is answered, and local clients do not wait for it. */
	ask(&host, "Ask", "d");
	assert_int_equal(answers(&host, "d"), 1);
	ask(user(1000), "Look", "e");
	turn();
	assert_true(runs("e"));
}

static void what_waits_for_a_host_to_read_goes_on_when_it_reads(void **state)
{
	(void)state;
	seen.host_is_slow = true;
	ask_many(&host, "Control", "c", 3);
	turn();
	assert_int_equal(commands_running(&commands), 0);
	seen.host_is_slow = false;
	turn();
	assert_int_equal(commands_running(&commands), 3);
}

/* -------------------------------------------------------------------------------------------------- local clients' */

static void local_clients_have_one_slot_of_their_own(void **state)
{
	(void)state;
	ask_many(&host, "Control", "c", 6);
	ask(user(1000), "Look", "a");
	ask(user(1001), "Look", "b");
	ask(user(0), "Look", "d");
	turn();
	assert_true(runs("a") && is_queued("b") && is_queued("d"));
	assert_int_equal(commands.host.running, 4);
	assert_int_equal(commands.local.running, 1);
	finish("c0");
	turn();
	assert_true(runs("c4") && is_queued("b"));
}

static void users_that_wait_are_served_in_turn(void **state)
{
	static const char *const order[] = { "a0", "b0", "c0", "a1", "b1", "a2" };

	(void)state;
	ask_many(user(1001), "Look", "a", 3);
	ask_many(user(1002), "Look", "b", 2);
	ask_many(user(1003), "Look", "c", 1);
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		turn();
		if (!runs(order[i]))
			fail_msg("%s is not the next", order[i]);
		finish(order[i]);
	}
}

static void a_user_has_four_places_and_all_users_sixteen(void **state)
{
	(void)state;
	ask(user(0), "Look", "r");
	turn();
	for (unsigned i = 0; i < 4; i++) {
		char prefix[8];

		snprintf(prefix, sizeof(prefix), "u%u-", i);
		ask_many(user(1000 + i), "Look", prefix, 5);
	}
	for (unsigned i = 0; i < 4; i++) {
		char id[8];

		snprintf(id, sizeof(id), "u%u-4", i);
		answered(user(1000 + i), id, "your places in the queue of local clients are taken");
	}
	assert_int_equal(commands.local.queued, QUEUE_USERS_PLACES);
}

static void the_user_with_most_places_gives_the_youngest_to_one_with_fewer(void **state)
{
	(void)state;
	ask(user(0), "Look", "r");
	turn();
	for (unsigned i = 0; i < 4; i++) {
		char prefix[8];

		snprintf(prefix, sizeof(prefix), "u%u-", i);
		ask_many(user(1000 + i), "Look", prefix, 4);
	}
	ask(user(2000), "Look", "few");
	answered(user(1003), "u3-3", "its place was given to another user");
	answered(user(1003), "u3-3", "QUEUE_FULL");
	assert_true(is_queued("few"));
	assert_int_equal(commands.local.queued, QUEUE_USERS_PLACES);
	/* From those who have as many as the one that comes would have, nothing is taken. */
	ask_many(user(2001), "Look", "x", 4);
	assert_true(is_queued("x0") && is_queued("x1") && is_queued("x2"));
	answered(user(2001), "x3", "QUEUE_FULL");
	assert_int_equal(commands.local.queued, QUEUE_USERS_PLACES);
}

static void sixteen_users_keep_their_only_places(void **state)
{
	(void)state;
	ask(user(0), "Look", "r");
	turn();
	for (unsigned i = 0; i < QUEUE_USERS_PLACES; i++) {
		char id[8];

		snprintf(id, sizeof(id), "u%u", i);
		ask(user(1000 + i), "Look", id);
	}
	ask(user(2000), "Look", "late");
	answered(user(2000), "late", "QUEUE_FULL");
	ask(user(2000), "Ask", "ask");
	answered(user(2000), "ask", "\"success\":true");
}

static void root_has_places_that_nobody_else_takes_and_none_of_theirs(void **state)
{
	(void)state;
	ask(user(0), "Look", "first");
	turn();
	ask_many(user(0), "Look", "q", 8);
	for (unsigned i = 0; i < QUEUE_USERS_PLACES; i++) {
		char id[8];

		snprintf(id, sizeof(id), "u%u", i);
		ask(user(1000 + i), "Look", id);
	}
	ask_many(user(0), "Look", "r", QUEUE_ROOT_PLACES - 8 + 1);
	assert_int_equal(commands.local.queued, QUEUE_ROOT_PLACES + QUEUE_USERS_PLACES);
	answered(user(0), "r8", "QUEUE_FULL");
	for (unsigned i = 0; i < QUEUE_USERS_PLACES; i++)
		assert_int_equal(user(1000 + i)->count, 0);
}

static void questions_of_users_that_wait_have_limits_of_their_own(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 9; i++) {
		char prefix[8];

		snprintf(prefix, sizeof(prefix), "u%u-", i);
		ask_many(user(1000 + i), "Call", prefix, QUEUE_USER_WAITING + 1);
	}
	answered(user(1000), "u0-8", "\"reason\":\"busy\"");
	/* What waits may be half done: nobody yields. */
	assert_int_equal(user(1007)->count, 1);
	assert_int_equal(user(1008)->count, QUEUE_USER_WAITING + 1);
	assert_int_equal(commands.local.waiting, QUEUE_USERS_WAITING);
	ask_many(user(0), "Call", "r", QUEUE_ROOT_WAITING + 1);
	assert_int_equal(commands.local.waiting, QUEUE_USERS_WAITING + QUEUE_ROOT_WAITING);
	answered(user(0), "r64", "QUEUE_FULL");
	ask(&host, "Call", "h");
	assert_non_null(find("h"));
}

static void places_stay_taken_when_the_client_goes(void **state)
{
	(void)state;
	ask_many(user(1000), "Call", "a", QUEUE_USER_WAITING);
	peer_gone(user(1000));
	ask(user(1000), "Call", "b");
	answered(user(1000), "b", "QUEUE_FULL");
}

/* ------------------------------------------------------------------------------------------------------- overstaying
 */

static void a_user_who_overstays_yields_to_another_who_waits(void **state)
{
	(void)state;
	ask_with(user(1000), "Look", "long", ",\"timeout\":1000");
	turn();
	later(NS_PER_S);
	ask_with(user(1001), "Look", "next", ",\"timeout\":1000");
	later((QUEUE_TURN_S - 2) * NS_PER_S);
	assert_true(runs("long"));
	later(NS_PER_S);
	answered(user(1000), "long", "it has had its turn");
	answered(user(1000), "long", "CANCELLED");
	assert_true(runs("next"));
}

static void one_that_had_its_turn_long_ago_yields_at_once(void **state)
{
	(void)state;
	ask_with(user(1000), "Look", "long", ",\"timeout\":1000");
	later(100 * NS_PER_S);
	assert_true(runs("long"));
	ask(user(1001), "Look", "next");
	turn();
	answered(user(1000), "long", "it has had its turn");
	assert_true(runs("next"));
}

static void nobody_yields_to_himself_and_root_to_nobody(void **state)
{
	(void)state;
	ask_with(user(1000), "Look", "a", ",\"timeout\":1000");
	ask_with(user(1000), "Look", "b", ",\"timeout\":1000");
	later(100 * NS_PER_S);
	assert_true(runs("a"));
	finish("a");
	finish("b");
	ask_with(user(0), "Look", "r", ",\"timeout\":1000");
	turn();
	ask_with(user(1000), "Look", "c", ",\"timeout\":1000");
	later(100 * NS_PER_S);
	assert_true(runs("r") && is_queued("c"));
	finish("r");
	turn();
	ask_with(user(0), "Look", "d", ",\"timeout\":1000");
	later(QUEUE_TURN_S * NS_PER_S);
	answered(user(1000), "c", "it has had its turn");
}

static void a_program_that_overstays_keeps_the_slot_until_it_is_dead(void **state)
{
	(void)state;
	ask_with(user(1000), "LookProgram", "a", ",\"timeout\":1000");
	turn();
	ask_with(user(1001), "Look", "b", ",\"timeout\":1000");
	later(QUEUE_TURN_S * NS_PER_S);
	assert_true(find("a")->job->cancelled && is_queued("b"));
	find("a")->job->cancelled = false;
	later(2 * QUEUE_TURN_S * NS_PER_S);
	assert_false(find("a")->job->cancelled); /* told once */
	fail_with("a", CODE_CANCELLED, NULL);
	turn();
	assert_true(runs("b"));
}

/* --------------------------------------------------------------------------------------------------- one turn's work
 */

static void a_turn_of_the_loop_ends_and_begins_only_so_many(void **state)
{
	(void)state;
	set("commands.max_concurrent=1");
	set("commands.queue_size=300");
	ask(&host, "Control", "c");
	ask_many(&host, "Fail", "f", 300);
	finish("c");
	commands_drain(&commands);
	assert_int_equal(commands.stats.answered, 129);
	turn();
	assert_int_equal(commands.stats.answered, 301);
	assert_null(commands.first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		commands_test(the_host_has_so_many_slots_and_the_oldest_that_waits_is_next),
		commands_test(packages_are_changed_by_one_at_a_time_and_hold_up_nobody_else),
		commands_test(power_is_switched_by_one_at_a_time),
		commands_test(programs_of_the_host_leave_one_slot_to_others),
		commands_test(a_single_slot_is_for_all_kinds),
		commands_test(a_slot_given_back_is_found_by_the_next_message_of_the_same_turn),
		commands_test(nothing_is_begun_for_a_host_that_does_not_read),
		commands_test(what_waits_for_a_host_to_read_goes_on_when_it_reads),
		commands_test(local_clients_have_one_slot_of_their_own),
		commands_test(users_that_wait_are_served_in_turn),
		commands_test(a_user_has_four_places_and_all_users_sixteen),
		commands_test(the_user_with_most_places_gives_the_youngest_to_one_with_fewer),
		commands_test(sixteen_users_keep_their_only_places),
		commands_test(root_has_places_that_nobody_else_takes_and_none_of_theirs),
		commands_test(questions_of_users_that_wait_have_limits_of_their_own),
		commands_test(places_stay_taken_when_the_client_goes),
		commands_test(a_user_who_overstays_yields_to_another_who_waits),
		commands_test(one_that_had_its_turn_long_ago_yields_at_once),
		commands_test(nobody_yields_to_himself_and_root_to_nobody),
		commands_test(a_program_that_overstays_keeps_the_slot_until_it_is_dead),
		commands_test(a_turn_of_the_loop_ends_and_begins_only_so_many),
	};

	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
