/* SPDX-License-Identifier: MIT */
/* The cleaner in a tree of its own: `root_fd` is a directory made for the test, and the time is an argument. */
#include "tests/cleaner_fixture.h"

#include <sys/mount.h>

const bool test_can_destroy = true;

#define OLD (11 * CLEANER_DAY_S)

static int setup(void **state)
{
	struct tree *f;

	if (tree_begin(state) < 0)
		return -1;
	f = *state;
	f->cleaner.now_s += OLD;
	make_dir(f, "tmp");
	make_file(f, "outside/precious", "precious");
	return 0;
}

static void clean(struct tree *f, const char *target)
{
	assert_int_equal(cleaner_run(&f->cleaner, target), 0);
}

static void removes_old_files_and_the_directories_they_leave(void **state)
{
	struct tree *f = *state;

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
	struct tree *f = *state;

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
	struct tree *f = *state;
	struct timespec times[2] = { { .tv_sec = f->cleaner.now_s - 60 }, { .tv_sec = 1000 } };

	make_file(f, "tmp/used", "x");
	assert_int_equal(utimensat(f->cleaner.root_fd, "tmp/used", times, 0), 0);
	clean(f, "tmp");
	assert_true(there(f, "tmp/used"));
}

static void a_dry_run_removes_nothing_and_says_what_it_would(void **state)
{
	struct tree *f = *state;

	make_file(f, "tmp/a/file", "x");
	f->cleaner.dry_run = true;
	clean(f, "tmp");
	assert_true(there(f, "tmp/a/file"));
	assert_int_equal(f->cleaner.items, 1);
	assert_true(f->cleaner.freed_bytes >= 512);
}

static void a_farm_of_links_costs_nothing_outside(void **state)
{
	struct tree *f = *state;
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
	struct tree *f = *state;

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
	struct tree *f = *state;
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
	struct tree *f = *state;
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
	struct tree *f = *state;

	assert_int_equal(mkfifoat(f->cleaner.root_fd, "tmp/pipe", 0600), 0);
	make_file(f, "tmp/.X11-unix/X0", "x");
	make_file(f, "tmp/systemd-private-1234-foo/tmp", "x");
	clean(f, "tmp");
	assert_true(there(f, "tmp/pipe"));
	assert_true(there(f, "tmp/.X11-unix/X0"));
	assert_true(there(f, "tmp/systemd-private-1234-foo/tmp"));
}

static void a_place_of_certain_files_keeps_all_others(void **state)
{
	struct tree *f = *state;

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
	struct tree *f = *state;
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
	struct tree *f = *state;
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
	struct tree *f = *state;

	assert_int_equal(cleaner_run(&f->cleaner, "/etc"), -ENOENT);
	assert_int_equal(cleaner_run(&f->cleaner, "../tmp"), -ENOENT);
	assert_int_equal(cleaner_run(&f->cleaner, ""), -ENOENT);
}

static void empties_or_removes_a_single_file(void **state)
{
	struct tree *f = *state;
	struct stat st;

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

/* ---------------------------------------------------------------------------------------------------------- verbs */

/* As old as the verb, which looks at the clock, wants it; a change of the status cannot be set, so that age is 0. */
static void the_verb_clean_removes_what_its_targets_name_and_tells_each(void **state)
{
	struct tree *f = *state;

	make_file(f, "tmp/a\tb\\c", "some bytes");
	make_file(f, "var/tmp/deep/file", "x");
	make_file(f, "var/log/x.gz", "x");
	assert_int_equal(VERB(f, cleaner_main, "--dry-run", "--age-days", "0", "--", "tmp"), 0);
	assert_non_null(strstr(f->out, "\t/tmp/a\\x09b\\x5cc\ndirectories\t0\nend\t"));
	assert_true(there(f, "tmp/a\tb\\c"));
	assert_int_equal(VERB(f, cleaner_main, "--age-days", "0", "--", "tmp", "var_tmp", "old_logs"), 0);
	assert_non_null(strstr(f->out, "\t/var/tmp/deep/file\n"));
	assert_non_null(strstr(f->out, "\t/var/tmp/deep\ndirectories\t1\nend\t"));
	assert_non_null(strstr(f->out, "\t3\t1\t0\n"));
	assert_false(there(f, "tmp/a\tb\\c"));
	assert_false(there(f, "var/tmp/deep"));
	assert_true(there(f, "var/log/x.gz"));
	assert_true(there(f, "outside/precious"));
}

static void the_verb_clean_keeps_what_is_young(void **state)
{
	struct tree *f = *state;

	make_file(f, "tmp/young", "x");
	assert_int_equal(VERB(f, cleaner_main, "--", "tmp"), 0);
	assert_string_equal(f->out, "directories\t0\nend\t0\t0\t1\t0\n");
	assert_true(there(f, "tmp/young"));
}

static void a_verb_that_is_asked_wrongly_touches_nothing(void **state)
{
	static const struct {
		int (*verb)(int argc, char *argv[]);
		const char *argv[6];
	} cases[] = {
		{ cleaner_main, { "clean", NULL } },
		{ cleaner_main, { "clean", "--age-days", "0", "--", NULL } },
		{ cleaner_main, { "clean", "--age-days", "0", "tmp", "/etc", NULL } },
		{ cleaner_main, { "clean", "--age-days", "-1", "tmp", NULL } },
		{ cleaner_main, { "clean", "--age-days", "3651", "tmp", NULL } },
		{ cleaner_main, { "clean", "--age-days", "9223372036854775807", "tmp", NULL } },
		{ cleaner_main, { "clean", "--age-days", "0x", "tmp", NULL } },
		{ cleaner_main, { "clean", "--age-days", "", "tmp", NULL } },
		{ cleaner_main, { "clean", "--age-days=0", "--root", "tmp", NULL } },
		{ golden_main, { "golden", "all", NULL } },
		{ golden_main, { "golden", "--users", "--root=/", NULL } },
	};
	struct tree *f = *state;

	make_file(f, "tmp/file", "x");
	make_file(f, "etc/machine-id", "0123\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (run_verb(f, cases[i].verb, cases[i].argv) != 2 || f->out[0] || !strstr(f->err, "usage: "))
			fail_msg("case %zu: \"%s\", \"%s\"", i, f->out, f->err);
	}
	assert_true(there(f, "tmp/file"));
	assert_string_equal(text_of(f, "etc/machine-id"), "0123\n");
}

/* By options: '-' nothing more, 'd' --deep, 'u' --users; the other files go always. */
static const struct {
	const char *path;
	char gone; /* 'e': emptied; 'k': kept */
} machine[] = {
	{ "etc/machine-id", 'e' },
	{ "etc/ssh/ssh_host_ed25519_key", '-' },
	{ "etc/ssh/sshd_config", 'k' },
	{ "etc/infiniservice/secret", '-' },
	{ "etc/infiniservice/infiniservice.conf", 'k' },
	{ "root/.bash_history", '-' },
	{ "var/log/journal/0123/system.journal", '-' },
	{ "var/log/infiniservice/metrics-1.ndjson", '-' },
	{ "var/log/syslog", 'e' },
	{ "var/log/syslog.1", '-' },
	{ "var/lib/infiniservice/vm_id", '-' },
	{ "var/lib/apt/lists/x_Packages", 'd' },
	{ "var/cache/apt/pkgcache.bin", 'd' },
	{ "var/cache/apt/archives/a.deb", '-' },
	{ "tmp/file", '-' },
	{ "home/ann/.bash_history", 'u' },
	{ "home/ann/.cache/thing/x", 'u' },
	{ "home/ann/letter", 'k' },
	{ "home/.hidden/.bash_history", 'k' },
	{ "root/.ssh/known_hosts", '-' },
	{ "root/.cache/x", 'u' },
	{ "outside/precious", 'k' },
};

static void check_machine(struct tree *f, const char *gone)
{
	for (size_t i = 0; i < ARRAY_SIZE(machine); i++) {
		const char *text = text_of(f, machine[i].path), *wanted = !strchr(gone, machine[i].gone) ? "text\n"
									  : machine[i].gone == 'e'	 ? ""
													 : NULL;

		if (wanted ? !text || strcmp(text, wanted) != 0 : text != NULL)
			fail_msg("%s: \"%s\"", machine[i].path, text ? text : "(gone)");
	}
}

static void a_golden_image_loses_what_clones_must_not_share_and_only_that(void **state)
{
	static const struct {
		const char *argv[5], *gone;
	} cases[] = {
		{ { "golden", "--dry-run", "--deep", "--users", NULL }, "" },
		{ { "golden", NULL }, "-e" },
		{ { "golden", "--deep", NULL }, "-ed" },
		{ { "golden", "--users", NULL }, "-eu" },
		{ { "golden", "--deep", "--users", NULL }, "-edu" },
	};
	struct tree *f = *state;

	make_link(f, "../outside", "tmp/link");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(machine); k++)
			make_file(f, machine[k].path, "text\n");
		assert_int_equal(run_verb(f, golden_main, cases[i].argv), 0);
		assert_non_null(strstr(f->out, "\t/etc/machine-id\n"));
		assert_non_null(strstr(f->out, "\nend\t"));
		check_machine(f, cases[i].gone);
	}
}

static void an_image_whose_grants_cannot_be_taken_is_not_begun(void **state)
{
	struct tree *f = *state;

	make_file(f, "etc/infiniservice/conf.d/10-grant.conf", "[commands]\nallow = control\n");
	make_link(f, "../../outside/precious", "etc/infiniservice/conf.d/20-link.conf");
	make_file(f, "etc/machine-id", "0123\n");
	assert_int_equal(VERB(f, golden_main), 1);
	assert_non_null(strstr(f->err, "golden: /etc/infiniservice/conf.d/20-link.conf: "));
	assert_string_equal(f->out, "");
	assert_string_equal(text_of(f, "etc/infiniservice/conf.d/10-grant.conf"), "[commands]\nallow = control\n");
	assert_string_equal(text_of(f, "etc/machine-id"), "0123\n");
}

static void a_golden_image_tells_the_grants_that_it_took(void **state)
{
	struct tree *f = *state;

	make_file(f, "etc/infiniservice/conf.d/10\n.conf", "[commands]\nallow = control\n");
	assert_int_equal(VERB(f, golden_main), 0);
	assert_non_null(strstr(f->out, "grant\t/etc/infiniservice/conf.d/10\\x0a.conf\tcommands.allow\n"));
	assert_string_equal(text_of(f, "etc/infiniservice/conf.d/10\n.conf"), "[commands]\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, tree_end)

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
		TEST(the_verb_clean_removes_what_its_targets_name_and_tells_each),
		TEST(the_verb_clean_keeps_what_is_young),
		TEST(a_verb_that_is_asked_wrongly_touches_nothing),
		TEST(a_golden_image_loses_what_clones_must_not_share_and_only_that),
		TEST(an_image_whose_grants_cannot_be_taken_is_not_begun),
		TEST(a_golden_image_tells_the_grants_that_it_took),
	};

	return cmocka_run_group_tests_name("cleaner", tests, NULL, NULL);
}
