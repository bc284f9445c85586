/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <infiniservice/cleanup.h>

#include "collectors/mountinfo.h"

static struct scan scan_of(const char *text)
{
	return scan_text(text, strlen(text));
}

static int parse(const char *text, struct mountinfo_line *out)
{
	return mountinfo_parse_line(text, strlen(text), out);
}

/* The mount points of the table, each followed by a space; '*' before a probed one. */
static void assert_table(const char *text, const char *want)
{
	struct mount_table table = { 0 };
	char got[512] = "";

	assert_int_equal(mount_table_build(&table, text, strlen(text)), 0);
	for (size_t i = 0; i < table.count; i++) {
		strcat(got, table.mounts[i].class == MOUNT_PROBED ? "*" : "");
		strcat(got, table.mounts[i].mount_point);
		strcat(got, " ");
	}
	mount_table_free(&table);
	assert_string_equal(got, want);
}

static void parses_lines_with_any_number_of_optional_fields(void **state)
{
	static const char *const lines[] = {
		"36 35 98:7 /root /mnt rw,noatime - ext3 /dev/root rw,errors=continue",
		"36 35 98:7 /root /mnt rw,noatime master:1 - ext3 /dev/root rw",
		"36 35 98:7 /root /mnt rw shared:7 master:1 propagate_from:3 new:9 - ext3 /dev/root rw new",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct mountinfo_line line;

		assert_int_equal(parse(lines[i], &line), 0);
		assert_true(line.id == 36 && line.parent == 35 && line.device == (98ULL << 32 | 7));
		assert_true(scan_equals(&line.root, "/root") && scan_equals(&line.mount_point, "/mnt"));
		assert_true(scan_equals(&line.type, "ext3") && scan_equals(&line.source, "/dev/root"));
	}
}

static void tells_read_only_by_the_mount_or_by_the_file_system(void **state)
{
	static const struct {
		const char *line;
		bool want;
	} cases[] = {
		{ "1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro", false },
		{ "1 0 8:1 / / ro,relatime - ext4 /dev/sda1 rw", true },
		{ "1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 ro,errors=remount-ro", true },
		{ "1 0 8:1 / / relatime,ro - ext4 /dev/sda1 rw", true },
		{ "1 0 8:1 / / rw,root - ext4 /dev/sda1 rw,ro_nothing", false },
		{ "1 0 8:1 / / rw - ext4 /dev/sda1 ", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mountinfo_line line;

		assert_int_equal(parse(cases[i].line, &line), 0);
		if (line.read_only != cases[i].want)
			fail_msg("'%s'", cases[i].line);
	}
}

static void a_mount_may_have_an_empty_source(void **state)
{
	struct mountinfo_line line;

	(void)state;
	assert_int_equal(parse("36 35 0:7 / /mnt rw - tmpfs  rw", &line), 0);
	assert_int_equal(scan_len(&line.source), 0);
}

static void rejects_lines_that_make_no_sense(void **state)
{
	static const char *const lines[] = {
		"",
		"36",
		"36 35",
		"36 35 98",
		"36 35 98: / /mnt rw - ext3 /dev/root rw",
		"36 35 98:7x / /mnt rw - ext3 /dev/root rw",
		"x 35 98:7 / /mnt rw - ext3 /dev/root rw",
		"36 35 98:7 / /mnt rw ext3 /dev/root rw",
		"36 35 98:7 / /mnt - ext3 /dev/root rw",
		"36 35 98:7 / /mnt rw -",
		"36 35 98:7 / /mnt rw - ext3",
		"36 35 98:7 / /mnt rw - ext3 /dev/root",
		"36 35 4294967296:7 / /mnt rw - ext3 /dev/root rw",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct mountinfo_line line = { .id = 42 };

		assert_int_equal(parse(lines[i], &line), -EBADMSG);
		assert_true(line.id == 42);
	}
}

static void undoes_the_kernels_escapes_and_no_others(void **state)
{
	static const struct {
		const char *escaped, *want;
	} cases[] = {
		{ "/mnt/a\\040b", "/mnt/a b" },
		{ "/tab\\011nl\\012bs\\134", "/tab\tnl\nbs\\" },
		{ "/\xff\xfe", "/\xff\xfe" },
		{ "/cut\\04", "/cut\\04" },
		{ "/nul\\000x", "/nul\\000x" },
		{ "/not\\089", "/not\\089" },
		{ "/big\\777", "/big\\777" },
		{ "\\", "\\" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scan field = scan_of(cases[i].escaped);
		char out[64];

		assert_int_equal(mountinfo_unescape(&field, out, sizeof(out)), strlen(cases[i].want));
		assert_string_equal(out, cases[i].want);
	}
}

static void a_path_that_does_not_fit_is_refused(void **state)
{
	struct scan field = scan_of("/12345"), empty = scan_of("");
	char out[8];

	(void)state;
	assert_int_equal(mountinfo_unescape(&field, out, 7), 6);
	assert_int_equal(mountinfo_unescape(&field, out, 6), -ENAMETOOLONG);
	assert_int_equal(mountinfo_unescape(&empty, out, 0), -ENAMETOOLONG);
}

static void types_are_local_probed_or_ignored(void **state)
{
	static const struct {
		const char *type;
		unsigned major;
		enum mount_class want;
	} cases[] = {
		{ "ext4", 254, MOUNT_LOCAL },	  { "btrfs", 0, MOUNT_LOCAL },	    { "vfat", 8, MOUNT_LOCAL },
		{ "nfs4", 0, MOUNT_PROBED },	  { "cifs", 0, MOUNT_PROBED },	    { "fuse.sshfs", 0, MOUNT_PROBED },
		{ "fuseblk", 8, MOUNT_PROBED },	  { "virtiofs", 0, MOUNT_PROBED },  { "newfs", 8, MOUNT_PROBED },
		{ "proc", 0, MOUNT_IGNORED },	  { "tmpfs", 0, MOUNT_IGNORED },    { "overlay", 0, MOUNT_NOISE },
		{ "squashfs", 7, MOUNT_NOISE },	  { "cgroup2", 0, MOUNT_IGNORED },  { "newpseudo", 0, MOUNT_IGNORED },
		{ "fuse.lxcfs", 0, MOUNT_NOISE }, { "devtmpfs", 0, MOUNT_IGNORED }, { "fusectl", 0, MOUNT_IGNORED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scan type = scan_of(cases[i].type);

		assert_int_equal(mount_classify(&type, (uint64_t)cases[i].major << 32 | 1), cases[i].want);
	}
}

static void lists_storage_and_leaves_the_rest_out(void **state)
{
	(void)state;
	assert_table("22 28 0:20 / /sys rw - sysfs sysfs rw\n23 28 0:21 / /proc rw - proc proc rw\n"
		     "28 1 254:1 / / rw - ext4 /dev/vda1 rw\n29 28 0:24 / /run rw - tmpfs tmpfs rw\n"
		     "30 28 254:15 / /boot/efi rw - vfat /dev/vda15 rw\n31 28 0:40 / /srv rw - nfs4 host:/srv rw\n",
		     "/ /boot/efi */srv ");
}

static void the_root_is_listed_whatever_it_is(void **state)
{
	(void)state;
	assert_table("5 4 254:2 / /data rw - xfs /dev/vda2 rw\n4 1 0:50 / / rw - overlay overlay rw\n", "/ /data ");
	assert_table("4 1 0:50 / / rw - nfs server:/root rw\n", "*/ ");
}

static void a_device_is_listed_once_at_its_best_mount_point(void **state)
{
	(void)state;
	assert_table("1 1 0:5 / / rw - overlay o rw\n2 1 8:1 /etc/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n"
		     "3 1 8:1 / /mnt/whole/disk rw - ext4 /dev/sda1 rw\n4 1 8:1 / /mnt/disk rw - ext4 /dev/sda1 rw\n",
		     "/ /mnt/disk ");
	assert_table("1 1 0:30 /@ / rw - btrfs /dev/vda2 rw\n2 1 0:30 / /mnt/top rw - btrfs /dev/vda2 rw\n", "/ ");
}

static void what_lies_under_another_mount_is_hidden(void **state)
{
	(void)state;
	/* The second stands on the first; what was mounted inside the first cannot be reached. */
	assert_table("1 1 8:1 / / rw - ext4 a rw\n2 1 8:2 / /mnt rw - ext4 b rw\n3 2 8:3 / /mnt/in rw - ext4 c rw\n"
		     "4 2 8:4 / /mnt rw - ext4 d rw\n5 4 8:5 / /mnt/new rw - ext4 e rw\n",
		     "/ /mnt /mnt/new ");
	/* The root of a guest stands on the initramfs. */
	assert_table(
		"1 1 0:2 / / rw - rootfs rootfs rw\n28 1 8:1 / / rw - ext4 a rw\n29 28 8:2 / /home rw - ext4 b rw\n",
		"/ /home ");
}

static void a_hidden_tmpfs_still_hides(void **state)
{
	(void)state;
	assert_table("1 1 8:1 / / rw - ext4 a rw\n2 1 8:2 / /mnt rw - ext4 b rw\n3 2 0:9 / /mnt rw - tmpfs t rw\n",
		     "/ ");
}

static void a_path_through_a_network_mount_is_probed(void **state)
{
	(void)state;
	assert_table("1 1 8:1 / / rw - ext4 a rw\n2 1 0:40 / /net rw - nfs h:/ rw\n3 2 7:1 / /net/img rw - ext4 "
		     "/dev/loop1 rw\n",
		     "/ */net */net/img ");
}

static void cycles_of_parents_end(void **state)
{
	(void)state;
	assert_table("1 2 8:1 / /a rw - ext4 a rw\n2 1 8:2 / /b rw - ext4 b rw\n", "/a /b ");
}

static void lines_of_nonsense_cost_only_themselves(void **state)
{
	struct mount_table table = { 0 };

	(void)state;
	assert_table("garbage\n1 1 8:1 / / rw - ext4 a rw\n2 1 8:2 / /m", "/ ");
	assert_int_equal(mount_table_build(&table, "garbage\n", 8), -EBADMSG);
	assert_int_equal(mount_table_build(&table, NULL, 0), -EBADMSG);
}

static void every_cut_of_the_text_is_survived(void **state)
{
	const char *text = "1 1 8:1 / / rw - ext4 a rw\n2 1 0:40 / /n\\040t rw master:1 - nfs h:/ rw\n";

	(void)state;
	for (size_t len = 0; len <= strlen(text); len++) {
		struct mount_table table = { 0 };
		char *exact = malloc(len ? len : 1);
		int r;

		memcpy(exact, text, len);
		r = mount_table_build(&table, exact, len);
		free(exact);
		mount_table_free(&table);
		assert_true(r == 0 || r == -EBADMSG);
	}
}

static void thousands_of_mounts_are_cut_to_the_limit_and_counted(void **state)
{
	struct mount_table table = { 0 };
	size_t size = 5000 * 64, len = 0;
	char *text = malloc(size);

	(void)state;
	for (int i = 2; i < 4000; i++)
		len += (size_t)snprintf(text + len, size - len, "%d 1 8:%d / /mnt/%d rw - ext4 d rw\n", i, i, i);
	len += (size_t)snprintf(text + len, size - len, "1 1 8:1 / / rw - ext4 d rw\n");
	assert_int_equal(mount_table_build(&table, text, len), 0);
	assert_int_equal(table.count, MOUNT_TABLE_MAX);
	assert_int_equal(table.total, 3999);
	assert_string_equal(table.mounts[0].mount_point, "/");
	mount_table_free(&table);
	free(text);
}

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void knows_what_engines_and_snapshots_mount(void **state)
{
	static const struct {
		const char *mount;
		bool noise;
	} cases[] = {
		{ "0:40 / /var/lib/docker/zfs/graph/0abc rw - zfs pool/0abc rw", true },
		{ "0:40 / /var/lib/containers/storage/zfs/graph/0abc rw - zfs pool/0abc rw", true },
		{ "0:40 / /var/lib/lxd/storage-pools/default/containers/c1 rw - zfs default/c1 rw", true },
		{ "0:40 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw", true },
		{ "0:40 / /home/u/.local/share/containers/storage/overlay/x/merged rw - fuse.fuse-overlayfs f rw",
		  true },
		{ "0:40 / /anywhere rw - fuse.fuse-overlayfs fuse-overlayfs rw", true },
		{ "0:40 / /run/vmblock-fuse rw - fuse.vmware-vmblock vmware-vmblock rw", true },
		{ "0:40 / /run/user/1000/gvfs rw - fuse.gvfsd-fuse gvfsd-fuse rw", true },
		{ "0:40 / /run/user/1000/doc rw - fuse.portal portal rw", true },
		{ "0:40 / /var/lib/lxcfs rw - fuse.lxcfs lxcfs rw", true },
		{ "0:40 / /tmp/.mount_Foo rw - fuse.Foo-1.2.AppImage Foo rw", true },
		{ "7:3 / /snap/core/1 ro - squashfs /dev/loop3 ro", true },
		{ "0:40 / /tank/home/.zfs/snapshot/daily-1 ro - zfs tank/home@daily-1 ro", true },
		{ "0:40 / /mnt/look ro - zfs tank/home@daily-1 ro", true },
		{ "253:9 / /var/lib/docker/devicemapper/mnt/0abc rw - xfs /dev/mapper/docker-0abc rw", true },
		{ "0:40 / /var/lib/docker/volumes/v/_data rw - zfs pool/v rw", true },
		{ "8:2 /var/lib/docker/containers/0abc/hosts /etc/hosts rw - ext4 /dev/sda2 rw", true },
		{ "8:2 /data/containers/storage/overlay-containers/0/userdata/hostname /etc/hostname rw - xfs "
		  "/dev/sda2 rw",
		  true },
		{ "8:2 /var/lib/kubelet/pods/1/etc-hosts /etc/hosts rw - ext4 /dev/sda2 rw", true },
		/* Told to keep its things elsewhere. */
		{ "0:40 / /data/engine/zfs/graph/" DIGEST " rw - zfs pool/x rw", true },
		{ "0:40 / /data/engine/zfs/graph/" DIGEST "-init rw - zfs pool/x rw", true },
		{ "0:40 / /srv/c/btrfs/subvolumes/" DIGEST " rw - btrfs /dev/sdb rw", true },
		{ "253:9 / /data/devicemapper/mnt/" DIGEST " rw - xfs /dev/mapper/docker-0abc rw", true },
		{ "8:2 /data/engine/containers/" DIGEST "/hosts /etc/hosts rw - ext4 /dev/sda2 rw", true },
		{ "0:40 / /data/engine rw - zfs pool/x rw", false },
		{ "0:40 / /data/zfs/graph/backup rw - zfs pool/x rw", false },
		{ "0:40 / /data/zfs/graph/" DIGEST "0 rw - zfs pool/x rw", false },
		{ "0:40 / /data/zfs/graph/abc rw - zfs pool/x rw", false },
		{ "8:2 /data/containers/web /srv/web rw - ext4 /dev/sda2 rw", false },
		{ "8:2 /var/lib/docker/volumes/db/_data /var/lib/mysql rw - ext4 /dev/sda2 rw", false },
		{ "0:40 / /tank/home rw - zfs tank/home rw", false },
		{ "0:40 / /var/lib/docker rw - zfs pool/docker rw", false },
		{ "8:16 / /var/lib/docker rw - ext4 /dev/sdb rw", false },
		{ "8:16 / /var/lib/docker/volumes/db rw - ext4 /dev/sdb rw", false },
		{ "8:16 / /var/lib/containers/storage/volumes/db rw - ext4 /dev/sdb rw", false },
		{ "0:40 / /var/lib/docker/volumes/v/_data rw - nfs4 host:/v rw", false },
		{ "8:16 / /var/lib/kubelet/pods/1/volumes/pv rw - ext4 /dev/sdb rw", false },
		{ "0:40 / /mnt/host rw - fuse.sshfs host: rw", false },
		{ "0:40 / /mnt/host rw - virtiofs host rw", false },
		{ "11:0 / /media/cdrom ro - iso9660 /dev/sr0 ro", false },
		{ "8:16 / /var/lib/docker2/overlay2/x rw - ext4 /dev/sdb rw", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mount_table table = { 0 };
		char text[512];

		snprintf(text, sizeof(text), "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 %s\n", cases[i].mount);
		assert_int_equal(mount_table_build(&table, text, strlen(text)), 0);
		if (table.noise != cases[i].noise || table.count + table.noise != 2)
			print_error("%s\n", cases[i].mount);
		assert_int_equal(table.noise, cases[i].noise);
		assert_int_equal(table.count + table.noise, 2);
		mount_table_free(&table);
	}
}

static void a_container_whose_root_is_a_layer_still_has_its_root(void **state)
{
	(void)state;
	assert_table("1 0 0:40 / / rw - overlay overlay rw\n", "/ ");
	assert_table("1 0 0:40 / / rw - zfs pool/c@x rw\n", "/ ");
}

static void of_two_mounts_of_a_device_the_writable_one_is_taken(void **state)
{
	(void)state;
	assert_table("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /a ro - ext4 /dev/sdb rw\n"
		     "3 1 8:2 / /longer rw - ext4 /dev/sdb rw\n",
		     "/ /longer ");
}

static void the_time_out_of_autofs_is_read_from_its_options(void **state)
{
	static const struct {
		const char *options;
		uint64_t want;
	} cases[] = {
		{ "rw,fd=5,pgrp=1,timeout=300,minproto=5,maxproto=5,indirect", 300 },
		{ "timeout=3", 3 },
		{ "rw,timeout=0,direct", 0 },
		{ "rw,direct", 0 },
		{ "", 0 },
		{ "rw,timeout=,direct", 0 },
		{ "rw,timeout=5x,direct", 0 },
		{ "rw,xtimeout=5,direct", 0 },
		{ "rw,timeout=18446744073709551615", UINT32_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scan options = scan_of(cases[i].options);

		assert_true(mountinfo_autofs_timeout_s(&options) == cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_what_engines_and_snapshots_mount),
		cmocka_unit_test(a_container_whose_root_is_a_layer_still_has_its_root),
		cmocka_unit_test(of_two_mounts_of_a_device_the_writable_one_is_taken),
		cmocka_unit_test(the_time_out_of_autofs_is_read_from_its_options),
		cmocka_unit_test(parses_lines_with_any_number_of_optional_fields),
		cmocka_unit_test(tells_read_only_by_the_mount_or_by_the_file_system),
		cmocka_unit_test(a_mount_may_have_an_empty_source),
		cmocka_unit_test(rejects_lines_that_make_no_sense),
		cmocka_unit_test(undoes_the_kernels_escapes_and_no_others),
		cmocka_unit_test(a_path_that_does_not_fit_is_refused),
		cmocka_unit_test(types_are_local_probed_or_ignored),
		cmocka_unit_test(lists_storage_and_leaves_the_rest_out),
		cmocka_unit_test(the_root_is_listed_whatever_it_is),
		cmocka_unit_test(a_device_is_listed_once_at_its_best_mount_point),
		cmocka_unit_test(what_lies_under_another_mount_is_hidden),
		cmocka_unit_test(a_hidden_tmpfs_still_hides),
		cmocka_unit_test(a_path_through_a_network_mount_is_probed),
		cmocka_unit_test(cycles_of_parents_end),
		cmocka_unit_test(lines_of_nonsense_cost_only_themselves),
		cmocka_unit_test(every_cut_of_the_text_is_survived),
		cmocka_unit_test(thousands_of_mounts_are_cut_to_the_limit_and_counted),
	};

	return cmocka_run_group_tests_name("mountinfo", tests, NULL, NULL);
}
