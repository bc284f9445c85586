/* SPDX-License-Identifier: MIT */
/*
 * Programs that run for commands, as a host asks for them: a line for a shell (UnsafeCommand), scripts with their one
 * completion, JoinDomain, and the runs that an earlier agent process left.
 */
#include "tests/actions_fixture.h"

#include "agent/runner/protocol.h"

/* The programs of the guest: ";bash;sh;". */
static const char *installed;

int access(const char *path, int mode)
{
	const char *name = strrchr(path, '/');
	char word[64];

	if (strncmp(path, "/usr/bin/", 9) != 0)
		return strncmp(path, "/usr/", 5) == 0 || strncmp(path, "/bin/", 5) == 0 ||
				       strncmp(path, "/sbin/", 6) == 0
			       ? -1
			       : faccessat(AT_FDCWD, path, mode, 0);
	snprintf(word, sizeof(word), ";%s;", name + 1);
	return strstr(installed, word) ? 0 : -1;
}

static int begin(void **state)
{
	int r = actions_begin(state);

	installed = ";bash;sh;python3;realm;apt-get;apt-cache;dpkg-query;stat;find;";
	host.session.present = true;
	env.detached.boot_id = "b007";
	return r;
}

static const char *ask_shell(const char *members)
{
	char text[4096];

	snprintf(text, sizeof(text), "\"type\":\"UnsafeCommand\",\"raw_command\":\"id\"%s%s", *members ? "," : "",
		 members);
	return ask_message(&host, text);
}

/* ----------------------------------------------------------------------------------------------- a line for a shell */

static void a_line_is_run_by_the_shell_that_is_named(void **state)
{
	(void)state;
	ask_shell("");
	assert_string_equal(jobs[0].text, "/bin/sh -c id");
	assert_ptr_equal(jobs[0].exec, &executor);
	assert_string_equal(jobs[0].unit, "");
	assert_non_null(strstr(jobs[0].environment, "DEBIAN_FRONTEND=noninteractive\n"));
	ask_shell("\"shell\":\"BASH\",\"working_dir\":\"/srv\",\"run_as\":\"web\",\"env_vars\":{\"HOME\":\"/"
		  "srv\",\"X\":\"\"}");
	assert_string_equal(jobs[1].text, "/bin/bash -c id");
	assert_string_equal(jobs[1].cwd, "/srv");
	assert_string_equal(jobs[1].user, "web");
	assert_non_null(strstr(jobs[1].environment, "HOME=/srv\n"));
	assert_non_null(strstr(jobs[1].environment, "\nX=\n"));
	assert_null(strstr(jobs[1].environment, "HOME=/\n"));
	ask_shell("\"shell\":\"/bin/sh\"");
	answer_has("shell is one of sh, bash, dash, ash, ksh, zsh");
	set("commands.run_as=web");
	ask_shell("\"run_as\":\"other\"");
	answer_has("\"reason\":\"run_as\"");
	assert_int_equal(job_count, 2);
}

static void an_environment_has_a_bound(void **state)
{
	static char text[8000];

	(void)state;
	append(text, sizeof(text), "\"type\":\"UnsafeCommand\",\"raw_command\":\"id\",\"env_vars\":{\"V\":\"\"");
	for (unsigned i = 0; i < 256; i++)
		append(text, sizeof(text), ",\"V%u\":\"\"", i);
	append(text, sizeof(text), "}");
	ask_message(&host, text);
	answer_has("\"reason\":\"resource\"");
	assert_int_equal(job_count, 0);
}

static void every_end_of_a_program_has_its_words(void **state)
{
	static const struct {
		struct exec_outcome outcome;
		const char *part;
	} cases[] = {
		{ { .started = true }, "\"success\":true,\"exit_code\":0" },
		{ { .started = true, .exit_code = 3 }, "\"error\":\"exit code 3\",\"error_code\":\"COMMAND_FAILED\"" },
		{ { .started = true, .exit_code = 137, .signal = 9 }, "\"error\":\"ended by signal 9\"" },
		{ { .started = true, .exit_code = 143, .signal = 15, .timed_out = true },
		  "\"error_code\":\"COMMAND_TIMEOUT\"" },
		{ { .started = true, .exit_code = -1, .stuck = true }, "\"reason\":\"stuck\"" },
		{ { .started = true, .exit_code = 137, .oom_killed = true }, "\"reason\":\"oom_killed\"" },
		{ { .started = true, .exit_code = 143, .cancelled = true }, "\"error_code\":\"CANCELLED\"" },
		{ { .exit_code = -1, .lost = true }, "the executor died; the command was killed with it" },
		{ { .exit_code = -1, .lost = true, .attached = true }, "\"reason\":\"lost: agent_restart\"" },
		{ { .exit_code = -1, .spawn_errno = ENOENT, .spawn_stage = RUNNER_STAGE_EXEC },
		  "the program could not be executed: No such file or directory" },
		{ { .exit_code = -1, .spawn_errno = EACCES, .spawn_stage = RUNNER_STAGE_CWD, .words = "it is a file" },
		  "\"error\":\"working_dir cannot be used: it is a file\",\"error_code\":\"INVALID_PARAMETERS\"" },
		{ { .exit_code = -1, .spawn_errno = ENOENT, .spawn_stage = RUNNER_STAGE_USER },
		  "\"error_code\":\"INVALID_PARAMETERS\"" },
		{ { .exit_code = -1, .spawn_errno = EPERM, .spawn_stage = RUNNER_STAGE_USER },
		  "\"error_code\":\"PERMISSION_DENIED\"" },
		{ { .exit_code = -1, .spawn_errno = EAGAIN, .spawn_stage = RUNNER_STAGE_RESOURCE },
		  "the guest lacks the resources to start it" },
		{ { .exit_code = -1, .spawn_stage = RUNNER_STAGE_POLICY, .words = "not on its list" },
		  "\"error\":\"not on its list\",\"error_code\":\"POLICY_DENIED\"" },
		{ { .exit_code = -1, .spawn_stage = RUNNER_STAGE_CONNECT, .words = "no socket" },
		  "infiniservice-exec.socket (no socket)" },
		{ { .exit_code = -1, .spawn_stage = RUNNER_STAGE_EXECUTOR, .words = "another version" },
		  "\"reason\":\"executor_unusable\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct exec_outcome *outcome = play("/bin/sh*", 0, "");

		*outcome = cases[i].outcome;
		if (!outcome->words)
			outcome->words = "";
		ask_shell("");
		answer_has(cases[i].part);
	}
}

static void a_program_that_cannot_be_handed_over_is_answered_with_the_reason(void **state)
{
	static const struct {
		int refusal;
		const char *part;
	} cases[] = {
		{ -EINVAL, "working_dir must be an absolute path" }, { -E2BIG, "\"error_code\":\"TOO_LARGE\"" },
		{ -ESHUTDOWN, "\"error_code\":\"SHUTTING_DOWN\"" },  { -ENOBUFS, "\"reason\":\"resource\"" },
		{ -ENOTCONN, "\"reason\":\"no_executor\"" },	     { -EHOSTDOWN, "\"reason\":\"executor_unusable\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		executor.refusal = cases[i].refusal;
		ask_shell("");
		answer_has(cases[i].part);
	}
}

static void output_is_streamed_and_a_cancelled_line_is_killed(void **state)
{
	(void)state;
	play("/bin/sh*", 0, "hello\n");
	ask_shell("\"stream\":true");
	answer_has("\"stream_chunks\":1");
	play_count = 0;
	ask_shell("");
	cancel(&host, "x", asked);
	turns();
	answer_has("the command was cancelled");
}

/* --------------------------------------------------------------------------------------------------------- scripts */

static void give(const char *items)
{
	struct json_object *list = json_tokener_parse(items);

	assert_non_null(list);
	scripts_take(&scripts, &host.session, list);
	json_object_put(list);
	turns();
}

/* The one completion of the execution; NULL: none. */
static const char *completion(const char *id)
{
	const char *found = NULL;
	char text[160];

	snprintf(text, sizeof(text), "\"execution_id\":\"%s\"", id);
	for (unsigned i = 0; i < host.count; i++) {
		if (!strstr(host.lines[i], "\"type\":\"script_completion\"") || !strstr(host.lines[i], text))
			continue;
		assert_null(found);
		found = host.lines[i];
	}
	return found;
}

static unsigned lines_of(const char *part)
{
	unsigned count = 0;

	for (unsigned i = 0; i < host.count; i++)
		count += strstr(host.lines[i], part) != NULL;
	return count;
}

static void a_script_is_read_from_a_descriptor_with_its_inputs_in_the_environment(void **state)
{
	(void)state;
	give("[{\"execution_id\":\"e1\",\"script_content\":\"echo hi\",\"shell\":\"Python\",\"timeout_seconds\":30,"
	     "\"input_values\":{\"my name\":\"x\",\"N\":5,\"none\":null}}]");
	assert_string_equal(jobs[0].text, "/usr/bin/python3 /proc/self/fd/3");
	assert_string_equal(jobs[0].input, "echo hi");
	assert_non_null(strstr(jobs[0].environment, "INPUT_my_name=x\nINPUT_MY_NAME=x\nINPUT_N=5\n"));
	assert_non_null(strstr(jobs[0].environment, "INPUT_none=\n"));
	/* The same again is no second run. */
	give("[{\"execution_id\":\"e1\",\"script_content\":\"echo hi\"}]");
	assert_int_equal(job_count, 1);
	jobs[0].outcome.exit_code = 3;
	jobs[0].outcome.out = (struct exec_output){ .bytes = (char *)(uintptr_t) "hi\n", .len = 3 };
	job_end(&jobs[0]);
	turns();
	assert_non_null(strstr(completion("e1"), "\"exit_code\":3"));
	assert_non_null(strstr(completion("e1"), "\"stdout\":\"hi\\n\",\"stderr\":\"\""));
	assert_int_equal(scripts.completed, 1);
	assert_int_equal(journal.open_count, 0);
	/* Why it ended otherwise than by itself is the last line of stderr. */
	play("*", 143, "")->timed_out = true;
	plays[0].outcome.err = (struct exec_output){ .bytes = (char *)(uintptr_t) "half", .len = 4 };
	give("[{\"execution_id\":\"e2\",\"script_content\":\"sleep 9\"}]");
	assert_non_null(strstr(completion("e2"), "\"stderr\":\"half\\ninfiniservice: not finished at its deadline"));
}

static void a_script_that_cannot_be_run_is_completed_with_the_reason(void **state)
{
	static const struct {
		const char *members, *words;
	} cases[] = {
		{ "\"script_content\":null", "script_content is missing or no text" },
		{ "\"script_content\":\"a\\u0000b\"", "script_content is missing or no text" },
		{ "\"script_content\":\"x\",\"shell\":\"fish\"", "shell is none of sh, bash" },
		{ "\"script_content\":\"x\",\"run_as\":5", "run_as is no text" },
		{ "\"script_content\":\"x\",\"timeout_seconds\":0", "timeout_seconds has to be 1 to 86400" },
		{ "\"script_content\":\"x\",\"timeout_seconds\":\"5\"", "timeout_seconds has to be 1 to 86400" },
		{ "\"script_content\":\"x\",\"input_values\":[]", "input_values has to be an object" },
		{ "\"script_content\":\"x\",\"input_values\":{\"\":1}", "input_values has to be an object" },
		{ "\"script_content\":\"x\",\"input_values\":{\"a\":\"b\\u0000\"}",
		  "input_values has to be an object" },
		{ "\"script_content\":\"x\",\"shell\":\"zsh\"", "zsh is not installed on this guest" },
	};
	char item[256], id[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(id, sizeof(id), "bad%zu", i);
		snprintf(item, sizeof(item), "[{\"execution_id\":\"%s\",%s}]", id, cases[i].members);
		give(item);
		assert_non_null(completion(id));
		assert_non_null(strstr(completion(id), cases[i].words));
	}
	give("[5,{\"script_content\":\"x\"},{\"execution_id\":\"\"}]");
	assert_int_equal(lines_of("a script without an execution_id"), 3);
	set("commands.run_as=web");
	give("[{\"execution_id\":\"who\",\"script_content\":\"x\",\"run_as\":\"other\"}]");
	assert_non_null(strstr(completion("who"), "commands run as the user of commands.run_as alone"));
	set("commands.allow_unsafe=no");
	give("[{\"execution_id\":\"no\",\"script_content\":\"x\"}]");
	assert_non_null(strstr(completion("no"), "the policy of this guest does not allow scripts"));
	set("commands.allow_unsafe=yes");
	commands_close(&commands);
	give("[{\"execution_id\":\"late\",\"script_content\":\"x\"}]");
	assert_non_null(strstr(completion("late"), "the agent is stopping"));
	assert_int_equal(job_count, 0);
}

static void a_script_without_a_place_in_the_queue_is_completed_at_once(void **state)
{
	char item[128];

	(void)state;
	set("commands.queue_size=1");
	for (unsigned i = 0; i < 40; i++) {
		snprintf(item, sizeof(item), "[{\"execution_id\":\"q%u\",\"script_content\":\"x\"}]", i);
		give(item);
	}
	assert_non_null(strstr(completion("q39"), "all slots and the queue are taken"));
	assert_null(completion("q0"));
	commands.stats.received -= scripts.refused; /* they were given back */
}

static void completions_wait_for_the_next_session_of_the_host_within_bounds(void **state)
{
	struct line *line;
	char item[128];

	(void)state;
	host.session.present = false;
	scripts_lost(&scripts, 0, "old");
	for (unsigned i = 0; i < SCRIPTS_UNSENT_MAX; i++) {
		snprintf(item, sizeof(item), "[{\"execution_id\":\"u%u\"}]", i);
		give(item);
	}
	assert_int_equal(scripts.unsent_count, SCRIPTS_UNSENT_MAX);
	assert_int_equal(scripts.dropped, 1);
	assert_int_equal(lines_of("script_completion"), 0);
	host.session.present = true;
	scripts_session_began(&scripts);
	assert_null(completion("old"));
	assert_non_null(completion("u0"));
	assert_int_equal(scripts.unsent_count, 0);
	/* One that was in the port's queue when the host went. */
	line = line_new(LINE_REPLY, completion("u5"), strlen(completion("u5")));
	scripts_dropped(&scripts, line);
	line_unref(line);
	line = line_new(LINE_REPLY, "{\"type\":\"response\"}", 19);
	scripts_dropped(&scripts, line);
	line_unref(line);
	assert_int_equal(scripts.unsent_count, 1);
}

static void scripts_are_asked_for_three_times_until_a_list_comes(void **state)
{
	(void)state;
	scripts_session_began(&scripts);
	assert_int_equal(lines_of("request_pending_scripts"), 1);
	later(10 * NS_PER_S);
	assert_int_equal(lines_of("request_pending_scripts"), 2);
	later(20 * NS_PER_S);
	later(100 * NS_PER_S);
	assert_int_equal(lines_of("request_pending_scripts"), 3);
	scripts_session_began(&scripts);
	give("[]");
	later(100 * NS_PER_S);
	assert_int_equal(lines_of("request_pending_scripts"), 4);
	set("commands.allow_unsafe=no");
	scripts_session_began(&scripts);
	assert_int_equal(lines_of("request_pending_scripts"), 4);
	scripts_session_ended(&scripts);
}

static void what_0_1_0_left_of_scripts_is_removed_and_nothing_else(void **state)
{
	struct scripts fresh;
	char path[128];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/scripts", state_dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/scripts/0123456789abcdef0123456789abcdef", state_dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close_fd(&fd);
	scripts_init(&fresh, &commands, &host.session, "the-guest");
	assert_int_equal(faccessat(AT_FDCWD, path, F_OK, 0), -1);
	snprintf(path, sizeof(path), "%s/scripts", state_dir);
	assert_int_equal(faccessat(AT_FDCWD, path, F_OK, 0), -1);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/scripts/of-somebody", state_dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close_fd(&fd);
	scripts_init(&fresh, &commands, &host.session, "the-guest");
	assert_int_equal(faccessat(AT_FDCWD, path, F_OK, 0), 0);
	scripts_done(&fresh);
}

static void names_of_inputs_and_interpreters_are_of_a_list(void **state)
{
	char out[32];

	(void)state;
	assert_string_equal(script_interpreter(NULL), "sh");
	assert_string_equal(script_interpreter("BaSh"), "bash");
	assert_null(script_interpreter("/bin/sh"));
	assert_true(script_input_name("a\xc3\xa4", true, out, sizeof(out)));
	assert_string_equal(out, "INPUT_A__");
	assert_true(script_input_name("1234567890123456789012345", false, out, sizeof(out)));
	assert_false(script_input_name("12345678901234567890123456", false, out, sizeof(out)));
}

/* ----------------------------------------------------------------------------------------------------- JoinDomain */

#define JOIN "\"domain\":\"d.example\",\"username\":\"admin\",\"password\":\"secret word\""

static void the_password_of_a_domain_is_in_the_input_alone(void **state)
{
	(void)state;
	ask("JoinDomain", JOIN ",\"restart_after\":true");
	assert_string_equal(jobs[0].text, "/usr/libexec/infiniservice-exec join");
	assert_memory_equal(jobs[0].input, "d.example\0admin\0secret word\0\0", 29);
	assert_null(strstr(jobs[0].environment, "secret"));
	assert_string_equal(jobs[0].unit, "");
	job_end(&jobs[0]);
	turns();
	answer_has("\"data\":{\"domain\":\"d.example\",\"restart_scheduled\":true}");
	assert_true(env.power.pending);
	ask("JoinDomain", JOIN);
	jobs[1].outcome.exit_code = 1;
	job_end(&jobs[1]);
	turns();
	answer_has("exit code 1");
}

static void a_domain_is_joined_only_with_all_it_takes(void **state)
{
	(void)state;
	expect("JoinDomain", "\"domain\":\"d.example\"", "username is missing");
	expect("JoinDomain", "\"domain\":\"-x\",\"username\":\"a\",\"password\":\"b\"", "\"reason\":\"bad_value\"");
	expect("JoinDomain", "\"domain\":5", "INVALID_PARAMETERS");
	expect("JoinDomain", JOIN ",\"restart_after\":5", "INVALID_PARAMETERS");
	installed = ";";
	expect("JoinDomain", JOIN, "this guest has no realm");
	installed = ";realm;";
	executor.state = EXEC_STATE_OFF;
	expect("JoinDomain", JOIN, "\"reason\":\"no_executor\"");
	assert_int_equal(job_count, 0);
}

/* --------------------------------------------------------------------------------------- an earlier agent process */

#define HELLO "{\"command_type\":{\"action\":\"PackageInstall\",\"package\":\"hello\"}}"

/* The journal as an earlier process left it: `action` was at this step of its detached run "7-1". */
static void left_behind(const char *action, const char *step, const char *request, const char *boot_id)
{
	uint64_t now_ns = loop.now.mono_ns;
	struct journal_run run = { .unit = "7-1",
				   .received_ns = now_ns - NS_PER_S,
				   .term_ns = now_ns + 100 * NS_PER_S,
				   .deadline_ns = now_ns + 102 * NS_PER_S,
				   .max_output = 5000,
				   .request = request };

	snprintf(run.boot_id, sizeof(run.boot_id), "%s", boot_id);
	snprintf(run.step, sizeof(run.step), "%s", step);
	journal_detach(&journal, journal_accepted(&journal, JOURNAL_COMMAND, action, "old-1"), &run);
	journal_close(&journal);
	assert_int_equal(journal_open(&journal, state_dir), 0);
	detached_resume(&env.detached);
	turns();
	commands.stats.received += commands.first ? 1 : 0;
}

static void an_install_that_outlived_the_agent_is_answered_by_the_next_one(void **state)
{
	(void)state;
	left_behind("PackageInstall", "install", HELLO, "b007");
	assert_int_equal(job_count, 1);
	assert_true(jobs[0].request.attach);
	assert_string_equal(jobs[0].unit, "7-1");
	assert_int_equal(jobs[0].request.max_output_bytes, 5000);
	assert_ptr_equal(jobs[0].exec, &executor);
	job_end(&jobs[0]);
	turns();
	answered(&host, "old-1", "\"success\":true,\"exit_code\":0");
	assert_string_equal(seen.forgotten, "7-1;");
	assert_int_equal(journal.open_count, 0);
}

static void without_a_host_the_answer_is_held_with_the_files_of_the_run(void **state)
{
	(void)state;
	host.session.present = false;
	left_behind("PackageInstall", "install", HELLO, "b007");
	jobs[0].outcome.exit_code = 100;
	job_end(&jobs[0]);
	turns();
	assert_int_equal(answers(&host, "old-1"), 0);
	assert_string_equal(seen.forgotten, "");
	assert_int_equal(journal.open_count, 1);
	host.session.present = true;
	detached_session_began(&env.detached);
	answered(&host, "old-1", "exit code 100");
	assert_string_equal(seen.forgotten, "7-1;");
	assert_int_equal(journal.open_count, 0);
}

static void an_update_goes_on_with_the_list_from_before_it(void **state)
{
	static const char before[] = "bash\t5.1\tamd64\tinstalled install ok\t7\t\tshells\tbash\tX\tThe shell\n";

	(void)state;
	play("*dpkg-query -W*", 0, "bash\t5.2\tamd64\tinstalled install ok\t7\t\tshells\tbash\tX\tThe shell\n");
	play("*stat -c*", 0, "1699990000 /var/lib/apt/lists\n");
	assert_int_equal(detached_files_note_write(seen.detached_fd, "7-1", before, strlen(before)), 0);
	left_behind("UpdateSystemSoftware", "update-all", "{\"command_type\":{\"action\":\"UpdateSystemSoftware\"}}",
		    "b007");
	job_end(&jobs[0]);
	turns();
	answered(&host, "old-1", "\"updated\":[\"bash\"]");
}

static void without_that_list_nothing_is_compared(void **state)
{
	(void)state;
	play("*dpkg-query -W*", 0, "bash\t5.2\tamd64\tinstalled install ok\t7\t\tshells\tbash\tX\tThe shell\n");
	play("*stat -c*", 0, "1699990000 /var/lib/apt/lists\n");
	left_behind("UpdateSystemSoftware", "update-all", "{\"command_type\":{\"action\":\"UpdateSystemSoftware\"}}",
		    "b007");
	job_end(&jobs[0]);
	turns();
	answered(&host, "old-1", "\"updated\":null");
}

static void a_step_or_parameters_that_are_not_known_are_waited_for_all_the_same(void **state)
{
	(void)state;
	left_behind("PackageInstall", "of-another-version", HELLO, "b007");
	job_end(&jobs[0]);
	turns();
	answered(&host, "old-1", "\"success\":true");
	left_behind("PackageInstall", "install", NULL, "b007");
	assert_int_equal(job_count, 2);
	assert_true(jobs[1].request.attach);
	jobs[1].outcome = (struct exec_outcome){ .exit_code = -1, .lost = true, .attached = true, .words = "" };
	job_end(&jobs[1]);
	turns();
	assert_non_null(strstr(host.lines[host.count - 1], "\"reason\":\"lost: agent_restart\""));
}

static void a_run_of_another_boot_or_of_no_action_is_not_gone_on_with(void **state)
{
	(void)state;
	left_behind("PackageInstall", "install", HELLO, "b008");
	left_behind("NoSuchAction", "install", "{\"command_type\":{\"action\":\"NoSuchAction\"}}", "b007");
	left_behind("PackageInstall", "install", "{\"command_type\":{\"action\":\"UserList\"}}", "b007");
	left_behind("PackageInstall", "install", "[1]", "b007");
	assert_int_equal(job_count, 0);
	assert_null(commands.first);
	assert_non_null(journal.lost);
}

static void a_run_goes_on_when_the_agent_ends(void **state)
{
	(void)state;
	play("*apt-cache show*", 0, "Package: hello\nVersion: 1\n\n");
	ask("PackageInstall", "\"package\":\"hello\"");
	job_of("*install -- hello")->outcome =
		(struct exec_outcome){ .exit_code = -1, .lost = true, .goes_on = true, .words = "" };
	job_end(job_of("*install -- hello"));
	turns();
	assert_null(answer());
	assert_int_equal(journal.open_count, 1);
	commands.stats.received--; /* the next process answers it */
}

/* ----------------------------------------------------------------------------------------------- a run of 0.1.0 */

static const char *sub_state;
static int main_status;

static int legacy_properties(sd_bus_message *message)
{
	if (!sd_bus_message_is_method_call(message, DBUS_PROPERTIES, "GetAll"))
		return 0;
	return sd_bus_reply_method_return(message, "a{sv}", 7, "LoadState", "s", *sub_state ? "loaded" : "not-found",
					  "ActiveState", "s", "active", "SubState", "s", sub_state, "Result", "s",
					  "success", "ExecMainCode", "i",
					  strcmp(sub_state, "exited") == 0 ? CLD_EXITED : 0, "ExecMainStatus", "i",
					  main_status, "ExecMainExitTimestampMonotonic", "t", (uint64_t)5);
}

static void touch(const char *name)
{
	int fd = openat(seen.detached_fd, name, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	close_fd(&fd);
}

static void the_end_of_a_run_of_0_1_0_is_asked_of_the_service_manager(void **state)
{
	char line[END_RECORD_MAX + 1] = "";
	int fd;

	(void)state;
	sub_state = "running";
	main_status = 3;
	seen.manager = legacy_properties;
	touch("keep-7-1.out");
	touch("keep-7-1.err");
	left_behind("PackageInstall", "install", HELLO, "b007");
	assert_int_equal(faccessat(seen.detached_fd, "detached-7-1.out", F_OK, 0), 0);
	assert_non_null(env.detached.legacy);
	sub_state = "exited";
	for (unsigned i = 0; i < 300 && env.detached.legacy; i++) {
		usleep(10000);
		turn();
	}
	assert_null(env.detached.legacy);
	fd = openat(seen.detached_fd, "detached-7-1.end", O_RDONLY);
	assert_true(read(fd, line, sizeof(line) - 1) > 0);
	close_fd(&fd);
	assert_int_equal(faccessat(seen.detached_fd, "keep-7-1.out", F_OK, 0), -1);
	assert_string_equal(seen.unit_ends, "7-1;");
	job_end(&jobs[0]);
	turns();
}

static void a_run_of_0_1_0_that_nobody_knows_leaves_no_end(void **state)
{
	struct stat st;

	(void)state;
	sub_state = "";
	seen.manager = legacy_properties;
	touch("keep-7-1.out");
	left_behind("PackageInstall", "install", HELLO, "b007");
	assert_null(env.detached.legacy);
	assert_int_equal(fstatat(seen.detached_fd, "detached-7-1.end", &st, 0), 0);
	assert_int_equal(st.st_size, 0);
	job_end(&jobs[0]);
	turns();
}

#define T(function) cmocka_unit_test_setup_teardown(function, begin, actions_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_line_is_run_by_the_shell_that_is_named),
		T(an_environment_has_a_bound),
		T(every_end_of_a_program_has_its_words),
		T(a_program_that_cannot_be_handed_over_is_answered_with_the_reason),
		T(output_is_streamed_and_a_cancelled_line_is_killed),
		T(a_script_is_read_from_a_descriptor_with_its_inputs_in_the_environment),
		T(a_script_that_cannot_be_run_is_completed_with_the_reason),
		T(a_script_without_a_place_in_the_queue_is_completed_at_once),
		T(completions_wait_for_the_next_session_of_the_host_within_bounds),
		T(scripts_are_asked_for_three_times_until_a_list_comes),
		T(what_0_1_0_left_of_scripts_is_removed_and_nothing_else),
		T(names_of_inputs_and_interpreters_are_of_a_list),
		T(the_password_of_a_domain_is_in_the_input_alone),
		T(a_domain_is_joined_only_with_all_it_takes),
		T(an_install_that_outlived_the_agent_is_answered_by_the_next_one),
		T(without_a_host_the_answer_is_held_with_the_files_of_the_run),
		T(an_update_goes_on_with_the_list_from_before_it),
		T(without_that_list_nothing_is_compared),
		T(a_step_or_parameters_that_are_not_known_are_waited_for_all_the_same),
		T(a_run_of_another_boot_or_of_no_action_is_not_gone_on_with),
		T(a_run_goes_on_when_the_agent_ends),
		T(the_end_of_a_run_of_0_1_0_is_asked_of_the_service_manager),
		T(a_run_of_0_1_0_that_nobody_knows_leaves_no_end),
	};

	return cmocka_run_group_tests_name("programs", tests, NULL, NULL);
}
