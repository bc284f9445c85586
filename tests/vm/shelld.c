// SPDX-License-Identifier: MIT
// The tests' own root shell in the guest, on a virtio-serial port of its own, so that what the agent did is looked at
// without asking the agent. Each request is one `sh -c` with its standard input; requests run side by side, and each is
// answered with exit status and output. Output goes to memory, not to disk: it works while the root file system is
// frozen.
//
//   request:  id timeout_ms script_bytes stdin_bytes, four little-endian u32; the script; the input
//   answer:   id status output_bytes, three little-endian u32; standard output and error together
//
// status is the exit status, 128 + the signal, or 124 when the time was up.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_NAME  "org.infinibay.test"
#define INPUT_MAX  (64u << 20)
#define OUTPUT_MAX (32u << 20)

struct request {
	uint32_t id, timeout_ms, script_bytes, stdin_bytes;
};

struct answer {
	uint32_t id, status, output_bytes;
};

static void nap(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* Finds the port by the name in sysfs: udev may not have made its link yet, or not be there at all. */
static int port_open(void)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	int fd = -1;

	for (struct dirent *e; dir && fd < 0 && (e = readdir(dir));) {
		char path[300], name[64] = "";

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
		FILE *file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file) && strcmp(name, PORT_NAME "\n") == 0) {
			snprintf(path, sizeof(path), "/dev/%s", e->d_name);
			fd = open(path, O_RDWR | O_CLOEXEC);
		}
		fclose(file);
	}
	if (dir)
		closedir(dir);
	return fd;
}

static int read_whole(int fd, void *buf, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = read(fd, (char *)buf + got, len - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) /* no host is connected */
			nap(20);
		got += (size_t)n;
	}
	return 0;
}

static int write_whole(int fd, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);
		if (n < 0 && errno == EAGAIN)
			nap(5);
		else if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

static int memory_file(const void *bytes, size_t len)
{
	int fd = memfd_create("shelld", MFD_CLOEXEC);

	if (fd < 0 || write_whole(fd, bytes, len) != 0 || lseek(fd, 0, SEEK_SET) != 0)
		_exit(1);
	return fd;
}

static uint32_t run_script(const char *script, int input, int output, uint32_t timeout_ms)
{
	pid_t child = fork();

	if (child == 0) {
		setsid();
		dup2(input, 0);
		dup2(output, 1);
		dup2(output, 2);
		execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	int timed_out = poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, (int)timeout_ms) == 0;
	if (timed_out)
		kill(-child, SIGKILL);
	int status = 0;
	waitpid(child, &status, 0);
	if (timed_out)
		return 124;
	return WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 128u + (uint32_t)WTERMSIG(status);
}

/* Runs in a process of its own; the lock keeps two answers from mixing. */
static void serve(int port, int lock_fd, const struct request *req, const char *script, const char *input)
{
	int output = memory_file("", 0);
	struct answer answer = { .id = req->id };

	answer.status = run_script(script, memory_file(input, req->stdin_bytes), output, req->timeout_ms);
	off_t size = lseek(output, 0, SEEK_END);
	answer.output_bytes = size > OUTPUT_MAX ? OUTPUT_MAX : (uint32_t)size;
	void *bytes = size ? mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, output, 0) : NULL;

	char lock_path[64];
	snprintf(lock_path, sizeof(lock_path), "/proc/self/fd/%d", lock_fd);
	flock(open(lock_path, O_RDWR | O_CLOEXEC), LOCK_EX);
	if (write_whole(port, &answer, sizeof(answer)) == 0)
		write_whole(port, bytes, answer.output_bytes);
}

int main(void)
{
	int port;

	signal(SIGCHLD, SIG_IGN);
	while ((port = port_open()) < 0)
		nap(20);
	/* In memory too; each child opens it anew, because flock belongs to the open file. */
	int lock_fd = memory_file("", 0);
	for (;;) {
		struct request req;

		if (read_whole(port, &req, sizeof(req)) != 0 ||
		    req.script_bytes + (uint64_t)req.stdin_bytes > INPUT_MAX)
			return 1;
		char *body = calloc(1, (size_t)req.script_bytes + req.stdin_bytes + 2);
		if (!body || read_whole(port, body, req.script_bytes) != 0)
			return 1;
		char *input = body + req.script_bytes + 1;
		if (read_whole(port, input, req.stdin_bytes) != 0)
			return 1;
		if (fork() == 0) {
			signal(SIGCHLD, SIG_DFL);
			serve(port, lock_fd, &req, body, input);
			_exit(0);
		}
		free(body);
	}
}
