/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/config/config.h"
#include "agent/config/keys.h"

struct fixture {
	char dir[64];
	struct config config;
	struct err err;
	unsigned warnings;
	char warning[1024];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[128];

	unsetenv("STATE_DIRECTORY");
	unsetenv("RUNTIME_DIRECTORY");
	strcpy(f->dir, "/tmp/test-config-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(path, sizeof(path), "%s/conf.d", f->dir);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(config_init(&f->config), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	config_free(&f->config);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void on_warning(void *data, const char *text)
{
	struct fixture *f = data;

	f->warnings++;
	snprintf(f->warning, sizeof(f->warning), "%s", text);
}

static const char *write_file(struct fixture *f, const char *name, const char *text)
{
	static char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, 0644), 0);
	return path;
}

static int load_text(struct fixture *f, const char *text)
{
	return config_load(&f->config, write_file(f, "one.conf", text), on_warning, f, &f->err);
}

static void every_default_is_allowed_by_its_own_row(void **state)
{
	struct fixture *f = *state;

	for (const struct config_key *key = config_keys; key->section; key++) {
		assert_int_equal(config_key_parse(&f->config, key, key->fallback, false, &f->err), 0);
		assert_true(strlen(key->help) > 5);
	}
	assert_int_equal(config_check(&f->config, on_warning, f, &f->err), 0);
	assert_int_equal(f->warnings, 0);
}

static void defaults_are_the_documented_ones(void **state)
{
	const struct config *c = &((struct fixture *)*state)->config;

	assert_int_equal(c->timers.metrics_interval_ms, 30000);
	assert_int_equal(c->timers.command_poll_ms, 100);
	assert_int_equal(c->port.max_line_bytes, 1048576);
	assert_int_equal(c->port.queue_bytes, 4194304);
	assert_int_equal(c->commands.max_concurrent, 5);
	assert_string_equal(c->commands.allow[0], "observe");
	assert_null(c->commands.allow[1]);
	assert_null(c->commands.deny[0]);
	assert_false(c->commands.allow_unsafe);
	assert_int_equal(c->log.segment_bytes, 8 << 20);
	assert_int_equal(c->log.max_total_bytes, 256 << 20);
	assert_int_equal(c->log.sync, CONFIG_SYNC_INTERVAL);
	assert_int_equal(config_log_interval_ms(c), 30000);
	assert_string_equal(c->socket.path, "/run/infiniservice/agent.sock");
	assert_int_equal(c->socket.max_clients, 1100);
	assert_string_equal(c->agent.vm_id, "");
}

static void directories_follow_the_environment_of_systemd(void **state)
{
	struct config config;

	(void)state;
	setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
	setenv("RUNTIME_DIRECTORY", "/run/one", 1);
	assert_int_equal(config_init(&config), 0);
	assert_string_equal(config.agent.state_dir, "/var/lib/one");
	assert_string_equal(config.agent.runtime_dir, "/run/one");
	config_free(&config);
}

static void values_are_parsed_by_their_type(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		load_text(f,
			  "[commands]\nenabled = off\nallow = observe, control packages\nmax_output_bytes = 8K\n"
			  "[log]\nsync=ALWAYS ; a comment\n\n# another\nsegment_bytes = 65536\n[agent]\nvm_id = a b\n"),
		0);
	assert_false(f->config.commands.enabled);
	assert_string_equal(f->config.commands.allow[2], "packages");
	assert_null(f->config.commands.allow[3]);
	assert_int_equal(f->config.commands.max_output_bytes, 8192);
	assert_int_equal(f->config.log.sync, CONFIG_SYNC_ALWAYS);
	assert_int_equal(f->config.log.segment_bytes, 65536);
	assert_string_equal(f->config.agent.vm_id, "a b");
	assert_int_equal(f->warnings, 0);
}

static void all_words_for_yes_and_no_are_taken(void **state)
{
	static const char *const words[] = { "yes", "TRUE", "on", "1", "no", "False", "off", "0" };
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		char assignment[64];

		snprintf(assignment, sizeof(assignment), "log.enabled=%s", words[i]);
		f->config.log.enabled = i >= 4;
		assert_int_equal(config_set(&f->config, assignment, &f->err), 0);
		assert_int_equal(f->config.log.enabled, i < 4);
	}
}

static void refuses_values_out_of_range_and_keeps_the_old_one(void **state)
{
	static const char *const bad[] = {
		"timers.metrics_interval_ms=9",
		"timers.metrics_interval_ms=86400001",
		"timers.metrics_interval_ms=1.5",
		"timers.metrics_interval_ms=-1",
		"timers.metrics_interval_ms=10s",
		"timers.metrics_interval_ms=",
		"log.segment_bytes=65535",
		"log.segment_bytes=64X",
		"log.segment_bytes=64Mi",
		"log.segment_bytes=64MBB",
		"log.segment_bytes=64MX",
		"log.segment_bytes=64 M M",
		"log.segment_bytes=18446744073709551616",
		"log.sync=sometimes",
		"log.interval_ms=5",
		"log.dir=relative",
		"log.dir=",
		"log.enabled=maybe",
		"log.dir=\"/quoted\"",
		"agent.vm_id=a\x1b[31m",
		"nosuch.key=1",
		"log.nosuch=1",
		"log",
		"log=1",
		"=",
		"port.spec",
		"log.segment_bytes=99999999999G",
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		f->err.text[0] = '\0';
		assert_int_equal(config_set(&f->config, bad[i], &f->err), -EINVAL);
		assert_true(strlen(f->err.text) > 10);
	}
	assert_int_equal(f->config.timers.metrics_interval_ms, 30000);
	assert_string_equal(f->config.log.dir, "/var/log/infiniservice");
	assert_int_equal(config_set(&f->config, "log.interval_ms=0", &f->err), 0);
	assert_int_equal(config_set(&f->config, "timers.metrics_interval_ms=10", &f->err), 0);
	assert_int_equal(config_set(&f->config, "timers.metrics_interval_ms=86400000", &f->err), 0);
}

/* Row 80: the message has file, line and key, and nothing of the bad file is taken over. */
static void a_bad_value_names_file_line_and_key_and_changes_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load_text(f, "[log]\nenabled = no\n\nsync = never\n"), -EINVAL);
	assert_non_null(strstr(f->err.text, "one.conf:4: log.sync"));
	assert_non_null(strstr(f->err.text, "none, interval or always"));
	assert_true(f->config.log.enabled);
}

static void unknown_keys_are_warnings_with_file_and_line(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load_text(f, "[log]\nenabled = no\ncolour = red\n"), 0);
	assert_int_equal(f->warnings, 1);
	assert_non_null(strstr(f->warning, "one.conf:3: there is no key log.colour"));
	assert_false(f->config.log.enabled);
}

static void warnings_are_bounded(void **state)
{
	struct fixture *f = *state;
	char text[4096] = "[log]\n";

	for (int i = 0; i < 50; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "x%d = 1\n", i);
	assert_int_equal(load_text(f, text), 0);
	assert_int_equal(f->warnings, CONFIG_WARNINGS_MAX + 1);
	assert_string_equal(f->warning, "30 more warnings");
}

static void a_line_without_meaning_is_an_error(void **state)
{
	static const struct {
		const char *text, *where;
	} cases[] = {
		{ "[log]\nenabled\n", ":2: " },
		{ "[log\nenabled = no\n", ":1: " },
		{ "nonsense\n[log]\n", ":1: " },
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(load_text(f, cases[i].text), -EINVAL);
		assert_non_null(strstr(f->err.text, cases[i].where));
	}
}

static void a_line_that_libinih_would_cut_is_an_error(void **state)
{
	struct fixture *f = *state;
	char text[400] = "[agent]\nvm_id = ";
	size_t at = strlen(text);

	memset(text + at, 'x', CONFIG_LINE_MAX - strlen("vm_id = "));
	assert_int_equal(load_text(f, text), 0);
	assert_int_equal(strlen(f->config.agent.vm_id), CONFIG_LINE_MAX - strlen("vm_id = "));
	strcat(text, "x");
	assert_int_equal(load_text(f, text), -EINVAL);
	assert_non_null(strstr(f->err.text, "one.conf:2: line longer than 197 bytes"));
}

static void a_long_comment_is_no_error(void **state)
{
	struct fixture *f = *state;
	char text[1000] = "# ";

	memset(text + 2, 'x', 900);
	strcat(text, "\n[log]\nenabled = no\n");
	assert_int_equal(load_text(f, text), 0);
	assert_false(f->config.log.enabled);
}

static void indented_keys_are_keys_and_not_continuations(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load_text(f, "[agent]\n  vm_id = one\n  log_level = debug\n\t[log]\n\tenabled = no\n"), 0);
	assert_string_equal(f->config.agent.vm_id, "one");
	assert_int_equal(f->config.agent.log_level, CONFIG_LOG_DEBUG);
	assert_false(f->config.log.enabled);
}

static void a_list_may_go_on_in_indented_lines(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load_text(f, "[commands]\nallow = observe,\n   control\n   packages power\n"), 0);
	assert_string_equal(f->config.commands.allow[3], "power");
	assert_null(f->config.commands.allow[4]);
	assert_int_equal(load_text(f, "[agent]\nvm_id = a\n   b\n"), -EINVAL);
}

static void a_nul_byte_is_an_error(void **state)
{
	struct fixture *f = *state;
	const char *path = write_file(f, "one.conf", "");
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(write(fd, "[log]\nena\0bled = no\n", 20), 20);
	close(fd);
	assert_int_equal(config_load(&f->config, path, on_warning, f, &f->err), -EINVAL);
}

static void drop_ins_are_read_in_order_after_the_file(void **state)
{
	struct fixture *f = *state;

	write_file(f, "infiniservice.conf", "[agent]\nvm_id = base\nlog_level = debug\n");
	write_file(f, "conf.d/20-b.conf", "[agent]\nvm_id = second\n");
	write_file(f, "conf.d/10-a.conf", "[agent]\nvm_id = first\n");
	write_file(f, "conf.d/30-c.conf.bak", "[agent]\nvm_id = backup\n");
	write_file(f, "conf.d/.40.conf", "[agent]\nvm_id = hidden\n");
	assert_int_equal(config_load_dir(&f->config, f->dir, on_warning, f, &f->err), 0);
	assert_string_equal(f->config.agent.vm_id, "second");
	assert_int_equal(f->config.agent.log_level, CONFIG_LOG_DEBUG);
}

static void a_missing_default_file_is_fine_but_a_named_one_is_not(void **state)
{
	struct fixture *f = *state;
	char path[128];

	assert_int_equal(config_load_dir(&f->config, f->dir, on_warning, f, &f->err), 0);
	snprintf(path, sizeof(path), "%s/nosuch.conf", f->dir);
	assert_int_equal(config_load(&f->config, path, on_warning, f, &f->err), -ENOENT);
	assert_non_null(strstr(f->err.text, "nosuch.conf"));
}

static void a_file_that_others_may_write_is_refused_with_the_cure(void **state)
{
	struct fixture *f = *state;
	const char *path = write_file(f, "one.conf", "[log]\nenabled = no\n");

	assert_int_equal(chmod(path, 0664), 0);
	assert_int_equal(config_load(&f->config, path, on_warning, f, &f->err), -EPERM);
	assert_non_null(strstr(f->err.text, "chmod go-w"));
	assert_true(f->config.log.enabled);
}

static void a_file_of_another_user_is_refused_with_the_cure(void **state)
{
	struct fixture *f = *state;
	const char *path = write_file(f, "one.conf", "[log]\nenabled = no\n");

	if (geteuid() != 0)
		skip(); /* only root can give a file away */
	assert_int_equal(chown(path, 12345, 0), 0);
	assert_int_equal(config_load(&f->config, path, on_warning, f, &f->err), -EPERM);
	assert_non_null(strstr(f->err.text, "chown root"));
}

static void a_fifo_neither_hangs_nor_loads(void **state)
{
	struct fixture *f = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/fifo", f->dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(config_load(&f->config, path, on_warning, f, &f->err), -EMEDIUMTYPE);
}

static void check_finds_what_no_single_key_can_know(void **state)
{
	static const char *const bad[][2] = {
		{ "log.max_total_bytes=10M", NULL },
		{ "port.queue_bytes=512K", NULL },
		{ "port.spec=relative", NULL },
		{ "port.spec=unix:", NULL },
		{ "socket.path=/"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaaaaaaaaaaaaaaaaaaaa",
		  NULL },
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct config config;

		assert_int_equal(config_copy(&config, &f->config), 0);
		assert_int_equal(config_set(&config, bad[i][0], &f->err), 0);
		assert_int_equal(config_check(&config, NULL, NULL, &f->err), -EINVAL);
		config_free(&config);
	}
	assert_int_equal(config_set(&f->config, "log.max_total_bytes=16M", &f->err), 0);
	assert_int_equal(config_check(&f->config, NULL, NULL, &f->err), 0);
}

static char *printed(const struct config *config)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	config_print(config, NULL, out);
	fclose(out);
	return text;
}

static void printing_and_loading_is_a_fixed_point(void **state)
{
	struct fixture *f = *state;
	char *first, *second;

	assert_int_equal(config_set(&f->config, "commands.allow=observe control", &f->err), 0);
	assert_int_equal(config_set(&f->config, "log.segment_bytes=100000", &f->err), 0);
	assert_int_equal(config_set(&f->config, "agent.vm_id=vm 7", &f->err), 0);
	first = printed(&f->config);
	config_free(&f->config);
	assert_int_equal(config_init(&f->config), 0);
	assert_int_equal(load_text(f, first), 0);
	second = printed(&f->config);
	assert_string_equal(first, second);
	assert_int_equal(f->warnings, 0);
	free(first);
	free(second);
}

static void the_packaged_file_is_what_the_table_says(void **state)
{
	char *text = NULL, *file;
	FILE *out, *in = fopen("packaging/infiniservice.conf", "re");
	size_t len;

	(void)state;
	if (!in)
		skip(); /* not run from the top of the tree */
	file = calloc(1, 65536);
	assert_true(fread(file, 1, 65535, in) > 1000);
	fclose(in);
	out = open_memstream(&text, &len);
	config_print_example(out);
	fclose(out);
	assert_string_equal(file, text);
	free(text);
	free(file);
}

static void the_example_with_its_marks_removed_loads_to_the_defaults(void **state)
{
	struct fixture *f = *state;
	char *text = NULL, *before = printed(&f->config), *after;
	FILE *out;
	size_t len;

	out = open_memstream(&text, &len);
	config_print_example(out);
	fclose(out);
	for (char *at = text; *at; at++)
		if (at[0] == '#' && at[1] != ' ')
			*at = ' ';
	assert_int_equal(load_text(f, text), 0);
	assert_int_equal(f->warnings, 0);
	after = printed(&f->config);
	assert_string_equal(before, after);
	free(text);
	free(before);
	free(after);
}

/* --------------------------------------------------------------------------------------------------- inspection */

struct told {
	unsigned count[CONFIG_ERROR + 1];
	char text[65536];
};

static void on_finding(void *data, enum config_finding finding, const char *text)
{
	struct told *told = data;

	told->count[finding]++;
	snprintf(told->text + strlen(told->text), sizeof(told->text) - strlen(told->text), "%d %s\n", finding, text);
}

static const char *inspect(struct fixture *f, const char *text, size_t len, struct told *told, int *ret)
{
	const char *path = write_file(f, "one.conf", "");
	FILE *file = fopen(path, "we");

	assert_int_equal(fwrite(text, 1, len, file), len);
	fclose(file);
	memset(told, 0, sizeof(*told));
	*ret = config_inspect(&f->config, path, on_finding, told, NULL);
	return told->text;
}

/* Each with what a start makes of it: a warning, or the same error. */
static void what_can_hardly_be_meant_is_an_error_of_the_check(void **state)
{
	static const struct {
		const char *text, *told;
		bool stops;
	} cases[] = {
		{ "[comands]\nallow = power\n", "1 @:1: there is no section [comands], perhaps [commands]", false },
		{ "[Commands]\nallow = power\n", "1 @:1: there is no section [Commands], perhaps [commands]", false },
		{ "[ log ]\nenabled = no\n", "1 @:1: there is no section [ log ], perhaps [log]", false },
		{ "[timers]\nmetric_interval_ms = 1000\n", "perhaps timers.metrics_interval_ms", false },
		{ "[timers]\nmetrics-interval-ms = 1000\n", "perhaps timers.metrics_interval_ms", false },
		{ "[timers]\nmetrics_intervla_ms = 1000\n", "perhaps timers.metrics_interval_ms", false },
		{ "[timers]\nMETRICS_INTERVAL_MS = 1000\n", "perhaps timers.metrics_interval_ms", false },
		{ "[agent]\nmetrics_interval_ms = 1000\n", "perhaps timers.metrics_interval_ms", false },
		{ "[timing]\nmetrics_interval_ms = 1000\n", "perhaps timers.metrics_interval_ms", false },
		{ "[log]\ndri = /x\n", "perhaps log.dir", false },
		{ "enabled = no\n[log]\n", "1 @:1: \"enabled\" stands before any [section]", false },
		{ "[log]\nenabled = no\nenabled = yes\n", "1 @:3: log.enabled is set in line 2 already", false },
		{ "[agent]\nvm_id = a # the first\n", "1 @:2: agent.vm_id: a comment begins at the beginning", false },
		{ "[commands]\ndeny = pakages\n", "1 @:2: commands.deny: there is no group pakages, perhaps packages",
		  false },
		{ "[commands]\ndeny = observe,\n  Power\n",
		  "1 @:3: commands.deny: there is no group Power, perhaps power", false },
		{ "[commands]\nallow = everything\n", "1 @:2: commands.allow: everything is neither a group", false },
		{ "[socket]\ngroup = wheel # of the admins\n", "1 @:2: socket.group: a comment begins", false },
		{ "[log] enabled = no\n", "1 @:1: what follows [log] on its line is ignored", false },
		{ "[timers]\nmetrics_interval_ms = 10 s\n", "2 @:2: timers.metrics_interval_ms: \"10 s\"", true },
		{ "[timers]\nmetrics_interval_ms = 1000ms\n", "2 @:2: timers.metrics_interval_ms", true },
		{ "[timers]\nmetrics_interval_ms = 1e3\n", "2 @:2: timers.metrics_interval_ms", true },
		{ "[timers]\nmetrics_interval_ms = -5\n", "2 @:2: timers.metrics_interval_ms", true },
		{ "[timers]\nmetrics_interval_ms =\n", "2 @:2: timers.metrics_interval_ms", true },
		{ "[log]\nsegment_bytes = 8 Mbit\n", "2 @:2: log.segment_bytes", true },
		{ "[log]\nsegment_bytes = 1.5M\n", "2 @:2: log.segment_bytes", true },
		{ "[log]\nsegment_bytes = 99999999999999999999\n", "2 @:2: log.segment_bytes", true },
		{ "[log]\nenabled = yes please\n", "2 @:2: log.enabled", true },
		{ "[log]\nnonsense\n", "2 @:2: expected [section] or key = value", true },
		{ "[log]\na ; enabled = no\n", "2 @:2: expected [section] or key = value", true },
		{ "[log\nenabled = no\n", "2 @:1: expected [section] or key = value", true },
		{ "[log]\nsegment_bytes = 512M\n", "2 log.max_total_bytes has to be at least twice", false },
	};
	struct fixture *f = *state;
	static struct told told;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *at = strchr(cases[i].told, '@'),
			   *all = inspect(f, cases[i].text, strlen(cases[i].text), &told, &r);
		char want[200];

		snprintf(want, sizeof(want), "%.*s%s%s", at ? (int)(at - cases[i].told) : 0, cases[i].told,
			 at ? write_file(f, "one.conf", cases[i].text) : "", at ? at + 1 : cases[i].told);
		if (r != -EINVAL || !strstr(all, want) || told.count[CONFIG_ERROR] + told.count[CONFIG_MISTAKE] != 1)
			fail_msg("%s: %d, told: %s", cases[i].text, r, all);
		config_free(&f->config);
		assert_int_equal(config_init(&f->config), 0);
		f->warnings = 0;
		assert_int_equal(load_text(f, cases[i].text), cases[i].stops ? -EINVAL : 0);
		assert_int_equal(f->warnings, told.count[CONFIG_MISTAKE] + told.count[CONFIG_WARNING]);
		config_free(&f->config);
		assert_int_equal(config_init(&f->config), 0);
	}
}

static void what_is_fine_is_told_as_nothing(void **state)
{
	static const char *const cases[] = {
		"\xef\xbb\xbf[log]\nenabled = no\n",
		"[log]\r\nenabled = no\r\n\r\n# comment\r\n[agent] ; comment\r\n  vm_id = a b\r\n",
		"; comment\n\n[log] # comment\nsegment_bytes = 8 MiB\nmax_total_bytes=1gb\n",
		"[log]\nenabled: no ; not now\n",
		"[commands]\nallow = observe,\n\tcontrol\n",
		"[commands]\nallow = observe ProcessKill, RebootSystem\ndeny = exec\n",
		"[agent]\nvm_id = a#1\n[log]\nenabled = no\n[agent]\nlog_level = debug",
	};
	struct fixture *f = *state;
	static struct told told;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		inspect(f, cases[i], strlen(cases[i]), &told, &r);
		if (r || told.text[0])
			fail_msg("%s: %d %s", cases[i], r, told.text);
	}
	/* A newer version's names are its own. */
	inspect(f, "[colours]\nred = 1\n[log]\nbackground = 2\n", 38, &told, &r);
	assert_int_equal(r, 0);
	assert_int_equal(told.count[CONFIG_WARNING], 2);
}

static void all_errors_of_all_files_are_told_and_what_is_right_is_taken(void **state)
{
	static const char nuls[] = "[log]\nena\0bled = no\nsync = never\n";
	static struct config_origins origins;
	struct fixture *f = *state;
	static struct told told;
	char line[600] = "[agent]\nvm_id = ", *long_line = line;
	const char *path;
	FILE *file;

	memset(long_line + strlen(line), 'x', 400);
	strcat(line, "\nlog_level = loud\nshutdown_grace_s = 7\n");
	write_file(f, "infiniservice.conf", line);
	path = write_file(f, "conf.d/10-nul.conf", "");
	file = fopen(path, "we");
	assert_int_equal(fwrite(nuls, 1, sizeof(nuls) - 1, file), sizeof(nuls) - 1);
	fclose(file);
	assert_int_equal(chmod(write_file(f, "conf.d/20-open.conf", "[log]\nenabled = no\n"), 0666), 0);
	path = write_file(f, "conf.d/30-dir.conf", "");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	write_file(f, "conf.d/40-left.conf.bak", "[log]\nenabled = no\n");
	write_file(f, "conf.d/50-good.conf", "[timers]\n\nmetrics_interval_ms = 2000\n");
	assert_int_equal(config_inspect_dir(&f->config, f->dir, on_finding, &told, &origins), -EINVAL);
	if (told.count[CONFIG_ERROR] != 6 || told.count[CONFIG_MISTAKE] || told.count[CONFIG_WARNING] != 1 ||
	    !strstr(told.text, "infiniservice.conf:2: line longer") ||
	    !strstr(told.text, "infiniservice.conf:3: agent.log_level") ||
	    !strstr(told.text, "10-nul.conf:2: a NUL byte") || !strstr(told.text, "10-nul.conf:3: log.sync") ||
	    !strstr(told.text, "20-open.conf: can be written by others") ||
	    !strstr(told.text, "30-dir.conf: not a regular file") || !strstr(told.text, "40-left.conf.bak: not read"))
		fail_msg("%s", told.text);
	assert_int_equal(f->config.agent.shutdown_grace_s, 7);
	assert_int_equal(f->config.timers.metrics_interval_ms, 2000);
	assert_true(f->config.log.enabled);
	assert_non_null(
		strstr(origins.of[config_key_find("timers", "metrics_interval_ms") - config_keys], "/50-good.conf:3"));
	assert_null(origins.of[config_key_find("log", "enabled") - config_keys]);
	config_origins_free(&origins);
}

static void findings_are_bounded(void **state)
{
	static char text[65536];
	struct fixture *f = *state;
	static struct told told;
	int r;

	strcpy(text, "[log]\n");
	for (int i = 0; i < 1000; i++)
		snprintf(text + strlen(text), 32, "sink = %d\n", i);
	inspect(f, text, strlen(text), &told, &r);
	assert_int_equal(r, -EINVAL);
	assert_int_equal(told.count[CONFIG_MISTAKE], CONFIG_FINDINGS_MAX);
	assert_non_null(strstr(told.text, "800 more of the kind"));
}

static void the_likely_name_is_within_two_edits(void **state)
{
	(void)state;
	assert_int_equal(likely_distance("commands", "comands"), 1);
	assert_int_equal(likely_distance("commands", "Commadns"), 1);
	assert_int_equal(likely_distance("commands", "comand"), 2);
	assert_int_equal(likely_distance("commands", "comrade"), 3);
	assert_int_equal(likely_distance("", "ab"), 2);
	assert_int_equal(likely_distance("abc", "abc"), 0);
	assert_int_equal(likely_distance("timers", "collectors"), 3);
	assert_string_equal(likely_section("sokcet"), "socket");
	assert_null(likely_section("metrics"));
	assert_string_equal(likely_key("logs", "dirs")->name, "dir");
	assert_null(likely_key("log", "background"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_default_is_allowed_by_its_own_row),
		TEST(defaults_are_the_documented_ones),
		TEST(directories_follow_the_environment_of_systemd),
		TEST(values_are_parsed_by_their_type),
		TEST(all_words_for_yes_and_no_are_taken),
		TEST(refuses_values_out_of_range_and_keeps_the_old_one),
		TEST(a_bad_value_names_file_line_and_key_and_changes_nothing),
		TEST(unknown_keys_are_warnings_with_file_and_line),
		TEST(what_can_hardly_be_meant_is_an_error_of_the_check),
		TEST(what_is_fine_is_told_as_nothing),
		TEST(all_errors_of_all_files_are_told_and_what_is_right_is_taken),
		TEST(findings_are_bounded),
		cmocka_unit_test(the_likely_name_is_within_two_edits),
		TEST(warnings_are_bounded),
		TEST(a_line_without_meaning_is_an_error),
		TEST(a_line_that_libinih_would_cut_is_an_error),
		TEST(a_long_comment_is_no_error),
		TEST(indented_keys_are_keys_and_not_continuations),
		TEST(a_list_may_go_on_in_indented_lines),
		TEST(a_nul_byte_is_an_error),
		TEST(drop_ins_are_read_in_order_after_the_file),
		TEST(a_missing_default_file_is_fine_but_a_named_one_is_not),
		TEST(a_file_that_others_may_write_is_refused_with_the_cure),
		TEST(a_file_of_another_user_is_refused_with_the_cure),
		TEST(a_fifo_neither_hangs_nor_loads),
		TEST(check_finds_what_no_single_key_can_know),
		TEST(printing_and_loading_is_a_fixed_point),
		TEST(the_packaged_file_is_what_the_table_says),
		TEST(the_example_with_its_marks_removed_loads_to_the_defaults),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
