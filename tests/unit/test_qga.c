/* SPDX-License-Identifier: MIT */
/* A host of the QEMU guest agent's language over a made-up machine, with a clock that the test turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_loop.h"
#include "fixture_dir.h"

#include "agent/qga/command.h"
#include "agent/qga/qga.h"

#define FSINFO	"{\"execute\":\"guest-get-fsinfo\"}"
#define PING	"{\"execute\":\"guest-ping\"}"
#define PING_IS "{\"return\":{}}\n"
#define FSTYPE	"1 0 254:1 / /data rw - ext4 /dev/vda1 rw\n"

struct guest {
	struct fixture *files;
	struct loop loop;
	struct freeze freeze; /* nothing is frozen */
	struct config config;
	struct prober_pool *probers;
	struct json_writer writer;
	struct json_check check;
	struct qga *qga;
	char said[65536], text[65536];
	size_t said_len;
	bool executor, signatures, reads_recorded;
	unsigned records, refusals;
	int power; /* enum qga_power; -1: none */
	int power_error;
};

/* statvfs(2) of the prober's child: the mount point says what happens. */
static int probe(const void *arg, size_t arg_len, unsigned char *data)
{
	struct probe_statvfs room = { .block_size = 4096, .blocks = 100, .bfree = 40, .bavail = 30 };

	if (arg_len == 5 && memcmp(arg, "/hung", 5) == 0)
		pause();
	if (arg_len == 7 && memcmp(arg, "/broken", 7) == 0)
		return -EIO;
	memcpy(data, &room, sizeof(room));
	return sizeof(room);
}

static const struct prober_table probes = { .probe = { [PROBE_STATVFS] = probe } };

static void on_send(void *data, const char *text, size_t len)
{
	struct guest *guest = data;

	assert_true(guest->said_len + len < sizeof(guest->said));
	memcpy(guest->said + guest->said_len, text, len);
	guest->said_len += len;
	guest->said[guest->said_len] = '\0';
}

static void on_record(void *data, const struct audit_record *record)
{
	struct guest *guest = data;

	assert_non_null(record->action);
	guest->records++;
	guest->refusals += record->phase == AUDIT_REFUSED;
}

static bool on_records_read(void *data)
{
	return ((struct guest *)data)->reads_recorded;
}

static bool on_signatures(void *data)
{
	return ((struct guest *)data)->signatures;
}

static bool on_executor(void *data)
{
	return ((struct guest *)data)->executor;
}

static int on_power(void *data, enum qga_power how, struct err *e)
{
	struct guest *guest = data;

	if (guest->power_error)
		return err_set(e, guest->power_error, "pending");
	guest->power = (int)how;
	return 0;
}

static int setup(void **state)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	struct prober_config config = { .table = &probes };
	struct qga_env env;

	guest->files = fixture_new();
	loop_init(&guest->loop, ev_default_loop(0));
	assert_int_equal(config_init(&guest->config), 0);
	guest->probers = prober_new(guest->loop.ev, &config);
	json_writer_init(&guest->writer, guest->text, sizeof(guest->text));
	json_check_init(&guest->check, 1);
	guest->power = -1;
	env = (struct qga_env){ .loop = &guest->loop,
				.config = &guest->config,
				.probers = guest->probers,
				.writer = &guest->writer,
				.check = &guest->check,
				.proc_fd = guest->files->ctx.proc_fd,
				.sys_fd = guest->files->ctx.sys_fd,
				.root_fd = guest->files->ctx.root_fd,
				.freeze = &guest->freeze,
				.send = on_send,
				.record = on_record,
				.records_read = on_records_read,
				.signatures = on_signatures,
				.executor = on_executor,
				.power = on_power,
				.data = guest };
	guest->qga = qga_new(&env);
	*state = guest;
	return 0;
}

static int teardown(void **state)
{
	struct guest *guest = *state;

	qga_free(guest->qga);
	prober_free(guest->probers);
	config_free(&guest->config);
	fixture_free(guest->files);
	free(guest);
	return 0;
}

static void set(struct guest *guest, const char *assignment)
{
	struct err e;

	assert_int_equal(config_set(&guest->config, assignment, &e), 0);
}

static void say(struct guest *guest, const char *text)
{
	qga_receive(guest->qga, text, strlen(text));
}

static const char *said(struct guest *guest)
{
	guest->said[guest->said_len] = '\0';
	guest->said_len = 0;
	return guest->said;
}

static const char *ask(struct guest *guest, const char *text)
{
	guest->said_len = 0;
	say(guest, text);
	return said(guest);
}

/* Turns the real loop, for the prober's answers, until the host is told something. */
static const char *await(struct guest *guest)
{
	for (unsigned i = 0; i < 500 && guest->said_len == 0; i++) {
		ev_run(guest->loop.ev, EVRUN_NOWAIT);
		usleep(10000);
	}
	assert_true(guest->said_len > 0);
	return said(guest);
}

static void mounts_are(struct guest *guest, const char *text)
{
	char path[256];

	fixture_write(guest->files, "proc/1/mountinfo", text);
	fixture_write(guest->files, "sys/devices/pci0000:00/0000:00:04.0/virtio1/block/vda/vda1/partition", "1\n");
	fixture_write(guest->files, "sys/dev/block/keep", "");
	snprintf(path, sizeof(path), "%s/sys/dev/block/254:1", guest->files->path);
	assert_true(symlink("../../devices/pci0000:00/0000:00:04.0/virtio1/block/vda/vda1", path) == 0 ||
		    errno == EEXIST);
}

static void answers_are_in_the_order_of_the_requests(void **state)
{
	struct guest *guest = *state;

	assert_string_equal(ask(guest, PING "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":7},\"id\":null}" PING),
			    PING_IS "{\"return\":7,\"id\":null}\n" PING_IS);
	assert_string_equal(ask(guest, "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":-1}}"),
			    "\xff{\"return\":-1}\n");
	mounts_are(guest, FSTYPE);
	assert_string_equal(ask(guest, FSINFO PING), "");
	assert_non_null(strstr(await(guest), "\"mountpoint\":\"/data\""));
	pass_time(&guest->loop, 0);
	assert_string_equal(said(guest), PING_IS);
}

static void a_file_system_is_shown_with_its_room_and_its_disk(void **state)
{
	struct guest *guest = *state;

	mounts_are(guest,
		   FSTYPE "2 0 254:1 /sub /bind\\040me rw - ext4 /dev/vda1 rw\n3 0 0:5 / /proc rw - proc proc rw\n");
	fixture_write(guest->files, "root/run/udev/data/b254:1", "S:disk\nE:ID_SERIAL=abc\nE:ID_X=1\n");
	say(guest, FSINFO);
	assert_string_equal(
		await(guest),
		"{\"return\":[{\"name\":\"vda1\",\"mountpoint\":\"/data\",\"type\":\"ext4\",\"used-bytes\":245760,"
		"\"total-bytes\":368640,\"total-bytes-privileged\":409600,\"disk\":[{\"bus-type\":\"virtio\",\"bus\":0,"
		"\"target\":0,\"unit\":0,\"pci-controller\":{\"domain\":0,\"bus\":0,\"slot\":4,\"function\":0},"
		"\"dev\":\"/dev/vda1\",\"serial\":\"abc\"}]},"
		"{\"name\":\"vda1\",\"mountpoint\":\"/bind me\",\"type\":\"ext4\",\"used-bytes\":245760,"
		"\"total-bytes\":368640,\"total-bytes-privileged\":409600,\"disk\":[{\"bus-type\":\"virtio\",\"bus\":0,"
		"\"target\":0,\"unit\":0,\"pci-controller\":{\"domain\":0,\"bus\":0,\"slot\":4,\"function\":0},"
		"\"dev\":\"/dev/vda1\",\"serial\":\"abc\"}]}]}\n");
}

static void a_file_system_that_does_not_answer_is_shown_without_its_room(void **state)
{
	struct guest *guest = *state;
	const char *text;

	mounts_are(guest, "1 0 254:1 / /hung rw - ext4 /dev/vda1 rw\n");
	assert_string_equal(ask(guest, FSINFO), "");
	pass_time(&guest->loop, 690 * NS_PER_MS);
	assert_string_equal(said(guest), "");
	pass_time(&guest->loop, 20 * NS_PER_MS);
	text = said(guest);
	assert_non_null(strstr(text, "\"mountpoint\":\"/hung\",\"type\":\"ext4\",\"disk\":[{"));
	mounts_are(guest, "1 0 254:1 / /broken rw - ext4 /dev/vda1 rw\n");
	say(guest, FSINFO);
	assert_non_null(strstr(await(guest), "\"mountpoint\":\"/broken\",\"type\":\"ext4\",\"disk\":[{"));
}

static void a_longer_command_of_a_host_that_left_is_answered_to_nobody(void **state)
{
	struct guest *guest = *state;

	mounts_are(guest, "1 0 254:1 / /hung rw - ext4 /dev/vda1 rw\n");
	say(guest, FSINFO PING);
	qga_host_left(guest->qga);
	pass_time(&guest->loop, NS_PER_S);
	assert_string_equal(said(guest), "");
	assert_string_equal(ask(guest, PING), PING_IS);
	say(guest, FSINFO PING "\xff" PING);
	assert_string_equal(said(guest), PING_IS);
	say(guest, FSINFO);
	pass_time(&guest->loop, 1);
	qga_border(guest->qga, guest->loop.now.mono_ns);
	assert_string_equal(ask(guest, PING), PING_IS);
	pass_time(&guest->loop, NS_PER_S);
	assert_string_equal(said(guest), "");
}

static void what_waits_is_bounded(void **state)
{
	static char filler[QGA_WAITING_BYTES / 2];
	struct guest *guest = *state;

	mounts_are(guest, "1 0 254:1 / /hung rw - ext4 /dev/vda1 rw\n");
	memset(filler, ' ', sizeof(filler) - 1);
	memcpy(filler, "{\"execute\":", 11);
	memcpy(filler + sizeof(filler) - 20, "\"guest-ping\"}", 14);
	say(guest, FSINFO);
	say(guest, filler);
	say(guest, filler);
	assert_string_equal(said(guest), "");
	say(guest, filler);
	assert_non_null(strstr(said(guest), "too many requests wait"));
	pass_time(&guest->loop, NS_PER_S);
	assert_non_null(strstr(said(guest), "]}\n" PING_IS PING_IS));
}

static void a_command_that_policy_forbids_is_disabled_and_recorded_as_refused(void **state)
{
	struct guest *guest = *state;

	assert_non_null(strstr(ask(guest, "{\"execute\":\"guest-get-load\"}"), "GenericError"));
	assert_int_equal(guest->refusals, 0);
	set(guest, "qga.deny=observe");
	assert_string_equal(
		ask(guest, "{\"execute\":\"guest-get-load\"}"),
		"{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Command guest-get-load has been disabled\"}}\n");
	assert_int_equal(guest->refusals, 1);
	assert_non_null(strstr(ask(guest, "{\"execute\":\"guest-info\"}"),
			       "{\"name\":\"guest-get-load\",\"enabled\":false,\"success-response\":true}"));
}

static void a_shutdown_has_no_answer_unless_it_fails(void **state)
{
	struct guest *guest = *state;

	assert_non_null(strstr(ask(guest, "{\"execute\":\"guest-shutdown\"}"), "has been disabled"));
	guest->executor = true;
	assert_string_equal(ask(guest, "{\"execute\":\"guest-shutdown\"}"), "");
	assert_int_equal(guest->power, QGA_POWER_DOWN);
	assert_string_equal(ask(guest, "{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":\"reboot\"}}"), "");
	assert_int_equal(guest->power, QGA_POWER_REBOOT);
	assert_string_equal(ask(guest, "{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":\"halt\"}}"), "");
	assert_int_equal(guest->power, QGA_POWER_HALT);
	guest->power = -1;
	assert_non_null(strstr(ask(guest, "{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":\"sleep\"}}"),
			       "mode is invalid"));
	assert_int_equal(guest->power, -1);
	guest->power_error = -EALREADY;
	assert_non_null(strstr(ask(guest, "{\"execute\":\"guest-shutdown\"}"), "\"desc\":\"pending\""));
	assert_int_equal(guest->records, 10);
}

static void reads_are_recorded_as_far_as_the_owner_wants_and_what_keeps_in_step_never(void **state)
{
	struct guest *guest = *state;

	ask(guest, "{\"execute\":\"guest-get-time\"}");
	assert_int_equal(guest->records, 0);
	guest->reads_recorded = true;
	ask(guest, "{\"execute\":\"guest-get-time\"}");
	assert_int_equal(guest->records, 2);
	ask(guest, PING "{\"execute\":\"guest-info\"}");
	assert_int_equal(guest->records, 2);
}

static void an_answer_that_is_too_long_is_an_error(void **state)
{
	struct guest *guest = *state;

	json_writer_init(&guest->writer, guest->text, 2000);
	assert_non_null(strstr(ask(guest, "{\"execute\":\"guest-info\",\"id\":1}"), "the answer is too long"));
	assert_string_equal(ask(guest, PING), PING_IS);
}

static void every_command_has_its_rule(void **state)
{
	unsigned here = 0;

	(void)state;
	for (size_t i = 0; i < qga_rule_count; i++)
		here += qga_command_find(qga_rules[i].name) != NULL;
	assert_true(here >= 21);
	assert_null(qga_command_find("guest-get-devices"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(answers_are_in_the_order_of_the_requests),
		T(a_file_system_is_shown_with_its_room_and_its_disk),
		T(a_file_system_that_does_not_answer_is_shown_without_its_room),
		T(a_longer_command_of_a_host_that_left_is_answered_to_nobody),
		T(what_waits_is_bounded),
		T(a_command_that_policy_forbids_is_disabled_and_recorded_as_refused),
		T(a_shutdown_has_no_answer_unless_it_fails),
		T(reads_are_recorded_as_far_as_the_owner_wants_and_what_keeps_in_step_never),
		T(an_answer_that_is_too_long_is_an_error),
		T(every_command_has_its_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
