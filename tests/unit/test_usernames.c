/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "collectors/usernames.h"

/* Remembers what was asked; the test answers when it likes. */
struct directory {
	struct prober prober;
	int verdict; /* of request */
	unsigned asked;
	uint32_t uid; /* of the last question */
	struct usernames users;
	struct collect_ctx ctx;
};

static int ask(struct prober *prober, const struct probe_request *request)
{
	struct directory *directory = container_of(prober, struct directory, prober);

	assert_int_equal(request->kind, PROBE_USER);
	assert_int_equal(request->arg_len, sizeof(uint32_t));
	memcpy(&directory->uid, request->arg, sizeof(uint32_t));
	assert_int_equal(request->key, directory->uid);
	directory->asked++;
	return directory->verdict;
}

static int setup(void **state)
{
	static struct directory directory;

	directory = (struct directory){
		.prober.request = ask,
		.ctx = { .live = true, .prober = &directory.prober, .now.mono_ns = 1000 * NS_PER_S },
	};
	*state = &directory;
	return 0;
}

static int teardown(void **state)
{
	usernames_free(&((struct directory *)*state)->users);
	return 0;
}

static int want(struct directory *directory, uint32_t uid)
{
	return usernames_want(&directory->users, &directory->ctx, uid);
}

static void answer(struct directory *directory, uint32_t uid, int error, const char *name)
{
	struct probe_result result = {
		.kind = PROBE_USER, .key = uid, .error = error, .data = name, .data_len = name ? strlen(name) : 0
	};

	usernames_probed(&directory->users, &result);
}

static void pass(struct directory *directory, uint64_t seconds)
{
	directory->ctx.now.mono_ns += seconds * NS_PER_S;
}

static void a_name_is_asked_for_once_and_again_after_ten_minutes(void **state)
{
	struct directory *directory = *state;

	assert_int_equal(want(directory, 70001), 1);
	assert_int_equal(want(directory, 70001), 1);
	assert_null(usernames_find(&directory->users, 70001));
	answer(directory, 70001, 0, "ada@example.org");
	assert_string_equal(usernames_find(&directory->users, 70001), "ada@example.org");
	for (int i = 0; i < 59; i++) {
		assert_int_equal(want(directory, 70001), 0);
		pass(directory, 10);
	}
	assert_int_equal(directory->asked, 1);
	pass(directory, 10);
	assert_int_equal(want(directory, 70001), 1);
	assert_int_equal(directory->asked, 2);
	/* Until the new answer comes the old name holds. */
	assert_string_equal(usernames_find(&directory->users, 70001), "ada@example.org");
	answer(directory, 70001, -EIO, NULL);
	assert_string_equal(usernames_find(&directory->users, 70001), "ada@example.org");
	pass(directory, 600);
	assert_int_equal(want(directory, 70001), 1);
	answer(directory, 70001, -ENOENT, NULL);
	assert_null(usernames_find(&directory->users, 70001));
}

static void one_question_is_on_its_way_at_a_time_and_its_answer_brings_the_next(void **state)
{
	struct directory *directory = *state;
	static const uint32_t uids[] = { 7, 3, 5, 1 };
	char name[16];

	for (size_t i = 0; i < ARRAY_SIZE(uids); i++)
		assert_int_equal(want(directory, uids[i]), 1);
	assert_int_equal(directory->asked, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(uids); i++) {
		assert_int_equal(directory->asked, i + 1);
		snprintf(name, sizeof(name), "user%u", directory->uid);
		answer(directory, directory->uid, 0, name);
	}
	assert_int_equal(directory->asked, ARRAY_SIZE(uids));
	for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
		snprintf(name, sizeof(name), "user%u", uids[i]);
		assert_string_equal(usernames_find(&directory->users, uids[i]), name);
	}
}

/* Each question that hangs holds a helper: a directory that is down must not get them all. */
static void a_directory_that_does_not_answer_is_asked_once_a_minute(void **state)
{
	struct directory *directory = *state;

	for (unsigned second = 0; second < 600; second++) {
		unsigned before = directory->asked;

		for (uint32_t uid = 70000; uid < 70020; uid++)
			want(directory, uid);
		if (directory->asked != before)
			answer(directory, directory->uid, -ETIMEDOUT, NULL);
		pass(directory, 1);
	}
	assert_in_range(directory->asked, 9, 11);
}

static void what_hangs_already_is_not_waited_for(void **state)
{
	struct directory *directory = *state;

	directory->verdict = -EALREADY;
	assert_int_equal(want(directory, 70001), 0);
	directory->verdict = 0;
	assert_int_equal(want(directory, 70001), 0);
	assert_int_equal(want(directory, 70002), 1);
	/* The answer comes late, to nobody's surprise. */
	answer(directory, 70001, 0, "late");
	assert_string_equal(usernames_find(&directory->users, 70001), "late");
}

static void a_full_prober_is_asked_at_the_next_want(void **state)
{
	struct directory *directory = *state;

	directory->verdict = -ENOBUFS;
	assert_int_equal(want(directory, 70001), 0);
	directory->verdict = 0;
	assert_int_equal(want(directory, 70001), 1);
	assert_int_equal(directory->asked, 2);
}

static void names_that_make_no_sense_are_none(void **state)
{
	static const char nul[] = "a\0b";
	static char large[USERNAMES_NAME_MAX + 1];
	struct directory *directory = *state;

	memset(large, 'x', sizeof(large) - 1);
	want(directory, 1);
	answer(directory, 1, 0, "");
	assert_null(usernames_find(&directory->users, 1));
	want(directory, 2);
	answer(directory, 2, 0, large);
	assert_null(usernames_find(&directory->users, 2));
	want(directory, 3);
	usernames_probed(&directory->users,
			 &(struct probe_result){ .kind = PROBE_USER, .key = 3, .data = nul, .data_len = 3 });
	assert_null(usernames_find(&directory->users, 3));
	/* An answer that nobody waits for. */
	answer(directory, 4, 0, "nobody");
	assert_null(usernames_find(&directory->users, 4));
}

static void the_table_is_bounded(void **state)
{
	struct directory *directory = *state;

	for (uint32_t uid = 0; uid < 5000; uid++) {
		want(directory, uid);
		answer(directory, directory->uid, 0, "somebody");
		assert_true(directory->users.count <= USERNAMES_MAX);
	}
	assert_string_equal(usernames_find(&directory->users, 4999), "somebody");
}

static void a_fixture_has_no_users_of_this_machine(void **state)
{
	struct directory *directory = *state;

	directory->ctx.live = false;
	assert_int_equal(want(directory, 70001), 0);
	directory->ctx.live = true;
	directory->ctx.prober = NULL;
	assert_int_equal(want(directory, 70001), 0);
	assert_int_equal(directory->asked, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_name_is_asked_for_once_and_again_after_ten_minutes, setup, teardown),
		cmocka_unit_test_setup_teardown(one_question_is_on_its_way_at_a_time_and_its_answer_brings_the_next,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_directory_that_does_not_answer_is_asked_once_a_minute, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_hangs_already_is_not_waited_for, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_prober_is_asked_at_the_next_want, setup, teardown),
		cmocka_unit_test_setup_teardown(names_that_make_no_sense_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(the_table_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(a_fixture_has_no_users_of_this_machine, setup, teardown),
	};

	return cmocka_run_group_tests_name("usernames", tests, NULL, NULL);
}
