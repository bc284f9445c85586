/* SPDX-License-Identifier: MIT */
#include "agent/executor/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t put = write(fd, bytes, len);

		if (put < 0 && errno != EINTR)
			return -errno;
		bytes += put > 0 ? put : 0;
		len -= put > 0 ? (size_t)put : 0;
	}
	return 0;
}

int launch_file(const void *run, size_t len)
{
	_cleanup_(closep) int fd = memfd_create("infiniservice-command", MFD_CLOEXEC);
	int error = fd < 0 ? -errno : write_all(fd, run, len);

	if (error < 0)
		return error;
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : TAKE_FD(fd);
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

/* Reads the request from the memory file `fd`. Its length, or -errno. */
static ssize_t request_read(int fd, char *message, size_t size)
{
	struct runner_request head;
	struct stat st;
	ssize_t len;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || pread(fd, &head, sizeof(head), 0) != sizeof(head) || head.size > size)
		return -EBADMSG;
	size = head.size;
	len = pread(fd, message, size, 0);
	return len < 0 ? -errno : len;
}

/*
 * Opens the command's input: *ret is the descriptor, or -1 when the command has none. False: it cannot be made, with
 * errno.
 */
static bool input_open(int fd, const struct runner_command *command, int *ret)
{
	struct stat st;

	*ret = -1;
	if (!(command->run.flags & RUNNER_RUN_INPUT))
		return true;
	if (fstat(fd, &st) < 0 || st.st_size < LAUNCH_INPUT_OFFSET)
		return false;
	*ret = input_take(fd, LAUNCH_INPUT_OFFSET, (size_t)(st.st_size - LAUNCH_INPUT_OFFSET));
	errno = *ret < 0 ? -*ret : 0;
	return *ret >= 0;
}

int launch_main(int argc, char *argv[])
{
	static char message[RUNNER_MESSAGE_MAX];
	static struct runner_command command;
	struct spawn_failure failure = { .stage = RUNNER_STAGE_RESOURCE };
	struct stat st;

	(void)argc;
	(void)argv;
	if (fstat(STDIN_FILENO, &st) == 0 && S_ISSOCK(st.st_mode))
		return launch_detached(STDIN_FILENO);

	int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, RUNNER_INPUT_FD + 1), input;
	ssize_t len = fd < 0 ? -EBADF : request_read(fd, message, sizeof(message));
	int error = len < 0 ? (int)len : runner_run_parse(message, (size_t)len, &command);

	if (error == 0 && (pwrite(fd, "B", 1, LAUNCH_BEGUN_OFFSET) != 1 || !input_open(fd, &command, &input)))
		error = errno ? -errno : -EBADMSG;
	if (error == 0)
		spawn_replace(&command, input, fd, &failure);
	else
		failure.error = -error;
	if (fd < 0 || pwrite(fd, &failure, sizeof(failure), LAUNCH_FAILURE_OFFSET) != sizeof(failure))
		fprintf(stderr, "infiniservice-exec: the command could not be started: %s\n", strerror(failure.error));
	return LAUNCH_EXIT_NOT_EXECUTED;
}
