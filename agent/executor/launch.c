/* SPDX-License-Identifier: MIT */
#include "agent/executor/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/runner/tree.h"

/* ---------------------------------------------------------------------------------------- the executor's side */

int launch_file(const void *run, size_t len)
{
	_cleanup_(closep) int fd = memfd_create("infiniservice-command", MFD_CLOEXEC);
	ssize_t put = fd < 0 ? -1 : pwrite(fd, run, len, 0);

	if (put != (ssize_t)len)
		return put < 0 ? -errno : -ENOSPC;
	return TAKE_FD(fd);
}

int launch_packet(void *run, size_t len, int result, int permit)
{
	const int fds[] = { [LAUNCH_FD_RESULT] = result, [LAUNCH_FD_PERMIT] = permit };
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	error = packet_send(pair[0], run, len, fds, ARRAY_SIZE(fds)) < 0 ? -errno : 0;
	close(pair[0]);
	if (error == 0)
		return pair[1];
	close(pair[1]);
	return error;
}

struct spawn_failure launch_failure(int fd)
{
	struct spawn_failure failure;

	if (pread(fd, &failure, sizeof(failure), LAUNCH_FAILURE_OFFSET) != sizeof(failure))
		return (struct spawn_failure){ 0, RUNNER_STAGE_NONE };
	return failure;
}

bool launch_begun(int fd)
{
	char byte = 0;
	ssize_t len = recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);

	/* The packet of a detached run is there until its launcher takes it. */
	if (len >= 0 || errno != ENOTSOCK)
		return len <= 0;
	return pread(fd, &byte, sizeof(byte), LAUNCH_BEGUN_OFFSET) == sizeof(byte) && byte;
}

/* ----------------------------------------------------------------------------------------------- a detached run */

/*
 * The launcher stays its program's parent, enforces its deadlines, and writes how it ended into the file that came with
 * the request. All signals are blocked; SIGCHLD and LAUNCH_CANCEL_SIGNAL are waited for. SIGTERM of a stopping unit
 * reaches the program too, whose end is then recorded.
 */
struct detached {
	int result, permit; /* -1: closed */
	pid_t program;	    /* 0: it has ended */
	struct deadlines deadlines;
	struct end_record end;
};

/*
 * Whether the kernel has killed a process of the launcher's own control group for lack of memory (cgroup v2); false
 * also when that is unknown.
 */
static bool memory_ran_out(void)
{
	char line[4096], path[4200] = "";
	unsigned long long kills = 0;

	_cleanup_(fclosep) FILE *groups = fopen("/proc/self/cgroup", "re");
	while (groups && fgets(line, sizeof(line), groups))
		if (strncmp(line, "0::", 3) == 0)
			snprintf(path, sizeof(path), "/sys/fs/cgroup%.*s/memory.events", (int)strcspn(line + 3, "\n"),
				 line + 3);
	_cleanup_(fclosep) FILE *events = *path ? fopen(path, "re") : NULL;
	while (events && fgets(line, sizeof(line), events))
		if (sscanf(line, "oom_kill %llu", &kills) == 1)
			break;
	return kills > 0;
}

/* Releases the permit before the end is recorded: a reader of the record may start the next run at once. */
static void tell_end(struct detached *run, uint32_t flags, int status)
{
	char line[END_RECORD_MAX];
	size_t len;

	if (run->result < 0)
		return;
	close_fd(&run->permit);
	run->end.flags = run->deadlines.flags | flags | (memory_ran_out() ? RUNNER_OOM : 0);
	run->end.status = status;
	run->end.end_ns = clock_ns(CLOCK_MONOTONIC);
	len = end_record_format(&run->end, line);
	if (write(run->result, line, len) != (ssize_t)len)
		fprintf(stderr, "infiniservice-exec: the end of the run could not be written: %s\n", strerror(errno));
	close_fd(&run->result);
}

static void follow(struct detached *run)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, LAUNCH_CANCEL_SIGNAL);
	while (run->program) {
		uint64_t due = deadlines_next(&run->deadlines), now = clock_ns(CLOCK_MONOTONIC);
		uint64_t left = due > now ? due - now : 0;
		struct timespec timeout = { (time_t)(left / NS_PER_S), (long)(left % NS_PER_S) };
		int got = due == TIME_NEVER ? sigwaitinfo(&signals, NULL) : sigtimedwait(&signals, NULL, &timeout);
		int status;
		pid_t pid;

		now = clock_ns(CLOCK_MONOTONIC);
		if (got == LAUNCH_CANCEL_SIGNAL && !(run->deadlines.flags & RUNNER_CANCELLED))
			deadlines_cancel(&run->deadlines, now + LAUNCH_CANCEL_GRACE_MS * NS_PER_MS);
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			if (pid == run->program) {
				run->program = 0;
				tell_end(run, 0, status);
			}
		/* The program is killed with the others, not first: one pass has to find them all. */
		if (run->program && tree_enforce(&run->deadlines, 0, now))
			tell_end(run, RUNNER_STUCK, 0);
	}
}

/* Returns the exit status when the program has ended. */
static int launch_detached(int socket_fd)
{
	static char message[RUNNER_MESSAGE_MAX];
	static struct runner_command command;
	struct detached run = { .program = -1 };
	struct spawn_failure failure = { .stage = RUNNER_STAGE_RESOURCE };
	int fds[PACKET_FDS], null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	ssize_t len;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	spawn_signals_default();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	len = packet_receive(socket_fd, message, sizeof(message), 0, fds);
	failure.error = len < 0 ? errno : -runner_run_parse(message, (size_t)len, &command);
	run.result = fds[LAUNCH_FD_RESULT];
	run.permit = fds[LAUNCH_FD_PERMIT];
	if (!failure.error && (run.result < 0 || run.permit < 0))
		failure.error = EBADMSG;
	if (!failure.error && null_fd < 0)
		failure.error = EMFILE;
	if (!failure.error) {
		run.deadlines = deadlines_make(command.run.head.term_ns, command.run.head.kill_ns);
		run.program = spawn_command(&command, &(struct spawn_io){ null_fd, STDOUT_FILENO, STDERR_FILENO, -1 },
					    &failure);
	}
	if (run.program > 0) {
		follow(&run);
		return 0;
	}
	run.end.error = failure.error;
	run.end.stage = failure.stage;
	tell_end(&run, 0, 0);
	return LAUNCH_EXIT_NOT_EXECUTED;
}

/* -------------------------------------------------------------------------------------------------------- the verb */

int launch_main(int argc, char *argv[])
{
	static char message[RUNNER_MESSAGE_MAX];
	static struct runner_command command;
	struct spawn_failure failure = { .stage = RUNNER_STAGE_RESOURCE };
	struct runner_request head;
	int fd, input = -1, error = 0;
	struct stat st;

	(void)argc;
	(void)argv;
	if (fstat(STDIN_FILENO, &st) == 0 && S_ISSOCK(st.st_mode))
		return launch_detached(STDIN_FILENO);
	fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, RUNNER_INPUT_FD + 1);
	if (fd < 0 || fstat(fd, &st) < 0)
		error = -EBADF;
	else if (!S_ISREG(st.st_mode) || pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
		 head.size > sizeof(message) || pread(fd, message, head.size, 0) != (ssize_t)head.size)
		error = -EBADMSG;
	else
		error = runner_run_parse(message, head.size, &command);
	if (error == 0 && pwrite(fd, "B", 1, LAUNCH_BEGUN_OFFSET) != 1)
		error = -errno;
	if (error == 0 && (command.run.flags & RUNNER_RUN_INPUT)) {
		if (st.st_size < LAUNCH_INPUT_OFFSET)
			error = -EBADMSG;
		else
			error = input = input_take(fd, LAUNCH_INPUT_OFFSET, (size_t)(st.st_size - LAUNCH_INPUT_OFFSET));
	}
	failure.error = error < 0 ? -error : 0;
	if (!failure.error)
		spawn_replace(&command, input, fd, &failure);
	if (fd < 0 || pwrite(fd, &failure, sizeof(failure), LAUNCH_FAILURE_OFFSET) != sizeof(failure))
		fprintf(stderr, "infiniservice-exec: the command could not be started: %s\n", strerror(failure.error));
	return LAUNCH_EXIT_NOT_EXECUTED;
}
