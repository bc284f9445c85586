/* SPDX-License-Identifier: MIT */
/* The texts of one process, honest and hostile, and the small helpers of the collectors of processes and ports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "collectors/idmap.h"
#include "collectors/passwd.h"
#include "collectors/pidstat.h"
#include "collectors/select.h"

#define AFTER_NAME                                                                                                     \
	" S 1 42 42 0 -1 4194560 100 200 3 4 250 50 7 8 20 0 13 0 123456 10000000 2500 18446744073709551615 1 1 0\n"

/* Parses a copy that ends where the text ends. */
static int parse(const char *text, size_t len, struct pidstat *out)
{
	char *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, text, len);
	r = pidstat_parse(copy, len, out);
	free(copy);
	return r;
}

static void reads_the_fields_of_stat(void **state)
{
	static const char text[] = "42 (sshd)" AFTER_NAME;
	struct pidstat stat;

	(void)state;
	assert_int_equal(parse(text, sizeof(text) - 1, &stat), 0);
	assert_int_equal(stat.pid, 42);
	assert_int_equal(stat.ppid, 1);
	assert_int_equal(stat.state, 'S');
	assert_int_equal(stat.comm_len, 4);
	assert_memory_equal(stat.comm, "sshd", 4);
	assert_int_equal(stat.cpu_ticks, 300);
	assert_int_equal(stat.threads, 13);
	assert_int_equal(stat.start_ticks, 123456);
	assert_int_equal(stat.rss_pages, 2500);
	assert_false(pidstat_is_kernel(&stat));
}

static void ends_a_hostile_name_at_the_last_parenthesis(void **state)
{
	static const char *const names[] = { "a) R 9 9 9", "new\nline", "\x1b[31m", "\xff\xfe", "))))",
					     "",	   " ",		"(sd-pam)", "1 (x) S 0" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct pidstat stat;
		char text[256];
		int n = snprintf(text, sizeof(text), "7 (%s)%s", names[i], AFTER_NAME);

		assert_int_equal(parse(text, (size_t)n, &stat), 0);
		assert_int_equal(stat.comm_len, strlen(names[i]));
		assert_memory_equal(stat.comm, names[i], strlen(names[i]));
		assert_int_equal(stat.ppid, 1);
		assert_int_equal(stat.start_ticks, 123456);
	}
}

static void cuts_a_name_that_is_too_long(void **state)
{
	struct pidstat stat;
	char text[512], name[201];
	int n;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	n = snprintf(text, sizeof(text), "7 (%s)%s", name, AFTER_NAME);
	assert_int_equal(parse(text, (size_t)n, &stat), 0);
	assert_int_equal(stat.comm_len, PIDSTAT_COMM_MAX);
}

static void refuses_every_cut_before_the_last_field_needed(void **state)
{
	static const char text[] = "42 (sshd)" AFTER_NAME;
	size_t rss_end = (size_t)(strstr(text, " 2500") + 2 - text);

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		struct pidstat stat = { .pid = 77 };

		if (len >= rss_end) {
			assert_int_equal(parse(text, len, &stat), 0);
			continue;
		}
		assert_int_equal(parse(text, len, &stat), -EBADMSG);
		assert_int_equal(stat.pid, 77);
	}
}

static void refuses_numbers_that_make_no_sense(void **state)
{
	static const char *const texts[] = {
		"x (a)" AFTER_NAME,
		"-1 (a)" AFTER_NAME,
		"99999999999 (a)" AFTER_NAME,
		"7 a)" AFTER_NAME,
		"7 (a) SS 1 42 42 0 -1 0 1 2 3 4 250 50 7 8 20 0 13 0 123456 1 2500",
		"7 (a) S -1 42 42 0 -1 0 1 2 3 4 250 50 7 8 20 0 13 0 123456 1 2500",
		"7 (a) S 1 42 42 0 -1 0 1 2 3 4 -250 50 7 8 20 0 13 0 123456 1 2500",
	};
	struct pidstat stat;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(parse(texts[i], strlen(texts[i]), &stat), -EBADMSG);
}

static void names_the_states_as_the_host_knows_them(void **state)
{
	static const struct {
		char letter;
		const char *name;
	} cases[] = { { 'R', "Running" }, { 'S', "Sleeping" }, { 'D', "Disk Sleep" },
		      { 'Z', "Zombie" },  { 'T', "Stopped" },  { 't', "Tracing Stop" },
		      { 'X', "Dead" },	  { 'I', "Idle" },     { '?', "Sleeping" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(pidstat_state_name(cases[i].letter), cases[i].name);
}

static void reads_storage_bytes_from_io_and_misses_none_silently(void **state)
{
	static const char text[] = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 4096\nwrite_bytes: 8192\n"
				   "cancelled_write_bytes: 5\n";
	struct pidio io = { 0 };

	(void)state;
	assert_int_equal(pidio_parse(text, sizeof(text) - 1, &io), 0);
	assert_int_equal(io.read_bytes, 4096);
	assert_int_equal(io.write_bytes, 8192);
	assert_int_equal(pidio_parse(text, 50, &io), -EBADMSG);
	assert_int_equal(pidio_parse("", 0, &io), -EBADMSG);
}

static void packs_pid_and_start_into_a_key_and_back(void **state)
{
	uint64_t key = pidstat_key(4194303, 123456789);

	(void)state;
	assert_int_equal(pidstat_key_pid(key), 4194303);
	assert_int_equal(pidstat_key_start(key), 123456789);
}

static bool before_value(uint32_t a, uint32_t b, const void *user)
{
	const unsigned *values = user;

	return values[a] != values[b] ? values[a] < values[b] : a < b;
}

static void selects_the_first_in_order_for_every_size(void **state)
{
	unsigned values[200];
	uint32_t out[210];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++)
		values[i] = i * 7919 % 101;
	for (size_t max = 0; max <= 210; max++) {
		size_t n = select_first(out, max, ARRAY_SIZE(values), before_value, values);

		assert_int_equal(n, max < 200 ? max : 200);
		for (size_t i = 0; i + 1 < n; i++)
			assert_true(before_value(out[i], out[i + 1], values));
		if (n > 0)
			for (uint32_t other = 0; other < 200; other++) {
				bool taken = false;

				for (size_t i = 0; i < n; i++)
					taken |= out[i] == other;
				assert_true(taken || before_value(out[n - 1], other, values));
			}
	}
}

static void maps_numbers_that_collide_and_forgets_them_all(void **state)
{
	struct idmap map = { 0 };

	(void)state;
	assert_null(idmap_get(&map, 1));
	for (uint32_t i = 0; i < 5000; i++)
		assert_int_equal(idmap_put(&map, (uint64_t)i << 40 | 5, i), 0);
	assert_int_equal(idmap_put(&map, 5, 77), 0);
	assert_int_equal(map.count, 5000);
	assert_int_equal(*idmap_get(&map, 5), 77);
	for (uint32_t i = 1; i < 5000; i++)
		assert_int_equal(*idmap_get(&map, (uint64_t)i << 40 | 5), i);
	assert_null(idmap_get(&map, 6));
	idmap_clear(&map);
	assert_null(idmap_get(&map, 5));
	idmap_free(&map);
}

static void finds_users_and_skips_lines_that_make_no_sense(void **state)
{
	static const char text[] = "root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:/bin/sh\n\nbroken\n:x:5:\n+::::::\n"
				   "big:x:4294967296:1::/:\nweb\xff:x:1000:1000::/:\nlast:x:33:33";
	struct passwd passwd = { 0 };

	(void)state;
	assert_int_equal(passwd_parse(&passwd, text, sizeof(text) - 1), 0);
	assert_string_equal(passwd_find(&passwd, 0), "root");
	assert_string_equal(passwd_find(&passwd, 1000), "web\xff");
	assert_string_equal(passwd_find(&passwd, 33), "last");
	assert_null(passwd_find(&passwd, 5));
	assert_int_equal(passwd_parse(&passwd, "", 0), 0);
	assert_null(passwd_find(&passwd, 0));
	passwd_free(&passwd);
}

static void reads_the_switches_of_status_and_wants_both(void **state)
{
	static const char text[] = "Name:\tvoluntary_ctxt_switches:\t9\nThreads:\t1\nvoluntary_ctxt_switches:\t150\n"
				   "nonvoluntary_ctxt_switches:\t545\n";
	struct pidswitches found = { 1, 2 };

	(void)state;
	assert_int_equal(pidswitches_parse(text, sizeof(text) - 1, &found), 0);
	assert_true(found.voluntary == 150 && found.involuntary == 545);
	assert_int_equal(pidswitches_parse(text, strlen("Name:\tvoluntary_ctxt_switches:\t9\n"), &found), -EBADMSG);
	assert_int_equal(pidswitches_parse("voluntary_ctxt_switches: 3\n", 27, &found), -EBADMSG);
	assert_true(found.voluntary == 150);
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void finds_the_id_of_a_container_however_its_engine_names_the_group(void **state)
{
	static const struct {
		const char *text, *id;
	} cases[] = {
		{ "0::/system.slice/docker-" ID ".scope\n", "0123456789ab" },
		{ "12:pids:/docker/" ID "\n0::/\n", "0123456789ab" },
		{ "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope", "0123456789ab" },
		{ "0::/machine.slice/libpod-" ID ".scope/container\n", "0123456789ab" },
		{ "0::/system.slice/ssh.service\n", NULL },
		{ "0::/x/" ID "0\n", NULL }, /* 65 digits are none */
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char id[PIDSTAT_CONTAINER_SIZE] = "";

		assert_int_equal(pidcontainer_parse(cases[i].text, strlen(cases[i].text), id), cases[i].id != NULL);
		assert_string_equal(id, cases[i].id ? cases[i].id : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_fields_of_stat),
		cmocka_unit_test(ends_a_hostile_name_at_the_last_parenthesis),
		cmocka_unit_test(cuts_a_name_that_is_too_long),
		cmocka_unit_test(refuses_every_cut_before_the_last_field_needed),
		cmocka_unit_test(refuses_numbers_that_make_no_sense),
		cmocka_unit_test(names_the_states_as_the_host_knows_them),
		cmocka_unit_test(reads_storage_bytes_from_io_and_misses_none_silently),
		cmocka_unit_test(reads_the_switches_of_status_and_wants_both),
		cmocka_unit_test(finds_the_id_of_a_container_however_its_engine_names_the_group),
		cmocka_unit_test(packs_pid_and_start_into_a_key_and_back),
		cmocka_unit_test(selects_the_first_in_order_for_every_size),
		cmocka_unit_test(maps_numbers_that_collide_and_forgets_them_all),
		cmocka_unit_test(finds_users_and_skips_lines_that_make_no_sense),
	};

	return cmocka_run_group_tests_name("pidstat", tests, NULL, NULL);
}
