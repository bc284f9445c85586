/* SPDX-License-Identifier: MIT */
#include "agent/bus/units_ask.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/bus/bus.h"
#include "agent/bus/libsystemd.h"

/* What goes through the pipe: the error, then, if there was none, the answer. */
struct answer {
	int32_t result; /* bytes of data, or -errno */
	unsigned char data[sizeof(struct probe_units) + PROBE_UNITS_MAX * sizeof(struct probe_unit)];
};

static bool restarting(const char *sub)
{
	return strncmp(sub, "auto-restart", strlen("auto-restart")) == 0;
}

/* One of a(ssssssouso), org.freedesktop.systemd1(5). 1, 0 at the end of the array, or -errno. */
static int unit_take(sd_bus_message *reply, struct probe_units *units, struct probe_unit *rows)
{
	const char *name, *active, *sub;
	struct probe_unit *row = &rows[units->count];
	int r = sd_bus_message_read(reply, "(ssssssouso)", &name, NULL, NULL, &active, &sub, NULL, NULL, NULL, NULL,
				    NULL);

	if (r <= 0)
		return r;
	if (strcmp(active, "failed") == 0)
		units->failed++;
	else if (restarting(sub))
		units->restarting++;
	else
		return 1;
	if (units->count == PROBE_UNITS_MAX)
		return 1;
	row->failed = strcmp(active, "failed") == 0;
	strncpy(row->name, name, sizeof(row->name) - 1);
	units->count++;
	return 1;
}

static int reply_take(sd_bus_message *reply, unsigned char *data)
{
	struct probe_units units = { 0 };
	struct probe_unit rows[PROBE_UNITS_MAX] = { 0 };
	int r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");

	while (r > 0)
		r = unit_take(reply, &units, rows);
	if (r < 0)
		return -EBADMSG;
	memcpy(data, &units, sizeof(units));
	memcpy(data + sizeof(units), rows, units.count * sizeof(rows[0]));
	return (int)(sizeof(units) + units.count * sizeof(rows[0]));
}

/* Units in a state of these: those that only wait for their next start are activating. */
static int call(sd_bus *bus, sd_bus_message **ret)
{
	sd_bus_message *message = NULL;
	int r = sd_bus_message_new_method_call(bus, &message, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
					       "org.freedesktop.systemd1.Manager", "ListUnitsFiltered");

	if (r >= 0)
		r = sd_bus_message_append(message, "as", 3, "failed", "auto-restart", "auto-restart-queued");
	if (r >= 0)
		r = sd_bus_call(bus, message, UNITS_ASK_MS * UINT64_C(1000), NULL, ret);
	sd_bus_message_unref(message);
	return r;
}

/* Errors of the peer come as errors of their own numbers: to ask is all there was to do, so they are a refusal. */
static int ask(const char *address, unsigned char *data)
{
	sd_bus_message *reply = NULL;
	sd_bus *bus = NULL;
	int r = libsystemd_open(NULL, clock_ns(CLOCK_MONOTONIC), NULL);

	if (r < 0)
		return r;
	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, address ? address : BUS_ADDRESS);
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, true);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0) {
		r = call(bus, &reply);
		if (r < 0 && r != -ETIMEDOUT && r != -ENOMEM && r != -ENOENT && r != -ECONNREFUSED)
			r = -EREMOTEIO;
	}
	if (r >= 0)
		r = reply_take(reply, data);
	sd_bus_message_unref(reply);
	sd_bus_close_unref(bus);
	return r;
}

_Noreturn static void child(const char *address, int fd)
{
	struct answer answer = { 0 };
	size_t len = sizeof(answer.result);

	/* Neither outlives who asked nor waits for ever, whatever the library does. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGALRM, SIG_DFL);
	alarm(1 + UNITS_ASK_MS / 1000);
	answer.result = ask(address, answer.data);
	if (answer.result > 0)
		len += (size_t)answer.result;
	_exit(write(fd, &answer, len) == (ssize_t)len ? 0 : 1);
}

int units_ask(const char *address, unsigned char *data, size_t size)
{
	struct answer answer = { .result = -EIO };
	_cleanup_(closep) int from = -1, to = -1;
	int pipe_fds[2];
	ssize_t n;
	pid_t pid;

	/* It is shorter than a pipe takes in one go, so it comes whole or not at all. */
	_Static_assert(sizeof(struct answer) <= 4096, "PIPE_BUF");
	if (size < sizeof(answer.data))
		return -ENOBUFS;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	from = pipe_fds[0];
	to = pipe_fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(address, to);
	close_fd(&to);
	do
		n = read(from, &answer, sizeof(answer));
	while (n < 0 && errno == EINTR);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n < (ssize_t)sizeof(answer.result))
		return n < 0 ? -EIO : -ETIMEDOUT;
	if (answer.result > 0 && n != (ssize_t)sizeof(answer.result) + answer.result)
		return -EBADMSG;
	if (answer.result > 0)
		memcpy(data, answer.data, (size_t)answer.result);
	return answer.result;
}
