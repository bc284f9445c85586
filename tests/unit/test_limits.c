/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "collectors/limits.h"
#include "collectors/table.h"
#include "subject.h"

static void write_all(const struct fixture *fixture)
{
	fixture_write(fixture, "proc/sys/fs/file-nr", "1024\t0\t9223372036854775807\n");
	fixture_write(fixture, "proc/sys/fs/inode-nr", "84312\t1204\n");
	fixture_write(fixture, "proc/loadavg", "0.20 0.18 0.12 1/80 11206\n");
	fixture_write(fixture, "proc/sys/kernel/threads-max", "30000\n");
	fixture_write(fixture, "proc/sys/kernel/pid_max", "4194304\n");
	fixture_write(fixture, "proc/sys/net/netfilter/nf_conntrack_count", "12\n");
	fixture_write(fixture, "proc/sys/net/netfilter/nf_conntrack_max", "65536\n");
	fixture_write(fixture, "proc/sys/kernel/random/entropy_avail", "256\n");
	fixture_write(fixture, "proc/sys/kernel/random/poolsize", "256\n");
}

static void texts_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "\n", "1\n", "1 x\n", "-1 0 2\n", "1 2.5 3", "18446744073709551616 0 1\n"
	};
	struct file_nr files = { .open = 42 };
	struct inode_nr inodes = { .unused = 42 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(file_nr_parse(bad[i], strlen(bad[i]), &files), -EBADMSG);
		assert_int_equal(inode_nr_parse(bad[i], strlen(bad[i]), &inodes), -EBADMSG);
	}
	assert_int_equal(files.open, 42);
	assert_int_equal(inodes.unused, 42);
	assert_int_equal(file_nr_parse("1 2", 3, &files), -EBADMSG);
	assert_int_equal(inode_nr_parse("10 4", 4, &inodes), 0);
	assert_int_equal(inodes.in_memory, 10);
}

static void use_stands_beside_the_limit(void **state)
{
	write_all(*state);
	assert_emits(
		*state, &collector_limits,
		"\"files\":{\"open\":1024,\"max\":9223372036854775807},\"inodes\":{\"used\":83108,\"unused\":1204},"
		"\"threads\":{\"used\":80,\"max\":30000,\"pid_max\":4194304},\"conntrack\":{\"used\":12,\"max\":65536},"
		"\"entropy\":{\"available_bits\":256,\"pool_bits\":256}");
}

static void what_the_kernel_lacks_is_null_and_says_why(void **state)
{
	struct fixture *fixture = *state;

	write_all(fixture);
	fixture_remove(fixture, "proc/sys/net/netfilter/nf_conntrack_count");
	fixture_remove(fixture, "proc/sys/net/netfilter/nf_conntrack_max");
	fixture_write(fixture, "proc/sys/kernel/random/poolsize", "many\n");
	fixture_write(fixture, "proc/sys/fs/inode-nr", "7 9\n");
	assert_emits(fixture, &collector_limits,
		     "\"files\":{\"open\":1024,\"max\":9223372036854775807},\"inodes\":{\"used\":0,\"unused\":9},"
		     "\"threads\":{\"used\":80,\"max\":30000,\"pid_max\":4194304},"
		     "\"conntrack\":{\"used\":null,\"max\":null,\"reason\":\"unsupported\"},"
		     "\"entropy\":{\"available_bits\":256,\"pool_bits\":null,\"reason\":\"invalid\"}");
	fixture_write(fixture, "proc/loadavg", "garbage\n");
	fixture_write(fixture, "proc/sys/fs/file-nr", "garbage\n");
	assert_emits(
		fixture, &collector_limits,
		"\"files\":{\"open\":null,\"max\":null,\"reason\":\"invalid\"},\"inodes\":{\"used\":0,\"unused\":9},"
		"\"threads\":{\"used\":null,\"max\":30000,\"pid_max\":4194304,\"reason\":\"invalid\"},"
		"\"conntrack\":{\"used\":null,\"max\":null,\"reason\":\"unsupported\"},"
		"\"entropy\":{\"available_bits\":256,\"pool_bits\":null,\"reason\":\"invalid\"}");
}

static void without_any_text_there_is_an_error(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(collector_limits.open(&fixture->ctx, &fixture->state), 0);
	assert_int_equal(collector_limits.collect(fixture->state, &fixture->ctx), -ENOENT);
	collector_limits.close(fixture->state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SUBJECT_TEST(texts_that_are_none_are_refused),
		SUBJECT_TEST(use_stands_beside_the_limit),
		SUBJECT_TEST(what_the_kernel_lacks_is_null_and_says_why),
		SUBJECT_TEST(without_any_text_there_is_an_error),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
