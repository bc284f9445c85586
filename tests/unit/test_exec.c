/* SPDX-License-Identifier: MIT */
/*
 * Commands from the request to the answer: the client of agent/run/exec.c against the real executor in a forked child,
 * or the program when INFINISERVICE_EXEC names it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <limits.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/run/exec.h"
#include "agent/runner/runner.h"
#include "agent/runner/protocol.h"
#include "tests/loop_turn.h"
#include "tests/room.h"

const bool test_can_destroy = true;

#define ARGV(...)  ((const char *const[]){ __VA_ARGS__, NULL })
#define SH(script) ARGV("/bin/sh", "-c", script)

static const char *const env[] = { "PATH=/usr/bin:/bin", "LC_ALL=C", NULL };

struct answer {
	unsigned done, started;
	pid_t pid;
	struct exec_outcome outcome; /* with the outputs taken over */
	uint64_t streamed, done_ns;
};

struct fixture {
	struct ev_loop *loop;
	struct exec *exec;
	char dir[64];
	struct answer answers[600];
};

static int serve(int fd, void *data)
{
	(void)data;
	return runner_serve(fd);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct exec_config config = { .program = getenv("INFINISERVICE_EXEC"), .max_output_bytes = 64 * 1024 };

	if (!config.program)
		config.child = serve;
	strcpy(f->dir, "/tmp/test-exec-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->loop = ev_default_loop(0);
	f->exec = exec_new(f->loop, &config);
	assert_non_null(f->exec);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	exec_free(f->exec);
	for (size_t i = 0; i < ARRAY_SIZE(f->answers); i++) {
		free(f->answers[i].outcome.out.bytes);
		free(f->answers[i].outcome.err.bytes);
	}
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void on_started(void *data, pid_t pid)
{
	struct answer *a = data;

	a->started++;
	a->pid = pid;
}

static void on_output(void *data, enum exec_stream stream, const char *bytes, size_t len)
{
	(void)stream;
	(void)bytes;
	((struct answer *)data)->streamed += len;
}

static void on_done(void *data, struct exec_outcome *outcome)
{
	struct answer *a = data;

	a->done++;
	a->outcome = *outcome;
	outcome->out.bytes = NULL;
	outcome->err.bytes = NULL;
	a->done_ns = clock_ns(CLOCK_MONOTONIC);
}

static const struct exec_callbacks callbacks = { .started = on_started, .output = on_output, .done = on_done };

static uint64_t in_ms(uint64_t ms)
{
	return clock_ns(CLOCK_MONOTONIC) + ms * NS_PER_MS;
}

static void wait_for(struct fixture *f, const unsigned *what, unsigned want)
{
	uint64_t end = in_ms(10000);

	while (*what < want && clock_ns(CLOCK_MONOTONIC) < end)
		loop_turn(f->loop);
	assert_int_equal(*what, want);
}

static struct exec_job *start_with(struct fixture *f, struct answer *a, struct exec_request request)
{
	struct exec_job *job = NULL;

	request.envp = request.envp ? request.envp : env;
	if (!request.kill_ns) {
		request.term_ns = in_ms(8000);
		request.kill_ns = in_ms(9000);
	}
	assert_int_equal(exec_start(f->exec, &request, &callbacks, a, &job), 0);
	assert_non_null(job);
	return job;
}

static struct answer *run_with(struct fixture *f, struct exec_request request)
{
	start_with(f, &f->answers[0], request);
	wait_for(f, &f->answers[0].done, 1);
	return &f->answers[0];
}

static struct answer *run(struct fixture *f, const char *const *argv)
{
	return run_with(f, (struct exec_request){ .argv = argv });
}

/* A living process whose command line contains `mark`; 0 when there is none. */
static pid_t process_with(const char *mark)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;

	while (!found && (entry = readdir(proc))) {
		char path[300], text[512];
		ssize_t len = 0;
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
		fd = atoi(entry->d_name) > 0 ? open(path, O_RDONLY) : -1;
		if (fd >= 0) {
			len = read(fd, text, sizeof(text));
			close(fd);
		}
		if (len > 0 && memmem(text, (size_t)len, mark, strlen(mark)))
			found = atoi(entry->d_name);
	}
	closedir(proc);
	return found;
}

static void assert_gone(struct fixture *f, const char *mark, uint64_t within_ms)
{
	uint64_t end = in_ms(within_ms);

	while (process_with(mark) && clock_ns(CLOCK_MONOTONIC) < end)
		loop_turn(f->loop);
	assert_int_equal(process_with(mark), 0);
}

/* A number of seconds for sleep(1) that no other process has. */
static const char *mark(int which)
{
	static char text[8][32];

	snprintf(text[which], sizeof(text[which]), "%d.%d", 1000 + which, getpid());
	return text[which];
}

/* A shell script with a mark in it; valid until the next one. */
static char script_text[512];
#define SCRIPT(format, mark) (snprintf(script_text, sizeof(script_text), format, mark), script_text)

/* ---------------------------------------- answers */

static void reports_the_exit_code(void **state)
{
	struct answer *a = run(*state, SH("exit 7"));

	assert_true(a->outcome.started);
	assert_int_equal(a->started, 1);
	assert_int_equal(a->outcome.exit_code, 7);
	assert_int_equal(a->outcome.signal, 0);
	assert_false(a->outcome.timed_out || a->outcome.cancelled || a->outcome.stuck || a->outcome.lost ||
		     a->outcome.truncated);
	assert_null(a->outcome.out.bytes);
}

static void reports_success_with_both_outputs_apart(void **state)
{
	struct answer *a = run(*state, SH("echo to out; echo to err >&2"));

	assert_int_equal(a->outcome.exit_code, 0);
	assert_int_equal(a->outcome.out.len, 7);
	assert_memory_equal(a->outcome.out.bytes, "to out\n", 7);
	assert_memory_equal(a->outcome.err.bytes, "to err\n", 7);
	assert_int_equal(a->streamed, 14);
	assert_true(a->outcome.duration_ns > 0 && a->outcome.duration_ns < 5 * NS_PER_S);
}

static void reports_a_signal_as_128_and_its_number(void **state)
{
	struct answer *a = run(*state, SH("kill -SEGV $$"));

	assert_int_equal(a->outcome.signal, SIGSEGV);
	assert_int_equal(a->outcome.exit_code, 128 + SIGSEGV);
}

/* Row 22. */
static void reports_what_cannot_be_executed(void **state)
{
	struct fixture *f = *state;
	char plain[128], shebang[128], raw[128];
	FILE *file;

	snprintf(plain, sizeof(plain), "%s/plain", f->dir);
	snprintf(shebang, sizeof(shebang), "%s/shebang", f->dir);
	snprintf(raw, sizeof(raw), "%s/raw", f->dir);
	file = fopen(plain, "w");
	fclose(file);
	file = fopen(shebang, "w");
	fputs("#!/no/such/interpreter\n", file);
	fclose(file);
	file = fopen(raw, "w");
	fputs("no header at all\n", file);
	fclose(file);
	assert_int_equal(chmod(plain, 0644) | chmod(shebang, 0755) | chmod(raw, 0755), 0);

	const struct {
		const char *path, *cwd, *user;
		int error;
		enum runner_stage stage;
	} cases[] = {
		{ "/no/such/program", NULL, NULL, ENOENT, RUNNER_STAGE_EXEC },
		{ "/usr/bin", NULL, NULL, EACCES, RUNNER_STAGE_EXEC },
		{ plain, NULL, NULL, EACCES, RUNNER_STAGE_EXEC },
		{ shebang, NULL, NULL, ENOENT, RUNNER_STAGE_EXEC },
		{ raw, NULL, NULL, ENOEXEC, RUNNER_STAGE_EXEC },
		{ "/bin/true", "/no/such/folder", NULL, ENOENT, RUNNER_STAGE_CWD },
		{ "/bin/true", NULL, "no-such-user-here", ENOENT, RUNNER_STAGE_USER },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct answer *a = &f->answers[i];

		start_with(f, a,
			   (struct exec_request){
				   .argv = ARGV(cases[i].path), .cwd = cases[i].cwd, .user = cases[i].user });
		wait_for(f, &a->done, 1);
		assert_false(a->outcome.started);
		assert_int_equal(a->started, 0);
		assert_int_equal(a->outcome.spawn_errno, cases[i].error);
		assert_int_equal(a->outcome.spawn_stage, cases[i].stage);
		assert_int_equal(a->outcome.exit_code, -1);
	}
}

static void refuses_requests_that_are_not_acceptable(void **state)
{
	struct fixture *f = *state;
	static char big[200 * 1024];
	struct exec_job *job = NULL;
	const struct {
		struct exec_request request;
		int error;
	} cases[] = {
		{ { .argv = ARGV("true") }, -EINVAL },
		{ { .argv = (const char *const[]){ NULL } }, -EINVAL },
		{ { .argv = ARGV("/bin/true"), .cwd = "tmp" }, -EINVAL },
		{ { .argv = ARGV("/bin/true"), .envp = ARGV("NOVALUE") }, -EINVAL },
		{ { .argv = ARGV("/bin/true", big) }, -E2BIG },
	};

	memset(big, 'x', sizeof(big) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(exec_start(f->exec, &cases[i].request, &callbacks, &f->answers[0], &job),
				 cases[i].error);
	assert_null(job);
	assert_int_equal(exec_stats(f->exec).running, 0);
}

/* ---------------------------------------- output */

/* Row 23. */
static void drains_100_megabytes_and_keeps_the_limit(void **state)
{
	struct answer *a = run(*state, SH("head -c 104857600 /dev/zero"));
	struct rusage usage;

	assert_int_equal(a->outcome.exit_code, 0);
	assert_int_equal(a->outcome.out.total, 104857600);
	assert_int_equal(a->outcome.out.len, 64 * 1024);
	assert_true(a->outcome.truncated);
	getrusage(RUSAGE_SELF, &usage);
#ifndef __SANITIZE_ADDRESS__
	assert_in_range(usage.ru_maxrss, 0, 32 * 1024);
#endif
}

/* Row 24. */
static void keeps_binary_output_of_both_streams_as_it_is(void **state)
{
	struct answer *a = run(*state, SH("printf '\\000\\377\\n\\200'; head -c 200000 /dev/zero >&2; printf end"));

	assert_int_equal(a->outcome.out.len, 7);
	assert_memory_equal(a->outcome.out.bytes, "\0\377\n\200end", 7);
	assert_int_equal(a->outcome.err.total, 200000);
	assert_int_equal(a->outcome.err.len, 64 * 1024);
	assert_true(a->outcome.truncated);
}

static void keeps_less_when_the_request_says_so(void **state)
{
	struct answer *a =
		run_with(*state, (struct exec_request){ .argv = SH("printf 0123456789"), .max_output_bytes = 4 });

	assert_int_equal(a->outcome.out.len, 4);
	assert_memory_equal(a->outcome.out.bytes, "0123", 4);
	assert_int_equal(a->outcome.out.total, 10);
	assert_true(a->outcome.truncated);
}

/* ---------------------------------------- environment */

/* Row 39. */
static void a_command_has_fds_0_1_and_2_only(void **state)
{
	struct answer *a = run(*state, ARGV("/bin/ls", "/proc/self/fd"));

	assert_int_equal(a->outcome.out.len, 8); /* 3 is ls reading the directory */
	assert_memory_equal(a->outcome.out.bytes, "0\n1\n2\n3\n", 8);
}

/* Row 31. */
static void a_command_that_reads_stdin_meets_its_end(void **state)
{
	struct answer *a = run(*state, ARGV("/bin/cat"));

	assert_int_equal(a->outcome.exit_code, 0);
	assert_int_equal(a->outcome.out.total, 0);
}

static void a_command_sees_the_given_environment_and_directory_only(void **state)
{
	struct answer *a = run_with(*state, (struct exec_request){ .argv = SH("/usr/bin/env; pwd; umask"),
								   .cwd = "/usr",
								   .envp = ARGV("ONLY=this") });
	const char want[] = "ONLY=this\nPWD=/usr\n/usr\n0022\n";

	assert_int_equal(a->outcome.out.len, sizeof(want) - 1);
	assert_memory_equal(a->outcome.out.bytes, want, sizeof(want) - 1);
}

/* Row 37: the child's signal state is fresh whatever the agent and executor have set up. */
static void a_command_has_default_signals_and_an_empty_mask(void **state)
{
	struct answer *a = run(*state, ARGV("/bin/sed", "-n", "/^Sig[BIC]/p", "/proc/self/status"));
	const char want[] = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n";

	assert_int_equal(a->outcome.out.len, sizeof(want) - 1);
	assert_memory_equal(a->outcome.out.bytes, want, sizeof(want) - 1);
}

static void limits_are_set_in_the_command_only(void **state)
{
	struct answer *a = run_with(
		*state, (struct exec_request){ .argv = SH("ulimit -n; ulimit -t; cat /proc/self/oom_score_adj"),
					       .limits = { [RUNNER_LIMIT_NOFILE] = 33, [RUNNER_LIMIT_CPU] = 5 } });

	assert_int_equal(a->outcome.out.len, 9);
	assert_memory_equal(a->outcome.out.bytes, "33\n5\n500\n", 9);
	a = &((struct fixture *)*state)->answers[1];
	start_with(*state, a, (struct exec_request){ .argv = SH("ulimit -t") });
	wait_for(*state, &a->done, 1);
	assert_memory_equal(a->outcome.out.bytes, "unlimited\n", 10);
}

static void a_command_runs_as_another_user_when_privileged(void **state)
{
	struct answer *a;

	if (geteuid() != 0 || !getpwnam("nobody"))
		skip();
	a = run_with(*state, (struct exec_request){ .argv = SH("id -un"), .user = "nobody" });
	assert_int_equal(a->outcome.out.len, 7);
	assert_memory_equal(a->outcome.out.bytes, "nobody\n", 7);
}

/* What root's groups may read, a command that runs as another may not. */
static void another_user_brings_its_own_groups_and_keeps_none_of_roots(void **state)
{
	const gid_t roots[] = { 0, 4, 6, 42 };
	struct answer *a;

	if (geteuid() != 0 || !getpwnam("nobody")) {
		print_message("needs root, and a user nobody\n");
		skip();
	}
	assert_int_equal(setgroups(ARRAY_SIZE(roots), roots), 0); /* before the executor is there */
	a = run_with(*state,
		     (struct exec_request){ .argv = SH("test \"$(id -G)\" = \"$(id -G nobody)\""), .user = "nobody" });
	assert_int_equal(setgroups(0, NULL), 0);
	assert_int_equal(a->outcome.exit_code, 0);
}

/* ---------------------------------------- deadlines */

static void term_ends_a_command_at_its_time(void **state)
{
	struct fixture *f = *state;
	uint64_t begin = in_ms(0);
	struct answer *a = run_with(f, (struct exec_request){ .argv = ARGV("/bin/sleep", mark(0)),
							      .term_ns = in_ms(30),
							      .kill_ns = in_ms(3000) });

	assert_true(a->outcome.timed_out);
	assert_int_equal(a->outcome.signal, SIGTERM);
	assert_in_range(a->done_ns - begin, 30 * NS_PER_MS, 1000 * NS_PER_MS);
}

/* Row 25. */
static void kill_ends_a_command_that_ignores_term(void **state)
{
	struct fixture *f = *state;
	uint64_t begin = in_ms(0);
	struct answer *a =
		run_with(f, (struct exec_request){ .argv = SH(SCRIPT("trap '' TERM; sleep %s; sleep 1", mark(1))),
						   .term_ns = in_ms(500),
						   .kill_ns = in_ms(600) });

	assert_true(a->outcome.timed_out);
	assert_int_equal(a->outcome.signal, SIGKILL);
	assert_in_range(a->done_ns - begin, 600 * NS_PER_MS, 3000 * NS_PER_MS);
	assert_gone(f, mark(1), 1000);
}

/* Row 32. */
static void kill_ends_a_command_that_stopped_itself(void **state)
{
	struct answer *a =
		run_with(*state, (struct exec_request){ .argv = SH("trap '' TERM; kill -STOP $$; kill -STOP $$"),
							.term_ns = in_ms(500),
							.kill_ns = in_ms(600) });

	assert_true(a->outcome.timed_out);
	assert_int_equal(a->outcome.signal, SIGKILL);
}

/* Row 26: the pipe's end would come when the daemon ends, in 17 minutes. */
static void a_daemon_that_holds_the_pipes_delays_nothing_and_dies(void **state)
{
	struct fixture *f = *state;
	uint64_t begin = in_ms(0);
	struct answer *a =
		run(f, SH(SCRIPT("echo before; (setsid sh -c 'setsid sleep %s & wait' &) ; exit 3", mark(2))));

	assert_int_equal(a->outcome.exit_code, 3);
	assert_memory_equal(a->outcome.out.bytes, "before\n", 7);
	assert_in_range(a->done_ns - begin, 0, 1000 * NS_PER_MS);
	assert_gone(f, mark(2), 1000);
}

static void a_tree_of_daemons_dies_at_the_kill_time(void **state)
{
	struct fixture *f = *state;

	run_with(f, (struct exec_request){
			    .argv = SH(SCRIPT("trap '' TERM; for i in 1 2 3 4; do setsid sh -c \"trap '' TERM;"
					      " sleep %s & sleep 50\" & done; sleep 50; sleep 50",
					      mark(3))),
			    .term_ns = in_ms(60),
			    .kill_ns = in_ms(150) });
	assert_true(f->answers[0].outcome.timed_out);
	assert_gone(f, mark(3), 1000);
}

static void cancel_ends_a_command_with_term(void **state)
{
	struct fixture *f = *state;
	struct answer *a = &f->answers[0];
	struct exec_job *job = start_with(f, a, (struct exec_request){ .argv = ARGV("/bin/sleep", mark(4)) });

	wait_for(f, &a->started, 1);
	exec_cancel(job, NS_PER_S);
	wait_for(f, &a->done, 1);
	assert_true(a->outcome.cancelled);
	assert_false(a->outcome.timed_out);
	assert_int_equal(a->outcome.signal, SIGTERM);
}

static void cancel_of_a_command_not_yet_sent_or_started_answers_once(void **state)
{
	struct fixture *f = *state;
	struct exec_job *job =
		start_with(f, &f->answers[0], (struct exec_request){ .argv = ARGV("/bin/sleep", mark(4)) });

	exec_cancel(job, 0);
	wait_for(f, &f->answers[0].done, 1);
	assert_true(f->answers[0].outcome.cancelled);
	assert_gone(f, mark(4), 500);
}

/*
 * One hundred commands, the deadline of each a little later, from the start of such a command to twice what it takes.
 */
static unsigned race(struct fixture *f)
{
	unsigned timed_out = 0;
	uint64_t step_ns;

	memset(f->answers, 0, sizeof(f->answers));
	start_with(f, &f->answers[100], (struct exec_request){ .argv = ARGV("/bin/true") });
	wait_for(f, &f->answers[100].done, 1);
	step_ns = f->answers[100].outcome.duration_ns / 50;
	for (unsigned i = 0; i < 100; i++) {
		uint64_t at = clock_ns(CLOCK_MONOTONIC) + i * step_ns;

		start_with(f, &f->answers[i],
			   (struct exec_request){ .argv = ARGV("/bin/true"), .term_ns = at, .kill_ns = at });
		wait_for(f, &f->answers[i].done, 1);
		assert_true(f->answers[i].outcome.exit_code == 0 || f->answers[i].outcome.timed_out);
		timed_out += f->answers[i].outcome.timed_out;
	}
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(f->answers[i].done, 1);
	return timed_out;
}

/*
 * Row 28: whichever comes first, one answer that makes sense. TEST_REPEATS hundreds of them; the soak asks for a
 * hundred.
 */
static void a_deadline_at_the_moment_of_the_exit_answers_once(void **state)
{
	const char *repeats = getenv("TEST_REPEATS");
	unsigned rounds = repeats ? (unsigned)atoi(repeats) : 1, timed_out = 0;

	for (unsigned i = 0; i < rounds; i++)
		timed_out += race(*state);
	print_message("# %u of %u were timed out\n", timed_out, rounds * 100);
	assert_in_range(timed_out, 1, rounds * 100);
	assert_int_equal(exec_stats(((struct fixture *)*state)->exec).done, rounds * 101);
}

/* Row 36, from the agent's side: an executor that answers nothing does not cost the host its answer. */
static void a_silent_executor_is_answered_for_at_the_kill_time(void **state)
{
	struct fixture *f = *state;
	struct answer *a = &f->answers[0];
	uint64_t begin;
	pid_t executor;

	assert_int_equal(exec_warm(f->exec), 0);
	executor = exec_stats(f->exec).executor;
	kill(executor, SIGSTOP);
	begin = in_ms(0);
	start_with(f, a,
		   (struct exec_request){ .argv = ARGV("/bin/true"), .term_ns = in_ms(50), .kill_ns = in_ms(100) });
	wait_for(f, &a->done, 1);
	kill(executor, SIGCONT);
	assert_true(a->outcome.stuck && a->outcome.timed_out);
	assert_false(a->outcome.cancelled);
	assert_int_equal(a->outcome.exit_code, -1);
	assert_in_range(a->done_ns - begin, 200 * NS_PER_MS, 300 * NS_PER_MS);
	start_with(f, &f->answers[1], (struct exec_request){ .argv = ARGV("/bin/true") });
	wait_for(f, &f->answers[1].done, 1);
	assert_int_equal(f->answers[1].outcome.exit_code, 0);
	assert_int_equal(a->done, 1);
}

/*
 * Row 36: a traced process that stops on its way out (PTRACE_O_TRACEEXIT) is as deaf to the first SIGKILL as one in
 * uninterruptible sleep; its tracer is this test.
 */
static void a_command_that_kill_does_not_end_is_reported_stuck(void **state)
{
	struct fixture *f = *state;
	struct answer *a = &f->answers[0];
	uint64_t begin = in_ms(0);

	start_with(f, a,
		   (struct exec_request){
			   .argv = ARGV("/bin/sleep", mark(0)), .term_ns = in_ms(100), .kill_ns = in_ms(100) });
	wait_for(f, &a->started, 1);
	if (ptrace(PTRACE_SEIZE, a->pid, NULL, PTRACE_O_TRACEEXIT) < 0)
		skip();
	wait_for(f, &a->done, 1);
	assert_true(a->outcome.stuck && a->outcome.timed_out);
	assert_int_equal(a->outcome.exit_code, -1);
	assert_in_range(a->done_ns - begin, 100 * NS_PER_MS, 250 * NS_PER_MS);
	assert_int_equal(kill(a->pid, 0), 0);
	start_with(f, &f->answers[1], (struct exec_request){ .argv = ARGV("/bin/true") });
	wait_for(f, &f->answers[1].done, 1);
	assert_int_equal(f->answers[1].outcome.exit_code, 0);
	ptrace(PTRACE_DETACH, a->pid, NULL, NULL);
	for (int i = 0; i < 300 && kill(a->pid, 0) == 0; i++)
		loop_turn(f->loop);
	assert_int_equal(kill(a->pid, 0), -1); /* reaped by its supervisor once it could go */
}

/* ---------------------------------------- many and lost */

static unsigned zombies_below(pid_t executor)
{
	char command[160];
	FILE *out;
	unsigned count = 0;

	snprintf(command, sizeof(command), "ps -eo ppid=,pid=,stat= | awk '$1 == %d || $1 == %d' | grep -c Z", executor,
		 getpid());
	out = popen(command, "r");
	if (fscanf(out, "%u", &count) != 1)
		count = 999;
	pclose(out);
	return count;
}

/* Row 33. */
static void runs_500_commands_and_leaves_no_zombie(void **state)
{
	struct fixture *f = *state;
	unsigned begun = 0, done = 0;

	while (done < 500) {
		for (done = 0; done < begun && f->answers[done].done; done++)
			;
		while (begun < 500 && exec_stats(f->exec).running < 5)
			start_with(f, &f->answers[begun++], (struct exec_request){ .argv = ARGV("/bin/true") });
		loop_turn(f->loop);
	}
	for (unsigned i = 0; i < 500; i++) {
		assert_int_equal(f->answers[i].done, 1);
		assert_int_equal(f->answers[i].outcome.exit_code, 0);
	}
	assert_int_equal(zombies_below(exec_stats(f->exec).executor), 0);
	assert_int_equal(exec_stats(f->exec).executor_starts, 1);
}

static void refuses_more_than_the_bound_and_runs_all_up_to_it(void **state)
{
	struct fixture *f = *state;
	struct exec_request request = { .argv = ARGV("/bin/true"), .kill_ns = in_ms(9000), .term_ns = in_ms(8000) };
	struct exec_job *job;

	for (unsigned i = 0; i < EXEC_JOBS_MAX; i++)
		start_with(f, &f->answers[i], (struct exec_request){ .argv = ARGV("/bin/true") });
	assert_int_equal(exec_start(f->exec, &request, &callbacks, &f->answers[EXEC_JOBS_MAX], &job), -ENOBUFS);
	for (unsigned i = 0; i < EXEC_JOBS_MAX; i++) {
		wait_for(f, &f->answers[i].done, 1);
		assert_int_equal(f->answers[i].outcome.exit_code, 0);
	}
}

/* Row 86. */
static void a_killed_executor_loses_its_commands_once_and_the_next_works(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++)
		start_with(f, &f->answers[i],
			   (struct exec_request){ .argv = SH(SCRIPT("setsid sleep %s & sleep 50", mark(5))) });
	for (int i = 0; i < 3; i++)
		wait_for(f, &f->answers[i].started, 1);
	kill(exec_stats(f->exec).executor, SIGKILL);
	for (int i = 0; i < 3; i++) {
		wait_for(f, &f->answers[i].done, 1);
		assert_true(f->answers[i].outcome.lost);
	}
	start_with(f, &f->answers[3], (struct exec_request){ .argv = ARGV("/bin/true") });
	wait_for(f, &f->answers[3].done, 1);
	assert_int_equal(f->answers[3].outcome.exit_code, 0);
	assert_gone(f, mark(5), 1000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(f->answers[i].done, 1);
}

static pid_t parent_of(pid_t pid)
{
	char path[64];
	int parent = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (file && fscanf(file, "%*d (%*[^)]) %*c %d", &parent) != 1)
		parent = 0;
	if (file)
		fclose(file);
	return parent;
}

/* Row 86, one level down: what a dead supervisor leaves belongs to the executor, and goes. */
static void a_killed_supervisor_loses_one_command_and_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	start_with(f, &f->answers[0],
		   (struct exec_request){ .argv = SH(SCRIPT("setsid sleep %s & sleep 50", mark(6))) });
	start_with(f, &f->answers[1], (struct exec_request){ .argv = SH("sleep 0.2; exit 4") });
	wait_for(f, &f->answers[0].started, 1);
	kill(parent_of(f->answers[0].pid), SIGKILL);
	wait_for(f, &f->answers[0].done, 1);
	assert_true(f->answers[0].outcome.lost);
	assert_gone(f, mark(6), 1000);
	wait_for(f, &f->answers[1].done, 1);
	assert_int_equal(f->answers[1].outcome.exit_code, 4);
}

/* Row 38: the agent's death is the end of the socket. */
static void everything_dies_when_the_agent_closes_its_side(void **state)
{
	struct fixture *f = *state;
	pid_t executor;

	start_with(f, &f->answers[0],
		   (struct exec_request){ .argv = SH(SCRIPT("trap '' TERM; setsid sleep %s & sleep 50", mark(7))) });
	wait_for(f, &f->answers[0].started, 1);
	while (!process_with(mark(7)))
		loop_turn(f->loop);
	executor = exec_stats(f->exec).executor;
	f->exec = exec_free(f->exec);
	assert_int_equal(f->answers[0].done, 1);
	assert_true(f->answers[0].outcome.lost);
	assert_gone(f, mark(7), 1000);
	for (int i = 0; i < 1000 && kill(executor, 0) == 0; i++)
		loop_turn(f->loop);
	assert_int_equal(kill(executor, 0), -1);
}

static void stop_cancels_all_and_accepts_no_more(void **state)
{
	struct fixture *f = *state;
	struct exec_request request = { .argv = ARGV("/bin/true") };
	struct exec_job *job;

	for (int i = 0; i < 3; i++)
		start_with(f, &f->answers[i], (struct exec_request){ .argv = ARGV("/bin/sleep", "50") });
	wait_for(f, &f->answers[2].started, 1);
	exec_stop(f->exec, 500 * NS_PER_MS);
	assert_int_equal(exec_start(f->exec, &request, &callbacks, &f->answers[3], &job), -ESHUTDOWN);
	for (int i = 0; i < 3; i++) {
		wait_for(f, &f->answers[i].done, 1);
		assert_true(f->answers[i].outcome.cancelled);
	}
}

/* ---------------------------------------- executors that can never start */

static void other_executor(struct fixture *f, const struct exec_config *config)
{
	exec_free(f->exec);
	f->exec = exec_new(f->loop, config);
	assert_non_null(f->exec);
}

static void put_file(const char *path, const char *text, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* Answered by exec_start itself, or in the next turns of the loop: but never at the deadline, which is an hour away. */
static void expect_unusable(struct fixture *f, struct answer *a, const char *place)
{
	struct exec_request request = { .argv = ARGV("/bin/true"),
					.term_ns = in_ms(3600000),
					.kill_ns = in_ms(3600000) };
	struct exec_job *job;
	int r = exec_start(f->exec, &request, &callbacks, a, &job);

	if (r == 0) {
		wait_for(f, &a->done, 1);
		assert_int_equal(a->outcome.spawn_stage, RUNNER_STAGE_EXECUTOR);
		assert_true(a->outcome.spawn_errno != 0);
		assert_false(a->outcome.started || a->outcome.timed_out);
	} else {
		assert_int_equal(r, -EHOSTDOWN);
	}
	if (!strstr(exec_fault(f->exec), place))
		fail_msg("\"%s\" does not name %s", exec_fault(f->exec), place);
	assert_int_equal(exec_state(f->exec), EXEC_STATE_FAULT);
	assert_string_equal(exec_place(f->exec), place);
}

static void a_program_that_can_never_be_the_executor_answers_at_once_and_is_named(void **state)
{
	static const char elf[] = "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\363\0";
	struct fixture *f = *state;
	const struct {
		const char *name, *text;
		size_t len;
		mode_t mode;
	} kinds[] = {
		{ "missing", NULL, 0, 0 },
		{ "not-executable", "", 0, 0 },
		{ "other-machine", elf, sizeof(elf), 0755 },
		{ "no-interpreter", "#!/nowhere/sh\n", 14, 0755 },
		{ "ends-at-once", "#!/bin/sh\nexit 3\n", 17, 0755 },
		{ "speaks-rubbish", "#!/bin/sh\necho rubbish >&3\nsleep 50\n", 37, 0755 },
		{ "missing/below", NULL, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char path[128];
		struct exec_config config = { .program = path };

		snprintf(path, sizeof(path), "%s/%s", f->dir, kinds[i].name);
		if (kinds[i].text)
			put_file(path, kinds[i].text, kinds[i].len, kinds[i].mode);
		if (kinds[i].text && kinds[i].mode == 0 && geteuid() == 0 && access(path, X_OK) == 0)
			continue; /* this root may execute anything */
		other_executor(f, &config);
		for (int j = 0; j < 3; j++)
			expect_unusable(f, &f->answers[i * 3 + (size_t)j], path);
	}
	other_executor(f, &(struct exec_config){ .program = f->dir });
	expect_unusable(f, &f->answers[100], f->dir);
}

static int socket_at(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void a_socket_that_is_off_and_one_that_is_broken_are_told_apart(void **state)
{
	struct fixture *f = *state;
	struct exec_request request = { .argv = ARGV("/bin/true"),
					.term_ns = in_ms(3600000),
					.kill_ns = in_ms(3600000) };
	char path[128], long_path[256];
	struct exec_config config = { .socket_path = path };
	struct exec_job *job;
	int fd, peer = -1;

	snprintf(path, sizeof(path), "%s/exec.sock", f->dir);
	other_executor(f, &config);
	assert_int_equal(exec_start(f->exec, &request, &callbacks, &f->answers[0], &job), -ENOTCONN);
	assert_int_equal(exec_state(f->exec), EXEC_STATE_OFF);
	assert_non_null(strstr(exec_fault(f->exec), path));
	/* Nobody listens; it is a file; it is of another type. */
	close(socket_at(path, SOCK_SEQPACKET));
	expect_unusable(f, &f->answers[1], path);
	assert_int_equal(unlink(path), 0);
	put_file(path, "", 0, 0600);
	expect_unusable(f, &f->answers[2], path);
	assert_int_equal(unlink(path), 0);
	fd = socket_at(path, SOCK_STREAM);
	assert_int_equal(listen(fd, 1), 0);
	expect_unusable(f, &f->answers[3], path);
	close(fd);
	assert_int_equal(unlink(path), 0);
	/* Somebody listens and hangs up, as systemd does for a service that it cannot start. */
	fd = socket_at(path, SOCK_SEQPACKET);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(exec_start(f->exec, &request, &callbacks, &f->answers[4], &job), 0);
	while (peer < 0 && !f->answers[4].done) {
		peer = accept(fd, NULL, NULL);
		loop_turn(f->loop);
	}
	close(peer);
	wait_for(f, &f->answers[4].done, 1);
	assert_int_equal(f->answers[4].outcome.spawn_stage, RUNNER_STAGE_EXECUTOR);
	assert_non_null(strstr(exec_fault(f->exec), path));
	close(fd);
	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	other_executor(f, &(struct exec_config){ .socket_path = long_path });
	assert_int_equal(exec_start(f->exec, &request, &callbacks, &f->answers[5], &job), -EHOSTDOWN);
}

/* Executors that end without a word are waited for longer each time; a new socket at the path ends the waiting. */
static void a_socket_that_was_made_anew_is_tried_at_once(void **state)
{
	struct fixture *f = *state;
	struct exec_request request = { .argv = ARGV("/bin/true"),
					.term_ns = in_ms(3600000),
					.kill_ns = in_ms(3600000) };
	char path[128], old[128];
	struct exec_config config = { .socket_path = path };
	struct exec_job *job;
	int fd, peer, n;

	snprintf(path, sizeof(path), "%s/exec.sock", f->dir);
	snprintf(old, sizeof(old), "%s/old.sock", f->dir);
	other_executor(f, &config);
	fd = socket_at(path, SOCK_SEQPACKET);
	assert_int_equal(listen(fd, 9), 0);
	for (n = 0; n < 50 && exec_start(f->exec, &request, &callbacks, &f->answers[n], &job) == 0; n++)
		while (!f->answers[n].done) {
			peer = accept(fd, NULL, NULL);
			if (peer >= 0)
				close(peer);
			loop_turn(f->loop);
		}
	assert_true(n > 0 && n < 50);
	assert_int_equal(exec_start(f->exec, &request, &callbacks, &f->answers[n], &job), -EHOSTDOWN);
	assert_true(accept(fd, NULL, NULL) < 0);
	assert_int_equal(rename(path, old), 0); /* its number stays in use, so the next has another */
	close(fd);
	fd = socket_at(path, SOCK_SEQPACKET);
	assert_int_equal(listen(fd, 9), 0);
	assert_int_equal(exec_start(f->exec, &request, &callbacks, &f->answers[n], &job), 0);
	peer = accept(fd, NULL, NULL);
	assert_true(peer >= 0);
	close(peer);
	close(fd);
}

static void a_program_that_has_come_is_found_by_the_next_command(void **state)
{
	struct fixture *f = *state;
	char path[128];
	struct exec_config config = { .program = path };

	snprintf(path, sizeof(path), "%s/late", f->dir);
	other_executor(f, &config);
	expect_unusable(f, &f->answers[0], path);
	put_file(path, "#!/bin/sh\nsleep 50\n", 19, 0755);
	assert_int_equal(exec_state(f->exec), EXEC_STATE_IDLE);
	assert_string_equal(exec_fault(f->exec), "");
	assert_int_equal(exec_warm(f->exec), 0);
	assert_int_equal(exec_state(f->exec), EXEC_STATE_READY);
}

/* ---------------------------------------- what a command reads */

static void a_script_is_read_by_its_interpreter_from_a_descriptor_and_has_no_name(void **state)
{
	static const char text[] = "cat <&0; ls /proc/self/fd | wc -l; stat -Lc %a $0; readlink $0; cat $0 | wc -c; "
				   "echo x >$0 || echo sealed\n";
	struct fixture *f = *state;
	struct answer *a = &f->answers[0];
	int input = input_new(text, strlen(text));
	char want[64];

	assert_true(input >= 0);
	start_with(f, a,
		   (struct exec_request){ .argv = ARGV("/bin/sh", RUNNER_INPUT_PATH),
					  .envp = ARGV("PATH=/usr/bin:/bin"),
					  .input = &input });
	wait_for(f, &a->done, 1);
	assert_int_equal(a->outcome.exit_code, 0);
	/* Its own listing, the three, and it: no other descriptor. */
	snprintf(want, sizeof(want), "5\n444\n/memfd:infiniservice-input (deleted)\n%zu\nsealed\n", strlen(text));
	assert_memory_equal(a->outcome.out.bytes, want, strlen(want));
	assert_int_equal(a->outcome.out.len, strlen(want));
	close(input);
}

static void a_script_is_handed_to_another_user_as_well(void **state)
{
	static const char text[] = "id -un\n";
	struct fixture *f = *state;
	struct answer *a = &f->answers[0];
	int input = input_new(text, strlen(text));

	if (geteuid() != 0)
		skip();
	start_with(f, a,
		   (struct exec_request){ .argv = ARGV("/bin/sh", RUNNER_INPUT_PATH),
					  .envp = ARGV("PATH=/usr/bin:/bin"),
					  .user = "nobody",
					  .input = &input });
	wait_for(f, &a->done, 1);
	assert_int_equal(a->outcome.out.len, 7);
	assert_memory_equal(a->outcome.out.bytes, "nobody\n", 7);
	close(input);
}

static void what_is_no_sealed_memory_file_is_no_input(void **state)
{
	int pair[2], memory = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING),
		     null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_int_equal(input_check(-1), -EBADMSG);
	assert_int_equal(input_check(pair[0]), -EBADMSG);
	assert_int_equal(input_check(null), -EBADMSG);
	assert_int_equal(write(memory, "abc", 3), 3);
	assert_int_equal(input_check(memory), -EBADMSG);
	assert_int_equal(fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK), 0);
	assert_int_equal(input_check(memory), -EBADMSG);
	assert_int_equal(fcntl(memory, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL), 0);
	assert_int_equal(input_check(memory), 3);
	assert_int_equal(input_new("", INPUT_MAX + 1), -E2BIG);
	close(memory);
	close(null);
	close(pair[0]);
	close(pair[1]);
}

/* Row 35: no fds for the pipes of one command; the next one runs. */
static void running_out_of_fds_fails_one_command_and_not_the_next(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, tight;
	int top;

	assert_int_equal(exec_warm(f->exec), 0);
	start_with(f, &f->answers[0], (struct exec_request){ .argv = ARGV("/bin/true") });
	wait_for(f, &f->answers[0].done, 1);
	getrlimit(RLIMIT_NOFILE, &before);
	top = dup(0);
	close(top);
	tight = before;
	tight.rlim_cur = (rlim_t)top;
	setrlimit(RLIMIT_NOFILE, &tight);
	start_with(f, &f->answers[1], (struct exec_request){ .argv = ARGV("/bin/sleep", "50") });
	for (int i = 0; i < 5000 && !f->answers[1].done; i++)
		loop_turn(f->loop);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(f->answers[1].done, 1);
	assert_int_equal(f->answers[1].outcome.spawn_errno, EMFILE);
	assert_int_equal(f->answers[1].outcome.spawn_stage, RUNNER_STAGE_RESOURCE);
	start_with(f, &f->answers[2], (struct exec_request){ .argv = ARGV("/bin/true") });
	wait_for(f, &f->answers[2].done, 1);
	assert_int_equal(f->answers[2].outcome.exit_code, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reports_the_exit_code),
		T(reports_success_with_both_outputs_apart),
		T(reports_a_signal_as_128_and_its_number),
		T(reports_what_cannot_be_executed),
		T(refuses_requests_that_are_not_acceptable),
		T(drains_100_megabytes_and_keeps_the_limit),
		T(keeps_binary_output_of_both_streams_as_it_is),
		T(keeps_less_when_the_request_says_so),
		T(a_command_has_fds_0_1_and_2_only),
		T(a_command_that_reads_stdin_meets_its_end),
		T(a_command_sees_the_given_environment_and_directory_only),
		T(a_command_has_default_signals_and_an_empty_mask),
		T(limits_are_set_in_the_command_only),
		T(a_command_runs_as_another_user_when_privileged),
		T(another_user_brings_its_own_groups_and_keeps_none_of_roots),
		T(term_ends_a_command_at_its_time),
		T(kill_ends_a_command_that_ignores_term),
		T(kill_ends_a_command_that_stopped_itself),
		T(a_daemon_that_holds_the_pipes_delays_nothing_and_dies),
		T(a_tree_of_daemons_dies_at_the_kill_time),
		T(cancel_ends_a_command_with_term),
		T(cancel_of_a_command_not_yet_sent_or_started_answers_once),
		T(a_deadline_at_the_moment_of_the_exit_answers_once),
		T(a_silent_executor_is_answered_for_at_the_kill_time),
		T(a_command_that_kill_does_not_end_is_reported_stuck),
		T(runs_500_commands_and_leaves_no_zombie),
		T(refuses_more_than_the_bound_and_runs_all_up_to_it),
		T(a_killed_executor_loses_its_commands_once_and_the_next_works),
		T(a_killed_supervisor_loses_one_command_and_leaves_nothing),
		T(everything_dies_when_the_agent_closes_its_side),
		T(stop_cancels_all_and_accepts_no_more),
		T(a_program_that_can_never_be_the_executor_answers_at_once_and_is_named),
		T(a_socket_that_is_off_and_one_that_is_broken_are_told_apart),
		T(a_socket_that_was_made_anew_is_tried_at_once),
		T(a_program_that_has_come_is_found_by_the_next_command),
		T(a_script_is_read_by_its_interpreter_from_a_descriptor_and_has_no_name),
		T(a_script_is_handed_to_another_user_as_well),
		T(what_is_no_sealed_memory_file_is_no_input),
		T(running_out_of_fds_fails_one_command_and_not_the_next),
	};

	return cmocka_run_group_tests_name("exec", tests, NULL, NULL);
}
