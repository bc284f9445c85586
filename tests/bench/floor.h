/* SPDX-License-Identifier: MIT */
/*
 * What the kernel charges for the data of a sample, and nothing else: files kept open and read again with pread, mounts
 * only polled for change, sockets dumped over sock_diag, the stat of every process. Nothing is parsed. What the agent
 * reads from time to time is read as often: some texts every 10 s, the connected sockets every 31 s.
 */
#ifndef TESTS_BENCH_FLOOR_H
#define TESTS_BENCH_FLOOR_H

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>

#include "measure.h"

#define FLOOR_PID_MAX (1 << 22) /* PID_MAX_LIMIT of linux/threads.h */

static const char *const floor_files[] = {
	"/proc/stat",
	"/proc/meminfo",
	"/proc/diskstats",
	"/proc/net/dev",
	"/proc/loadavg",
	"/proc/uptime",
	"/proc/pressure/cpu",
	"/proc/pressure/memory",
	"/proc/pressure/io",
	/* every 10 s: */
	"/proc/vmstat",
	"/proc/net/snmp",
	"/proc/net/netstat",
	"/proc/net/softnet_stat",
	"/proc/net/sockstat",
};
#define FLOOR_FILES    (sizeof(floor_files) / sizeof(*floor_files))
#define FLOOR_SELDOM   9 /* the first of the latter */
#define FLOOR_SOCKSTAT (FLOOR_FILES - 1)
#define FLOOR_TEXTS_S  10
#define FLOOR_WALK_S   31

/* The same of what stands beside data.system: tcp and limits. Of the other subjects nothing is counted here. */
static const char *const floor_more_files[] = {
	"/proc/net/snmp",
	"/proc/net/netstat",
	"/proc/net/sockstat",
	"/proc/net/softnet_stat",
	"/proc/sys/fs/file-nr",
	"/proc/sys/fs/inode-nr",
	"/proc/sys/kernel/threads-max",
	"/proc/sys/kernel/pid_max",
	"/proc/sys/kernel/random/entropy_avail",
};
#define FLOOR_MORE_FILES (sizeof(floor_more_files) / sizeof(*floor_more_files))

struct floor {
	int files[FLOOR_FILES], more_files[FLOOR_MORE_FILES];
	int mounts, diag;
	time_t texts_s, walked_s; /* CLOCK_MONOTONIC: when they are due again */
	DIR *proc;
	int *processes; /* by pid: the kept stat, 0: none */
	char text[1 << 16];
};

/* What a kernel without PSI lacks, or cannot read. */
static inline bool floor_may_lack(const char *path)
{
	return strncmp(path, "/proc/pressure/", strlen("/proc/pressure/")) == 0;
}

static inline int floor_open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && !floor_may_lack(path))
		give_up(path);
	return fd;
}

static inline void floor_open(struct floor *f)
{
	struct rlimit files;

	for (unsigned i = 0; i < FLOOR_FILES; i++)
		f->files[i] = floor_open_file(floor_files[i]);
	for (unsigned i = 0; i < FLOOR_MORE_FILES; i++)
		f->more_files[i] = floor_open_file(floor_more_files[i]);
	f->mounts = floor_open_file("/proc/self/mountinfo");
	f->diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	f->proc = opendir("/proc");
	f->processes = calloc(FLOOR_PID_MAX, sizeof(*f->processes));
	if (f->diag < 0 || !f->proc || !f->processes)
		give_up("floor");
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

/* True once every so many seconds. */
static inline bool floor_is_due(time_t *due_s, unsigned period_s)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec < *due_s)
		return false;
	*due_s = now.tv_sec + period_s;
	return true;
}

static inline void floor_read_system(struct floor *f)
{
	struct pollfd changed = { .fd = f->mounts, .events = POLLPRI };
	unsigned files = floor_is_due(&f->texts_s, FLOOR_TEXTS_S) ? FLOOR_FILES : FLOOR_SELDOM;
	struct statvfs root;

	for (unsigned i = 0; i < files; i++)
		if (pread(f->files[i], f->text, sizeof(f->text), 0) < 0 && !floor_may_lack(floor_files[i]))
			give_up(floor_files[i]);
	poll(&changed, 1, 0);
	statvfs("/", &root);
}

static inline void floor_dump_sockets(struct floor *f, int family, int protocol, unsigned states)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} ask = {
		.header = { .nlmsg_len = sizeof(ask),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.request = { .sdiag_family = (uint8_t)family,
			     .sdiag_protocol = (uint8_t)protocol,
			     .idiag_states = states },
	};

	if (send(f->diag, &ask, sizeof(ask), 0) < 0)
		give_up("sock_diag");
	for (;;) {
		ssize_t n = recv(f->diag, f->text, sizeof(f->text), 0);
		struct nlmsghdr *message = (struct nlmsghdr *)(void *)f->text;

		if (n <= 0)
			give_up("sock_diag");
		for (; NLMSG_OK(message, (size_t)n); message = NLMSG_NEXT(message, n))
			if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR)
				return;
	}
}

static inline void floor_read_sockets(struct floor *f)
{
	static const int families[] = { AF_INET, AF_INET6 };
	bool walk = floor_is_due(&f->walked_s, FLOOR_WALK_S);

	if (pread(f->files[FLOOR_SOCKSTAT], f->text, sizeof(f->text), 0) < 0)
		give_up("sockstat");
	for (unsigned i = 0; i < 2; i++) {
		floor_dump_sockets(f, families[i], IPPROTO_TCP, 1 << TCP_LISTEN);
		if (walk)
			floor_dump_sockets(f, families[i], IPPROTO_TCP, 1 << TCP_ESTABLISHED);
		floor_dump_sockets(f, families[i], IPPROTO_UDP, 1 << TCP_ESTABLISHED | 1 << TCP_CLOSE);
	}
}

static inline void floor_read_process(struct floor *f, const char *name)
{
	int *fd = &f->processes[atoi(name) % FLOOR_PID_MAX];
	char path[NAME_MAX + sizeof("/stat")];

	if (*fd > 0 && pread(*fd, f->text, sizeof(f->text), 0) > 0)
		return;
	if (*fd > 0)
		close(*fd);
	snprintf(path, sizeof(path), "%s/stat", name);
	*fd = openat(dirfd(f->proc), path, O_RDONLY | O_CLOEXEC);
	if (*fd >= 0 && pread(*fd, f->text, sizeof(f->text), 0) < 0) {
		close(*fd);
		*fd = 0;
	}
}

static inline void floor_read_processes(struct floor *f)
{
	const struct dirent *entry;

	rewinddir(f->proc);
	while ((entry = readdir(f->proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			floor_read_process(f, entry->d_name);
}

/* Everything of a full sample. */
static inline void floor_read_full(struct floor *f)
{
	floor_read_system(f);
	for (unsigned i = 0; i < FLOOR_MORE_FILES; i++)
		if (pread(f->more_files[i], f->text, sizeof(f->text), 0) < 0)
			give_up(floor_more_files[i]);
	floor_read_sockets(f);
	floor_read_processes(f);
}

#endif
