/* SPDX-License-Identifier: MIT */
/*
 * What a seal takes of a machine, in a tree of its own, and what it leaves. The whole verb on a machine that was
 * installed: tests/integration/test_seal.py.
 */
#include <ucontext.h>

#include "tests/cleaner_fixture.h"

const bool test_can_destroy = true;

#define CONF  "etc/infiniservice/infiniservice.conf"
#define UNITS "etc/systemd/system/"

#define LINES(...)                                                                                                     \
	{                                                                                                              \
		__VA_ARGS__, NULL                                                                                      \
	}

/* The lines but those whose numbers are in `without`. */
static void join(const char *const lines[], const char *without, char *out, size_t size)
{
	*out = '\0';
	for (size_t i = 0; lines[i]; i++)
		if (!strchr(without, (char)('0' + i)))
			tree_note(out, size, "%s\n", lines[i]);
}

static void lines_that_give_something_are_found_however_they_are_written(void **state)
{
	static const struct {
		const char *lines[8];
		const char *given;
	} cases[] = {
		{ LINES("[commands]", "allow = observe, control"), "1" },
		{ LINES("[commands]", "allow=control"), "1" },
		{ LINES("[commands]", "  allow = control"), "1" },
		{ LINES("[commands]", "allow: control"), "1" },
		{ LINES("[commands]", "\tallow\t:\tobserve power"), "" } /* it goes on with what is above */,
		{ LINES("\xef\xbb\xbf[commands]", "allow = control"), "1" },
		{ LINES("  [commands]  ; all of it", "allow = control"), "1" },
		{ LINES("[ commands ]", "allow = control"), "1" },
		{ LINES("[commands]", "allow = observe"), "" },
		{ LINES("[commands]", "allow = observe,"), "" },
		{ LINES("[commands]", "allow = ", "run_as ="), "" },
		{ LINES("[commands]", "#allow = control", "; allow = control"), "" },
		{ LINES("[commands]", "allow = observe", "  control"), "2" },
		{ LINES("[commands]", "allow = control", "  observe"), "12" },
		{ LINES("[commands]", "allow =", "", "  control", "# but", "  power"), "35" },
		{ LINES("[commands]", "deny = power", "  control"), "" },
		{ LINES("[commands]", "allow = observe", "max_concurrent = 7", "  control"), "" },
		{ LINES("[commands]", "allow_unsafe = yes"), "1" },
		{ LINES("[commands]", "allow_unsafe = on"), "1" },
		{ LINES("[commands]", "allow_unsafe = no"), "" },
		{ LINES("[commands]", "run_as = root"), "1" },
		{ LINES("[commands]", "run_as = monitor"), "" },
		{ LINES("[commands]", "deny = power", "deny_units = ssh", "max_concurrent = 2"), "" },
		{ LINES("[agent]", "vm_id = vm-17", "log_level = debug", "vm_id ="), "1" },
		{ LINES("[auth]", "secret_file = /root/s", "require_signature = yes"), "1" },
		{ LINES("[auth]", "require_signature = no"), "1" },
		{ LINES("[auth]", "require_signature = no ; not yet"), "1" },
		{ LINES("[commands]", "run_as = root\t; as before"), "1" },
		{ LINES("[commands]", "allow = observe ; no more", "allow_unsafe = no ; never"), "" },
		{ LINES("allow = control", "[log]", "allow = control", "[commands]", "allow = control"), "4" },
		{ LINES("[timers]", "metrics_interval_ms = 10000"), "" },
	};
	struct tree *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char before[512], wanted[512];

		join(cases[i].lines, "", before, sizeof(before));
		join(cases[i].lines, cases[i].given, wanted, sizeof(wanted));
		make_file(f, CONF, before);
		f->revoked[0] = '\0';
		assert_int_equal(cleaner_seal(&f->cleaner), 0);
		if (strcmp(text_of(f, CONF), wanted) != 0 || !f->revoked[0] != !cases[i].given[0])
			fail_msg("case %zu: \"%s\" of \"%s\", told:%s", i, text_of(f, CONF), before, f->revoked);
	}
	assert_int_equal(f->cleaner.errors, 0);
}

static void a_drop_in_that_only_limits_is_told_from_one_that_gives(void **state)
{
	static const char *const limits[] = { "",
					      "# words",
					      "[Service]",
					      "MemoryMax=100M",
					      "  Nice = 5",
					      "ReadWritePaths=/srv/log",
					      "Wants=network-online.target",
					      "After=infiniservice-exec.socket" };
	static const char *const gives[] = { "AmbientCapabilities=CAP_SYS_PTRACE",
					     "User=root",
					     "MemoryDenyWriteExecute=no",
					     "ExecStartPre=+/x",
					     "Environment=INFINIBAY_VM_ID=17",
					     "LoadCredential=secret:/s",
					     "SupplementaryGroups=docker",
					     "ProtectSystem=no",
					     "MemoryMax=1G \\",
					     "Nicest=1",
					     "Wants=network-online.target infiniservice-exec.socket",
					     "CapabilityBoundingSet=" };
	static const char path[] = UNITS "infiniservice.service.d/10-x.conf";
	struct tree *f = *state;
	char text[256];

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		make_file(f, path, limits[i]);
		assert_int_equal(cleaner_seal(&f->cleaner), 0);
		assert_string_equal(text_of(f, path), limits[i]);
	}
	assert_string_equal(f->revoked, "");
	for (size_t i = 0; i < ARRAY_SIZE(gives); i++) {
		snprintf(text, sizeof(text), "[Service]\nNice=5\n%s\n", gives[i]);
		make_file(f, path, text);
		assert_int_equal(cleaner_seal(&f->cleaner), 0);
		if (there(f, path))
			fail_msg("%s stays", gives[i]);
	}
	assert_int_equal(f->cleaner.items, ARRAY_SIZE(gives));
}

static void a_file_that_the_installer_wrote_goes_whole_and_the_owners_keeps_its_mode(void **state)
{
	struct tree *f = *state;
	struct stat st;

	make_file(f, "etc/infiniservice/conf.d/50-host.conf",
		  "# Written by install-linux.sh\n[agent]\nvm_id = vm-17\nlog_level = debug\n");
	make_file(f, "etc/infiniservice/conf.d/10-site.conf", "[agent]\nlog_level = debug\nvm_id = vm-17");
	make_file(f, "etc/infiniservice/conf.d/notes", "vm_id = vm-17\n");
	make_file(f, "etc/infiniservice/conf.d/50-host.conf.new", "x");
	make_file(f, "etc/infiniservice/secret", "x");
	assert_int_equal(fchmodat(f->cleaner.root_fd, "etc/infiniservice/conf.d/10-site.conf", 0640, 0), 0);
	f->cleaner.dry_run = true;
	assert_int_equal(cleaner_seal(&f->cleaner), 0);
	assert_true(there(f, "etc/infiniservice/conf.d/50-host.conf"));
	assert_non_null(strstr(f->revoked, " /etc/infiniservice/conf.d/10-site.conf:agent.vm_id"));
	assert_string_equal(text_of(f, "etc/infiniservice/conf.d/10-site.conf"),
			    "[agent]\nlog_level = debug\nvm_id = vm-17");
	f->cleaner.dry_run = false;
	assert_int_equal(cleaner_seal(&f->cleaner), 0);
	assert_false(there(f, "etc/infiniservice/conf.d/50-host.conf"));
	assert_false(there(f, "etc/infiniservice/conf.d/50-host.conf.new"));
	assert_false(there(f, "etc/infiniservice/secret"));
	assert_true(there(f, "etc/infiniservice/conf.d/notes"));
	assert_string_equal(text_of(f, "etc/infiniservice/conf.d/10-site.conf"), "[agent]\nlog_level = debug\n");
	assert_int_equal(fstatat(f->cleaner.root_fd, "etc/infiniservice/conf.d/10-site.conf", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(f->cleaner.errors, 0);
}

static void a_secret_goes_and_what_is_named_as_one_by_mistake_stays(void **state)
{
	static const struct {
		const char *path, *text;
		mode_t mode;
		bool goes;
	} files[] = {
		{ "srv/secret", "0123456789abcdef\n", 0600, true },
		{ "srv/blanks", "0123456789abcdef\n \t\n", 0600, true },
		{ "srv/open", "0123456789abcdef\n", 0644, false },
		{ "srv/lines", "0123\n4567\n", 0600, false },
		{ "srv/empty", "", 0600, false },
	};
	struct tree *f = *state;
	char text[256], big[8192] = "";

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		make_file(f, files[i].path, files[i].text);
		assert_int_equal(fchmodat(f->cleaner.root_fd, files[i].path, files[i].mode, 0), 0);
		snprintf(text, sizeof(text), "[auth]\nsecret_file = //%s ; here\n", files[i].path);
		make_file(f, CONF, text);
		f->cleaner.errors = 0;
		assert_int_equal(cleaner_seal(&f->cleaner), 0);
		assert_string_equal(text_of(f, CONF), "[auth]\n");
		if (there(f, files[i].path) == files[i].goes || f->cleaner.errors != !files[i].goes)
			fail_msg("%s", files[i].path);
	}
	memset(big, 'x', sizeof(big) - 1);
	make_file(f, "srv/big", big);
	make_link(f, "secret", "srv/link");
	make_file(f, "srv/secret", "0123456789abcdef\n");
	assert_int_equal(fchmodat(f->cleaner.root_fd, "srv/secret", 0600, 0), 0);
	assert_int_equal(fchmodat(f->cleaner.root_fd, "srv/big", 0600, 0), 0);
	f->cleaner.errors = 0;
	make_file(f, CONF,
		  "[auth]\nsecret_file = /srv/big\nsecret_file = /srv/link\nsecret_file = /srv/../srv/secret\n"
		  "secret_file = /srv\nsecret_file = /nowhere\nsecret_file = /\n");
	assert_int_equal(cleaner_seal(&f->cleaner), 0);
	assert_true(there(f, "srv/big") && there(f, "srv/link") && there(f, "srv/secret"));
	assert_int_equal(f->cleaner.errors, 5);
}

static ucontext_t sealing, testing;
static struct tree *sealed;

static void seal_apart(void)
{
	cleaner_seal(&sealed->cleaner);
}

/* The seal runs on a stack that the test made, and can look through afterwards. */
static void nothing_of_a_file_that_is_named_as_the_secret_stays_in_memory(void **state)
{
	enum { STACK = 1 << 18 };
	static const char *const texts[] = { "a line\n", "two\nlines\n", "" };
	char text[8192], *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	sealed = *state;
	assert_ptr_not_equal(stack, MAP_FAILED);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		memset(stack, 0, STACK);
		snprintf(text, sizeof(text), "%0*d%s", *texts[i] ? 64 : 6000, 0, texts[i]);
		memcpy(text, "MARKED", 6);
		make_file(sealed, "srv/secret", text);
		assert_int_equal(fchmodat(sealed->cleaner.root_fd, "srv/secret", 0600, 0), 0);
		make_file(sealed, CONF, "[auth]\nsecret_file = /srv/secret\n");
		getcontext(&sealing);
		sealing.uc_stack.ss_sp = stack;
		sealing.uc_stack.ss_size = STACK;
		sealing.uc_link = &testing;
		makecontext(&sealing, seal_apart, 0);
		assert_int_equal(swapcontext(&testing, &sealing), 0);
		assert_int_equal(there(sealed, "srv/secret"), i > 0);
		if (memmem(stack, STACK, "MARKED", 6))
			fail_msg("case %zu is still there", i);
		assert_non_null(memmem(stack, STACK, "srv/secret", 10));
	}
	munmap(stack, STACK);
}

static void units_that_replace_a_packages_and_drop_ins_that_hold_something_of_the_agent_go(void **state)
{
	static const struct {
		const char *path, *text;
		const char *told; /* NULL: it stays */
	} files[] = {
		{ UNITS "infiniservice.service", "[Service]\nExecStart=/x\nLoadCredential=secret:/srv/one\n", "unit" },
		{ UNITS "infiniservice-same.service", "[Service]\nExecStart=/usr/x\n", NULL },
		{ UNITS "infiniservice-owners.timer", "[Timer]\nOnCalendar=daily\n", NULL },
		{ UNITS "infiniservice.notes", "INFINIBAY_\n", NULL },
		{ UNITS "other.service", "INFINIBAY_\n", NULL },
		{ UNITS "service.d/10-x.conf", "[Service]\nLoadCredential = secret:/srv/two\n", "drop-in" },
		{ UNITS "unit.d/10-x.conf", "[Unit]\nDescription=x\n", NULL },
		{ UNITS "socket.d/notes", "INFINIBAY_\n", NULL },
		{ UNITS "other.service.d/10-x.conf", "[Service]\nUser=root\n", NULL },
		{ UNITS "infiniservice.service.d/10-x.conf", "[Service]\nLoadCredential=secret:/srv/three\n",
		  "LoadCredential" },
		{ UNITS "infiniservice.service.d/notes", "User=root\n", NULL },
		{ UNITS "sockets.target.wants/infiniservice-exec.socket", "", "executor" },
		{ UNITS "x.service.requires/infiniservice-exec.service", "", "executor" },
		{ UNITS "multi-user.target.wants/infiniservice.service", "", NULL },
		{ "etc/systemd/system.control/infiniservice.service.d/50.conf", "[Service]\nUser=root\n", "User" },
		{ "etc/default/infiniservice", "INFINIBAY_VM_ID=1\n", "environment" },
		{ "etc/conf.d/infiniservice", "RC=1\n", NULL },
	};
	static const char *const secrets[] = { "srv/one", "srv/two", "srv/three" };
	struct tree *f = *state;
	char told[256];

	make_file(f, "lib/systemd/system/infiniservice.service", "[Service]\nExecStart=/usr/x\n");
	make_file(f, "usr/lib/systemd/system/infiniservice-same.service", "[Service]\nExecStart=/usr/x\n");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		make_file(f, files[i].path, files[i].text);
	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
		make_file(f, secrets[i], "0123456789abcdef\n");
		assert_int_equal(fchmodat(f->cleaner.root_fd, secrets[i], 0600, 0), 0);
	}
	make_link(f, "/dev/null", UNITS "infiniservice-masked.service");
	make_link(f, "/usr/lib/systemd/system/infiniservice-same.service", UNITS "infiniservice-alias.service");
	assert_int_equal(cleaner_seal(&f->cleaner), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(told, sizeof(told), " /%s:%s", files[i].path, files[i].told ? files[i].told : "");
		if (there(f, files[i].path) != !files[i].told || !strstr(f->revoked, told) != !files[i].told)
			fail_msg("%s: %d, told:%s", files[i].path, there(f, files[i].path), f->revoked);
	}
	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
		assert_false(there(f, secrets[i]));
	assert_true(there(f, UNITS "infiniservice-masked.service") && there(f, UNITS "infiniservice-alias.service"));
	assert_int_equal(f->cleaner.errors, 0);
}

static void what_may_grant_and_cannot_be_judged_keeps_the_image_from_being_made(void **state)
{
	char far[2048] = "[log]\ndir = /";
	struct tree *f = *state;
	struct {
		const char *path, *text, *target; /* a file, or a link */
	} cases[] = {
		{ "etc/infiniservice/conf.d/10.conf", NULL, "/etc/kept" },
		{ UNITS "service.d", NULL, "/etc/folder" },
		{ UNITS "infiniservice.service.d", NULL, "../../folder" },
		{ UNITS "infiniservice-far.service", NULL, "/srv/any.service" },
		{ UNITS "infiniservice-far.service", NULL, "/lib/systemd/system/../x" },
		{ UNITS "infiniservice-owners.service", "[Service]\nEnvironment=INFINIBAY_VM_ID=1\n", NULL },
		{ CONF, far, NULL },
	};

	make_file(f, "etc/kept", "[commands]\nallow = control\n");
	make_file(f, "etc/infiniservice/secret", "x");
	make_file(f, UNITS "x", "x");
	make_dir(f, "etc/infiniservice/conf.d");
	memset(far + strlen(far), 'x', 1100);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned left = f->cleaner.left;

		if (cases[i].text)
			make_file(f, cases[i].path, cases[i].text);
		else
			make_link(f, cases[i].target, cases[i].path);
		if (cleaner_seal(&f->cleaner) != -EPERM || f->cleaner.left <= left || !there(f, cases[i].path))
			fail_msg("case %zu, %s", i, cases[i].path);
		assert_int_equal(unlinkat(f->cleaner.root_fd, cases[i].path, 0), 0);
		f->cleaner.left = 0;
		assert_int_equal(cleaner_seal(&f->cleaner), 0);
	}
	assert_string_equal(text_of(f, "etc/kept"), "[commands]\nallow = control\n");
}

static void a_configuration_that_cannot_be_text_is_left_and_told(void **state)
{
	struct tree *f = *state;
	int fd;

	make_file(f, CONF, "[commands]\nallow = control\n");
	fd = openat(f->cleaner.root_fd, CONF, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "\0", 1, 5), 1);
	assert_int_equal(cleaner_seal(&f->cleaner), -EPERM);
	assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
	assert_int_equal(cleaner_seal(&f->cleaner), -EPERM);
	assert_int_equal(f->cleaner.left, 2);
	assert_string_equal(f->revoked, "");
	close(fd);
}

static void state_and_log_go_from_where_the_owner_has_put_them(void **state)
{
	static const char *const gone[] = { "srv/log/metrics-1.ndjson", "srv/log/1m/metrics-2.ndjson.zst",
					    "srv/state/vm_id", "srv/state/audit.ndjson.1" };
	static const char *const stay[] = { "srv/log/letter", "srv/state/letter", "srv/state/deep/vm_id" };
	static const char text[] = "[log]\ndir = /srv/log\n[agent]\nstate_dir = /srv/state\n";
	struct tree *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
		make_file(f, gone[i], "x");
	for (size_t i = 0; i < ARRAY_SIZE(stay); i++)
		make_file(f, stay[i], "x");
	make_file(f, CONF, text);
	assert_int_equal(cleaner_seal(&f->cleaner), 0);
	for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
		assert_false(there(f, gone[i]));
	for (size_t i = 0; i < ARRAY_SIZE(stay); i++)
		assert_true(there(f, stay[i]));
	assert_string_equal(text_of(f, CONF), text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_begin, tree_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_that_give_something_are_found_however_they_are_written),
		TEST(a_drop_in_that_only_limits_is_told_from_one_that_gives),
		TEST(a_file_that_the_installer_wrote_goes_whole_and_the_owners_keeps_its_mode),
		TEST(a_secret_goes_and_what_is_named_as_one_by_mistake_stays),
		TEST(nothing_of_a_file_that_is_named_as_the_secret_stays_in_memory),
		TEST(units_that_replace_a_packages_and_drop_ins_that_hold_something_of_the_agent_go),
		TEST(what_may_grant_and_cannot_be_judged_keeps_the_image_from_being_made),
		TEST(a_configuration_that_cannot_be_text_is_left_and_told),
		TEST(state_and_log_go_from_where_the_owner_has_put_them),
	};

	return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
