/* SPDX-License-Identifier: MIT */
/* Audit records: what is redacted, their two forms, and their way to a journal, or to the file if there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "agent/audit/audit.h"
#include "transport/json_write.h"

static char dir[64], path[96];
static int journal_fd;
static struct audit audit;
static const struct audit_record record = { .phase = AUDIT_STARTED, .id = "i", .action = "unsafe", .origin = "host" };

static int setup(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)state;
	strcpy(dir, "/tmp/test-audit-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/socket", dir);
	strcpy(address.sun_path, path);
	journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	audit_init(&audit, "/nonexistent/state", path);
	return bind(journal_fd, (struct sockaddr *)&address, sizeof(address));
}

static int teardown(void **state)
{
	(void)state;
	audit_done(&audit);
	close_fd(&journal_fd);
	unlink(path);
	return rmdir(dir);
}

static void a_journal_gets_each_record_as_one_datagram(void **state)
{
	struct moment now = { .mono_ns = 1 };
	char bytes[4096];
	ssize_t len;

	(void)state;
	audit_put(&audit, &now, &record);
	len = recv(journal_fd, bytes, sizeof(bytes) - 1, 0);
	assert_true(len > 0);
	bytes[len] = '\0';
	assert_non_null(strstr(bytes, "MESSAGE=command i: unsafe from host started\n"));
	assert_non_null(strstr(bytes, "\nINFINISERVICE_PHASE=started\n"));
	assert_int_equal(recv(journal_fd, bytes, sizeof(bytes), 0), -1);
	assert_int_equal(audit.recorded, 1);
	assert_int_equal(audit.writer_fd, -1);
}

static void a_journal_that_takes_nothing_is_not_waited_for(void **state)
{
	struct moment now = { .mono_ns = 1 };

	(void)state;
	audit.next_try_ns = UINT64_MAX; /* no file either */
	for (unsigned i = 0; i < 5000; i++)
		audit_put(&audit, &now, &record);
	assert_true(audit.recorded > 0);
	assert_true(audit.lost > 0);
	assert_int_equal(audit.recorded + audit.lost, 5000);
}

static void refusals_are_recorded_at_a_pace_and_the_others_counted_for_each_source(void **state)
{
	struct moment now = { .mono_ns = 1 };
	unsigned taken[AUDIT_SOURCES] = { 0 };
	char bytes[4096];
	ssize_t len;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		taken[AUDIT_USERS] += audit_takes_refusal(&audit, &now, AUDIT_USERS);
	taken[AUDIT_HOST] += audit_takes_refusal(&audit, &now, AUDIT_HOST);
	taken[AUDIT_ROOT] += audit_takes_refusal(&audit, &now, AUDIT_ROOT);
	assert_int_equal(taken[AUDIT_USERS], AUDIT_REFUSALS_PER_S);
	assert_int_equal(taken[AUDIT_HOST] + taken[AUDIT_ROOT], 2);
	assert_true(audit_owes_count(&audit));
	audit_count(&audit, &now);
	assert_false(audit_owes_count(&audit));
	len = recv(journal_fd, bytes, sizeof(bytes) - 1, 0);
	assert_true(len > 0);
	bytes[len] = '\0';
	assert_non_null(strstr(bytes, "INFINISERVICE_COUNT=980\n"));
	assert_int_equal(recv(journal_fd, bytes, sizeof(bytes), 0), -1);
	for (unsigned i = 0; i < 30; i++)
		assert_true(audit_takes_read(&audit, &now, AUDIT_HOST) == (i < AUDIT_READS_PER_S));
	assert_true(audit_takes_read(&audit, &now, AUDIT_USERS));
}

static void what_changes_something_waits_for_room_within_a_bound(void **state)
{
	struct moment now = { .mono_ns = 1 };
	struct audit_record change = record, refusal = record;
	uint64_t sent;

	(void)state;
	change.changes = true;
	refusal.phase = AUDIT_REFUSED;
	audit.next_try_ns = UINT64_MAX; /* no file */
	while (audit.lost == 0)
		audit_put(&audit, &now, &refusal); /* until the journal takes no more */
	sent = audit.recorded;
	for (unsigned i = 0; i < 1000; i++)
		audit_put(&audit, &now, &change);
	assert_int_equal(audit.lost, 1);
	assert_non_null(audit.kept);
	for (unsigned i = 0; i < 20000; i++)
		audit_put(&audit, &now, &change);
	assert_true(audit.kept_bytes <= AUDIT_KEPT_BYTES);
	assert_true(audit.lost > 1);
	assert_int_equal(audit.recorded, sent);
}

/* ------------------------------------------------------------------------------------------------------ the file */

static int file_setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test-audit-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	audit_init(&audit, dir, "/nonexistent/journal");
	return 0;
}

static int file_teardown(void **state)
{
	static const char *const names[] = { AUDIT_FILE, AUDIT_FILE_OLD, "other" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

/* A file of the folder; false if there is none. */
static bool look(const char *name, char *text, size_t size, off_t *ret_size)
{
	char file[96];
	struct stat st;
	ssize_t len;
	int fd;

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	assert_int_equal(fstat(fd, &st), 0);
	len = read(fd, text, size - 1);
	close(fd);
	assert_true(len >= 0);
	text[len] = '\0';
	*ret_size = st.st_size;
	return true;
}

/* The audit is over when its child has written all and is gone. */
static void end_and_wait(void)
{
	audit_done(&audit);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void where_no_journal_takes_it_a_record_is_a_line_of_the_file(void **state)
{
	struct moment now = { .mono_ns = 1 };
	char text[4096];
	off_t size;

	(void)state;
	audit_put(&audit, &now, &record);
	audit_put(&audit, &now, &record);
	assert_int_equal(audit.recorded, 2);
	end_and_wait();
	assert_true(look(AUDIT_FILE, text, sizeof(text), &size));
	assert_int_equal(strncmp(text, "{\"type\":\"audit\",", 16), 0);
	assert_non_null(strstr(text, "}\n{\"type\":\"audit\""));
	assert_int_equal(text[size - 1], '\n');
}

static void a_full_file_makes_way_for_a_new_one(void **state)
{
	struct moment now = { .mono_ns = 1 };
	char text[4096];
	off_t size;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/%s", dir, AUDIT_FILE);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, AUDIT_FILE_BYTES), 0);
	close(fd);
	audit_put(&audit, &now, &record);
	end_and_wait();
	assert_true(look(AUDIT_FILE_OLD, text, sizeof(text), &size));
	assert_int_equal(size, AUDIT_FILE_BYTES);
	assert_true(look(AUDIT_FILE, text, sizeof(text), &size));
	assert_int_equal(size, strlen(text));
}

static void a_link_in_the_place_of_the_file_is_not_followed(void **state)
{
	struct moment now = { .mono_ns = 1 };
	char text[4096], other[80];
	off_t size;

	(void)state;
	snprintf(other, sizeof(other), "%s/other", dir);
	close(open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	snprintf(path, sizeof(path), "%s/%s", dir, AUDIT_FILE);
	assert_int_equal(symlink(other, path), 0);
	audit_put(&audit, &now, &record);
	end_and_wait();
	assert_true(look("other", text, sizeof(text), &size));
	assert_int_equal(size, 0);
	/* Nor is a file with a second name written to. */
	unlink(path);
	assert_int_equal(link(other, path), 0);
	audit_init(&audit, dir, "/nonexistent/journal");
	audit_put(&audit, &now, &record);
	end_and_wait();
	assert_true(look("other", text, sizeof(text), &size));
	assert_int_equal(size, 0);
}

static void what_waits_is_written_in_its_order_once_the_writer_runs_again(void **state)
{
	struct moment now = { .mono_ns = 1 };
	struct audit_record first = record, second = record;
	char text[4096];
	off_t size;

	(void)state;
	first.changes = second.changes = true;
	first.id = "first";
	second.id = "second";
	audit_put(&audit, &now, &record);
	shutdown(audit.writer_fd, SHUT_RDWR);
	assert_true(waitpid(-1, NULL, 0) > 0);
	audit_put(&audit, &now, &first); /* the writer is gone, and not started again at once */
	assert_int_equal(audit.writer_fd, -1);
	assert_true(audit_retry(&audit, &now));
	now.mono_ns += 10 * NS_PER_S;
	audit_put(&audit, &now, &second);
	assert_null(audit.kept);
	assert_int_equal(audit.recorded, 3);
	assert_int_equal(audit.lost, 0);
	end_and_wait();
	assert_true(look(AUDIT_FILE, text, sizeof(text), &size));
	assert_true(strstr(text, "\"first\"") < strstr(text, "\"second\""));
	assert_non_null(strstr(text, "\"first\""));
}

/* Nothing is left behind for an agent that is gone: what waits is written at the end, and the refusals are summed up.
 */
static void the_end_writes_what_waits(void **state)
{
	struct moment now = { .mono_ns = 1 };
	struct audit_record change = record;
	char text[4096];
	off_t size;

	(void)state;
	change.changes = true;
	audit.next_try_ns = UINT64_MAX;
	audit_put(&audit, &now, &change);
	audit.next_try_ns = 0;
	for (unsigned i = 0; i <= AUDIT_REFUSALS_PER_S; i++)
		audit_takes_refusal(&audit, &now, AUDIT_ROOT);
	end_and_wait();
	assert_int_equal(audit.lost, 0);
	assert_true(look(AUDIT_FILE, text, sizeof(text), &size));
	assert_non_null(strstr(text, "\"started\""));
	assert_non_null(strstr(text, "1 more were refused"));
}

static void a_disk_that_takes_nothing_loses_what_waits_at_the_end_and_counts_it(void **state)
{
	struct moment now = { .mono_ns = 1 };
	struct audit_record change = record;
	struct json_writer writer;
	char text[256];
	const char *line;
	size_t len;

	(void)state;
	change.changes = true;
	audit.next_try_ns = UINT64_MAX;
	audit_put(&audit, &now, &change);
	end_and_wait();
	assert_int_equal(audit.lost, 1);
	assert_null(audit.kept);
	json_writer_init(&writer, text, sizeof(text));
	sink_object_begin(&writer.sink, NULL);
	audit_report(&audit, &writer.sink);
	sink_object_end(&writer.sink);
	assert_int_equal(json_writer_finish(&writer, &line, &len), 0);
	assert_memory_equal(line, "{\"recorded\":0,\"lost\":1,\"reads_left_out\":0,\"refusals_left_out\":0}", len - 1);
	audit_done(&(struct audit){ .lost = 0 }); /* zeroed memory is nothing to end */
}

/* A path too long for a socket: there is no journal, and the file is used. */
static void a_journal_that_has_no_address_is_none(void **state)
{
	struct moment now = { .mono_ns = 1 };
	char long_path[200];

	(void)state;
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	audit_done(&audit);
	audit_init(&audit, dir, long_path);
	assert_int_equal(audit.journal_fd, -1);
	audit_put(&audit, &now, &record);
	assert_int_equal(audit.recorded, 1);
	end_and_wait();
}

/* ---------------------------------------------------------------------------------------------- redaction and forms */

static void secrets_in_command_lines_are_hidden(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "echo hello", "echo hello" },
		{ "DB_PASSWORD=x1 run", "DB_PASSWORD=*** run" },
		{ "run --password x1 y", "run --password *** y" },
		{ "run --password --verbose", "run --password --verbose" },
		{ "run --token=x1;ls", "run --token=***;ls" },
		{ "run --secret \"x1 x2\" z", "run --secret *** z" },
		{ "curl -H 'Authorization: Bearer x1' u", "curl -H 'Authorization: Bearer ***' u" },
		{ "{\"api_key\": \"x1\", \"a\": 1}", "{\"api_key\": ***, \"a\": 1}" },
		{ "mysql -px1 db", "mysql -p*** db" },
		{ "mkdir -p x1", "mkdir -p x1" },
		{ "git clone https://u:x1@h/p", "git clone https://u:***@h/p" },
		{ "curl http://h:80/x", "curl http://h:80/x" },
		{ "echo u:x1 | chpasswd", "*** (chpasswd)" },
		{ "PGPASSWORD='x1 x2", "PGPASSWORD=***" },
		{ "", "" },
		{ "password=", "password=***" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char out[128];

		audit_redact_text(cases[i].text, out, sizeof(out));
		assert_string_equal(out, cases[i].want);
	}
}

/* The next option is not the value of the name before it, and has a secret of its own. */
static void an_empty_value_does_not_uncover_the_secret_of_the_next_option(void **state)
{
	static const char *const texts[] = { "password= --password hunter2", "--token= --api-key hunter2 x",
					     "secret: --secret=hunter2" };
	const char *const argv[] = { "tool", "password=", "--password", "hunter2", NULL };
	char out[96];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		audit_redact_text(texts[i], out, sizeof(out));
		assert_null(strstr(out, "hunter2"));
		assert_non_null(strstr(out, "***"));
	}
	audit_redact_argv(argv, out, sizeof(out));
	assert_string_equal(out, "tool password= --password ***");
}

static void an_argv_is_quoted_as_a_shell_would_read_it_and_a_cut_is_marked(void **state)
{
	const char *const argv[] = { "echo", "a b", "", "it's", "x=1", NULL };
	const char *const passwords[] = { "sh", "-c", "echo u:x1 | chpasswd", NULL };
	char out[96], small[12];

	(void)state;
	audit_redact_argv(argv, out, sizeof(out));
	assert_string_equal(out, "echo 'a b' '' 'it'\\''s' x=1");
	audit_redact_argv(argv, small, sizeof(small));
	assert_string_equal(small, "echo 'a ...");
	audit_redact_argv(passwords, out, sizeof(out));
	assert_string_equal(out, "*** (chpasswd)");
}

/* What a shell takes for one word is one secret, with the quotes and blanks in it. */
static void no_part_of_a_secret_with_quotes_or_blanks_in_it_is_left(void **state)
{
	static const struct {
		const char *argv[4], *want;
	} argvs[] = {
		{ { "tool", "--password", "hun'ter two" }, "tool --password ***" },
		{ { "tool", "--password=hun ter", "x" }, "tool '--password=***' x" },
		{ { "tool", "--password=hun'ter two", "x" }, "tool '--password=***' x" },
	};
	static const struct {
		const char *text, *want;
	} texts[] = {
		{ "run --token \"a\\\"b c\" d", "run --token *** d" },
		{ "run \"--token=a 'b' c\" d", "run \"--token=***\" d" },
		{ "{\"password\": \"a\\\"b\", \"c\": 1}", "{\"password\": ***, \"c\": 1}" },
		{ "mysql '-pa b' db", "mysql '-p***' db" },
		{ "sh -c 'token=a; rm -r /x'", "sh -c 'token=***; rm -r /x'" },
		{ "run --token 'a\\' b", "run --token *** b" },
		{ "run --token 'a'\\''", "run --token ***" },
	};
	char out[96];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(argvs); i++) {
		audit_redact_argv(argvs[i].argv, out, sizeof(out));
		assert_string_equal(out, argvs[i].want);
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		audit_redact_text(texts[i].text, out, sizeof(out));
		assert_string_equal(out, texts[i].want);
	}
}

static void redaction_never_writes_beyond_its_room(void **state)
{
	static const char text[] = "run --password x https://u:p@h mysql -pabc Authorization: Basic q";
	char out[96];

	(void)state;
	for (size_t size = 1; size < sizeof(out); size++) {
		memset(out, '#', sizeof(out));
		audit_redact_text(text, out, size);
		assert_true(strlen(out) < size);
		assert_int_equal(out[size], '#');
	}
}

static void secret_parameters_are_hidden_at_any_depth(void **state)
{
	struct json_object *object =
		json_tokener_parse("{\"user\":\"u\",\"password\":\"x1\",\"in\":[{\"secretKey\":{\"a\":\"x1\"}}]}");
	char out[256], tiny[20];

	(void)state;
	audit_redact_object(object, out, sizeof(out));
	assert_string_equal(out, "{\"user\":\"u\",\"password\":\"***\",\"in\":[{\"secretKey\":\"***\"}]}");
	audit_redact_object(object, tiny, sizeof(tiny));
	assert_null(strstr(tiny, "x1"));
	json_object_put(object);
}

static void a_record_is_one_line_and_one_datagram(void **state)
{
	const struct audit_record ended = { .phase = AUDIT_FINISHED,
					    .id = "a\nb",
					    .action = "unsafe",
					    .origin = "host",
					    .detail = "x\ny",
					    .error_code = "COMMAND_FAILED",
					    .has_exit_code = true,
					    .exit_code = 3,
					    .duration_ms = 12 };
	static const char want_json[] = "{\"type\":\"audit\",\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"phase\":"
					"\"finished\",\"id\":\"a\\nb\",\"action\":\"unsafe\","
					"\"origin\":\"host\",\"detail\":\"x\\ny\",\"success\":false,\"error_code\":"
					"\"COMMAND_FAILED\",\"exit_code\":3,"
					"\"duration_ms\":12}\n";
	char out[AUDIT_RECORD_MAX];
	int len = audit_record_json(&ended, 0, out, sizeof(out));

	(void)state;
	assert_int_equal(len, strlen(want_json));
	assert_memory_equal(out, want_json, strlen(want_json));
	len = audit_record_journal(&ended, out, sizeof(out));
	assert_true(len > 0);
	assert_non_null(memmem(out, (size_t)len, "\nINFINISERVICE_ID\n\x03\0\0\0\0\0\0\0a\nb\n", 30));
	assert_non_null(memmem(out, (size_t)len, "\nINFINISERVICE_EXIT_CODE=3\n", 27));
	assert_non_null(memmem(out, (size_t)len, "\nMESSAGE_ID=" AUDIT_MESSAGE_ID "\n", 45));
	assert_int_equal(audit_record_json(&ended, 0, out, 40), -ENOBUFS);
	assert_int_equal(audit_record_journal(&ended, out, 40), -ENOBUFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_in_command_lines_are_hidden),
		cmocka_unit_test(an_empty_value_does_not_uncover_the_secret_of_the_next_option),
		cmocka_unit_test(an_argv_is_quoted_as_a_shell_would_read_it_and_a_cut_is_marked),
		cmocka_unit_test(no_part_of_a_secret_with_quotes_or_blanks_in_it_is_left),
		cmocka_unit_test(redaction_never_writes_beyond_its_room),
		cmocka_unit_test(secret_parameters_are_hidden_at_any_depth),
		cmocka_unit_test(a_record_is_one_line_and_one_datagram),
		cmocka_unit_test_setup_teardown(a_journal_gets_each_record_as_one_datagram, setup, teardown),
		cmocka_unit_test_setup_teardown(a_journal_that_takes_nothing_is_not_waited_for, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals_are_recorded_at_a_pace_and_the_others_counted_for_each_source,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_changes_something_waits_for_room_within_a_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(where_no_journal_takes_it_a_record_is_a_line_of_the_file, file_setup,
						file_teardown),
		cmocka_unit_test_setup_teardown(a_full_file_makes_way_for_a_new_one, file_setup, file_teardown),
		cmocka_unit_test_setup_teardown(a_link_in_the_place_of_the_file_is_not_followed, file_setup,
						file_teardown),
		cmocka_unit_test_setup_teardown(what_waits_is_written_in_its_order_once_the_writer_runs_again,
						file_setup, file_teardown),
		cmocka_unit_test_setup_teardown(the_end_writes_what_waits, file_setup, file_teardown),
		cmocka_unit_test_setup_teardown(a_disk_that_takes_nothing_loses_what_waits_at_the_end_and_counts_it,
						file_setup, file_teardown),
		cmocka_unit_test_setup_teardown(a_journal_that_has_no_address_is_none, file_setup, file_teardown),
	};

	return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
