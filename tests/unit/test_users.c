/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <utmp.h>

#include "collectors/table.h"
#include "collectors/users.h"
#include "subject.h"

#define SESSIONS "root/run/systemd/sessions/"
#define ALICE                                                                                                          \
	"# This is private data. Do not parse.\nUID=1000\nUSER=alice\nACTIVE=1\nSTATE=active\nREMOTE=1\nTYPE=tty\n"    \
	"CLASS=user\nSCOPE=session-3.scope\nTTY=pts/"                                                                  \
	"0\nREMOTE_HOST=192.0.2.7\nSERVICE=sshd\nREALTIME=1767225600000000\n"

static void a_session_of_logind_is_read_by_its_keys(void **state)
{
	struct login login;

	(void)state;
	assert_true(login_parse(ALICE, strlen(ALICE), &login));
	assert_string_equal(login.user, "alice");
	assert_string_equal(login.tty, "pts/0");
	assert_string_equal(login.host, "192.0.2.7");
	assert_string_equal(login.service, "sshd");
	assert_int_equal(login.since_ms, 1767225600000);
	assert_false(login.closing);
	assert_true(login_parse("USER=\"o x\"\nSTATE=closing\nREALTIME=99999999999999999999\n", 52, &login));
	assert_string_equal(login.user, "o x");
	assert_int_equal(login.since_ms, 0);
	assert_true(login.closing);
	login.closing = false;
	assert_false(login_parse("UID=0\nUSER=\n", 12, &login));
	assert_false(login_parse("", 0, &login));
	assert_string_equal(login.user, "o x");
}

static void every_cut_of_a_session_is_survived(void **state)
{
	(void)state;
	for (size_t len = 0; len <= strlen(ALICE); len++) {
		char *exact = malloc(len ? len : 1);
		struct login login;

		memcpy(exact, ALICE, len);
		login_parse(exact, len, &login);
		free(exact);
	}
}

static void sessions_of_people_are_listed_the_last_first(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, SESSIONS "3", ALICE);
	fixture_write(fixture, SESSIONS "4", "USER=bob\nCLASS=user\nSTATE=closing\nREALTIME=1767225601000000\n");
	fixture_write(fixture, SESSIONS "c1", "USER=gdm\nCLASS=greeter\n");
	fixture_write(fixture, SESSIONS "5", "USER=alice\nCLASS=manager\n");
	fixture_write(fixture, SESSIONS "3.ref", "USER=nobody\nCLASS=user\n");
	fixture_write(fixture, SESSIONS "6/file", "USER=nobody\nCLASS=user\n");
	fixture_write(fixture, "root/run/utmp", "");
	assert_emits(fixture, &collector_users,
		     "\"source\":\"logind\",\"sessions_total\":2,\"sessions\":[{\"user\":\"bob\",\"tty\":null,"
		     "\"remote_host\":null,\"service\":null,\"closing\":true,\"since\":\"2026-01-01T00:00:01.000Z\"},"
		     "{\"user\":\"alice\",\"tty\":\"pts/0\",\"remote_host\":\"192.0.2.7\",\"service\":\"sshd\","
		     "\"closing\":false,\"since\":\"2026-01-01T00:00:00.000Z\"}]");
}

static void of_many_sessions_the_last_ones_are_listed_and_the_rest_counted(void **state)
{
	struct fixture *fixture = *state;
	struct capture *capture = capture_begin();
	char path[64], text[128];

	for (unsigned i = 0; i < 20; i++) {
		snprintf(path, sizeof(path), SESSIONS "%u", i);
		snprintf(text, sizeof(text), "USER=u%02u\nREALTIME=17672256000%02u000\n", i, i);
		fixture_write(fixture, path, text);
	}
	assert_int_equal(collector_users.open(&fixture->ctx, &fixture->state), 0);
	assert_int_equal(collector_users.collect(fixture->state, &fixture->ctx), 0);
	assert_int_equal(collector_users.collect(fixture->state, &fixture->ctx), 0);
	collector_users.emit(fixture->state, &capture->sink);
	collector_users.close(fixture->state);
	assert_true(capture_has(capture, "\"sessions_total\":20,\"sessions\":[{\"user\":\"u19\""));
	assert_true(capture_has(capture, "\"u12\"") && !capture_has(capture, "\"u11\""));
	assert_true(capture_has(capture, "\"sessions_left_out\":12,\"sessions_rank\":\"since\""));
	free(capture);
}

static void where_there_is_no_logind_utmp_is_read(void **state)
{
	struct utmp records[3] = {
		{ .ut_type = BOOT_TIME, .ut_user = "reboot" },
		{ .ut_type = USER_PROCESS, .ut_user = "carol", .ut_line = "tty1", .ut_tv = { .tv_sec = 1767225600 } },
		{ .ut_type = DEAD_PROCESS, .ut_user = "dave" },
	};
	struct fixture *fixture = *state;
	struct login login;

	/* Texts that fill their field have no end. */
	memset(records[0].ut_user, 'x', sizeof(records[0].ut_user));
	records[0].ut_type = USER_PROCESS;
	assert_true(utmp_login(&records[0], &login));
	assert_int_equal(strlen(login.user), sizeof(records[0].ut_user));
	records[0].ut_type = BOOT_TIME;
	fixture_write_bytes(fixture, "root/run/utmp", records, sizeof(records));
	fixture_write(fixture, SESSIONS "c1", "USER=gdm\nCLASS=greeter\n");
	assert_emits(
		fixture, &collector_users,
		"\"source\":\"utmp\",\"sessions_total\":1,\"sessions\":[{\"user\":\"carol\",\"tty\":\"tty1\","
		"\"remote_host\":null,\"service\":null,\"closing\":false,\"since\":\"2026-01-01T00:00:00.000Z\"}]");
	fixture_write_bytes(fixture, "root/run/utmp", records, sizeof(records) - 1);
	assert_emits(
		fixture, &collector_users,
		"\"source\":\"utmp\",\"sessions_total\":1,\"sessions\":[{\"user\":\"carol\",\"tty\":\"tty1\","
		"\"remote_host\":null,\"service\":null,\"closing\":false,\"since\":\"2026-01-01T00:00:00.000Z\"}]");
}

static void where_there_is_neither_nothing_is_known(void **state)
{
	assert_emits(*state, &collector_users,
		     "\"source\":null,\"sessions_total\":null,\"sessions\":null,\"reason\":\"unsupported\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SUBJECT_TEST(a_session_of_logind_is_read_by_its_keys),
		SUBJECT_TEST(every_cut_of_a_session_is_survived),
		SUBJECT_TEST(sessions_of_people_are_listed_the_last_first),
		SUBJECT_TEST(of_many_sessions_the_last_ones_are_listed_and_the_rest_counted),
		SUBJECT_TEST(where_there_is_no_logind_utmp_is_read),
		SUBJECT_TEST(where_there_is_neither_nothing_is_known),
	};

	return cmocka_run_group_tests_name("users", tests, NULL, NULL);
}
