/* SPDX-License-Identifier: MIT */
/* The local socket: its file, its clients, and that what they are answered arrives. */
#include "tests/local_fixture.h"

#include <grp.h>
#include <sys/stat.h>

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
		local_test(a_client_is_known_by_the_uid_of_the_kernel_and_is_answered),
		local_test(an_answer_longer_than_the_socket_takes_arrives_whole_as_it_is_read),
		local_test(a_client_that_goes_is_gone_with_what_it_left_unread),
		local_test(the_socket_is_its_users_alone_and_gone_at_the_end),
		cmocka_unit_test_setup_teardown(a_group_that_there_is_may_use_it_too, local_prepare, local_end),
		cmocka_unit_test_setup_teardown(a_group_that_there_is_not_is_a_warning, local_prepare, local_end),
		cmocka_unit_test_setup_teardown(a_path_that_cannot_be_made_is_an_error_that_names_the_key,
						local_prepare, local_end),
	};

	return cmocka_run_group_tests_name("local", tests, NULL, NULL);
}
