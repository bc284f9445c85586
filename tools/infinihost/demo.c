/* SPDX-License-Identifier: MIT */
/*
 * The agent runs as a child in a process group of its own (a Ctrl-C is the host's to handle: it asks the agent to stop
 * and waits), keeps everything in one private directory, and would be told to stop if the host died (PR_SET_PDEATHSIG).
 * Its messages about itself go to a file there, shown only when something went wrong.
 */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/infinihost/commands.h"
#include "tools/infinihost/summary.h"
#include "tools/show/show.h"

#define DIR_SIZE	64 /* leaves room for a file's name within the 108 bytes of a socket's path */
#define PATH_SIZE	108
#define START_TIMEOUT_S 10.0
#define STOP_TIMEOUT_S	15.0
#define SETTINGS	6
#define ARGUMENTS_MAX	64

struct demo {
	char dir[DIR_SIZE];
	char socket[PATH_SIZE], config[PATH_SIZE], stderr_path[PATH_SIZE];
	char settings[SETTINGS][PATH_SIZE];
	bool started;
	pid_t agent; /* 0 once it has ended, with this status */
	int status;
	unsigned long messages;
};

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
	(void)info, (void)kind, (void)where;
	remove(path);
	return 0;
}

static void demo_remove(struct demo *demo)
{
	if (demo->dir[0])
		nftw(demo->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/*
 * The directory, an empty config file (so that the machine's own is left aside) and the settings that keep all inside.
 */
static int demo_prepare(struct demo *demo, struct err *e)
{
	static const char *const formats[SETTINGS] = { "agent.state_dir=%s/state", "agent.runtime_dir=%s/run",
						       "log.dir=%s/log",	   "socket.path=%s/agent.sock",
						       "agent.vm_id=demo",	   "timers.metrics_interval_ms=2000" };
	static const char *const dirs[] = { "state", "run", "log" };
	_cleanup_(closep) int config = -1;
	char path[PATH_SIZE];

	if (!mkdtemp(strcpy(demo->dir, "/tmp/infiniservice-XXXXXX"))) {
		demo->dir[0] = '\0';
		return err_set(e, -errno, "/tmp: %s", strerror(errno));
	}
	snprintf(demo->socket, PATH_SIZE, "%s/port.sock", demo->dir);
	snprintf(demo->config, PATH_SIZE, "%s/agent.conf", demo->dir);
	snprintf(demo->stderr_path, PATH_SIZE, "%s/agent.err", demo->dir);
	config = open(demo->config, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (config < 0)
		return err_set(e, -errno, "%s: %s", demo->config, strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, PATH_SIZE, "%s/%s", demo->dir, dirs[i]);
		if (mkdir(path, 0750) < 0)
			return err_set(e, -errno, "%s: %s", path, strerror(errno));
	}
	for (size_t i = 0; i < SETTINGS; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the formats are the table above */
		snprintf(demo->settings[i], PATH_SIZE, formats[i], demo->dir);
#pragma GCC diagnostic pop
	}
	return 0;
}

/* The agent's argv: where its port is, its settings, then what the caller gave (which therefore wins). */
static int agent_arguments(struct demo *demo, const char *port, int argc, char **argv, const char **out)
{
	int n = 0;

	if (argc + 2 * SETTINGS + 6 > ARGUMENTS_MAX)
		return -E2BIG;
	out[n++] = argv[0];
	out[n++] = "--config";
	out[n++] = demo->config;
	out[n++] = "--port";
	out[n++] = port;
	for (int i = 0; i < SETTINGS; i++) {
		out[n++] = "--set";
		out[n++] = demo->settings[i];
	}
	for (int i = 1; i < argc; i++)
		out[n++] = argv[i];
	out[n] = NULL;
	return 0;
}

_Noreturn static void become_agent(const struct demo *demo, const char *const *arguments, pid_t host)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int messages = open(demo->stderr_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != host) /* the host died before the line above */
		_exit(127);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(messages, STDERR_FILENO);
	link_restore_signals();
	execvp(arguments[0], (char *const *)(uintptr_t)arguments);
	show(stderr, "%s: %s\n", arguments[0], strerror(errno));
	_exit(127);
}

static int demo_start(struct demo *demo, int argc, char **argv, struct err *e)
{
	const char *arguments[ARGUMENTS_MAX];
	char port[PATH_SIZE + 8];
	pid_t host = getpid();

	snprintf(port, sizeof(port), "unix:%s", demo->socket);
	if (agent_arguments(demo, port, argc, argv, arguments) < 0)
		return err_set(e, -E2BIG, "too many arguments for the agent");
	demo->agent = fork();
	if (demo->agent < 0)
		return err_set(e, -errno, "fork: %s", strerror(errno));
	if (demo->agent == 0)
		become_agent(demo, arguments, host);
	demo->started = true;
	return 0;
}

/* True once the agent has ended by itself, waiting for that until `deadline_ns`. */
static bool agent_ended(struct demo *demo, uint64_t deadline_ns)
{
	const struct timespec pause = { .tv_nsec = 10 * NS_PER_MS };

	while (demo->agent > 0 && waitpid(demo->agent, &demo->status, WNOHANG) != demo->agent) {
		if (clock_ns(CLOCK_MONOTONIC) >= deadline_ns)
			return false;
		nanosleep(&pause, NULL);
	}
	demo->agent = 0;
	return true;
}

/* Asks the agent to stop, kills it if it does not. 0 when it ended by itself with exit code 0. */
static int demo_stop(struct demo *demo)
{
	if (demo->agent > 0)
		kill(demo->agent, SIGTERM);
	if (!agent_ended(demo, command_deadline(STOP_TIMEOUT_S))) {
		show(stderr, "infinihost: the agent did not stop within %.0f s and was killed\n", STOP_TIMEOUT_S);
		kill(-demo->agent, SIGKILL);
		waitpid(demo->agent, &demo->status, 0);
	} else if (WIFSIGNALED(demo->status)) {
		show(stderr, "infinihost: the agent was ended by signal %d\n", WTERMSIG(demo->status));
	} else if (WEXITSTATUS(demo->status) != 0) {
		show(stderr, "infinihost: the agent exited with %d\n", WEXITSTATUS(demo->status));
	} else {
		return 0;
	}
	return -ECHILD;
}

/* Shows the agent's messages about itself. */
static void show_agent_messages(const struct demo *demo)
{
	_cleanup_(fclosep) FILE *file = fopen(demo->stderr_path, "re");
	char line[1024];

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		show(stderr, "agent: ");
		show_cut(stderr, line, sizeof(line));
		show(stderr, "\n");
	}
}

static int ask_for_system(struct talk *talk)
{
	return talk_send_text(
		talk,
		"{\"type\":\"SafeCommand\",\"id\":\"demo-1\",\"command_type\":{\"action\":\"SystemInfo\"},"
		"\"params\":null,\"timeout\":30}",
		command_deadline(START_TIMEOUT_S));
}

/* Waits for the agent to connect, as long as it lives. */
static int await_agent(struct demo *demo, struct talk *talk)
{
	uint64_t deadline_ns = command_deadline(START_TIMEOUT_S);
	int r;

	do {
		r = link_accept(&talk->link, command_deadline(0.1));
		if (r == -ETIMEDOUT && agent_ended(demo, 0))
			return -ECHILD;
	} while (r == -ETIMEDOUT && clock_ns(CLOCK_MONOTONIC) < deadline_ns);
	return r < 0 ? r : talk_greet(talk, deadline_ns);
}

/* Shows messages until the time is over or a signal comes: then 0, else -errno. */
static int converse(struct demo *demo, struct talk *talk, const struct host_options *options, uint64_t deadline_ns)
{
	bool asked = false;
	int r = await_agent(demo, talk);

	while (r >= 0) {
		struct talk_message message;

		r = talk_next(talk, -1, deadline_ns, &message);
		if (r != LINK_LINE)
			break;
		demo->messages++;
		if (options->json)
			show_json_line(stdout, message.text, message.len);
		else
			summary_print(stdout, message.json);
		fflush(stdout);
		if (!asked && !strcmp(summary_find_text(message.json, "type"), "metrics")) {
			asked = true;
			r = ask_for_system(talk);
		}
		talk_message_done(&message);
	}
	return r == -EINTR || (r == -ETIMEDOUT && demo->messages > 0) ? 0 : r;
}

static int demo_run(struct demo *demo, const struct host_options *options, uint64_t duration_end_ns, int argc,
		    char **argv)
{
	struct host_options here = *options;
	struct talk talk;
	struct err e = { 0 };
	int r = demo_prepare(demo, &e), unused;

	here.path = demo->socket;
	here.listening = true;
	here.secret_file = NULL;
	if (r >= 0)
		r = talk_open(&talk, &here, &unused, &e);
	if (r < 0) {
		show(stderr, "infinihost: %s\n", e.text);
		return HOST_FAILED;
	}
	r = demo_start(demo, argc, argv, &e);
	if (r < 0)
		show(stderr, "infinihost: %s\n", e.text);
	else if ((r = converse(demo, &talk, options, duration_end_ns)) < 0 && r != -ECHILD)
		talk_explain(&here, r, "agent's messages");
	if (demo->started && demo_stop(demo) < 0)
		r = -ECHILD;
	talk_close(&talk);
	return r < 0 ? HOST_FAILED : HOST_OK;
}

static int demo_options(int argc, char **argv, double *ret_duration_s)
{
	static const struct option longs[] = { { "duration", required_argument, NULL, 'd' }, { 0 } };
	const char *from_environment = getenv("DURATION");
	int option;

	if (from_environment && *from_environment && command_seconds(from_environment, ret_duration_s) < 0)
		return -EINVAL;
	while ((option = getopt_long(argc, argv, "+:d:", longs, NULL)) != -1)
		if (option != 'd' || command_seconds(optarg, ret_duration_s) < 0)
			return -EINVAL;
	return optind < argc ? 0 : -EINVAL;
}

int demo_main(const struct host_options *options, int argc, char **argv)
{
	struct demo demo = { 0 };
	double duration_s = -1; /* until Ctrl-C */
	int status;

	if (demo_options(argc, argv, &duration_s) < 0)
		return command_usage("usage: demo [--duration S] -- AGENT [ARGUMENT...]; DURATION in the environment "
				     "is seconds too");
	if (!options->json)
		show(stderr,
		     duration_s < 0 ? "An agent and its host on this machine; Ctrl-C ends it.\n"
				    : "An agent and its host on this machine, for %g s.\n",
		     duration_s);
	status = demo_run(&demo, options, command_deadline(duration_s), argc - optind, argv + optind);
	if (status != HOST_OK)
		show_agent_messages(&demo);
	else if (!options->json)
		show(stderr, "%lu messages; the agent stopped cleanly.\n", demo.messages);
	demo_remove(&demo);
	return status;
}
