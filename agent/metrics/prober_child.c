/* SPDX-License-Identifier: MIT */
/*
 * The prober's child: one request, one system call that may hang, one answer. The child knows no deadline; the agent
 * gives up on it and starts another child.
 */
#include "agent/metrics/prober.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <linux/magic.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/bus/units_ask.h"
#include "collectors/procnet.h"

/*
 * The path is opened with O_PATH first, so that the probe mounts nothing: statvfs(2) of the path would mount again what
 * autofs has unmounted since the mounts were listed. Opened so, it is the empty directory of autofs.
 */
static int probe_statvfs(const void *arg, size_t arg_len, unsigned char *data)
{
	_cleanup_(closep) int fd = -1;
	char path[PATH_MAX];
	struct probe_statvfs out;
	struct statfs type;
	struct statvfs v;

	if (arg_len == 0 || arg_len >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(path, arg, arg_len);
	path[arg_len] = '\0';
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstatfs(fd, &type) < 0)
		return -errno;
	if (type.f_type == AUTOFS_SUPER_MAGIC)
		return -ENOENT;
	if (fstatvfs(fd, &v) < 0)
		return -errno;
	out = (struct probe_statvfs){ .block_size = v.f_frsize,
				      .blocks = v.f_blocks,
				      .bfree = v.f_bfree,
				      .bavail = v.f_bavail,
				      .files = v.f_files,
				      .ffree = v.f_ffree,
				      .flags = v.f_flag };
	memcpy(data, &out, sizeof(out));
	return (int)sizeof(out);
}

/* Reads up to `size` bytes of a file in /proc/PID. Returns their number or -errno. */
static ssize_t proc_read(int dir_fd, const char *name, void *out, size_t size)
{
	_cleanup_(closep) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	do {
		got = read(fd, (char *)out + len, size - len);
		if (got < 0 && errno != EINTR)
			return -errno;
		len += got > 0 ? (size_t)got : 0;
	} while (got != 0 && len < size);
	return (ssize_t)len;
}

/* Field 22, behind the last ')': the name may hold anything. */
static int start_read(int dir_fd, uint64_t *ret)
{
	char text[1024];
	ssize_t len = proc_read(dir_fd, "stat", text, sizeof(text) - 1);
	char *at;

	if (len < 0)
		return (int)len;
	text[len] = '\0';
	at = strrchr(text, ')');
	if (!at ||
	    sscanf(at + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64,
		   ret) != 1)
		return -EBADMSG;
	return 0;
}

static int pid_open(const void *arg, size_t arg_len)
{
	char path[32] = "/proc/", *end;
	int fd;

	if (arg_len == 0 || arg_len > 10)
		return -EINVAL;
	memcpy(path + 6, arg, arg_len);
	path[6 + arg_len] = '\0';
	if (strtol(path + 6, &end, 10) <= 0 || *end)
		return -EINVAL;
	fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int probe_process(const void *arg, size_t arg_len, unsigned char *data)
{
	struct probe_process out = { 0 };
	_cleanup_(closep) int fd = pid_open(arg, arg_len);
	unsigned char *at = data + sizeof(out);
	ssize_t len;
	int error;

	if (fd < 0)
		return fd;
	len = proc_read(fd, "cmdline", at, SINK_CMDLINE_MAX);
	if (len < 0)
		return (int)len;
	out.cmdline_len = (uint32_t)len;
	len = readlinkat(fd, "exe", (char *)at + out.cmdline_len, SINK_PATH_MAX);
	out.exe_len = len < 0 ? 0 : (uint32_t)len; /* not permitted, or a kernel thread */
	error = start_read(fd, &out.start_ticks);
	if (error < 0)
		return error;
	memcpy(data, &out, sizeof(out));
	return (int)(sizeof(out) + out.cmdline_len + out.exe_len);
}

struct socket_scan {
	uint64_t inodes[PROBE_ARG_MAX / sizeof(uint64_t)];
	size_t count, found;
	unsigned char *data;
};

_Static_assert(sizeof(struct probe_socket) * (PROBE_ARG_MAX / sizeof(uint64_t)) <= PROBE_DATA_MAX,
	       "an answer for every inode asked fits");

/*
 * Removes an inode from the list when its owner is found: only the first owner is reported, and the scan ends with the
 * last inode.
 */
static void inode_found(struct socket_scan *scan, uint64_t inode, pid_t pid)
{
	struct probe_socket out = { .inode = inode, .pid = pid };

	for (size_t i = 0; i < scan->count; i++)
		if (scan->inodes[i] == inode) {
			memcpy(scan->data + scan->found++ * sizeof(out), &out, sizeof(out));
			scan->inodes[i] = scan->inodes[--scan->count];
			return;
		}
}

static void fds_scan(struct socket_scan *scan, int proc_fd, const char *pid)
{
	char path[32], target[64];
	struct dirent *entry;
	uint64_t inode;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%.20s/fd", pid);
	fd = openat(proc_fd, path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		closep(&fd);
		return; /* not permitted, or gone */
	}
	while (scan->count > 0 && (entry = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		target[len < 0 ? 0 : len] = '\0';
		if (sscanf(target, "socket:[%" SCNu64 "]", &inode) == 1)
			inode_found(scan, inode, (pid_t)atoi(pid));
	}
	closedir(dir);
}

static int probe_sockets(const void *arg, size_t arg_len, unsigned char *data)
{
	static struct socket_scan scan;
	struct dirent *entry;
	DIR *proc;

	if (arg_len % sizeof(uint64_t) != 0 || arg_len > sizeof(scan.inodes))
		return -EINVAL;
	memcpy(scan.inodes, arg, arg_len);
	scan.count = arg_len / sizeof(uint64_t);
	scan.found = 0;
	scan.data = data;
	proc = opendir("/proc");
	if (!proc)
		return -errno;
	while (scan.count > 0 && (entry = readdir(proc)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && strcmp(entry->d_name, "1") != 0)
			fds_scan(&scan, dirfd(proc), entry->d_name);
	/* PID 1 last: it also holds the sockets that it has passed to services. */
	if (scan.count > 0)
		fds_scan(&scan, dirfd(proc), "1");
	closedir(proc);
	return (int)(scan.found * sizeof(struct probe_socket));
}

/* Through NSS, which may ask a directory service over the network. */
static int probe_user(const void *arg, size_t arg_len, unsigned char *data)
{
	struct passwd entry, *found = NULL;
	char text[8192];
	uint32_t uid;
	size_t len;
	int error;

	if (arg_len != sizeof(uid))
		return -EINVAL;
	memcpy(&uid, arg, sizeof(uid));
	error = getpwuid_r(uid, &entry, text, sizeof(text), &found);
	if (!found)
		return error ? -error : -ENOENT;
	len = strlen(found->pw_name);
	if (len == 0 || len > PROBE_DATA_MAX)
		return -ENOENT;
	memcpy(data, found->pw_name, len);
	return (int)len;
}

static int probe_net(const void *arg, size_t arg_len, unsigned char *data)
{
	_cleanup_(closep) int fd = open("/proc", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	uint8_t protocol;

	if (fd < 0)
		return -errno;
	if (arg_len != sizeof(protocol))
		return -EINVAL;
	memcpy(&protocol, arg, sizeof(protocol));
	return procnet_read(fd, protocol, data, PROBE_DATA_MAX);
}

/* A probe, as a real-time clock may be on a slow bus or wait for the end of its update. */
static int probe_rtc(const void *arg, size_t arg_len, unsigned char *data)
{
	_cleanup_(closep) int fd = open("/sys/class/rtc/rtc0/since_epoch", O_RDONLY | O_CLOEXEC);
	struct probe_rtc out = { 0 };
	struct moment now;
	char text[32];
	ssize_t n;

	(void)arg;
	(void)arg_len;
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	now = moment_now();
	text[n] = '\0';
	if (sscanf(text, "%" SCNd64, &out.rtc_s) != 1)
		return -EBADMSG;
	out.boot_ns = now.boot_ns;
	out.wall_ms = now.wall_ms;
	memcpy(data, &out, sizeof(out));
	return (int)sizeof(out);
}

static int probe_units(const void *arg, size_t arg_len, unsigned char *data)
{
	(void)arg;
	(void)arg_len;
	return units_ask(NULL, data, PROBE_DATA_MAX);
}

const struct prober_table prober_live = {
	.probe = { [PROBE_STATVFS] = probe_statvfs,
		   [PROBE_PROCESS] = probe_process,
		   [PROBE_SOCKETS] = probe_sockets,
		   [PROBE_USER] = probe_user,
		   [PROBE_NET] = probe_net,
		   [PROBE_RTC] = probe_rtc,
		   [PROBE_UNITS] = probe_units },
};

int prober_child(int fd, void *data)
{
	static struct prober_wire_request request;
	static struct prober_wire_answer answer;
	const struct prober_table *table = data;

	for (;;) {
		ssize_t len = recv(fd, &request, sizeof(request), 0);
		size_t arg_len = len < (ssize_t)sizeof(request.head) ? 0 : (size_t)len - sizeof(request.head);
		int result;

		if (len < 0 && errno == EINTR)
			continue;
		if (len < (ssize_t)sizeof(request.head))
			return 0;
		answer.head = request.head;
		result = request.head.kind < 0 || request.head.kind >= PROBE_KINDS || !table->probe[request.head.kind]
				 ? -EINVAL
				 : table->probe[request.head.kind](request.arg, arg_len, answer.data);
		answer.head.error = result < 0 ? result : 0;
		if (send(fd, &answer, sizeof(answer.head) + (result > 0 ? (size_t)result : 0), MSG_NOSIGNAL) < 0)
			return 0;
	}
}
