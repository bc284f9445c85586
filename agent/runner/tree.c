/* SPDX-License-Identifier: MIT */
#include "agent/runner/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define PF_KTHREAD 0x00200000 /* linux/sched.h */
#define TREE_MAX   65536      /* processes of the machine examined in one pass */

/* Pages are allocated on first use: only when a command leaves descendants behind. */
static struct tree_process table[TREE_MAX];
static uint32_t found[TREE_MAX];

int tree_stat_parse(const char *text, size_t len, struct tree_process *ret)
{
	struct tree_process p = { 0 };
	const char *name_end = memrchr(text, ')', len);
	char tail[512], state;
	unsigned flags;
	size_t left;

	if (!name_end || len - (size_t)(name_end - text) < 2)
		return -EBADMSG;
	name_end++;
	left = len - (size_t)(name_end - text);
	if (left >= sizeof(tail))
		left = sizeof(tail) - 1;
	memcpy(tail, name_end, left);
	tail[left] = '\0';
	/* Fields 3, 4, 9 and 22, see proc(5). */
	if (sscanf(tail, " %c %d %*s %*s %*s %*s %u %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64, &state,
		   &p.parent, &flags, &p.start_ticks) != 4)
		return -EBADMSG;
	p.pid = (pid_t)strtol(text, NULL, 10);
	if (p.pid <= 0)
		return -EBADMSG;
	p.dead = state == 'Z' || state == 'X';
	p.kernel = flags & PF_KTHREAD;
	*ret = p;
	return 0;
}

static int stat_read(int proc_fd, const char *pid, struct tree_process *ret)
{
	_cleanup_(closep) int fd = -1;
	char path[32], text[1024];
	ssize_t len;

	snprintf(path, sizeof(path), "%.20s/stat", pid);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, text, sizeof(text));
	return len < 0 ? -errno : tree_stat_parse(text, (size_t)len, ret);
}

/* Reads all processes into `table`; those that vanish meanwhile are skipped. Their number or -errno. */
static int64_t table_read(DIR *proc)
{
	size_t count = 0;
	struct dirent *entry;

	while (count < TREE_MAX && (entry = readdir(proc)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    stat_read(dirfd(proc), entry->d_name, &table[count]) == 0)
			count++;
	return (int64_t)count;
}

static bool pid_in(pid_t pid, const pid_t *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == pid)
			return true;
	return false;
}

/* Searches breadth first from this process; fills `found` with indices of `table`. Their number. */
static size_t descendants_find(size_t processes, const pid_t *except, size_t count)
{
	size_t known = 0, next = 0;
	pid_t parent = getpid();

	for (;;) {
		for (size_t i = 0; i < processes && known < TREE_MAX; i++)
			if (table[i].parent == parent && !table[i].dead && !pid_in(table[i].pid, except, count))
				found[known++] = (uint32_t)i;
		if (next == known)
			return known;
		parent = table[found[next++]].pid;
	}
}

/*
 * Sends `sig` to the process. A child keeps its pid until it is reaped; any other pid may have been reused since the
 * table was read.
 */
static void process_signal(int proc_fd, const struct tree_process *p, int sig)
{
	_cleanup_(closep) int fd = -1;
	struct tree_process again;
	char pid[16];

	if (p->parent == getpid()) {
		kill(p->pid, sig);
		return;
	}
	fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	snprintf(pid, sizeof(pid), "%d", p->pid);
	if (fd < 0 || stat_read(proc_fd, pid, &again) < 0 || again.start_ticks != p->start_ticks)
		return;
	syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
}

int tree_signal(int sig, const pid_t *except, size_t count)
{
	DIR *proc = opendir("/proc");
	size_t known;

	if (!proc)
		return -errno;
	known = descendants_find((size_t)table_read(proc), except, count);
	for (size_t i = 0; i < known; i++)
		process_signal(dirfd(proc), &table[found[i]], sig);
	closedir(proc);
	return (int)known;
}
