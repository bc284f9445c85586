/* SPDX-License-Identifier: MIT */
/* What the hub goes by: names of VMs, their secrets, its settings, and whose a socket is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "tools/hub/asks.h"
#include "tools/hub/hubconf.h"
#include "tools/hub/owned.h"
#include "tools/hub/secrets.h"
#include "tools/hub/vmname.h"

static void a_vm_is_named_by_its_channel(void **state)
{
	static const struct {
		const char *path, *name;
	} cases[] = {
		{ "/run/vms/web1.sock", "web1" },
		{ "/run/vms/web1.socket", "web1" },
		{ "/run/vms/web1", "web1" },
		{ "/run/vms/.sock", ".sock" },
		{ "/a/domain-3-web-1/org.infinibay.agent", "web-1" },
		{ "/a/domain-33-domain-4-x/org.infinibay.agent", "domain-4-x" },
		{ "/a/domain-x-web/org.infinibay.agent", "domain-x-web" },
		{ "/a/domain-3-/org.infinibay.agent", "domain-3-" },
		{ "/a/web1/org.infinibay.agent", "web1" },
		{ "/a/e\033[1m.sock", "e?[1m" },
		{ "/a/\xff\xfe.sock", "??" },
	};
	char name[VMNAME_SIZE], longest[300] = "/";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(vmname_of_path(cases[i].path, name), 0);
		assert_string_equal(name, cases[i].name);
	}
	assert_int_equal(vmname_of_path("/run/", name), -EINVAL);
	assert_int_equal(vmname_of_path("/org.infinibay.agent", name), -EINVAL);
	memset(longest + 1, 'x', 128);
	assert_int_equal(vmname_of_path(longest, name), 0);
	memset(longest + 1, 'x', 129);
	assert_int_equal(vmname_of_path(longest, name), -ENAMETOOLONG);
}

static void only_a_uuid_is_taken_for_one(void **state)
{
	char uuid[UUID_SIZE];

	(void)state;
	vmname_uuid("11111111-2222-3333-4444-5555555555AB", uuid);
	assert_string_equal(uuid, "11111111-2222-3333-4444-5555555555ab");
	vmname_uuid("11111111-2222-3333-4444-55555555555", uuid);
	assert_string_equal(uuid, "");
	vmname_uuid("11111111x2222-3333-4444-555555555555", uuid);
	assert_string_equal(uuid, "");
	vmname_uuid("1111111--2222-3333-4444-555555555555", uuid);
	assert_string_equal(uuid, "");
}

static void a_secret_is_derived_as_the_backend_does_it(void **state)
{
	static const char master[] = "example-master-secret";
	char hex[SECRET_HEX_SIZE];

	(void)state;
	secret_derive(master, sizeof(master) - 1, "11111111-2222-3333-4444-555555555555", hex);
	assert_string_equal(hex, "69694c4da93700c86640f8db66ef84d3c6441ba86725212ec25b552ea20bfa56");
	secret_derive(master, sizeof(master) - 1, "11111111-2222-3333-4444-555555555556", hex);
	assert_string_not_equal(hex, "69694c4da93700c86640f8db66ef84d3c6441ba86725212ec25b552ea20bfa56");
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void a_secret_that_cannot_be_used_is_an_error_and_not_none(void **state)
{
	char folder[] = "/tmp/infini-secrets-XXXXXX", path[64], master[64];
	struct err e = { 0 };
	char *secret;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/a", folder);
	snprintf(master, sizeof(master), "%s/m", folder);
	assert_int_equal(secret_of_vm(folder, "", "a", &secret, &e), 0);
	assert_null(secret);
	write_file(path, "abc \n", 0600);
	assert_int_equal(secret_of_vm(folder, "", "a", &secret, &e), 1);
	assert_string_equal(secret, "abc");
	secret_free_text(secret);
	assert_int_equal(secret_of_vm(folder, "", "../a", &secret, &e), 0);
	assert_int_equal(secret_of_vm(folder, "", "..", &secret, &e), 0);
	write_file(path, "abc", 0640);
	assert_int_equal(secret_of_vm(folder, "", "a", &secret, &e), -EPERM);
	assert_non_null(strstr(e.text, "chmod 0600"));
	write_file(path, " \n", 0600);
	assert_int_equal(secret_of_vm(folder, "", "a", &secret, &e), -EINVAL);
	/* A master's file is for those without a file of their own; without it nothing is signed with nothing. */
	assert_int_equal(secret_of_vm(folder, master, "b", &secret, &e), -ENOENT);
	write_file(master, "example-master-secret\n", 0600);
	assert_int_equal(secret_of_vm(folder, master, "11111111-2222-3333-4444-555555555555", &secret, &e), 1);
	assert_string_equal(secret, "69694c4da93700c86640f8db66ef84d3c6441ba86725212ec25b552ea20bfa56");
	secret_free_text(secret);
	assert_int_equal(secret_of_vm(folder, master, "a", &secret, &e), -EINVAL);
}

static int parse(struct hubconf *conf, const char *text, struct err *e)
{
	assert_int_equal(hubconf_init(conf), 0);
	return hubconf_parse(conf, "F", text, strlen(text), e);
}

static void a_configuration_is_taken_whole_or_refused_with_its_line(void **state)
{
	static const struct {
		const char *text, *said;
	} wrong[] = {
		{ "[vms]\n\nsocket = /x\n", "F:3: there is no key \"socket\"" },
		{ "[web]\nconnections_max = 12x\n", "F:2: web.connections_max" },
		{ "[web]\nconnections_max = -4\n", "F:2: web.connections_max" },
		{ "[limits]\nseries_max = 1001\n", "F:2: limits.series_max" },
		{ "[secrets]\nmaster = etc/x\n", "F:2: secrets.master" },
		{ "[list]\na = x\n", "F:2: a: \"x\" is no absolute path" },
		{ "[list]\na = /x\nb = /x\n", "F:3: b = /x" },
		{ "what\n", "F:1: expected" },
	};
	char text[400] = "[vms]\nsockets = /";
	struct hubconf conf;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(parse(&conf, "[vms]\nsockets = /a /b/*.sock\ninterval_s = 5\n[list]\nweb = /r/w\n", &e), 0);
	assert_string_equal(conf.vms_sockets, "/a /b/*.sock");
	assert_int_equal(conf.vms_interval_s, 5);
	assert_int_equal(conf.limits_series_max, 1000);
	assert_int_equal(conf.list_len, 1);
	assert_string_equal(conf.list[0].name, "web");
	hubconf_free(&conf);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_not_equal(parse(&conf, wrong[i].text, &e), 0);
		assert_memory_equal(e.text, wrong[i].said, strlen(wrong[i].said));
		hubconf_free(&conf);
	}
	memset(text + strlen(text), 'x', 250);
	assert_int_equal(parse(&conf, text, &e), -EINVAL);
	hubconf_free(&conf);
}

static void the_example_is_a_configuration_of_defaults(void **state)
{
	struct hubconf conf;
	struct err e = { 0 };
	char text[8192];
	size_t len = hubconf_example(text, sizeof(text));

	(void)state;
	assert_true(len > 500 && len < sizeof(text));
	assert_int_equal(parse(&conf, text, &e), 0);
	assert_string_equal(conf.web_listen, "127.0.0.1:9889");
	hubconf_free(&conf);
}

static void a_socket_with_an_accepted_connection_is_somebodys(void **state)
{
	static const char table[] = "Num       RefCount Protocol Flags    Type St Inode Path\n"
				    "0000000000000000: 00000002 00000000 00010000 0001 01  1001 /run/free.sock\n"
				    "0000000000000000: 00000002 00000000 00010000 0001 01  1002 /run/own ed.sock\n"
				    "0000000000000000: 00000003 00000000 00000000 0001 03  1003 /run/own ed.sock\n"
				    "0000000000000000: 00000003 00000000 00000000 0001 03  1004\n"
				    "0000000000000000: 00000003 00000000 00000000 0001 02  1005 /run/waits.sock\n"
				    "half a line";
	struct owned owned = { 0 };

	(void)state;
	assert_int_equal(owned_parse(&owned, table, sizeof(table) - 1), 0);
	assert_true(owned_has(&owned, "/run/own ed.sock"));
	assert_false(owned_has(&owned, "/run/free.sock"));
	assert_false(owned_has(&owned, "/run/waits.sock"));
	assert_false(owned_has(&owned, ""));
	assert_int_equal(owned_parse(&owned, "", 0), 0);
	assert_false(owned_has(&owned, "/run/own ed.sock"));
	owned_free(&owned);
}

static void an_answer_goes_to_who_asked_and_no_client_takes_all_places(void **state)
{
	struct asks asks = { 0 };
	struct ask ask = { .vm = 1, .client = 7, .id = "a" };

	(void)state;
	assert_int_equal(asks_add(&asks, &ask), 0);
	assert_int_equal(asks_add(&asks, &ask), -EEXIST);
	ask.vm = 2;
	ask.client = 8;
	assert_int_equal(asks_add(&asks, &ask), 0);
	assert_int_equal(asks_find(&asks, 1, "a")->client, 7);
	assert_int_equal(asks_find(&asks, 2, "a")->client, 8);
	assert_int_equal(asks_find(&asks, 2, "")->client, 8);
	assert_null(asks_find(&asks, 3, ""));
	asks_remove(&asks, asks_find(&asks, 1, "a"));
	assert_null(asks_find(&asks, 1, "a"));
	ask.client = 9;
	for (int i = 0; i < ASKS_CLIENT_MAX; i++) {
		snprintf(ask.id, sizeof(ask.id), "%d", i);
		assert_int_equal(asks_add(&asks, &ask), 0);
	}
	snprintf(ask.id, sizeof(ask.id), "more");
	assert_int_equal(asks_add(&asks, &ask), -EBUSY);
	asks_forget(&asks, 9);
	assert_int_equal(asks.len, 1);
	assert_int_equal(asks_add(&asks, &ask), 0);
	asks_free(&asks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vm_is_named_by_its_channel),
		cmocka_unit_test(only_a_uuid_is_taken_for_one),
		cmocka_unit_test(a_secret_is_derived_as_the_backend_does_it),
		cmocka_unit_test(a_secret_that_cannot_be_used_is_an_error_and_not_none),
		cmocka_unit_test(a_configuration_is_taken_whole_or_refused_with_its_line),
		cmocka_unit_test(the_example_is_a_configuration_of_defaults),
		cmocka_unit_test(a_socket_with_an_accepted_connection_is_somebodys),
		cmocka_unit_test(an_answer_goes_to_who_asked_and_no_client_takes_all_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
