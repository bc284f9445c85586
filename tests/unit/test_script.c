/* SPDX-License-Identifier: MIT */
/* Scripts and shell lines of a host: how they are run, and the one completion of each script, held while it is away. */
#include "tests/actions_fixture.h"

#include "agent/actions/run.h"

/* The interpreter is looked for in the fixed directories: each of them has sh, and python3 may be absent. */
#define INTERPRETER "*/sh /proc/self/fd/*"

static void take(struct peer *peer, const char *items)
{
	struct json_object *array = json_tokener_parse(items);

	assert_non_null(array);
	scripts_take(&scripts, &peer->session, array);
	json_object_put(array);
	turns();
}

/* The last line that the host was sent. */
static const char *last_line(void)
{
	assert_true(host.count > 0);
	return host.lines[host.count - 1];
}

static void last_has(const char *part)
{
	if (!strstr(last_line(), part))
		fail_msg("'%s' is not in: %s", part, last_line());
}

static int begin(void **state)
{
	int r = actions_begin(state);

	host.session.present = true;
	return r;
}

/* ------------------------------------------------------------------------------------------------------- shell lines
 */

static void a_line_is_run_by_the_shell_that_is_asked_for(void **state)
{
	(void)state;
	play("*", 0, "hello\n");
	ask_message(&host, "\"type\":\"UnsafeCommand\",\"raw_command\":\"echo hello\",\"shell\":\"BASH\","
			   "\"working_dir\":\"/tmp\",\"env_vars\":{\"A\":\"b\",\"LANG\":\"x\"}");
	answer_has("\"success\":true");
	answer_has("\"stdout\":\"hello\\n\"");
	assert_string_equal(jobs[0].text, "/bin/bash -c echo hello");
	assert_ptr_equal(jobs[0].exec, &executor);
	assert_string_equal(jobs[0].cwd, "/tmp");
	assert_non_null(strstr(jobs[0].environment, "A=b\n"));
	assert_non_null(strstr(jobs[0].environment, "LANG=x\n"));
	seen.uid = 0;
	ask_message(&host, "\"type\":\"UnsafeCommand\",\"raw_command\":\"id\"");
	assert_string_equal(jobs[1].text, "/bin/sh -c id");
	assert_ptr_equal(jobs[1].exec, &runner);
}

static void a_line_with_a_wrong_shell_or_user_is_refused(void **state)
{
	(void)state;
	ask_message(&host, "\"type\":\"UnsafeCommand\",\"raw_command\":\"id\",\"shell\":\"/bin/sh\"");
	answer_has("shell is one of sh, bash, dash, ash, ksh, zsh");
	set("commands.run_as=nobody");
	ask_message(&host, "\"type\":\"UnsafeCommand\",\"raw_command\":\"id\",\"run_as\":\"root\"");
	answer_has("\"reason\":\"run_as\"");
	set("commands.allow_unsafe=no");
	ask_message(&host, "\"type\":\"UnsafeCommand\",\"raw_command\":\"id\"");
	answer_has("POLICY_DENIED");
	assert_int_equal(job_count, 0);
}

static void each_way_a_program_may_end_has_its_code(void **state)
{
	static const struct {
		struct exec_outcome outcome;
		const char *part;
	} cases[] = {
		{ { .started = true, .exit_code = 3, .words = "" }, "exit code 3" },
		{ { .started = true, .exit_code = 137, .signal = 9, .words = "" }, "ended by signal 9" },
		{ { .started = true, .timed_out = true, .exit_code = -1, .words = "" }, "COMMAND_TIMEOUT" },
		{ { .started = true, .stuck = true, .exit_code = -1, .words = "" }, "\"reason\":\"stuck\"" },
		{ { .started = true, .oom_killed = true, .exit_code = 137, .words = "" }, "\"reason\":\"oom_killed\"" },
		{ { .started = true, .lost = true, .exit_code = -1, .words = "" }, "\"reason\":\"lost\"" },
		{ { .lost = true, .attached = true, .exit_code = -1, .words = "" }, "lost: agent_restart" },
		{ { .spawn_stage = RUNNER_STAGE_POLICY, .spawn_errno = EPERM, .exit_code = -1, .words = "not this" },
		  "\"reason\":\"executor\"" },
		{ { .spawn_stage = RUNNER_STAGE_CONNECT, .spawn_errno = ENOENT, .exit_code = -1, .words = "absent" },
		  "\"reason\":\"no_executor\"" },
		{ { .spawn_stage = RUNNER_STAGE_EXECUTOR, .spawn_errno = EPROTO, .exit_code = -1, .words = "old" },
		  "\"reason\":\"executor_unusable\"" },
		{ { .spawn_stage = RUNNER_STAGE_USER, .spawn_errno = EPERM, .exit_code = -1, .words = "" },
		  "PERMISSION_DENIED" },
		{ { .spawn_stage = RUNNER_STAGE_USER, .spawn_errno = ENOENT, .exit_code = -1, .words = "" },
		  "the user it should run as cannot be used" },
		{ { .spawn_stage = RUNNER_STAGE_CWD, .spawn_errno = ENOENT, .exit_code = -1, .words = "" },
		  "working_dir cannot be used: No such file" },
		{ { .spawn_stage = RUNNER_STAGE_EXEC, .spawn_errno = ENOENT, .exit_code = -1, .words = "" },
		  "\"reason\":\"exec_failed\"" },
		{ { .spawn_stage = RUNNER_STAGE_RESOURCE, .spawn_errno = EAGAIN, .exit_code = -1, .words = "" },
		  "\"reason\":\"resource\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		*play("*", 0, "") = cases[i].outcome;
		ask_message(&host, "\"type\":\"UnsafeCommand\",\"raw_command\":\"id\"");
		answer_has("\"success\":false");
		answer_has(cases[i].part);
	}
}

static void what_the_executor_does_not_take_is_told(void **state)
{
	static const struct {
		int refusal;
		const char *part;
	} cases[] = {
		{ -ENOTCONN, "\"reason\":\"no_executor\"" },
		{ -EHOSTDOWN, "\"reason\":\"executor_unusable\"" },
		{ -EINVAL, "working_dir must be an absolute path" },
		{ -E2BIG, "TOO_LARGE" },
		{ -ESHUTDOWN, "SHUTTING_DOWN" },
		{ -ENOBUFS, "the command could not be handed over" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		executor.refusal = cases[i].refusal;
		ask_message(&host, "\"type\":\"UnsafeCommand\",\"raw_command\":\"id\"");
		answer_has(cases[i].part);
	}
}

/* ----------------------------------------------------------------------------------------------------------- scripts
 */

static void a_script_is_run_over_a_descriptor_and_completed_once(void **state)
{
	(void)state;
	play(INTERPRETER, 0, "done\n");
	take(&host, "[{\"execution_id\":\"e1\",\"script_content\":\"echo done\",\"shell\":\"SH\","
		    "\"input_values\":{\"the name\":\"x\",\"n\":5},\"timeout_seconds\":9}]");
	assert_int_equal(host.count, 1);
	last_has("\"type\":\"script_completion\"");
	last_has("\"execution_id\":\"e1\"");
	last_has("\"exit_code\":0");
	assert_string_equal(jobs[0].input, "echo done");
	assert_non_null(strstr(jobs[0].environment, "INPUT_the_name=x\n"));
	assert_non_null(strstr(jobs[0].environment, "INPUT_THE_NAME=x\n"));
	assert_non_null(strstr(jobs[0].environment, "INPUT_n=5\n"));
	assert_int_equal(scripts.completed, 1);
}

static void a_script_that_is_under_way_is_not_run_again(void **state)
{
	static const char item[] = "[{\"execution_id\":\"e1\",\"script_content\":\"sleep 1\"}]";

	(void)state;
	take(&host, item);
	take(&host, item);
	assert_int_equal(job_count, 1);
	assert_int_equal(host.count, 0);
	jobs[0].outcome.exit_code = 4;
	job_end(&jobs[0]);
	turns();
	last_has("\"exit_code\":4");
	assert_int_equal(host.count, 1);
}

static void what_is_no_script_is_refused_by_its_id(void **state)
{
	static const struct {
		const char *item, *part;
	} cases[] = {
		{ "{\"execution_id\":\"e\"}", "script_content is missing" },
		{ "{\"execution_id\":\"e\",\"script_content\":7}", "script_content is missing" },
		{ "{\"execution_id\":\"e\",\"script_content\":\"x\",\"shell\":\"cmd\"}", "shell is none of" },
		{ "{\"execution_id\":\"e\",\"script_content\":\"x\",\"run_as\":1}", "run_as is no text" },
		{ "{\"execution_id\":\"e\",\"script_content\":\"x\",\"timeout_seconds\":0}", "timeout_seconds has to" },
		{ "{\"execution_id\":\"e\",\"script_content\":\"x\",\"input_values\":[]}", "input_values has to" },
		{ "{\"execution_id\":\"e\",\"script_content\":\"x\",\"input_values\":{\"\":1}}",
		  "input_values has to" },
		{ "{\"script_content\":\"x\"}", "a script without an execution_id" },
		{ "7", "a script without an execution_id" },
	};
	char items[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(items, sizeof(items), "[%s]", cases[i].item);
		take(&host, items);
		last_has(cases[i].part);
	}
	assert_int_equal(scripts.refused, 7);
	assert_int_equal(job_count, 0);
}

static void scripts_need_the_owner_and_a_place(void **state)
{
	(void)state;
	set("commands.run_as=nobody");
	take(&host, "[{\"execution_id\":\"e1\",\"script_content\":\"x\",\"run_as\":\"root\"}]");
	last_has("\"execution_id\":\"e1\"");
	last_has("infiniservice: ");
	set("commands.run_as=");
	set("commands.max_concurrent=1");
	set("commands.queue_size=1");
	take(&host,
	     "[{\"execution_id\":\"a\",\"script_content\":\"x\"},{\"execution_id\":\"b\",\"script_content\":\"x\"},"
	     "{\"execution_id\":\"c\",\"script_content\":\"x\"}]");
	last_has("\"execution_id\":\"c\"");
	last_has("all slots and the queue are taken");
	seen.given_back = 1;
	set("commands.allow_unsafe=no");
	take(&host, "[{\"execution_id\":\"d\",\"script_content\":\"x\"}]");
	last_has("the policy of this guest does not allow scripts");
	set("commands.allow_unsafe=yes");
	commands_close(&commands);
	take(&host, "[{\"execution_id\":\"f\",\"script_content\":\"x\"}]");
	last_has("the agent is stopping");
}

static void an_interpreter_that_is_not_installed_is_named(void **state)
{
	static const char *const shells[] = { "ksh", "zsh", "perl", "python3" };
	char path[64], items[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		if (run_find(shells[i], path, sizeof(path)))
			continue;
		snprintf(items, sizeof(items), "[{\"execution_id\":\"e\",\"script_content\":\"x\",\"shell\":\"%s\"}]",
			 shells[i]);
		take(&host, items);
		last_has("is not installed on this guest");
	}
	assert_int_equal(job_count, 0);
}

static void completions_are_held_for_a_host_that_is_away(void **state)
{
	char items[128];

	(void)state;
	host.session.present = false;
	for (unsigned i = 0; i < SCRIPTS_UNSENT_MAX + 2; i++) {
		snprintf(items, sizeof(items), "[{\"execution_id\":\"e%u\"}]", i);
		take(&host, items);
	}
	assert_int_equal(host.count, 0);
	assert_int_equal(scripts.unsent_count, SCRIPTS_UNSENT_MAX);
	assert_int_equal(scripts.dropped, 2);
	host.session.present = true;
	scripts_session_began(&scripts);
	assert_int_equal(scripts.unsent_count, 0);
	assert_non_null(strstr(host.lines[0], "\"execution_id\":\"e2\""));
	last_has("\"type\":\"request_pending_scripts\"");
	assert_int_equal(host.count, SCRIPTS_UNSENT_MAX + 1);
}

static void what_was_queued_for_a_host_that_left_is_held_too(void **state)
{
	static const char completion[] = "{\"type\":\"script_completion\",\"execution_id\":\"e\"}\n";
	static const char other[] = "{\"type\":\"response\",\"a\":\"a longer line of another type\"}\n";
	struct line *line = line_new(LINE_REPLY, completion, strlen(completion));

	(void)state;
	scripts_dropped(&scripts, line);
	line_unref(line);
	line = line_new(LINE_REPLY, other, strlen(other));
	scripts_dropped(&scripts, line);
	line_unref(line);
	assert_int_equal(scripts.unsent_count, 1);
	host.session.present = false;
	scripts_lost(&scripts, 0, "lost-one");
	assert_int_equal(scripts.unsent_count, 2);
	host.session.present = true;
	scripts_session_began(&scripts);
	assert_string_equal(host.lines[0], completion);
	assert_non_null(strstr(host.lines[1], "lost: agent_restart"));
}

static void pending_scripts_are_asked_for_until_they_come(void **state)
{
	(void)state;
	scripts_session_began(&scripts);
	assert_int_equal(host.count, 1);
	later(10 * NS_PER_S);
	assert_int_equal(host.count, 2);
	take(&host, "[]");
	later(3600 * NS_PER_S);
	assert_int_equal(host.count, 2);
	scripts_session_began(&scripts);
	later(3600 * NS_PER_S);
	assert_int_equal(host.count, 2 + SCRIPTS_REQUESTS);
	scripts_session_began(&scripts);
	scripts_session_ended(&scripts);
	later(3600 * NS_PER_S);
	assert_int_equal(host.count, 3 + SCRIPTS_REQUESTS);
}

static void script_files_of_an_earlier_version_are_removed(void **state)
{
	char folder[64], ours[128], other[128];

	(void)state;
	snprintf(folder, sizeof(folder), "%s/scripts", state_dir);
	snprintf(ours, sizeof(ours), "%s/0123456789abcdef0123456789abcdef", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	assert_int_equal(mkdir(folder, 0700), 0);
	close(open(ours, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	scripts_init(&scripts, &commands, &host.session, "the-guest");
	assert_int_equal(access(ours, F_OK), -1);
	assert_int_equal(access(other, F_OK), 0);
	unlink(other);
	scripts_init(&scripts, &commands, &host.session, "the-guest");
	assert_int_equal(access(folder, F_OK), -1);
}

#define script_test(function) cmocka_unit_test_setup_teardown(function, begin, actions_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		script_test(a_line_is_run_by_the_shell_that_is_asked_for),
		script_test(a_line_with_a_wrong_shell_or_user_is_refused),
		script_test(each_way_a_program_may_end_has_its_code),
		script_test(what_the_executor_does_not_take_is_told),
		script_test(a_script_is_run_over_a_descriptor_and_completed_once),
		script_test(a_script_that_is_under_way_is_not_run_again),
		script_test(what_is_no_script_is_refused_by_its_id),
		script_test(scripts_need_the_owner_and_a_place),
		script_test(an_interpreter_that_is_not_installed_is_named),
		script_test(completions_are_held_for_a_host_that_is_away),
		script_test(what_was_queued_for_a_host_that_left_is_held_too),
		script_test(pending_scripts_are_asked_for_until_they_come),
		script_test(script_files_of_an_earlier_version_are_removed),
	};

	return cmocka_run_group_tests_name("script", tests, NULL, NULL);
}
