/* SPDX-License-Identifier: MIT */
/* The cleaner in a tree of its own: `root_fd` is a directory made for the test, and the time is an argument. */
#include "agent/cleaner/cleaner.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/clean_report.h"
#include "transport/json_write.h"
#include "tests/room.h"

const bool test_can_destroy = true;

#define OLD (11 * CLEANER_DAY_S)

struct fixture {
	char root[64];
	struct cleaner cleaner;
	char removed[4096]; /* " path" each */
};

static void on_removed(void *data, const char *path, uint64_t bytes)
{
	struct fixture *f = data;
	size_t len = strlen(f->removed);

	(void)bytes;
	snprintf(f->removed + len, sizeof(f->removed) - len, " %s", path);
}

static void make_dir(struct fixture *f, const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s/%s", f->root, path);
	assert_int_equal(mkdir(full, 0755), 0);
}

static void make_file(struct fixture *f, const char *path, const char *text)
{
	char full[512];
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s", f->root, path);
	file = fopen(full, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void make_link(struct fixture *f, const char *target, const char *path)
{
	assert_int_equal(symlinkat(target, f->cleaner.root_fd, path), 0);
}

static bool there(const struct fixture *f, const char *path)
{
	struct stat st;

	return fstatat(f->cleaner.root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	strcpy(f->root, "/tmp/cleaner-XXXXXX");
	if (!mkdtemp(f->root))
		return -1;
	f->cleaner = (struct cleaner){ .root_fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
				       .now_s = time(NULL) + OLD,
				       .age_s = -1,
				       .removed = on_removed,
				       .data = f };
	*state = f;
	make_dir(f, "tmp");
	make_dir(f, "outside");
	make_file(f, "outside/precious", "precious");
	return 0;
}

static int unlink_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->cleaner.root_fd);
	nftw(f->root, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static void clean(struct fixture *f, const char *target)
{
	assert_int_equal(cleaner_run(&f->cleaner, cleaner_target_find(target)), 0);
}

static void removes_old_files_and_the_directories_they_leave(void **state)
{
	struct fixture *f = *state;

	make_dir(f, "tmp/a");
	make_dir(f, "tmp/a/b");
	make_file(f, "tmp/a/b/file", "some bytes");
	make_file(f, "tmp/other", "more");
	clean(f, "tmp");
	assert_false(there(f, "tmp/a"));
	assert_false(there(f, "tmp/other"));
	assert_true(there(f, "tmp"));
	assert_true(f->cleaner.freed_bytes >= 8192);
	assert_int_equal(f->cleaner.items, 4);
	assert_int_equal(f->cleaner.errors, 0);
	assert_non_null(strstr(f->removed, " /tmp/a/b/file"));
}

static void keeps_what_is_young(void **state)
{
	struct fixture *f = *state;

	make_dir(f, "tmp/a");
	make_file(f, "tmp/a/file", "x");
	f->cleaner.now_s = time(NULL) + 9 * CLEANER_DAY_S;
	clean(f, "tmp");
	assert_true(there(f, "tmp/a/file"));
	assert_int_equal(f->cleaner.items, 0);
	f->cleaner.age_s = 8 * CLEANER_DAY_S;
	clean(f, "tmp");
	assert_false(there(f, "tmp/a"));
}

static void keeps_a_file_that_was_read_lately(void **state)
{
	struct fixture *f = *state;
	struct timespec times[2] = { { .tv_sec = f->cleaner.now_s - 60 }, { .tv_sec = 1000 } };

	make_file(f, "tmp/used", "x");
	assert_int_equal(utimensat(f->cleaner.root_fd, "tmp/used", times, 0), 0);
	clean(f, "tmp");
	assert_true(there(f, "tmp/used"));
}

static void a_dry_run_removes_nothing_and_says_what_it_would(void **state)
{
	struct fixture *f = *state;

	make_dir(f, "tmp/a");
	make_file(f, "tmp/a/file", "x");
	f->cleaner.dry_run = true;
	clean(f, "tmp");
	assert_true(there(f, "tmp/a/file"));
	assert_int_equal(f->cleaner.items, 1);
	assert_true(f->cleaner.freed_bytes >= 512);
}

static void a_farm_of_links_costs_nothing_outside(void **state)
{
	struct fixture *f = *state;
	char absolute[128];

	snprintf(absolute, sizeof(absolute), "%s/outside", f->root);
	make_link(f, "../outside", "tmp/up");
	make_link(f, absolute, "tmp/absolute");
	make_link(f, "../outside/precious", "tmp/file");
	make_link(f, ".", "tmp/self");
	make_link(f, "/", "tmp/root");
	make_link(f, "/proc/self/root", "tmp/magic");
	make_dir(f, "tmp/deep");
	make_link(f, "../../outside", "tmp/deep/up");
	clean(f, "tmp");
	assert_true(there(f, "outside/precious"));
	assert_false(there(f, "tmp/up")); /* the link itself is old and goes */
	assert_false(there(f, "tmp/deep"));
	assert_null(strstr(f->removed, "precious"));
}

static void a_place_that_is_a_link_is_not_entered(void **state)
{
	struct fixture *f = *state;

	make_dir(f, "var");
	make_link(f, "../outside", "var/tmp");
	clean(f, "var_tmp");
	assert_true(there(f, "outside/precious"));
	assert_true(there(f, "var/tmp"));
	make_link(f, "outside", "var/crash");
	clean(f, "crash");
	assert_true(there(f, "outside/precious"));
}

static void another_name_keeps_its_bytes(void **state)
{
	struct fixture *f = *state;
	char line[16] = "";
	int fd;

	assert_int_equal(linkat(f->cleaner.root_fd, "outside/precious", f->cleaner.root_fd, "tmp/hard", 0), 0);
	clean(f, "tmp");
	assert_false(there(f, "tmp/hard"));
	assert_int_equal(f->cleaner.freed_bytes, 0);
	fd = openat(f->cleaner.root_fd, "outside/precious", O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, line, sizeof(line)), 8);
	close(fd);
}

static void a_hard_link_is_not_emptied(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(linkat(f->cleaner.root_fd, "outside/precious", f->cleaner.root_fd, "tmp/hard", 0), 0);
	make_file(f, "tmp/log", "lines");
	assert_int_equal(cleaner_place(&f->cleaner, &(struct cleaner_place){ .path = "tmp", .depth = 2 }, 0, true), 0);
	assert_int_equal(fstatat(f->cleaner.root_fd, "outside/precious", &st, 0), 0);
	assert_int_equal(st.st_size, 8);
	assert_int_equal(fstatat(f->cleaner.root_fd, "tmp/log", &st, 0), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(f->cleaner.errors, 1);
}

static void leaves_sockets_pipes_and_what_servers_keep(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkfifoat(f->cleaner.root_fd, "tmp/pipe", 0600), 0);
	make_dir(f, "tmp/.X11-unix");
	make_file(f, "tmp/.X11-unix/X0", "x");
	make_dir(f, "tmp/systemd-private-1234-foo");
	make_file(f, "tmp/systemd-private-1234-foo/tmp", "x");
	clean(f, "tmp");
	assert_true(there(f, "tmp/pipe"));
	assert_true(there(f, "tmp/.X11-unix/X0"));
	assert_true(there(f, "tmp/systemd-private-1234-foo/tmp"));
}

static void a_place_of_certain_files_keeps_all_others(void **state)
{
	struct fixture *f = *state;

	make_dir(f, "var");
	make_dir(f, "var/cache");
	make_dir(f, "var/cache/apt");
	make_dir(f, "var/cache/apt/archives");
	make_dir(f, "var/cache/apt/archives/partial");
	make_file(f, "var/cache/apt/archives/a_1_all.deb", "x");
	make_file(f, "var/cache/apt/archives/partial/b_1_all.deb", "x");
	make_file(f, "var/cache/apt/archives/lock", "");
	clean(f, "package_cache");
	assert_false(there(f, "var/cache/apt/archives/a_1_all.deb"));
	assert_false(there(f, "var/cache/apt/archives/partial/b_1_all.deb"));
	assert_true(there(f, "var/cache/apt/archives/lock"));
	assert_true(there(f, "var/cache/apt/archives/partial"));
}

/* Where the test may mount (root in a mount namespace of its own); elsewhere it is skipped. */
static void does_not_cross_into_another_file_system_nor_a_bind_mount(void **state)
{
	struct fixture *f = *state;
	char source[128], target[128];

	make_dir(f, "tmp/mounted");
	make_dir(f, "tmp/bound");
	snprintf(source, sizeof(source), "%s/outside", f->root);
	snprintf(target, sizeof(target), "%s/tmp/bound", f->root);
	if (mount(source, target, NULL, MS_BIND, NULL) < 0)
		skip();
	clean(f, "tmp");
	assert_int_equal(umount(target), 0);
	assert_true(there(f, "outside/precious"));
	assert_false(there(f, "tmp/mounted"));
}

static void stops_at_a_depth(void **state)
{
	struct fixture *f = *state;
	char path[512] = "tmp";

	for (int i = 0; i < 40; i++) {
		strcat(path, "/d");
		make_dir(f, path);
	}
	strcat(path, "/file");
	make_file(f, path, "x");
	clean(f, "tmp");
	assert_true(there(f, path));
}

static void knows_no_target_by_a_path(void **state)
{
	(void)state;
	assert_null(cleaner_target_find("/etc"));
	assert_null(cleaner_target_find("../tmp"));
	assert_null(cleaner_target_find(""));
}

static void empties_or_removes_a_single_file(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	make_dir(f, "etc");
	make_file(f, "etc/machine-id", "0123456789abcdef0123456789abcdef\n");
	make_file(f, "etc/secret", "x");
	make_link(f, "../outside/precious", "etc/link");
	make_link(f, "outside", "etclink");
	assert_int_equal(cleaner_file(&f->cleaner, "etc/machine-id", true), 0);
	assert_int_equal(cleaner_file(&f->cleaner, "etc/secret", false), 0);
	assert_int_equal(cleaner_file(&f->cleaner, "etc/nothing", false), 0);
	assert_int_equal(cleaner_file(&f->cleaner, "nowhere/nothing", false), 0);
	assert_int_equal(cleaner_file(&f->cleaner, "etc/link", true), 0); /* counted as an error, nothing emptied */
	assert_true(cleaner_file(&f->cleaner, "etclink/precious", false) < 0);
	assert_int_equal(fstatat(f->cleaner.root_fd, "etc/machine-id", &st, 0), 0);
	assert_int_equal(st.st_size, 0);
	assert_false(there(f, "etc/secret"));
	assert_int_equal(fstatat(f->cleaner.root_fd, "outside/precious", &st, 0), 0);
	assert_int_equal(st.st_size, 8);
}

static void a_report_is_read_back(void **state)
{
	static const char text[] =
		"item\t4096\t/tmp/a\nitem\t0\t/tmp/b\\x0ac\nnoise\ndirectories\t1\nend\t4096\t2\t7\t1\n";
	struct clean_report report;

	(void)state;
	clean_report_parse(text, sizeof(text) - 1, &report);
	assert_true(report.ended);
	assert_int_equal(report.freed_bytes, 4096);
	assert_int_equal(report.items, 2);
	assert_int_equal(report.directories, 1);
	assert_int_equal(report.kept, 7);
	assert_int_equal(report.errors, 1);
}

static void a_report_that_was_cut_off_counts_its_items(void **state)
{
	static const char text[] = "item\t4096\t/tmp/a\nitem\t100\t/tmp/b\nitem\t5";
	struct clean_report report;

	(void)state;
	clean_report_parse(text, sizeof(text) - 1, &report);
	assert_false(report.ended);
	assert_int_equal(report.items, 2);
	assert_int_equal(report.freed_bytes, 4196);
	clean_report_parse(NULL, 0, &report);
	assert_int_equal(report.items, 0);
}

static void a_report_that_does_not_fit_says_how_many_items_there_are(void **state)
{
	enum { ITEMS = 3000 };
	char *text = malloc(ITEMS * 64), *buffer = malloc(65536);
	struct clean_report report;
	struct json_writer w;
	size_t len = 0;

	(void)state;
	assert_true(text && buffer);
	for (int i = 0; i < ITEMS; i++)
		len += (size_t)sprintf(text + len, "item\t1\t/tmp/a-name-that-takes-its-place-%05d\n", i);
	len += (size_t)sprintf(text + len, "end\t%d\t%d\t0\t0\n", ITEMS, ITEMS);
	clean_report_parse(text, len, &report);
	json_writer_init(&w, buffer, 65535);
	sink_object_begin(&w.sink, NULL);
	clean_report_emit(&w.sink, &report);
	sink_object_end(&w.sink);
	assert_false(sink_full(&w.sink));
	buffer[w.len] = '\0';
	assert_non_null(strstr(buffer, "-00500\""));
	assert_null(strstr(buffer, "-02999\""));
	assert_non_null(strstr(buffer, "\"truncated\":true,\"total_count\":3000"));
	free(text);
	free(buffer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(removes_old_files_and_the_directories_they_leave),
		TEST(keeps_what_is_young),
		TEST(keeps_a_file_that_was_read_lately),
		TEST(a_dry_run_removes_nothing_and_says_what_it_would),
		TEST(a_farm_of_links_costs_nothing_outside),
		TEST(a_place_that_is_a_link_is_not_entered),
		TEST(another_name_keeps_its_bytes),
		TEST(a_hard_link_is_not_emptied),
		TEST(leaves_sockets_pipes_and_what_servers_keep),
		TEST(a_place_of_certain_files_keeps_all_others),
		TEST(does_not_cross_into_another_file_system_nor_a_bind_mount),
		TEST(stops_at_a_depth),
		TEST(knows_no_target_by_a_path),
		TEST(empties_or_removes_a_single_file),
		TEST(a_report_is_read_back),
		TEST(a_report_that_was_cut_off_counts_its_items),
		TEST(a_report_that_does_not_fit_says_how_many_items_there_are),
	};

	return cmocka_run_group_tests_name("cleaner", tests, NULL, NULL);
}
