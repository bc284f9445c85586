/* SPDX-License-Identifier: MIT */
/*
 * Commands of the QEMU guest agent's language that the executor does: what it is asked for, and what the host is told
 * of its answers. Executor and freeze helper are played by the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/programs.h"
#include "agent/qga/qga.h"
#include "agent/runner/protocol.h"
#include "tests/loop_turn.h"

static char dir[] = "/tmp/test-qga-root-XXXXXX", path[64];
static struct loop loop;
static struct config config;
static struct exec *exec;
static struct freeze freeze;
static struct qga *qga;
static struct json_check check;
static struct json_writer writer;
static char writer_text[65536], said[65536];
static int listener, executor, fds[PACKET_FDS];

/* The last request that the executor got. */
static char message[RUNNER_MESSAGE_MAX];
static struct runner_command command;
static struct runner_call call;
static uint64_t request_id;

static void on_send(void *data, const char *text, size_t len)
{
	(void)data;
	strncat(said, text, len);
}

static void on_record(void *data, const struct audit_record *record)
{
	(void)data;
	/* No secret is on record. */
	if (record->detail)
		assert_null(strstr(record->detail, "c2VjcmV0"));
}

static bool no(void *data)
{
	(void)data;
	return false;
}

static bool yes(void *data)
{
	(void)data;
	return true;
}

static void set(const char *assignment)
{
	assert_int_equal(config_set(&config, assignment, NULL), 0);
}

static int setup(void **state)
{
	static const struct freeze_hooks hooks = { .data = NULL };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct exec_config executor_config = { .socket_path = path };
	struct qga_env env = { .loop = &loop,
			       .config = &config,
			       .writer = &writer,
			       .check = &check,
			       .root = NULL,
			       .freeze = &freeze,
			       .send = on_send,
			       .record = on_record,
			       .records_read = no,
			       .signatures = no,
			       .executor = yes };

	(void)state;
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/exec.sock", dir);
	memcpy(address.sun_path, path, sizeof(path));
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	executor = fds[0] = fds[1] = fds[2] = -1;
	loop_init(&loop, ev_default_loop(0));
	assert_int_equal(config_init(&config), 0);
	set("qga.allow=observe freeze control exec files");
	set("qga.allow_unsafe=yes");
	exec = exec_new(loop.ev, &executor_config);
	freeze_init(&freeze, &loop, exec, NULL, &hooks);
	json_writer_init(&writer, writer_text, sizeof(writer_text));
	json_check_init(&check, 1);
	env.root = exec;
	qga = qga_new(&env);
	*said = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	qga = qga_free(qga);
	freeze_done(&freeze);
	exec = exec_free(exec);
	loop_done(&loop);
	config_free(&config);
	packet_close(fds);
	close_fd(&listener);
	close_fd(&executor);
	unlink(path);
	return rmdir(dir);
}

static void say(const char *text)
{
	*said = '\0';
	qga_receive(qga, text, strlen(text));
}

static void ask(const char *name, const char *arguments)
{
	char text[1024];

	snprintf(text, sizeof(text), "{\"execute\":\"%s\"%s%s}", name, *arguments ? ",\"arguments\":" : "", arguments);
	say(text);
}

/* Until the executor has a request; its operation, or 0: a RUN. */
static unsigned asked(void)
{
	struct runner_request head;
	ssize_t len = -1;

	packet_close(fds);
	for (int i = 0; i < 1000 && len < 0; i++) {
		loop_turn(loop.ev);
		if (executor < 0)
			executor = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (executor >= 0)
			len = packet_receive(executor, message, sizeof(message), 0, fds);
	}
	assert_true(len > 0);
	assert_int_equal(runner_request_parse(message, (size_t)len, &head), 0);
	request_id = head.id;
	if (head.op == RUNNER_RUN) {
		assert_int_equal(runner_run_parse(message, (size_t)len, &command), 0);
		return 0;
	}
	assert_int_equal(runner_operation_parse(message, (size_t)len, &call), 0);
	return call.operation.operation;
}

/* Whether the words behind the program are these, separated by blanks. */
static void words_are(const char *wanted)
{
	char words[512] = "";

	for (size_t i = 1; command.argv[i]; i++) {
		strcat(words, i > 1 ? " " : "");
		strcat(words, command.argv[i]);
	}
	assert_string_equal(words, wanted);
}

static void answer(unsigned op, int error, int status, const char *words, const int *pipes)
{
	struct runner_answer reply = { .reply = { .op = (uint16_t)op,
						  .id = request_id,
						  .error = error,
						  .status = status,
						  .stage = error ? RUNNER_STAGE_POLICY : 0 } };
	size_t len = runner_answer_fill(&reply, words);

	assert_int_equal(packet_send(executor, &reply, len, pipes, pipes ? 2 : 0), len);
}

static const char *await(void)
{
	for (int i = 0; i < 1000 && !*said; i++)
		loop_turn(loop.ev);
	return said;
}

/* The program writes this and ends; what the host is told then. */
static const char *ended(int status, const char *out, const char *err)
{
	int pipes[2][2], reads[2];
	const char *const texts[2] = { out, err };

	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
		assert_int_equal(write(pipes[i][1], texts[i], strlen(texts[i])), strlen(texts[i]));
		close(pipes[i][1]);
		reads[i] = pipes[i][0];
	}
	answer(RUNNER_STARTED, 0, 0, "", reads);
	answer(RUNNER_EXITED, 0, status << 8, "", NULL);
	close(reads[0]);
	close(reads[1]);
	return await();
}

static void tell(enum freeze_message_kind kind, enum freeze_reason reason, unsigned count)
{
	struct freeze_message told = { .kind = kind, .reason = reason, .count = count };

	assert_int_equal(send(fds[0], &told, sizeof(told), MSG_DONTWAIT), sizeof(told));
}

static void file_systems_are_frozen_and_thawed_and_only_what_leads_out_is_done_meanwhile(void **state)
{
	(void)state;
	ask("guest-fsfreeze-status", "");
	assert_string_equal(said, "{\"return\":\"thawed\"}\n");
	ask("guest-fsfreeze-freeze", "");
	assert_int_equal(asked(), RUNNER_OPERATION_FREEZE);
	assert_string_equal(call.action, "guest-fsfreeze-freeze");
	assert_string_equal(call.argument, "");
	assert_string_equal(said, "");
	answer(RUNNER_ANSWERED, 0, 0, "done", NULL);
	tell(FREEZE_FROZEN, 0, 3);
	assert_string_equal(await(), "{\"return\":3}\n");
	ask("guest-get-time", "");
	assert_non_null(strstr(said, "CommandNotFound"));
	ask("guest-fsfreeze-freeze", "");
	assert_non_null(strstr(said, "has been disabled"));
	ask("guest-ping", "");
	assert_string_equal(said, "{\"return\":{}}\n");
	ask("guest-info", "");
	assert_non_null(strstr(said, "{\"name\":\"guest-fsfreeze-thaw\",\"enabled\":true"));
	assert_non_null(strstr(said, "{\"name\":\"guest-get-osinfo\",\"enabled\":false"));
	ask("guest-fsfreeze-status", "");
	tell(FREEZE_STATUS, 0, 3);
	assert_string_equal(await(), "{\"return\":\"frozen\"}\n");
	ask("guest-fsfreeze-thaw", "");
	tell(FREEZE_THAWED, FREEZE_ASKED, 3);
	assert_string_equal(await(), "{\"return\":3}\n");
	ask("guest-get-time", "");
	assert_non_null(strstr(said, "{\"return\":"));
}

static void a_list_goes_along_and_the_reason_of_a_thaw_nobody_asked_for_comes_once(void **state)
{
	(void)state;
	ask("guest-fsfreeze-freeze-list", "{\"mountpoints\":[\"/srv\",\"/a b\"]}");
	assert_int_equal(asked(), RUNNER_OPERATION_FREEZE);
	assert_string_equal(call.argument, "/srv\n/a b\n");
	answer(RUNNER_ANSWERED, 0, 0, "done", NULL);
	tell(FREEZE_FROZEN, 0, 2);
	assert_string_equal(await(), "{\"return\":2}\n");
	tell(FREEZE_THAWED, FREEZE_TIME_LIMIT, 2);
	while (freeze.state != FREEZE_STATE_THAWED)
		loop_turn(loop.ev);
	ask("guest-fsfreeze-status", "");
	assert_string_equal(said, "{\"return\":\"thawed\"}\n");
	ask("guest-fsfreeze-thaw", "");
	assert_non_null(strstr(said, "GenericError"));
	assert_non_null(strstr(said, "qga.freeze_max_s"));
	ask("guest-fsfreeze-thaw", "");
	assert_string_equal(said, "{\"return\":0}\n");
	ask("guest-fsfreeze-freeze-list", "{\"mountpoints\":[\"srv\"]}");
	assert_non_null(strstr(said, "GenericError"));
	ask("guest-fsfreeze-freeze-list", "{\"mountpoints\":[7]}");
	assert_non_null(strstr(said, "GenericError"));
}

static void a_host_that_leaves_takes_no_freeze_along_and_is_answered_no_more(void **state)
{
	(void)state;
	ask("guest-fsfreeze-freeze", "");
	asked();
	qga_host_left(qga);
	answer(RUNNER_ANSWERED, 0, 0, "done", NULL);
	tell(FREEZE_FROZEN, 0, 3);
	while (freeze.state != FREEZE_STATE_FROZEN)
		loop_turn(loop.ev);
	assert_string_equal(said, "");
	ask("guest-fsfreeze-thaw", "");
	tell(FREEZE_THAWED, FREEZE_ASKED, 3);
	assert_string_equal(await(), "{\"return\":3}\n");
	/* A program likewise. */
	ask("guest-fstrim", "");
	asked();
	qga_host_left(qga);
	*said = '\0';
	answer(RUNNER_REFUSED, EACCES, 0, "no", NULL);
	for (int i = 0; i < 5; i++)
		loop_turn(loop.ev);
	assert_string_equal(said, "");
}

static void what_the_executor_refuses_is_told_with_its_words(void **state)
{
	(void)state;
	ask("guest-fsfreeze-freeze", "");
	asked();
	answer(RUNNER_REFUSED, EACCES, 0, "the owner says no", NULL);
	assert_string_equal(await(), "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the owner says no\"}}\n");
	ask("guest-set-time", "");
	asked();
	answer(RUNNER_REFUSED, EACCES, 0, "the owner says no", NULL);
	assert_string_equal(await(), "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the owner says no\"}}\n");
	set("qga.deny=freeze");
	ask("guest-fsfreeze-freeze", "");
	assert_non_null(strstr(said, "has been disabled"));
}

static void a_trim_tells_each_file_system(void **state)
{
	(void)state;
	ask("guest-fstrim", "{\"minimum\":4096}");
	assert_int_equal(asked(), 0);
	words_are("trim 4096");
	assert_string_equal(command.action, "guest-fstrim");
	assert_string_equal(ended(0, "/ 1048576 4096\n/a\\040b\\134 - trim not supported\n", ""),
			    "{\"return\":{\"paths\":[{\"path\":\"/\",\"trimmed\":1048576,\"minimum\":4096},"
			    "{\"path\":\"/a b\\\\\",\"error\":\"trim not supported\"}]}}\n");
	ask("guest-fstrim", "");
	asked();
	words_are("trim 0");
	assert_string_equal(ended(0, "", ""), "{\"return\":{\"paths\":[]}}\n");
}

static void the_clock_is_set_to_a_time_or_by_the_hardware_clock(void **state)
{
	(void)state;
	ask("guest-set-time", "{\"time\":1700000000000000000}");
	asked();
	words_are("settime 1700000000000000000");
	assert_string_equal(ended(0, "", ""), "{\"return\":{}}\n");
	ask("guest-set-time", "");
	asked();
	words_are("settime rtc");
	assert_string_equal(
		ended(1, "", "infiniservice-exec settime: no clock\n"),
		"{\"error\":{\"class\":\"GenericError\",\"desc\":\"infiniservice-exec settime: no clock\"}}\n");
	ask("guest-set-time", "{\"time\":-5}");
	assert_non_null(strstr(said, "Invalid time -5"));
}

static void processors_are_named_with_their_state(void **state)
{
	(void)state;
	ask("guest-set-vcpus", "{\"vcpus\":[{\"logical-id\":1,\"online\":false},{\"logical-id\":2,\"online\":true}]}");
	asked();
	words_are("vcpus 1-off 2-on");
	assert_string_equal(ended(0, "2\n", ""), "{\"return\":2}\n");
	ask("guest-set-vcpus", "{\"vcpus\":[]}");
	assert_string_equal(said, "{\"return\":0}\n");
	ask("guest-set-vcpus", "{\"vcpus\":[{\"logical-id\":-1,\"online\":false}]}");
	assert_non_null(strstr(said, "GenericError"));
	ask("guest-set-vcpus", "{\"vcpus\":[{\"logical-id\":1}]}");
	assert_non_null(strstr(said, "GenericError"));
}

static void a_sleep_has_no_answer_but_its_failure(void **state)
{
	static const struct {
		const char *name;
		unsigned operation;
	} cases[] = { { "guest-suspend-ram", RUNNER_OPERATION_SUSPEND },
		      { "guest-suspend-disk", RUNNER_OPERATION_HIBERNATE },
		      { "guest-suspend-hybrid", RUNNER_OPERATION_HYBRID_SLEEP } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ask(cases[i].name, "");
		assert_int_equal(asked(), cases[i].operation);
		assert_string_equal(call.action, cases[i].name);
		answer(RUNNER_ANSWERED, 0, 0, "done", NULL);
		/* The next request is answered, and nothing before it. */
		qga_receive(qga, "{\"execute\":\"guest-ping\"}", 24);
		assert_string_equal(await(), "{\"return\":{}}\n");
	}
	ask("guest-suspend-disk", "");
	asked();
	answer(RUNNER_ANSWERED, EREMOTEIO, 0, "org.freedesktop.login1.SleepVerbNotSupported no swap", NULL);
	assert_non_null(strstr(await(), "SleepVerbNotSupported no swap"));
}

/* The input that came with the last request: `len` bytes. */
static void input_is(const char *wanted, size_t len)
{
	char bytes[512];

	assert_int_equal(command.run.flags & RUNNER_RUN_INPUT, RUNNER_RUN_INPUT);
	assert_int_equal(pread(fds[0], bytes, sizeof(bytes), 0), len);
	assert_memory_equal(bytes, wanted, len);
}

static void a_password_is_in_the_input_alone(void **state)
{
	static const char wanted[] = "joe\0secret";

	(void)state;
	ask("guest-set-user-password", "{\"username\":\"joe\",\"password\":\"c2VjcmV0\",\"crypted\":false}");
	asked();
	words_are("password keep-root");
	input_is(wanted, sizeof(wanted));
	assert_null(memmem(message, sizeof(message), "secret", 6));
	assert_string_equal(ended(0, "", ""), "{\"return\":{}}\n");
	set("qga.deny_root_password=no");
	ask("guest-set-user-password", "{\"username\":\"joe\",\"password\":\"c2VjcmV0\",\"crypted\":true}");
	asked();
	words_are("password any-user crypted");
	assert_non_null(strstr(ended(1, "", "infiniservice-exec password: there is no such user\n"), "no such user"));
	ask("guest-set-user-password", "{\"username\":\"joe\",\"password\":\"!\",\"crypted\":true}");
	assert_non_null(strstr(said, "invalid base64"));
	/* A NUL within could end the name or the password early. */
	ask("guest-set-user-password", "{\"username\":\"joe\",\"password\":\"AGE=\",\"crypted\":true}");
	assert_non_null(strstr(said, "cannot be used"));
	ask("guest-set-user-password", "{\"username\":\"jo\\u0000e\",\"password\":\"YQ==\",\"crypted\":true}");
	assert_non_null(strstr(said, "error"));
}

static void keys_are_in_the_input_and_read_from_the_output(void **state)
{
	static const char wanted[] = "joe\0ssh-rsa A a\0ssh-rsa B b";

	(void)state;
	ask("guest-ssh-add-authorized-keys", "{\"username\":\"joe\",\"keys\":[\"ssh-rsa A a\",\"ssh-rsa B b\"]}");
	asked();
	words_are("keys add");
	input_is(wanted, sizeof(wanted));
	assert_string_equal(ended(0, "", ""), "{\"return\":{}}\n");
	ask("guest-ssh-add-authorized-keys", "{\"username\":\"joe\",\"keys\":[],\"reset\":true}");
	asked();
	words_are("keys reset");
	input_is("joe", 4);
	ended(0, "", "");
	ask("guest-ssh-remove-authorized-keys", "{\"username\":\"joe\",\"keys\":[\"ssh-rsa A a\"]}");
	asked();
	words_are("keys remove");
	ended(0, "", "");
	ask("guest-ssh-get-authorized-keys", "{\"username\":\"joe\"}");
	asked();
	words_are("keys get");
	assert_string_equal(ended(0, "ssh-rsa A a\n# no key\n\nssh-rsa B b", ""),
			    "{\"return\":{\"keys\":[\"ssh-rsa A a\",\"ssh-rsa B b\"]}}\n");
	ask("guest-ssh-add-authorized-keys", "{\"username\":\"joe\",\"keys\":[7]}");
	assert_non_null(strstr(said, "no list of texts"));
}

/* A program of the host's has begun, and the host is told its pid. */
static void begun(int pid, int pipes_out[2])
{
	struct runner_answer reply = { .reply = { .op = RUNNER_STARTED, .id = request_id, .pid = pid } };
	int pipes[2][2], reads[2];
	size_t len = runner_answer_fill(&reply, "");
	char wanted[64];

	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
		reads[i] = pipes[i][0];
		pipes_out[i] = pipes[i][1];
	}
	assert_int_equal(packet_send(executor, &reply, len, reads, 2), len);
	close(reads[0]);
	close(reads[1]);
	snprintf(wanted, sizeof(wanted), "{\"return\":{\"pid\":%d}}\n", pid);
	assert_string_equal(await(), wanted);
}

static const char *status_of(int pid)
{
	char arguments[32];

	snprintf(arguments, sizeof(arguments), "{\"pid\":%d}", pid);
	ask("guest-exec-status", arguments);
	return said;
}

static void exits(int pid, const int pipes[2], int status, const char *out, const char *err)
{
	assert_int_equal(write(pipes[0], out, strlen(out)), strlen(out));
	assert_int_equal(write(pipes[1], err, strlen(err)), strlen(err));
	close(pipes[0]);
	close(pipes[1]);
	answer(RUNNER_EXITED, 0, status, "", NULL);
	for (int i = 0; i < 20; i++)
		loop_turn(loop.ev);
	(void)pid;
}

static void a_program_is_started_looked_after_and_told_of_once(void **state)
{
	int pipes[2];

	(void)state;
	ask("guest-exec", "{\"path\":\"cat\",\"arg\":[\"-A\",\"x y\"],\"env\":[\"A=b\"],\"input-data\":\"aGVsbG8=\","
			  "\"capture-output\":true}");
	asked();
	words_are("become input -- cat -A x y");
	assert_string_equal(command.envp[0], "A=b");
	assert_null(command.envp[1]);
	assert_null(command.user);
	input_is("hello", 5);
	begun(4711, pipes);
	assert_string_equal(status_of(4711), "{\"return\":{\"exited\":false}}\n");
	exits(4711, pipes, 3 << 8, "hello", "oh");
	assert_string_equal(status_of(4711), "{\"return\":{\"exited\":true,\"exitcode\":3,\"out-data\":\"aGVsbG8=\","
					     "\"err-data\":\"b2g=\"}}\n");
	assert_non_null(strstr(status_of(4711), "PID 4711 does not exist"));
	/* What is not asked for is not told. */
	ask("guest-exec", "{\"path\":\"/bin/true\",\"capture-output\":\"merged\"}");
	asked();
	words_are("become merged -- /bin/true");
	begun(4712, pipes);
	exits(4712, pipes, 9, "x", "");
	assert_string_equal(status_of(4712), "{\"return\":{\"exited\":true,\"signal\":9,\"out-data\":\"eA==\"}}\n");
	ask("guest-exec", "{\"path\":\"/bin/true\"}");
	asked();
	begun(4713, pipes);
	exits(4713, pipes, 0, "x", "y");
	assert_string_equal(status_of(4713), "{\"return\":{\"exited\":true,\"exitcode\":0}}\n");
}

static void programs_are_bounded_and_what_cannot_be_started_is_told(void **state)
{
	int pipes[QGA_PROGRAMS_RUNNING][2];

	(void)state;
	ask("guest-exec", "{\"path\":\"/bin/true\",\"capture-output\":\"all\"}");
	assert_non_null(strstr(said, "capture-output"));
	ask("guest-exec", "{\"path\":\"/bin/true\",\"input-data\":\"!\"}");
	assert_non_null(strstr(said, "invalid base64"));
	ask("guest-exec", "{\"path\":\"/bin/true\",\"arg\":[1]}");
	assert_non_null(strstr(said, "no list of texts"));
	ask("guest-exec", "{\"path\":\"/bin/true\"}");
	asked();
	answer(RUNNER_REFUSED, EACCES, 0, "the owner says no", NULL);
	assert_non_null(strstr(await(), "Failed to execute child process: the owner says no"));
	for (int i = 0; i < QGA_PROGRAMS_RUNNING; i++) {
		ask("guest-exec", "{\"path\":\"/bin/true\"}");
		asked();
		begun(100 + i, pipes[i]);
	}
	ask("guest-exec", "{\"path\":\"/bin/true\"}");
	assert_non_null(strstr(said, "8 programs run already"));
	exits(107, pipes[7], 0, "", "");
	for (int i = 0; i < QGA_PROGRAMS_KEPT; i++) {
		ask("guest-exec", "{\"path\":\"/bin/true\"}");
		asked();
		begun(200 + i, pipes[7]);
		exits(200 + i, pipes[7], 0, "", "");
	}
	/* The oldest that have ended are forgotten, and none that runs. */
	assert_non_null(strstr(status_of(107), "does not exist"));
	assert_non_null(strstr(status_of(200), "does not exist"));
	assert_non_null(strstr(status_of(263), "\"exited\":true"));
	assert_non_null(strstr(status_of(100), "\"exited\":false"));
	for (int i = 0; i < QGA_PROGRAMS_RUNNING - 1; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
}

#define IN_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FIXTURE(file_systems_are_frozen_and_thawed_and_only_what_leads_out_is_done_meanwhile),
		IN_FIXTURE(a_list_goes_along_and_the_reason_of_a_thaw_nobody_asked_for_comes_once),
		IN_FIXTURE(a_host_that_leaves_takes_no_freeze_along_and_is_answered_no_more),
		IN_FIXTURE(what_the_executor_refuses_is_told_with_its_words),
		IN_FIXTURE(a_trim_tells_each_file_system),
		IN_FIXTURE(the_clock_is_set_to_a_time_or_by_the_hardware_clock),
		IN_FIXTURE(processors_are_named_with_their_state),
		IN_FIXTURE(a_sleep_has_no_answer_but_its_failure),
		IN_FIXTURE(a_password_is_in_the_input_alone),
		IN_FIXTURE(keys_are_in_the_input_and_read_from_the_output),
		IN_FIXTURE(a_program_is_started_looked_after_and_told_of_once),
		IN_FIXTURE(programs_are_bounded_and_what_cannot_be_started_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
