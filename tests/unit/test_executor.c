/* SPDX-License-Identifier: MIT */
/* The privileged executor between an agent, who is the test, and a service manager that is played by a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/child_end.h>
#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/executor/executor.h"
#include "agent/executor/freeze.h"
#include "agent/executor/launch.h"
#include "agent/packages/package.h"
#include "agent/rules/freeze_rules.h"
#include "agent/rules/policy.h"
#include "agent/runner/protocol.h"
#include "tests/room.h"

const bool test_can_destroy = true;

#define WAIT_MS 5000

static char dir[] = "/tmp/test_executor.XXXXXX";
static char manager_path[64], executor_path[64], config_path[64], output_path[64], log_path[64], limit_path[64],
	run_path[64], end_path[64];
static pid_t manager_pid, executor_pid;
static int stops[2]; /* the manager writes a byte at each StopUnit */

/* ----------------------------------------------------------------------- a service manager of three kinds of units */

/* Detached runs: their launchers, with the descriptors that came in the packet. */
static struct launcher {
	char name[64];
	int fds[PACKET_FDS];
} launchers[4];

static struct launcher *launcher_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(launchers); i++)
		if (strcmp(launchers[i].name, name) == 0)
			return &launchers[i];
	return NULL;
}

static void launcher_end(struct launcher *launcher)
{
	packet_close(launcher->fds);
	*launcher->name = '\0';
}

static void properties(sd_bus *bus, const char *name, const char *interface, const char *state, int code, int status,
		       const char *result)
{
	sd_bus_message *signal = NULL;
	char *path = NULL;

	sd_bus_path_encode("/org/freedesktop/systemd1/unit", name, &path);
	sd_bus_message_new_signal(bus, &signal, path, "org.freedesktop.DBus.Properties", "PropertiesChanged");
	if (state)
		sd_bus_message_append(signal, "sa{sv}as", interface, 1, "ActiveState", "s", state, 0);
	else
		sd_bus_message_append(signal, "sa{sv}as", interface, 4, "ExecMainPID", "u", 4711, "ExecMainCode", "i",
				      code, "ExecMainStatus", "i", status, "Result", "s", result, 0);
	sd_bus_send(bus, signal, NULL);
	sd_bus_message_unref(signal);
	free(path);
}

static void unit_is(sd_bus *bus, const char *name, const char *state, int code, int status, const char *result)
{
	properties(bus, name, "org.freedesktop.systemd1.Service", NULL, code, status, result);
	properties(bus, name, "org.freedesktop.systemd1.Unit", state, 0, 0, NULL);
}

/* For the test to read: what the launcher of the last unit is told to become. */
static void note_run(const char *message, ssize_t len)
{
	FILE *out = fopen(run_path, "we");

	if (len < 0 || !out || fwrite(message, 1, (size_t)len, out) != (size_t)len || fclose(out) != 0)
		_exit(1);
}

/* "PackageInstall" says something and is over at once, any other goes on for ever. */
static int launcher_start(sd_bus_message *m, const char *name, const char *action, const int stdio[2])
{
	static char message[RUNNER_MESSAGE_MAX];
	struct launcher *launcher = launcher_find("");

	if (launcher_find(name) || !launcher)
		return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.UnitExists", "it is there");
	snprintf(launcher->name, sizeof(launcher->name), "%s", name);
	note_run(message, packet_receive(stdio[0], message, sizeof(message), 0, launcher->fds));
	sd_bus_reply_method_return(m, "o", "/org/freedesktop/systemd1/job/1");
	unit_is(sd_bus_message_get_bus(m), name, "active", 0, 0, "success");
	if (strcmp(action, "PackageInstall") != 0)
		return 1;
	if (write(stdio[1], "hello", 5) != 5 || write(launcher->fds[LAUNCH_FD_RESULT], "end", 3) != 3)
		_exit(1);
	launcher_end(launcher);
	return 1;
}

static char last_unit[64]; /* that was started; of commands the manager knows no other */

static const char *state_of(const char *name)
{
	return strncmp(name, "infiniservice-", 14) == 0 && strcmp(name, last_unit) != 0 ? "inactive" : "active";
}

/*
 * Of the Unit interface; "alias.service" is another name of a shell, "trigger.timer" starts one, "absent.service" is
 * not there and "broken.service" cannot be read.
 */
static void facts_append(sd_bus_message *m, const char *name)
{
	const char *id = strcmp(name, "alias.service") == 0 ? "debug-shell.service" : name;
	const char *load = strcmp(name, "absent.service") == 0	 ? "not-found"
			   : strcmp(name, "broken.service") == 0 ? "bad-setting"
								 : "loaded";

	sd_bus_message_append(m, "a{sv}", 6, "ActiveState", "s", state_of(name), "Id", "s", id, "Names", "as", 2, id,
			      name, "Triggers", "as", 1,
			      strcmp(name, "trigger.timer") == 0 ? "debug-shell.service" : "other.service", "LoadState",
			      "s", load, "LoadError", "(ss)", "", "there is a word wrong");
}

static int load_unit(sd_bus_message *m)
{
	const char *name = "";
	char *path = NULL;
	int r;

	sd_bus_message_read(m, "s", &name);
	sd_bus_path_encode("/org/freedesktop/systemd1/unit", name, &path);
	r = sd_bus_reply_method_return(m, "o", path);
	free(path);
	return r;
}

static int get_all(sd_bus_message *m)
{
	sd_bus_message *reply = NULL;
	char *name = NULL;

	sd_bus_path_decode(sd_bus_message_get_path(m), "/org/freedesktop/systemd1/unit", &name);
	sd_bus_message_new_method_return(m, &reply);
	facts_append(reply, name ? name : "?");
	sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	free(name);
	return 1;
}

static bool something_is_left; /* by an executor before this one */

static int list_units(sd_bus_message *m)
{
	sd_bus_message *reply = NULL;
	const char *pattern = "", *name = "infiniservice-cmd-0-0.service";

	sd_bus_message_read(m, "asas", 0, 1, &pattern);
	sd_bus_message_new_method_return(m, &reply);
	sd_bus_message_open_container(reply, 'a', "(ssssssouso)");
	if (something_is_left && fnmatch(pattern, name, 0) == 0)
		sd_bus_message_append(reply, "(ssssssouso)", name, "", "loaded", "active", "running", "", "/", 0, "",
				      "/");
	sd_bus_message_close_container(reply);
	sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return 1;
}

/* Only the launcher of a detached run is sent a signal alone. */
static int kill_unit(sd_bus_message *m)
{
	const char *name = "", *who = "";
	struct launcher *launcher;
	int32_t sig = 0;

	sd_bus_message_read(m, "ssi", &name, &who, &sig);
	launcher = launcher_find(name);
	if (launcher && strcmp(who, "main") == 0 && sig == LAUNCH_CANCEL_SIGNAL) {
		launcher_end(launcher);
		if (write(stops[1], "C", 1) != 1)
			_exit(1);
	}
	return sd_bus_reply_method_return(m, NULL);
}

/* For the test to read: how long the last unit may run. */
static void note_limit(uint64_t limit_us)
{
	FILE *out = fopen(limit_path, "we");

	if (!out || fprintf(out, "%llu", (unsigned long long)limit_us) < 0 || fclose(out) != 0)
		_exit(1);
}

/* Of the properties only these matter here: what it is told to run, where it writes, and which action it is for. */
static int take_properties(sd_bus_message *m, int stdio[2], char action[32])
{
	const char *name, *word;
	int r = sd_bus_message_enter_container(m, 'a', "(sv)");

	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'r', "sv")) > 0) {
		r = sd_bus_message_read(m, "s", &name);
		if (r >= 0 && strcmp(name, "StandardOutputFileDescriptor") == 0) {
			r = sd_bus_message_read(m, "v", "h", &stdio[1]);
		} else if (r >= 0 && strcmp(name, "StandardInputFileDescriptor") == 0) {
			r = sd_bus_message_read(m, "v", "h", &stdio[0]);
		} else if (r >= 0 && strcmp(name, "Description") == 0) {
			r = sd_bus_message_read(m, "v", "s", &word);
			snprintf(action, 32, "%s", r < 0 ? "" : strrchr(word, ' ') + 1);
		} else if (r >= 0 && strcmp(name, "RuntimeMaxUSec") == 0) {
			uint64_t limit = 0;

			r = sd_bus_message_read(m, "v", "t", &limit);
			note_limit(limit);
		} else if (r >= 0) {
			r = sd_bus_message_skip(m, "v");
		}
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r;
}

/* The end of the executor shows in the helper's socket, and is told to the agent by its own. */
static int on_executor_gone(sd_event_source *source, int fd, uint32_t events, void *data)
{
	const int *agent = data;

	(void)events;
	(void)fd;
	send(*agent, "gone", 4, 0);
	close(*agent);
	sd_event_source_unref(source);
	return 0;
}

/* The agent's word: it has thawed, and its unit ends. */
static int on_agent_word(sd_event_source *source, int fd, uint32_t events, void *data)
{
	const int *life = data;
	char word;

	(void)events;
	if (recv(fd, &word, sizeof(word), MSG_DONTWAIT) == 1 && send(*life, "E", 1, MSG_NOSIGNAL) != 1)
		_exit(1);
	shutdown(*life, SHUT_RDWR);
	sd_event_source_unref(source);
	return 0;
}

/*
 * The freeze helper and, as an auxiliary unit, its hooks. It tells the agent of its order, and says whether the hooks'
 * unit was there. At "/hook-fails" the job of the helper ends as one whose dependency failed; "/busy" is there twice
 * before it is gone.
 */
static int start_freeze(sd_bus_message *m, const char *unit, const int stdio[2])
{
	static struct freeze_order order;
	static int agent, life, busy = 2;
	sd_bus *bus = sd_bus_message_get_bus(m);
	const char *hooks = "";
	char line[256];
	int len;

	if (sd_bus_message_exit_container(m) < 0 || sd_bus_message_enter_container(m, 'a', "(sa(sv))") < 0 ||
	    sd_bus_message_enter_container(m, 'r', "sa(sv)") < 0 || sd_bus_message_read(m, "s", &hooks) < 0)
		return sd_bus_reply_method_errnof(m, EINVAL, "not understood");
	if (recv(stdio[1], &order, sizeof(order), MSG_PEEK | MSG_DONTWAIT) != sizeof(order))
		_exit(1);
	if (strcmp(order.text, "/busy") == 0 && busy-- > 0)
		return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.UnitExists", "it is there");
	sd_bus_reply_method_return(m, "o", "/org/freedesktop/systemd1/job/3");
	len = snprintf(line, sizeof(line), "%s %s %u %s", unit, hooks, order.limit_s, order.text);
	if (send(stdio[0], line, (size_t)len, 0) != len)
		_exit(1);
	if (strcmp(order.text, "/hook-fails") != 0) {
		agent = fcntl(stdio[0], F_DUPFD_CLOEXEC, 3);
		life = fcntl(stdio[1], F_DUPFD_CLOEXEC, 3);
		sd_event_add_io(sd_bus_get_event(bus), NULL, life, EPOLLHUP, on_executor_gone, &agent);
		sd_event_add_io(sd_bus_get_event(bus), NULL, agent, EPOLLIN, on_agent_word, &life);
	}
	return sd_bus_emit_signal(bus, MANAGER_PATH, MANAGER_INTERFACE, "JobRemoved", "uoss", 3,
				  "/org/freedesktop/systemd1/job/3", unit,
				  strcmp(order.text, "/hook-fails") == 0 ? "dependency" : "done");
}

/* A unit of "unsafe" says something and exits with 7; any other goes on until it is stopped. */
static int start_unit(sd_bus_message *m)
{
	sd_bus *bus = sd_bus_message_get_bus(m);
	const char *name, *mode;
	static char message[RUNNER_MESSAGE_MAX];
	char action[32] = "";
	int stdio[2] = { -1, -1 };

	if (sd_bus_message_read(m, "ss", &name, &mode) < 0 || take_properties(m, stdio, action) < 0)
		return sd_bus_reply_method_errnof(m, EINVAL, "not understood");
	if (strcmp(name, FREEZE_UNIT) == 0)
		return start_freeze(m, name, stdio);
	snprintf(last_unit, sizeof(last_unit), "%s", name);
	if (strstr(name, "-detached-"))
		return launcher_start(m, name, action, stdio);
	note_run(message, pread(stdio[0], message, sizeof(message), 0));
	sd_bus_reply_method_return(m, "o", "/org/freedesktop/systemd1/job/1");
	unit_is(bus, name, "active", 0, 0, "success");
	if (strcmp(action, "unsafe") == 0) {
		if (write(stdio[1], "hello", 5) != 5)
			_exit(1);
		unit_is(bus, name, "failed", CLD_EXITED, 7, "exit-code");
	}
	return 1;
}

/* Whether the unit has install info: "static.service" has none. */
static int enable_name(sd_bus_message *m)
{
	const char *name = "";

	if (sd_bus_message_enter_container(m, 'a', "s") >= 0)
		sd_bus_message_read(m, "s", &name);
	return strcmp(name, "static.service") != 0;
}

static int on_call(sd_bus_message *m, void *data, sd_bus_error *error)
{
	sd_bus *bus = sd_bus_message_get_bus(m);
	const char *name = "", *member = sd_bus_message_get_member(m);

	(void)data;
	(void)error;
	if (!member || !sd_bus_message_is_method_call(m, NULL, NULL))
		return 0;
	if (strcmp(member, "StartTransientUnit") == 0)
		return start_unit(m);
	if (strcmp(member, "StopUnit") == 0 && sd_bus_message_read(m, "s", &name) >= 0) {
		/* Nobody waits for what 0.1.0 may have left. */
		if (strstr(name, "-keep-"))
			return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.NoSuchUnit", "not here");
		unit_is(bus, name, "failed", CLD_KILLED, SIGKILL, "oom-kill");
		return write(stops[1], "S", 1) == 1;
	}
	if (strcmp(member, "StartUnit") == 0 && sd_bus_message_read(m, "s", &name) >= 0) {
		if (strcmp(name, "absent.service") == 0)
			return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.NoSuchUnit",
							  "Unit %s not found.", name);
		sd_bus_reply_method_return(m, "o", "/org/freedesktop/systemd1/job/2");
		if (write(stops[1], "J", 1) != 1)
			_exit(1);
		if (strcmp(name, "slow.service") == 0)
			return 1;
		/* A job of somebody else ends first. */
		sd_bus_emit_signal(bus, MANAGER_PATH, MANAGER_INTERFACE, "JobRemoved", "uoss", 1,
				   "/org/freedesktop/systemd1/job/1", name, "timeout");
		return sd_bus_emit_signal(bus, MANAGER_PATH, MANAGER_INTERFACE, "JobRemoved", "uoss", 2,
					  "/org/freedesktop/systemd1/job/2", name,
					  strcmp(name, "bad.service") == 0 ? "failed" : "done");
	}
	if (strcmp(member, "EnableUnitFiles") == 0)
		return sd_bus_reply_method_return(m, "ba(sss)", enable_name(m), 0);
	if (strcmp(member, "Reload") == 0)
		return sd_bus_reply_method_return(m, NULL);
	if (strcmp(member, "LoadUnit") == 0)
		return load_unit(m);
	if (strcmp(member, "KillUnit") == 0)
		return kill_unit(m);
	if (strcmp(member, "ListUnitsByPatterns") == 0)
		return list_units(m);
	if (strcmp(member, "GetAll") == 0)
		return get_all(m);
	return 1;
}

static int on_manager_connection(sd_event_source *source, int fd, uint32_t events, void *data)
{
	sd_event *event = sd_event_source_get_event(source);
	sd_id128_t id = { .bytes = { 1 } };
	sd_bus *bus = NULL;

	(void)events;
	(void)data;
	sd_bus_new(&bus);
	fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	sd_bus_set_fd(bus, fd, fd);
	sd_bus_set_server(bus, true, id);
	sd_bus_negotiate_fds(bus, true);
	sd_bus_add_filter(bus, NULL, on_call, NULL);
	if (sd_bus_start(bus) < 0 || sd_bus_attach_event(bus, event, 0) < 0)
		_exit(1);
	return 0;
}

static void manager_main(int fd)
{
	sd_event *event = NULL;

	sd_event_new(&event);
	sd_event_add_io(event, NULL, fd, POLLIN, on_manager_connection, NULL);
	_exit(sd_event_loop(event) < 0);
}

/* ---------------------------------------------------------------------------------------------------- the cast */

static int listen_at(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static void policy_put(const char *text)
{
	FILE *out = fopen(config_path, "w");

	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

static pid_t play(void (*role)(int fd), int fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		role(fd);
	}
	close(fd);
	return pid;
}

static char user_name[64];
static const char *executor_library; /* NULL: the one there is */

/* What ran until then counts in `make coverage`. */
static void on_term(int sig)
{
	(void)sig;
	child_end(EXIT_SUCCESS);
}

static void executor_main(int fd)
{
	/* No login manager: power is asked of the manager that is played here, never of this machine's. */
	static char address[96], program[] = "/nowhere/infiniservice-exec", system[] = "unix:path=/nonexistent/bus";
	struct executor_options options = { .listen_fd = fd,
					    .config_dir = dir,
					    .manager_address = address,
					    .user = user_name,
					    .program = program,
					    .system_address = system,
					    .library = executor_library,
					    .unable_ms = 1500 };

	snprintf(address, sizeof(address), "unix:path=%s", manager_path);
	if (!freopen(log_path, "a", stderr))
		_exit(1);
	setlinebuf(stderr);
	signal(SIGTERM, on_term);
	child_end(executor_serve(&options));
}

static int begin(void **state)
{
	const struct passwd *user = getpwuid(geteuid());

	(void)state;
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	if (!mkdtemp(dir) || pipe(stops) < 0)
		return -1;
	snprintf(user_name, sizeof(user_name), "%s", user ? user->pw_name : "root");
	snprintf(manager_path, sizeof(manager_path), "%s/private", dir);
	snprintf(executor_path, sizeof(executor_path), "%s/exec.sock", dir);
	snprintf(config_path, sizeof(config_path), "%s/infiniservice.conf", dir);
	snprintf(output_path, sizeof(output_path), "%s/output", dir);
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	snprintf(limit_path, sizeof(limit_path), "%s/limit", dir);
	snprintf(run_path, sizeof(run_path), "%s/run", dir);
	snprintf(end_path, sizeof(end_path), "%s/end", dir);
	policy_put("[commands]\nallow = control\nallow_unsafe = yes\n");
	manager_pid = play(manager_main, listen_at(manager_path, SOCK_STREAM));
	executor_pid = play(executor_main, listen_at(executor_path, SOCK_SEQPACKET));
	return 0;
}

static int begin_without_library(void **state)
{
	int r;

	executor_library = "libnothing.so.0";
	r = begin(state);
	executor_library = NULL;
	return r;
}

static int end(void **state)
{
	(void)state;
	kill(executor_pid, SIGTERM);
	kill(manager_pid, SIGKILL);
	waitpid(executor_pid, NULL, 0);
	waitpid(manager_pid, NULL, 0);
	close(stops[0]);
	close(stops[1]);
	unlink(manager_path);
	unlink(executor_path);
	unlink(config_path);
	unlink(output_path);
	unlink(log_path);
	unlink(limit_path);
	unlink(run_path);
	unlink(end_path);
	return rmdir(dir);
}

/* ---------------------------------------------------------------------------------------------------- the agent */

static int agent_connect(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", executor_path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void ask_run(int fd, uint64_t id, const char *action, enum policy_group group)
{
	static char message[RUNNER_MESSAGE_MAX];
	const char *const argv[] = { "/bin/sh", "-c", "whatever", NULL };
	struct runner_run run = { .head = { .id = id, .term_ns = TIME_NEVER, .kill_ns = TIME_NEVER }, .group = group };
	int64_t len = runner_run_build(run, argv, NULL, NULL, NULL, action, NULL, message, sizeof(message));

	assert_true(len > 0);
	assert_int_equal(send(fd, message, (size_t)len, 0), len);
}

/* A detached run, with the descriptors of its files. */
static void ask_detached(int fd, uint64_t id, const char *action, const char *unit, const int *files)
{
	static char message[RUNNER_MESSAGE_MAX];
	union {
		char bytes[CMSG_SPACE(PACKET_FDS * sizeof(int))];
		struct cmsghdr head;
	} control = { .bytes = "" };
	const struct package_manager *apt = package_manager_at(0);
	bool remove = strcmp(action, "PackageRemove") == 0;
	const char *argv[PACKAGE_ARGS_MAX], *name = "thing";
	struct runner_run run = { .head = { .id = id, .term_ns = TIME_NEVER, .kill_ns = TIME_NEVER },
				  .group = GROUP_PACKAGES,
				  .flags = RUNNER_RUN_DETACHED };
	struct iovec iov = { .iov_base = message };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	assert_int_equal(package_argv(&apt->steps[remove ? PACKAGE_REMOVE : PACKAGE_INSTALL], "/usr/bin/apt-get", &name,
				      1, argv),
			 0);
	iov.iov_len = (size_t)runner_run_build(run, argv, NULL, NULL, NULL, action, unit, message, sizeof(message));
	if (files) {
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS,
						 .cmsg_len = CMSG_LEN(PACKET_FDS * sizeof(int)) };
		memcpy(CMSG_DATA(&control.head), files, PACKET_FDS * sizeof(int));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	assert_int_equal(sendmsg(fd, &msg, 0), iov.iov_len);
}

static void ask_cancel(int fd, const char *unit)
{
	struct runner_detached_cancel cancel = runner_detached_cancel_make(1, unit);

	assert_int_equal(send(fd, &cancel, sizeof(cancel), 0), sizeof(cancel));
}

/* Of one kind, but that number `odd` is of another. */
static void files_open(int files[PACKET_FDS], int odd, int flags)
{
	const char *const paths[PACKET_FDS] = { output_path, output_path, end_path };

	for (int i = 0; i < PACKET_FDS; i++) {
		files[i] = open(paths[i], (i == odd ? flags : O_WRONLY | O_APPEND) | O_CREAT | O_CLOEXEC, 0600);
		assert_true(files[i] >= 0);
	}
}

/* The manager says that a unit is active before the unit writes. */
static void is_in(const char *path, const char *text)
{
	char got[16] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	for (int ms = 0; ms < WAIT_MS && pread(fd, got, sizeof(got) - 1, 0) <= 0; ms += 5)
		usleep(5 * 1000);
	assert_string_equal(got, text);
	close(fd);
}

static void executor_is_replaced(void)
{
	kill(executor_pid, SIGTERM);
	waitpid(executor_pid, NULL, 0);
	unlink(executor_path);
	executor_pid = play(executor_main, listen_at(executor_path, SOCK_SEQPACKET));
}

static void let_packages(void)
{
	policy_put("[commands]\nallow = control packages\n");
}

static void ask_operation(int fd, uint64_t id, const char *unit)
{
	char message[512];
	struct runner_operation_request operation = {
		.head = { .id = id, .term_ns = TIME_NEVER, .kill_ns = TIME_NEVER },
		.operation = RUNNER_OPERATION_START,
		.group = GROUP_CONTROL
	};
	int64_t len = runner_operation_build(operation, "ServiceControl", unit, message, sizeof(message));

	assert_int_equal(send(fd, message, (size_t)len, 0), len);
}

/* The next reply, its descriptors in fds if there are any. False at the end of the connection. */
static bool hear(int fd, struct runner_answer *answer, int fds[2])
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr head;
	} control;
	struct runner_answer bytes;
	struct iovec iov = { .iov_base = &bytes, .iov_len = sizeof(bytes) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	ssize_t len;

	assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
	len = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	if (len <= 0)
		return false;
	assert_int_equal(runner_reply_parse(&bytes, (size_t)len, answer), 0);
	if (msg.msg_controllen >= CMSG_LEN(2 * sizeof(int)))
		memcpy(fds, CMSG_DATA(&control.head), 2 * sizeof(int));
	return true;
}

static struct runner_answer expect(int fd, unsigned op)
{
	struct runner_answer answer;
	int fds[2] = { -1, -1 };

	assert_true(hear(fd, &answer, fds));
	close_fd(&fds[0]);
	close_fd(&fds[1]);
	assert_int_equal(answer.reply.op, op);
	return answer;
}

static bool ended(int fd)
{
	struct runner_answer answer;
	int fds[2];

	return !hear(fd, &answer, fds);
}

static void runs_a_command_as_a_unit_and_hands_its_pipes_over(void **state)
{
	struct runner_answer answer;
	char text[8] = "";
	int fd = agent_connect(), fds[2] = { -1, -1 };

	(void)state;
	ask_run(fd, 5, "unsafe", GROUP_EXEC);
	assert_true(hear(fd, &answer, fds));
	assert_int_equal(answer.reply.op, RUNNER_STARTED);
	assert_int_equal(answer.reply.pid, 4711);
	assert_int_equal(read(fds[0], text, sizeof(text)), 5);
	assert_string_equal(text, "hello");
	answer = expect(fd, RUNNER_EXITED);
	assert_int_equal(answer.reply.id, 5);
	assert_int_equal(WEXITSTATUS(answer.reply.status), 7);
	assert_int_equal(answer.reply.flags, 0);
	close(fds[0]);
	close(fds[1]);
	close(fd);
}

static void refuses_what_the_policy_it_reads_forbids(void **state)
{
	struct runner_answer answer;
	int fd = agent_connect();

	(void)state;
	policy_put("[commands]\nallow = observe\nallow_unsafe = no\n");
	ask_run(fd, 6, "unsafe", GROUP_EXEC);
	answer = expect(fd, RUNNER_REFUSED);
	assert_int_equal(answer.reply.stage, RUNNER_STAGE_POLICY);
	assert_non_null(strstr(answer.text, "policy"));
	ask_operation(fd, 7, "cron.service");
	answer = expect(fd, RUNNER_REFUSED);
	assert_int_equal(answer.reply.id, 7);
	close(fd);
}

static void ask_power_off(int fd, uint64_t id, const char *action)
{
	char message[512];
	struct runner_operation_request operation = {
		.head = { .id = id, .term_ns = TIME_NEVER, .kill_ns = TIME_NEVER },
		.operation = RUNNER_OPERATION_POWER_OFF,
		.group = GROUP_POWER
	};
	int64_t len = runner_operation_build(operation, action, "", message, sizeof(message));

	assert_int_equal(send(fd, message, (size_t)len, 0), len);
}

static void ask_golden(int fd, uint64_t id)
{
	static char message[RUNNER_MESSAGE_MAX];
	const char *const argv[] = { "/x/infiniservice-exec", "golden", NULL };
	struct runner_run run = { .head = { .id = id, .term_ns = TIME_NEVER, .kill_ns = TIME_NEVER },
				  .group = GROUP_POWER };
	int64_t len =
		runner_run_build(run, argv, NULL, NULL, NULL, "PrepareGoldenImage", NULL, message, sizeof(message));

	assert_true(len > 0);
	assert_int_equal(send(fd, message, (size_t)len, 0), len);
}

/*
 * The image takes the right to switch it off out of the configuration, and is switched off all the same; but for that
 * nothing is left.
 */
static void a_guest_that_was_sealed_may_still_be_switched_off_and_nothing_else(void **state)
{
	int fd = agent_connect();

	(void)state;
	policy_put("[commands]\nallow = observe\n");
	ask_power_off(fd, 1, "ShutdownSystem");
	assert_int_equal(expect(fd, RUNNER_REFUSED).reply.stage, RUNNER_STAGE_POLICY);
	policy_put("[commands]\nallow = observe power\n");
	ask_golden(fd, 2);
	expect(fd, RUNNER_STARTED);
	policy_put("[commands]\nallow = observe\n# sealed\n");
	ask_golden(fd, 3);
	assert_int_equal(expect(fd, RUNNER_REFUSED).reply.id, 3);
	ask_power_off(fd, 4, "RebootSystem");
	assert_int_equal(expect(fd, RUNNER_REFUSED).reply.id, 4);
	ask_operation(fd, 5, "cron.service");
	assert_int_equal(expect(fd, RUNNER_REFUSED).reply.id, 5);
	ask_power_off(fd, 6, "ShutdownSystem");
	assert_int_equal(expect(fd, RUNNER_ANSWERED).reply.error, 0);
	close(fd);
}

/* What the executor has written to the journal so far. */
static const char *logged(void)
{
	static char text[65536];
	FILE *file = fopen(log_path, "r");
	size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[len] = '\0';
	return text;
}

static bool job_began(void)
{
	struct pollfd wait = { .fd = stops[0], .events = POLLIN };

	return poll(&wait, 1, 0) > 0;
}

static void a_unit_is_judged_by_what_pid_1_calls_it_and_triggers_at_the_moment_of_the_call(void **state)
{
	static const struct {
		const char *unit, *words;
	} cases[] = {
		{ "infiniservice-port@zz\\x3btouch.service", "InfiniService" },
		{ "debug-shell.service", "shell" },
		{ "alias.service", "debug-shell.service" },
		{ "trigger.timer", "it triggers debug-shell.service" },
		{ "mine.service", "deny_units" },
	};
	int fd = agent_connect();

	(void)state;
	policy_put("[commands]\nallow = control\ndeny_units = mine\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct runner_answer answer;

		ask_operation(fd, 100 + i, cases[i].unit);
		answer = expect(fd, RUNNER_REFUSED);
		assert_int_equal(answer.reply.id, 100 + i);
		assert_int_equal(answer.reply.stage, RUNNER_STAGE_UNIT);
		assert_int_equal(answer.reply.error, EACCES);
		if (!strstr(answer.text, cases[i].words))
			fail_msg("%s: %s", cases[i].unit, answer.text);
	}
	ask_operation(fd, 200, "broken.service");
	assert_non_null(strstr(expect(fd, RUNNER_ANSWERED).text, "there is a word wrong"));
	assert_false(job_began());
	/* The owner lets it go again; an ordinary one was never meant. */
	policy_put("[commands]\nallow = control\n");
	ask_operation(fd, 201, "mine.service");
	assert_string_equal(expect(fd, RUNNER_ANSWERED).text, "done");
	assert_true(job_began());
	close(fd);
}

static void ask_enable(int fd, uint64_t id, const char *unit)
{
	char message[512];
	struct runner_operation_request operation = {
		.head = { .id = id, .term_ns = TIME_NEVER, .kill_ns = TIME_NEVER },
		.operation = RUNNER_OPERATION_ENABLE,
		.group = GROUP_CONTROL
	};
	int64_t len = runner_operation_build(operation, "ServiceControl", unit, message, sizeof(message));

	assert_int_equal(send(fd, message, (size_t)len, 0), len);
}

static void ask_operation_for(int fd, uint64_t id, const char *action, const char *unit)
{
	char message[2048];
	struct runner_operation_request operation = {
		.head = { .id = id, .term_ns = TIME_NEVER, .kill_ns = TIME_NEVER },
		.operation = RUNNER_OPERATION_START,
		.group = GROUP_CONTROL
	};
	int64_t len = runner_operation_build(operation, action, unit, message, sizeof(message));

	assert_int_equal(send(fd, message, (size_t)len, 0), len);
}

static void to_enable_what_has_no_install_section_is_a_failure_with_words(void **state)
{
	int fd = agent_connect();

	(void)state;
	ask_enable(fd, 300, "static.service");
	assert_non_null(strstr(expect(fd, RUNNER_ANSWERED).text,
			       "org.infinibay.NoInstallSection The unit files have no installation config"));
	ask_enable(fd, 301, "cron.service");
	assert_string_equal(expect(fd, RUNNER_ANSWERED).text, "done");
	close(fd);
}

static void nothing_of_the_agent_makes_a_line_or_a_control_byte_in_the_journal(void **state)
{
	static const char forged[] = "x\n<0>kernel: all is well\r\033[2J\x9b"
				     "2J\xff";
	int fd = agent_connect();
	const char *text;
	size_t lines = 0;

	(void)state;
	ask_run(fd, 1, forged, GROUP_EXEC);
	expect(fd, RUNNER_REFUSED);
	ask_operation_for(fd, 2, forged, "cron.service");
	expect(fd, RUNNER_REFUSED);
	ask_operation_for(fd, 3, "ServiceControl", forged);
	expect(fd, RUNNER_REFUSED);
	text = logged();
	for (const char *line = text; *line; line = strchr(line, '\n') + 1, lines++)
		assert_non_null(strstr(line, "<4>refused to the agent: ") == line ? line : NULL);
	assert_int_equal(lines, 3);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		assert_true(*c == '\n' || (*c >= ' ' && *c < 0x7f));
	assert_non_null(strstr(text, "x\\x0a<0>kernel: all is well\\x0d\\x1b[2J\\x9b2J\\xff"));
	close(fd);
}

static void an_agent_cannot_claim_another_group(void **state)
{
	int fd = agent_connect();

	(void)state;
	ask_run(fd, 6, "unsafe", GROUP_OBSERVE);
	assert_int_equal(expect(fd, RUNNER_REFUSED).reply.stage, RUNNER_STAGE_POLICY);
	ask_run(fd, 7, "SystemInfo", GROUP_OBSERVE);
	assert_int_equal(expect(fd, RUNNER_REFUSED).reply.stage, RUNNER_STAGE_POLICY);
	close(fd);
}

static void cuts_off_who_does_not_keep_to_the_protocol_and_serves_the_next(void **state)
{
	static const char *const rubbish[] = { "", "GET / HTTP/1.1\r\n",
					       "\5\0\1\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	int fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rubbish); i++) {
		fd = agent_connect();
		assert_true(send(fd, rubbish[i], i == 2 ? 48 : strlen(rubbish[i]), 0) >= 0);
		if (i == 0)
			shutdown(fd, SHUT_WR);
		assert_true(ended(fd));
		close(fd);
	}
	fd = agent_connect();
	ask_run(fd, 8, "unsafe", GROUP_EXEC);
	expect(fd, RUNNER_STARTED);
	close(fd);
}

static void serves_the_user_it_is_for_and_root_alone(void **state)
{
	int fd;

	(void)state;
	if (geteuid() != 0)
		skip(); /* to be somebody else takes rights */
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(chmod(executor_path, 0666), 0);
	assert_int_equal(seteuid(65534), 0);
	fd = agent_connect();
	assert_int_equal(seteuid(0), 0);
	assert_true(ended(fd));
	close(fd);
}

static void cancels_by_its_unit_and_tells_of_memory(void **state)
{
	struct runner_request cancel = {
		.version = RUNNER_VERSION, .op = RUNNER_CANCEL, .size = sizeof(cancel), .id = 9
	};
	struct runner_answer answer;
	int fd = agent_connect();

	(void)state;
	ask_run(fd, 9, "script", GROUP_EXEC);
	expect(fd, RUNNER_STARTED);
	assert_int_equal(send(fd, &cancel, sizeof(cancel), 0), sizeof(cancel));
	answer = expect(fd, RUNNER_EXITED);
	assert_true(answer.reply.flags & RUNNER_CANCELLED);
	assert_true(answer.reply.flags & RUNNER_OOM);
	assert_int_equal(WTERMSIG(answer.reply.status), SIGKILL);
	close(fd);
}

static void stops_the_units_of_an_agent_that_is_gone(void **state)
{
	struct pollfd wait = { .fd = stops[0], .events = POLLIN };
	int fd = agent_connect();

	(void)state;
	ask_run(fd, 10, "script", GROUP_EXEC);
	expect(fd, RUNNER_STARTED);
	assert_int_equal(poll(&wait, 1, 0), 0);
	close(fd);
	assert_int_equal(poll(&wait, 1, 1000), 1);
}

static void answers_a_operation_when_its_job_has_ended(void **state)
{
	struct runner_answer answer;
	int fd = agent_connect();

	(void)state;
	ask_operation(fd, 11, "cron.service");
	answer = expect(fd, RUNNER_ANSWERED);
	assert_int_equal(answer.reply.error, 0);
	assert_string_equal(answer.text, "done");
	ask_operation(fd, 12, "absent.service");
	answer = expect(fd, RUNNER_ANSWERED);
	assert_int_equal(answer.reply.error, EREMOTEIO);
	assert_string_equal(answer.text, "org.freedesktop.systemd1.NoSuchUnit Unit absent.service not found.");
	close(fd);
}

/* Asks for a freeze; the agent's end of the socket that goes along. */
static int ask_freeze(int fd, uint64_t id, const char *mounts)
{
	char message[512];
	struct runner_operation_request operation = {
		.head = { .id = id, .term_ns = TIME_NEVER, .kill_ns = TIME_NEVER },
		.operation = RUNNER_OPERATION_FREEZE,
		.group = GROUP_CONTROL
	};
	int64_t len = runner_operation_build(operation, "guest-fsfreeze-freeze-list", mounts, message, sizeof(message));
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(packet_send(fd, message, (size_t)len, &pair[1], 1), len);
	close(pair[1]);
	return pair[0];
}

static void expect_text(int fd, const char *text)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	char line[256] = "";

	assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
	assert_true(recv(fd, line, sizeof(line) - 1, 0) >= 0);
	assert_string_equal(line, text);
}

static void a_freeze_is_a_unit_with_its_hooks_that_hears_of_the_executors_end(void **state)
{
	int fd = agent_connect(), helper, second;

	(void)state;
	policy_put("[qga]\nspec = unix:/nowhere\nfreeze_max_s = 77\n");
	helper = ask_freeze(fd, 11, "/srv\n/home");
	assert_string_equal(expect(fd, RUNNER_ANSWERED).text, "done");
	expect_text(helper, FREEZE_UNIT " " FREEZE_HOOKS_UNIT " 77 /srv");
	/* One at a time. */
	second = ask_freeze(fd, 12, "");
	assert_int_equal(expect(fd, RUNNER_REFUSED).reply.error, EBUSY);
	expect_text(second, "");
	close(second);
	/* When the helper has thawed a further one may begin, though its unit may not have ended yet. */
	assert_int_equal(send(helper, "T", 1, 0), 1);
	for (int i = 0; i < 100; i++) {
		struct runner_answer answer;
		int none[2];

		second = ask_freeze(fd, 13, "/third");
		assert_true(hear(fd, &answer, none));
		if (answer.reply.op == RUNNER_ANSWERED)
			break;
		close(second);
		usleep(10000);
	}
	expect_text(second, FREEZE_UNIT " " FREEZE_HOOKS_UNIT " 77 /third");
	/* The end of the agent is not the executor's to tell; its own is. */
	close(fd);
	kill(executor_pid, SIGKILL);
	expect_text(second, "gone");
	close(helper);
	close(second);
}

static void a_hook_that_fails_is_told_and_the_next_freeze_waits_for_units_that_end(void **state)
{
	int fd = agent_connect(), helper;

	(void)state;
	policy_put("[qga]\nspec = unix:/nowhere\n");
	helper = ask_freeze(fd, 11, "/hook-fails");
	assert_string_equal(expect(fd, RUNNER_ANSWERED).text, "dependency");
	close(helper);
	helper = ask_freeze(fd, 12, "/busy");
	assert_string_equal(expect(fd, RUNNER_ANSWERED).text, "done");
	expect_text(helper, FREEZE_UNIT " " FREEZE_HOOKS_UNIT " 600 /busy");
	close(helper);
	close(fd);
}

static void a_freeze_without_the_owners_leave_or_a_socket_is_refused(void **state)
{
	int fd = agent_connect(), helper = ask_freeze(fd, 11, "");

	(void)state;
	assert_int_equal(expect(fd, RUNNER_REFUSED).reply.stage, RUNNER_STAGE_POLICY); /* qga.spec is not set */
	close(helper);
	policy_put("[qga]\nspec = unix:/nowhere\ndeny = freeze\n");
	helper = ask_freeze(fd, 12, "");
	assert_int_equal(expect(fd, RUNNER_REFUSED).reply.stage, RUNNER_STAGE_POLICY);
	close(helper);
	policy_put("[qga]\nspec = unix:/nowhere\n");
	helper = ask_freeze(fd, 13, "relative");
	assert_true(ended(fd));
	close(helper);
	close(fd);
}

static void a_job_that_fails_is_told_from_one_that_is_refused(void **state)
{
	struct runner_answer answer;
	int fd = agent_connect();

	(void)state;
	ask_operation(fd, 13, "bad.service");
	answer = expect(fd, RUNNER_ANSWERED);
	assert_int_equal(answer.reply.error, 0);
	assert_string_equal(answer.text, "failed");
	close(fd);
}

static void operations_end_with_the_manager_when_that_goes_away(void **state)
{
	struct pollfd begun = { .fd = stops[0], .events = POLLIN };
	int fd = agent_connect();

	(void)state;
	ask_operation(fd, 14, "slow.service");
	assert_int_equal(poll(&begun, 1, WAIT_MS), 1);
	kill(manager_pid, SIGKILL);
	assert_int_equal(expect(fd, RUNNER_ANSWERED).reply.error, ENOTCONN);
	close(fd);
}

static void manager_goes_away(void)
{
	kill(manager_pid, SIGKILL);
	waitpid(manager_pid, NULL, 0);
	unlink(manager_path);
}

static void manager_is_back(void)
{
	unlink(manager_path);
	manager_pid = play(manager_main, listen_at(manager_path, SOCK_STREAM));
}

static void starts_once_and_exits(int fd, uint64_t id)
{
	struct runner_answer answer;
	int fds[2] = { -1, -1 };

	assert_true(hear(fd, &answer, fds));
	assert_int_equal(answer.reply.op, RUNNER_STARTED);
	assert_int_equal(answer.reply.id, id);
	answer = expect(fd, RUNNER_EXITED);
	assert_int_equal(answer.reply.id, id);
	assert_int_equal(answer.reply.flags, 0);
	assert_int_equal(WEXITSTATUS(answer.reply.status), 7);
	close_fd(&fds[0]);
	close_fd(&fds[1]);
}

static void a_command_that_comes_while_the_manager_cannot_be_reached_is_started_when_it_can(void **state)
{
	int fd = agent_connect();

	(void)state;
	manager_goes_away();
	ask_run(fd, 30, "unsafe", GROUP_EXEC);
	usleep(120 * 1000);
	manager_is_back();
	starts_once_and_exits(fd, 30);
	close(fd);
}

/* A manager that re-executes itself accepts a connection and forgets it with all that was sent on it. */
static void a_start_that_the_manager_lost_is_sent_again(void **state)
{
	struct pollfd called = { .events = POLLIN };
	int fd = agent_connect(), listen_fd;
	char lost[64];

	(void)state;
	manager_goes_away();
	listen_fd = listen_at(manager_path, SOCK_STREAM);
	ask_run(fd, 31, "unsafe", GROUP_EXEC);
	called.fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(called.fd >= 0);
	assert_int_equal(poll(&called, 1, WAIT_MS), 1);
	assert_true(read(called.fd, lost, sizeof(lost)) > 0);
	close(listen_fd);
	close(called.fd);
	manager_is_back();
	starts_once_and_exits(fd, 31);
	close(fd);
}

static void a_detached_run_that_the_manager_lost_is_sent_again_with_its_files(void **state)
{
	int fd = agent_connect(), files[PACKET_FDS];

	(void)state;
	let_packages();
	manager_goes_away();
	files_open(files, -1, 0);
	ask_detached(fd, 32, "PackageInstall", "a-1", files);
	packet_close(files);
	usleep(120 * 1000);
	manager_is_back();
	assert_int_equal(expect(fd, RUNNER_STARTED).reply.id, 32);
	is_in(output_path, "hello");
	is_in(end_path, "end");
	close(fd);
}

static void a_command_cancelled_before_the_manager_could_be_reached_never_starts(void **state)
{
	struct runner_request cancel = {
		.size = sizeof(cancel), .version = RUNNER_VERSION, .op = RUNNER_CANCEL, .id = 33
	};
	struct runner_answer answer;
	int fd = agent_connect();

	(void)state;
	manager_goes_away();
	ask_run(fd, 33, "unsafe", GROUP_EXEC);
	assert_int_equal(send(fd, &cancel, sizeof(cancel), 0), sizeof(cancel));
	usleep(120 * 1000);
	manager_is_back();
	expect(fd, RUNNER_STARTED);
	answer = expect(fd, RUNNER_EXITED);
	assert_true(answer.reply.flags & RUNNER_CANCELLED);
	assert_int_equal(access(run_path, F_OK), -1);
	close(fd);
}

static void a_detached_run_has_the_files_it_came_with_and_its_end_is_not_waited_for(void **state)
{
	struct runner_answer answer;
	int fd = agent_connect(), files[PACKET_FDS], got[2] = { -1, -1 };

	(void)state;
	let_packages();
	files_open(files, -1, 0);
	ask_detached(fd, 20, "PackageInstall", "a-1", files);
	packet_close(files);
	assert_true(hear(fd, &answer, got));
	assert_int_equal(answer.reply.op, RUNNER_STARTED);
	assert_int_equal(got[0], -1);
	ask_run(fd, 21, "unsafe", GROUP_EXEC);
	assert_int_equal(expect(fd, RUNNER_REFUSED).reply.id, 21); /* and no EXITED before it */
	is_in(output_path, "hello");
	is_in(end_path, "end");
	close(fd);
}

static void files_that_are_not_the_agents_own_to_append_to_cut_it_off(void **state)
{
	static const int flags[] = { O_RDWR | O_APPEND, O_WRONLY, O_RDONLY };
	int files[PACKET_FDS], fd;

	(void)state;
	let_packages();
	for (size_t i = 0; i < ARRAY_SIZE(flags) * PACKET_FDS; i++) {
		fd = agent_connect();
		files_open(files, (int)i % PACKET_FDS, flags[i / PACKET_FDS]);
		ask_detached(fd, 21, "PackageInstall", "a-2", files);
		packet_close(files);
		assert_true(ended(fd));
		close(fd);
	}
	fd = agent_connect();
	ask_detached(fd, 21, "PackageInstall", "a-2", NULL);
	assert_true(ended(fd));
	close(fd);
	for (int i = 0; i < PACKET_FDS; i++) {
		fd = agent_connect();
		files_open(files, -1, 0);
		close(files[i]);
		files[i] = open("/dev/null", O_WRONLY | O_APPEND | O_CLOEXEC);
		ask_detached(fd, 21, "PackageInstall", "a-2", files);
		packet_close(files);
		assert_true(ended(fd));
		close(fd);
	}
}

static char stopped(int wait_ms)
{
	struct pollfd wait = { .fd = stops[0], .events = POLLIN };
	char what = 0;

	if (poll(&wait, 1, wait_ms) > 0)
		assert_int_equal(read(stops[0], &what, 1), 1);
	return what;
}

static void a_detached_run_goes_on_without_its_agent_and_is_cancelled_by_its_unit_alone(void **state)
{
	int fd = agent_connect(), files[PACKET_FDS];

	(void)state;
	let_packages();
	files_open(files, -1, 0);
	ask_detached(fd, 30, "PackageRemove", "a-4", files);
	packet_close(files);
	close(fd); /* before it has begun */
	fd = agent_connect();
	ask_cancel(fd, "a-5");
	ask_operation(fd, 31, "cron.service"); /* behind it in the manager's queue */
	expect(fd, RUNNER_ANSWERED);
	assert_int_equal(stopped(0), 'J');
	assert_int_equal(stopped(0), 0);
	executor_is_replaced();
	close(fd);
	fd = agent_connect();
	ask_cancel(fd, "a-4");
	assert_int_equal(stopped(WAIT_MS), 'C');
	close(fd);
}

static int begin_with_a_unit_left(void **state)
{
	int r;

	something_is_left = true;
	r = begin(state);
	something_is_left = false;
	return r;
}

static void what_an_executor_that_is_gone_left_is_ended_at_once(void **state)
{
	(void)state;
	assert_int_equal(stopped(WAIT_MS), 'S');
}

static void the_ninth_program_is_refused_at_once_and_a_place_is_free_again_when_one_ends(void **state)
{
	struct runner_request cancel = {
		.version = RUNNER_VERSION, .op = RUNNER_CANCEL, .size = sizeof(cancel), .id = 51
	};
	struct runner_answer answer;
	int fd = agent_connect();

	(void)state;
	for (uint64_t id = 51; id < 51 + EXECUTOR_UNITS_MAX; id++) {
		ask_run(fd, id, "script", GROUP_EXEC);
		assert_int_equal(expect(fd, RUNNER_STARTED).reply.id, id);
	}
	ask_run(fd, 70, "script", GROUP_EXEC);
	answer = expect(fd, RUNNER_REFUSED);
	assert_int_equal(answer.reply.id, 70);
	assert_int_equal(answer.reply.error, EBUSY);
	assert_non_null(strstr(answer.text, "at once"));
	assert_int_equal(send(fd, &cancel, sizeof(cancel), 0), sizeof(cancel));
	assert_int_equal(expect(fd, RUNNER_EXITED).reply.id, 51);
	ask_run(fd, 71, "script", GROUP_EXEC);
	assert_int_equal(expect(fd, RUNNER_STARTED).reply.id, 71);
	close(fd);
}

static uint64_t limit_s(void)
{
	FILE *file = fopen(limit_path, "re");
	unsigned long long us = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%llu", &us), 1);
	fclose(file);
	return us / 1000000;
}

/* An agent that has been taken over asks for what it may, with all that a RUN can bring. */
static void ask_greedily(int fd, uint64_t id, const char *action, enum policy_group group, const char *const argv[])
{
	static char message[RUNNER_MESSAGE_MAX];
	const char *const envp[] = { "LD_PRELOAD=/tmp/mine.so", NULL };
	struct runner_run run = { .head = { .id = id, .term_ns = TIME_NEVER, .kill_ns = TIME_NEVER },
				  .group = group,
				  .limits = { 1, 2, 3, 4, 5 },
				  .oom_score_adj = id % 2 ? -1000 : 300 };
	int64_t len = runner_run_build(run, argv, envp, "/", NULL, action, NULL, message, sizeof(message));

	assert_true(len > 0);
	assert_int_equal(send(fd, message, (size_t)len, 0), len);
	expect(fd, RUNNER_STARTED);
}

static const struct runner_command *last_run(void)
{
	static char message[RUNNER_MESSAGE_MAX];
	static struct runner_command command;
	struct runner_request head;
	FILE *file = fopen(run_path, "re");
	size_t len;

	assert_non_null(file);
	len = fread(message, 1, sizeof(message), file);
	fclose(file);
	assert_int_equal(runner_request_parse(message, len, &head), 0);
	assert_int_equal(runner_run_parse(message, head.size, &command), 0);
	return &command;
}

/*
 * An odd id asks to be spared when memory is short, which is nobody's to ask for; an even one to be the first to go,
 * which it may.
 */
static void limits_are(const struct runner_command *command, uint64_t id)
{
	assert_int_equal(command->run.head.id, id);
	assert_int_equal(command->run.oom_score_adj, id % 2 ? 0 : 300);
	for (size_t i = 0; i < RUNNER_LIMITS; i++)
		assert_int_equal(command->run.limits[i], 0);
}

static void a_command_is_limited_by_its_unit_alone_whatever_the_agent_says(void **state)
{
	const char *const shell[] = { "/bin/sh", "-c", "whatever", NULL }, *const verb[] = { "/tmp/infiniservice-exec",
											     "golden", NULL };
	const char *step[PACKAGE_ARGS_MAX], *name = "thing";
	const struct runner_command *command;
	int fd = agent_connect();

	(void)state;
	policy_put("[commands]\nallow = control packages power\nallow_unsafe = yes\n");
	for (uint64_t id = 90; id < 92; id++) {
		ask_greedily(fd, id, "script", GROUP_EXEC, shell);
		command = last_run();
		limits_are(command, id);
		assert_string_equal(command->argv[0], "/bin/sh"); /* of the host's choice, with all it brings */
		assert_string_equal(command->envp[0], "LD_PRELOAD=/tmp/mine.so");
		assert_string_equal(command->cwd, "/");
	}
	for (uint64_t id = 92; id < 94; id++) {
		ask_greedily(fd, id, "PrepareGoldenImage", GROUP_POWER, verb);
		command = last_run();
		limits_are(command, id);
		assert_string_equal(command->argv[0], "/nowhere/infiniservice-exec");
		assert_string_equal(command->argv[1], "golden");
		assert_string_not_equal(command->envp[0], "LD_PRELOAD=/tmp/mine.so");
		assert_null(command->cwd);
	}
	assert_int_equal(
		package_argv(&package_manager_at(0)->steps[PACKAGE_INSTALL], "/usr/bin/apt-get", &name, 1, step), 0);
	ask_greedily(fd, 95, "PackageInstall", GROUP_PACKAGES, step);
	command = last_run();
	limits_are(command, 95);
	assert_string_equal(command->argv[0], "/usr/bin/apt-get");
	assert_string_not_equal(command->envp[0], "LD_PRELOAD=/tmp/mine.so");
	close(fd);
}

static void one_run_is_detached_at_a_time_and_for_two_hours_at_most_whichever_executor_began_it(void **state)
{
	struct runner_answer answer;
	int fd = agent_connect(), files[PACKET_FDS];

	(void)state;
	let_packages();
	files_open(files, -1, 0);
	ask_detached(fd, 80, "PackageRemove", "b-1", files);
	assert_int_equal(expect(fd, RUNNER_STARTED).reply.id, 80);
	assert_in_range(limit_s(), 7100, 7210);
	assert_in_range(last_run()->run.head.kill_ns / NS_PER_S, clock_ns(CLOCK_MONOTONIC) / NS_PER_S + 7100,
			clock_ns(CLOCK_MONOTONIC) / NS_PER_S + 7210);
	ask_detached(fd, 81, "PackageRemove", "b-2", files);
	answer = expect(fd, RUNNER_REFUSED);
	assert_int_equal(answer.reply.error, EBUSY);
	assert_non_null(strstr(answer.text, "already"));
	executor_is_replaced();
	close(fd);
	fd = agent_connect();
	ask_detached(fd, 82, "PackageRemove", "b-3", files);
	assert_int_equal(expect(fd, RUNNER_REFUSED).reply.error, EBUSY);
	ask_cancel(fd, "b-1");
	assert_int_equal(stopped(WAIT_MS), 'C');
	ask_detached(fd, 83, "PackageRemove", "b-4", files);
	assert_int_equal(expect(fd, RUNNER_STARTED).reply.id, 83);
	packet_close(files);
	close(fd);
}

static void a_detached_run_is_one_of_the_eight_whichever_executor_began_it(void **state)
{
	int fd = agent_connect(), files[PACKET_FDS];

	(void)state;
	policy_put("[commands]\nallow = control packages\nallow_unsafe = yes\n");
	files_open(files, -1, 0);
	ask_detached(fd, 50, "PackageRemove", "c-1", files);
	expect(fd, RUNNER_STARTED);
	packet_close(files);
	executor_is_replaced();
	close(fd);
	fd = agent_connect();
	for (uint64_t id = 51; id < 50 + EXECUTOR_UNITS_MAX; id++) {
		ask_run(fd, id, "script", GROUP_EXEC);
		assert_int_equal(expect(fd, RUNNER_STARTED).reply.id, id);
	}
	ask_run(fd, 70, "script", GROUP_EXEC);
	assert_int_equal(expect(fd, RUNNER_REFUSED).reply.error, EBUSY);
	close(fd);
}

static void leaves_to_its_successor_when_the_agent_is_of_another_version(void **state)
{
	struct runner_request request = {
		.version = RUNNER_VERSION + 1, .op = RUNNER_CANCEL, .size = sizeof(request), .id = 1
	};
	int fd = agent_connect(), status = -1;

	(void)state;
	assert_int_equal(send(fd, &request, sizeof(request), 0), sizeof(request));
	assert_true(ended(fd));
	assert_int_equal(waitpid(executor_pid, &status, 0), executor_pid);
	assert_int_equal(status, 0);
	close(fd);
	executor_pid = play(executor_main, listen_at(output_path, SOCK_SEQPACKET));
}

/* Its socket starts it again then, for another try. */
static void without_libsystemd_it_says_which_package_it_wants_and_ends_after_a_while(void **state)
{
	struct runner_answer answer;
	int status = -1, fd = agent_connect();

	(void)state;
	ask_run(fd, 6, "unsafe", GROUP_EXEC);
	answer = expect(fd, RUNNER_REFUSED);
	assert_int_equal(answer.reply.id, 6);
	assert_int_equal(answer.reply.stage, RUNNER_STAGE_EXECUTOR);
	assert_non_null(strstr(answer.text, "libnothing.so.0"));
	assert_non_null(strstr(answer.text, "package libsystemd0"));
	ask_operation(fd, 7, "cron.service");
	answer = expect(fd, RUNNER_REFUSED);
	assert_int_equal(answer.reply.id, 7);
	assert_int_equal(send(fd, "nonsense", 8, 0), 8);
	assert_int_equal(recv(fd, &answer, sizeof(answer), 0), 0);
	close(fd);
	fd = agent_connect();
	ask_operation(fd, 8, "cron.service");
	answer = expect(fd, RUNNER_REFUSED);
	assert_int_equal(answer.reply.id, 8);
	assert_int_equal(waitpid(executor_pid, &status, 0), executor_pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(runs_a_command_as_a_unit_and_hands_its_pipes_over, begin, end),
		cmocka_unit_test_setup_teardown(refuses_what_the_policy_it_reads_forbids, begin, end),
		cmocka_unit_test_setup_teardown(a_guest_that_was_sealed_may_still_be_switched_off_and_nothing_else,
						begin, end),
		cmocka_unit_test_setup_teardown(
			a_unit_is_judged_by_what_pid_1_calls_it_and_triggers_at_the_moment_of_the_call, begin, end),
		cmocka_unit_test_setup_teardown(to_enable_what_has_no_install_section_is_a_failure_with_words, begin,
						end),
		cmocka_unit_test_setup_teardown(nothing_of_the_agent_makes_a_line_or_a_control_byte_in_the_journal,
						begin, end),
		cmocka_unit_test_setup_teardown(an_agent_cannot_claim_another_group, begin, end),
		cmocka_unit_test_setup_teardown(
			without_libsystemd_it_says_which_package_it_wants_and_ends_after_a_while, begin_without_library,
			end),
		cmocka_unit_test_setup_teardown(cuts_off_who_does_not_keep_to_the_protocol_and_serves_the_next, begin,
						end),
		cmocka_unit_test_setup_teardown(serves_the_user_it_is_for_and_root_alone, begin, end),
		cmocka_unit_test_setup_teardown(cancels_by_its_unit_and_tells_of_memory, begin, end),
		cmocka_unit_test_setup_teardown(stops_the_units_of_an_agent_that_is_gone, begin, end),
		cmocka_unit_test_setup_teardown(answers_a_operation_when_its_job_has_ended, begin, end),
		cmocka_unit_test_setup_teardown(a_job_that_fails_is_told_from_one_that_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(a_freeze_is_a_unit_with_its_hooks_that_hears_of_the_executors_end,
						begin, end),
		cmocka_unit_test_setup_teardown(a_hook_that_fails_is_told_and_the_next_freeze_waits_for_units_that_end,
						begin, end),
		cmocka_unit_test_setup_teardown(a_freeze_without_the_owners_leave_or_a_socket_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(operations_end_with_the_manager_when_that_goes_away, begin, end),
		cmocka_unit_test_setup_teardown(
			a_command_that_comes_while_the_manager_cannot_be_reached_is_started_when_it_can, begin, end),
		cmocka_unit_test_setup_teardown(a_start_that_the_manager_lost_is_sent_again, begin, end),
		cmocka_unit_test_setup_teardown(a_detached_run_that_the_manager_lost_is_sent_again_with_its_files,
						begin, end),
		cmocka_unit_test_setup_teardown(a_command_cancelled_before_the_manager_could_be_reached_never_starts,
						begin, end),
		cmocka_unit_test_setup_teardown(a_detached_run_has_the_files_it_came_with_and_its_end_is_not_waited_for,
						begin, end),
		cmocka_unit_test_setup_teardown(files_that_are_not_the_agents_own_to_append_to_cut_it_off, begin, end),
		cmocka_unit_test_setup_teardown(
			a_detached_run_goes_on_without_its_agent_and_is_cancelled_by_its_unit_alone, begin, end),
		cmocka_unit_test_setup_teardown(what_an_executor_that_is_gone_left_is_ended_at_once,
						begin_with_a_unit_left, end),
		cmocka_unit_test_setup_teardown(
			the_ninth_program_is_refused_at_once_and_a_place_is_free_again_when_one_ends, begin, end),
		cmocka_unit_test_setup_teardown(a_command_is_limited_by_its_unit_alone_whatever_the_agent_says, begin,
						end),
		cmocka_unit_test_setup_teardown(
			one_run_is_detached_at_a_time_and_for_two_hours_at_most_whichever_executor_began_it, begin,
			end),
		cmocka_unit_test_setup_teardown(a_detached_run_is_one_of_the_eight_whichever_executor_began_it, begin,
						end),
		cmocka_unit_test_setup_teardown(leaves_to_its_successor_when_the_agent_is_of_another_version, begin,
						end),
	};

	return cmocka_run_group_tests_name("executor", tests, NULL, NULL);
}
