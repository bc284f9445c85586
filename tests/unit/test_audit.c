/* SPDX-License-Identifier: MIT */
/* Audit records on their way to a journal; the way to the file is told by the integration stories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/audit/audit.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_journal_gets_each_record_as_one_datagram, setup, teardown),
		cmocka_unit_test_setup_teardown(a_journal_that_takes_nothing_is_not_waited_for, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals_are_recorded_at_a_pace_and_the_others_counted_for_each_source,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_changes_something_waits_for_room_within_a_bound, setup, teardown),
	};

	return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
