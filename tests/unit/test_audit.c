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

#include "agent/audit.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_journal_gets_each_record_as_one_datagram, setup, teardown),
		cmocka_unit_test_setup_teardown(a_journal_that_takes_nothing_is_not_waited_for, setup, teardown),
	};

	return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
