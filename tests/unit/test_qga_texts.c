/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utmp.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/texts.h"

static struct scan line_of(const char *text)
{
	return scan_text(text, strlen(text));
}

static struct utmp record_of(const char *name, short type, int s)
{
	struct utmp record = { .ut_type = type, .ut_tv = { .tv_sec = s, .tv_usec = 500000 } };

	strncpy(record.ut_user, name, sizeof(record.ut_user));
	return record;
}

static void users_are_listed_once_with_their_earliest_login(void **state)
{
	struct utmp records[] = { record_of("reboot", BOOT_TIME, 1),
				  record_of("bob", USER_PROCESS, 300),
				  record_of("alice", USER_PROCESS, 200),
				  record_of("bob", USER_PROCESS, 100),
				  record_of("gone", DEAD_PROCESS, 50),
				  record_of("abcdefghijklmnopqrstuvwxyz0123456789", USER_PROCESS, 7),
				  record_of("", USER_PROCESS, 9) };
	struct qga_user users[8];

	(void)state;
	assert_int_equal(qga_users_parse((const char *)records, sizeof(records), users, 8), 3);
	assert_string_equal(users[0].name, "bob");
	assert_true(users[0].login_us == 100500000);
	assert_string_equal(users[1].name, "alice");
	assert_string_equal(users[2].name, "abcdefghijklmnopqrstuvwxyz012345");
	assert_int_equal(qga_users_parse((const char *)records, sizeof(records), users, 1), 1);
	assert_int_equal(qga_users_parse((const char *)records, 2 * sizeof(*records) - 1, users, 8), 0);
	assert_int_equal(qga_users_parse(NULL, 0, users, 8), 0);
}

static void routes_of_ipv4_are_in_the_byte_order_of_the_machine(void **state)
{
	static const uint8_t gateway[4] = { 192, 0, 2, 1 }, mask[4] = { 255, 255, 255, 0 };
	struct qga_route route;

	(void)state;
	assert_int_equal(
		qga_route_parse(line_of("eth0\t00000000\t010200C0\t0003\t1\t2\t100\t00FFFFFF\t3\t4\t5   "), &route), 0);
	assert_string_equal(route.iface, "eth0");
	assert_memory_equal(route.gateway, gateway, 4);
	assert_memory_equal(route.mask, mask, 4);
	assert_int_equal(route.flags, 3);
	assert_int_equal(route.refcnt, 1);
	assert_int_equal(route.use, 2);
	assert_int_equal(route.metric, 100);
	assert_int_equal(route.mtu, 3);
	assert_int_equal(route.window, 4);
	assert_int_equal(route.irtt, 5);
	assert_int_equal(qga_route_parse(line_of("Iface\tDestination\tGateway \tFlags\tRefCnt"), &route), -EBADMSG);
	assert_int_equal(qga_route_parse(line_of("eth0\t00000000\t0102"), &route), -EBADMSG);
	assert_int_equal(qga_route_parse(line_of(""), &route), -EBADMSG);
}

static void routes_of_ipv6_are_hexadecimal(void **state)
{
	static const char text[] = "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 "
				   "fd000000000000000000000000000001 00000100 0000000a 00000010 00000001     eth0";
	struct qga_route route;

	(void)state;
	assert_int_equal(qga_route6_parse(line_of(text), &route), 0);
	assert_true(route.ipv6);
	assert_int_equal(route.destination[0], 0xfe);
	assert_int_equal(route.prefix, 64);
	assert_int_equal(route.gateway[15], 1);
	assert_int_equal(route.metric, 256);
	assert_int_equal(route.refcnt, 10);
	assert_int_equal(route.use, 16);
	assert_string_equal(route.iface, "eth0");
	for (size_t len = 0; len < sizeof(text) - 5; len++)
		assert_int_equal(qga_route6_parse(scan_text(text, len), &route), -EBADMSG);
	assert_int_equal(
		qga_route6_parse(line_of("fe800000000000000000000000000000 81 00000000000000000000000000000000 00 "
					 "fd000000000000000000000000000001 0 0 0 0 eth0"),
				 &route),
		-EBADMSG);
}

static void disks_of_every_kernel_have_the_columns_that_it_counts(void **state)
{
	struct qga_diskstats disk;

	(void)state;
	assert_int_equal(qga_diskstats_parse(line_of(" 254  0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"), &disk),
			 0);
	assert_int_equal(disk.count, 17);
	assert_int_equal(disk.columns[16], 17);
	assert_true(scan_equals(&disk.name, "vda"));
	assert_int_equal(qga_diskstats_parse(line_of("8 1 sda1 1 2 3 4 5 6 7 8 9 10 11"), &disk), 0);
	assert_int_equal(disk.count, 11);
	assert_int_equal(qga_diskstats_parse(line_of("8 1 a b 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"), &disk),
			 0);
	assert_int_equal(disk.count, 17);
	assert_true(scan_equals(&disk.name, "a b"));
	assert_int_equal(qga_diskstats_parse(line_of("8 1 sda 1 2 3"), &disk), -EBADMSG);
	assert_int_equal(qga_diskstats_parse(line_of("8 x sda 1 2 3 4 5 6 7 8 9 10 11"), &disk), -EBADMSG);
	assert_int_equal(qga_diskstats_parse(line_of(""), &disk), -EBADMSG);
}

static void processors_are_told_from_their_sum_and_other_lines(void **state)
{
	struct qga_cpustats cpu;

	(void)state;
	assert_int_equal(qga_cpustats_parse(line_of("cpu12 1 2 3 4 5 6 7 8 9 10"), &cpu), 0);
	assert_int_equal(cpu.cpu, 12);
	assert_int_equal(cpu.count, 10);
	assert_int_equal(cpu.ticks[9], 10);
	assert_int_equal(qga_cpustats_parse(line_of("cpu0 1 2 3 4"), &cpu), 0);
	assert_int_equal(cpu.count, 4);
	assert_int_equal(qga_cpustats_parse(line_of("cpu  1 2 3 4 5 6 7 8 9 10"), &cpu), -ENOENT);
	assert_int_equal(qga_cpustats_parse(line_of("intr 5"), &cpu), -ENOENT);
	assert_int_equal(qga_cpustats_parse(line_of("cpu"), &cpu), -ENOENT);
	assert_int_equal(qga_cpustats_parse(line_of("cpu0 1 x"), &cpu), -EBADMSG);
}

static void the_last_pci_device_on_the_way_to_a_disk_is_its_controller(void **state)
{
	struct qga_disk_path path;
	static const char behind_a_bridge[] =
		"devices/pci0000:00/0000:00:02.1/0000:02:1f.7/virtio1/host2/target2:0:3/2:0:3:4/block/sda/sda1";

	(void)state;
	qga_disk_path_parse("devices/pci0000:00/0000:00:02.0/virtio0/block/vda", &path);
	assert_true(path.pci && path.virtio && !path.has_host && !path.has_target && !path.virtual);
	assert_int_equal(path.slot, 2);
	assert_int_equal(path.pci_len, strlen("devices/pci0000:00/0000:00:02.0"));
	qga_disk_path_parse(behind_a_bridge, &path);
	assert_true(path.pci && path.has_host && path.has_target);
	assert_int_equal(path.bus, 2);
	assert_int_equal(path.slot, 0x1f);
	assert_int_equal(path.function, 7);
	assert_int_equal(path.host, 2);
	assert_int_equal(path.target[0], 0);
	assert_int_equal(path.target[1], 3);
	assert_int_equal(path.target[2], 4);
	qga_disk_path_parse("devices/virtual/block/dm-0", &path);
	assert_true(path.virtual && !path.pci);
	qga_disk_path_parse("devices/pci0000:00", &path);
	assert_false(path.pci);
	qga_disk_path_parse("", &path);
	assert_false(path.pci);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_are_listed_once_with_their_earliest_login),
		cmocka_unit_test(routes_of_ipv4_are_in_the_byte_order_of_the_machine),
		cmocka_unit_test(routes_of_ipv6_are_hexadecimal),
		cmocka_unit_test(disks_of_every_kernel_have_the_columns_that_it_counts),
		cmocka_unit_test(processors_are_told_from_their_sum_and_other_lines),
		cmocka_unit_test(the_last_pci_device_on_the_way_to_a_disk_is_its_controller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
