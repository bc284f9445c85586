/* SPDX-License-Identifier: MIT */
/* ProcessList, ProcessTop and ProcessKill as a host asks for them, over a /proc that the test writes. */
#include "tests/actions_fixture.h"

#include <signal.h>
#include <sys/wait.h>

#include "agent/rules/requests.h"
#include "tests/room.h"

const bool test_can_destroy = true;

#define KERNEL_THREAD 0x00200000U /* PF_KTHREAD */
/* As a process that was started 5,000 ticks after boot is shown: the machine is up for 1,000 s. */
#define STARTED "2023-11-14T21:57:30.000Z"

static void process(pid_t pid, pid_t ppid, unsigned flags, unsigned rss_pages)
{
	char path[64], text[512];

	snprintf(path, sizeof(path), "proc/%d/stat", (int)pid);
	snprintf(text, sizeof(text),
		 "%d (p %d) S %d 1 1 0 -1 %u 0 0 0 0 5 5 0 0 20 0 1 0 5000 1000000 %u 0 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 "
		 "0 "
		 "0 0 0 0 0 0 0 0 0 0 0\n",
		 (int)pid, (int)pid, (int)ppid, flags, rss_pages);
	fixture_write(machine, path, text);
}

static void processes(void)
{
	fixture_write(machine, "proc/stat", "cpu  1 2 3 4 5 6 7 8 9 10\nbtime 1699999000\n");
	fixture_write(machine, "proc/loadavg", "0.1 0.2 0.3 1/100 300\n");
	process(1, 0, 0, 100);
	process(200, 1, 0, 3000);
	process(300, 1, 0, 2000);
}

/* The command line "a b" of whichever process is asked for. */
static int tell_command_line(const struct probe_request *request, unsigned char *data)
{
	struct probe_process head = { .start_ticks = 5000, .cmdline_len = 4 };

	if (request->kind != PROBE_PROCESS)
		return -ENOENT;
	memcpy(data, &head, sizeof(head));
	memcpy(data + sizeof(head), "a\0b", 4);
	return (int)sizeof(head) + 4;
}

/* ------------------------------------------------------------------------------------------------------- the lists */

static void the_list_is_by_pid_and_the_top_by_what_is_asked(void **state)
{
	const char *first, *second;

	(void)state;
	processes();
	expect("ProcessList", "", "\"pid\":1,\"ppid\":0,\"name\":\"p 1\"");
	answer_has("\"start_time\":\"2023-11-14T21:57:30");
	first = strstr(answer(), "\"pid\":200");
	second = strstr(answer(), "\"pid\":300");
	assert_true(first && second && first < second);
	expect("ProcessTop", "\"sort_by\":\"memory\",\"limit\":2", "\"pid\":200");
	first = strstr(answer(), "\"pid\":200");
	second = strstr(answer(), "\"pid\":300");
	assert_true(first && second && first < second);
	assert_null(strstr(answer(), "\"pid\":1,"));
	answer_has("\"truncated\":false");
	expect("ProcessTop", "\"sort_by\":\"cpu\"", "\"pid\":300");
}

static void a_list_that_is_cut_says_how_many_there_are(void **state)
{
	(void)state;
	processes();
	expect("ProcessList", "\"limit\":2", "\"total_count\":3");
	answer_has("\"truncated\":true");
	json_writer_init(&writer, writer_text, 700);
	expect("ProcessList", "", "\"total_count\":3");
	answer_has("\"truncated\":true");
}

static void wrong_parameters_of_a_list_are_refused(void **state)
{
	static const char *const cases[] = { "\"limit\":0",	    "\"limit\":10001",	  "\"limit\":\"x\"",
					     "\"sort_by\":\"age\"", "\"sort_by\":\"cp\"", "\"sort_by\":3" };

	(void)state;
	processes();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect("ProcessTop", cases[i], "INVALID_PARAMETERS");
}

static void without_a_proc_the_answer_names_the_collector(void **state)
{
	(void)state;
	close(machine->ctx.proc_fd);
	machine->ctx.proc_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	expect("ProcessList", "", "the processes collector is off or failing");
}

static void the_list_waits_for_a_scan_and_then_for_the_command_lines(void **state)
{
	struct sampling_waiter *scanned;

	(void)state;
	processes();
	seen.probe = tell_command_line;
	seen.scan_is_long = seen.probes_are_slow = true;
	assert_null(ask_as(user(1000), "ProcessList", ""));
	scanned = seen.waiter;
	assert_non_null(scanned);
	scanned->ready(scanned->data);
	turns();
	assert_null(answer());
	assert_non_null(seen.waiter);
	seen.waiter->ready(seen.waiter->data);
	turns();
	answer_has("\"cmd_line\":null");
	assert_null(seen.waiter);
	seen.scan_is_long = seen.probes_are_slow = false;
	expect("ProcessTop", "\"limit\":1", "\"pid\":200");
}

static void command_lines_that_come_at_once_are_in_the_list(void **state)
{
	(void)state;
	processes();
	seen.probe = tell_command_line;
	expect("ProcessList", "", "\"cmd_line\":\"a b\"");
}

static void a_list_that_is_cancelled_waits_for_nothing_any_more(void **state)
{
	(void)state;
	processes();
	seen.scan_is_long = true;
	assert_null(ask("ProcessList", ""));
	cancel(&host, "x", asked);
	turns();
	answer_has("CANCELLED");
	assert_null(seen.waiter);
}

/* -------------------------------------------------------------------------------------------------------- the kill */

static pid_t victim;

static int begin_with_victim(void **state)
{
	int r = actions_begin(state);

	victim = fork();
	if (victim == 0) {
		for (;;)
			pause();
	}
	return r;
}

static int end_victim(void **state)
{
	kill(victim, SIGKILL);
	waitpid(victim, NULL, 0);
	return actions_end(state);
}

#define kill_test(function) cmocka_unit_test_setup_teardown(function, begin_with_victim, end_victim)

static const char *ask_kill(pid_t pid, const char *more)
{
	char parameters[256];

	snprintf(parameters, sizeof(parameters), "\"pid\":%d%s", (int)pid, more);
	return ask("ProcessKill", parameters);
}

static void the_signal_is_sent_by_a_program_that_is_told_pid_and_start_time(void **state)
{
	char text[128];

	(void)state;
	process(victim, 1, 0, 1);
	play("*infiniservice-exec kill*", 0, "");
	ask_kill(victim, ",\"start_time\":\"" STARTED "\"");
	answer_has("\"success\":true");
	snprintf(text, sizeof(text), "/usr/libexec/infiniservice-exec kill %d 5000 TERM", (int)victim);
	assert_non_null(job_of(text));
	assert_ptr_equal(job_of(text)->exec, &runner);
	ask_kill(victim, ",\"force\":true");
	answer_has("\"success\":true");
	assert_non_null(job_of("*5000 KILL"));
}

static void what_the_program_says_by_its_exit_code_is_told(void **state)
{
	static const struct {
		int code;
		const char *part;
	} cases[] = {
		{ KILL_EXIT_GONE, "\"reason\":\"no_such_process\"" },
		{ KILL_EXIT_PROTECTED, "\"reason\":\"protected\"" },
		{ KILL_EXIT_FAILED, "exit code 1" },
	};

	(void)state;
	process(victim, 1, 0, 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		play("*", cases[i].code, "");
		ask_kill(victim, "");
		answer_has(cases[i].part);
	}
}

static void a_pid_that_now_is_another_process_is_not_killed(void **state)
{
	(void)state;
	process(victim, 1, 0, 1);
	ask_kill(victim, ",\"start_time\":\"2023-11-14T21:57:40.000Z\"");
	answer_has("\"reason\":\"start_time\"");
	ask_kill(victim, ",\"start_time\":\"yesterday\"");
	answer_has("\"reason\":\"bad_value\"");
	assert_int_equal(job_count, 0);
}

static void what_must_live_is_protected(void **state)
{
	(void)state;
	process(1, 0, 0, 1);
	ask_kill(1, "");
	answer_has("pid 1 is not killed");
	process(victim, 2, KERNEL_THREAD, 0);
	ask_kill(victim, "");
	answer_has("it is a kernel thread");
	process(victim, getpid(), 0, 1);
	ask_kill(victim, "");
	answer_has("it is the agent or one of its helpers");
	runner.pid = 77;
	process(victim, 77, 0, 1);
	ask_kill(victim, "");
	answer_has("it is the agent or one of its helpers");
	process(getpid(), 1, 0, 1);
	ask_kill(getpid(), "");
	answer_has("it is the agent or one of its helpers");
	assert_int_equal(job_count, 0);
}

static void who_is_not_there_is_not_found(void **state)
{
	(void)state;
	ask_kill(victim, ""); /* it has no stat */
	answer_has("\"reason\":\"no_such_process\"");
	kill(victim, SIGKILL);
	waitpid(victim, NULL, 0);
	ask_kill(victim, "");
	answer_has("\"reason\":\"no_such_process\"");
	expect("ProcessKill", "", "\"reason\":\"missing_field\"");
	expect("ProcessKill", "\"pid\":0", "INVALID_PARAMETERS");
	expect("ProcessKill", "\"pid\":5,\"force\":\"x\"", "INVALID_PARAMETERS");
	ask_as(user(1000), "ProcessKill", "\"pid\":5");
	answer_has("POLICY_DENIED");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		actions_test(the_list_is_by_pid_and_the_top_by_what_is_asked),
		actions_test(a_list_that_is_cut_says_how_many_there_are),
		actions_test(wrong_parameters_of_a_list_are_refused),
		actions_test(without_a_proc_the_answer_names_the_collector),
		actions_test(the_list_waits_for_a_scan_and_then_for_the_command_lines),
		actions_test(command_lines_that_come_at_once_are_in_the_list),
		actions_test(a_list_that_is_cancelled_waits_for_nothing_any_more),
		kill_test(the_signal_is_sent_by_a_program_that_is_told_pid_and_start_time),
		kill_test(what_the_program_says_by_its_exit_code_is_told),
		kill_test(a_pid_that_now_is_another_process_is_not_killed),
		kill_test(what_must_live_is_protected),
		kill_test(who_is_not_there_is_not_found),
	};

	return cmocka_run_group_tests_name("process_actions", tests, NULL, NULL);
}
