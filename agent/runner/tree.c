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
#include <infiniservice/moment.h>

#include "agent/runner/protocol.h"

#define PF_KTHREAD     0x00200000 /* linux/sched.h */
#define TREE_MAX       65536	  /* processes of the machine examined in one pass */
#define ROUND_FIRST_NS (2 * NS_PER_MS)
#define ROUND_MAX_NS   (500 * NS_PER_MS)

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

int tree_stat_read(pid_t pid, struct tree_process *ret)
{
	_cleanup_(closep) int fd = -1;
	char path[32], text[1024];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? -1 : read(fd, text, sizeof(text));
	return len < 0 ? -errno : tree_stat_parse(text, (size_t)len, ret);
}

static bool pid_in(pid_t pid, const pid_t *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == pid)
			return true;
	return false;
}

int tree_signal(int sig, const pid_t *except, size_t count)
{
	size_t processes = 0, known = 0;
	DIR *proc = opendir("/proc");
	pid_t self = getpid(), parent = self;

	if (!proc)
		return -errno;
	/* All processes; those that vanish meanwhile are skipped. */
	for (const struct dirent *entry; processes < TREE_MAX && (entry = readdir(proc));)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    tree_stat_read((pid_t)strtol(entry->d_name, NULL, 10), &table[processes]) == 0)
			processes++;
	closedir(proc);
	/* Breadth first from this process: `found` are the indices of its descendants in `table`. */
	for (size_t next = 0; next <= known; next++) {
		for (size_t i = 0; i < processes && known < TREE_MAX; i++)
			if (table[i].parent == parent && !table[i].dead && !pid_in(table[i].pid, except, count))
				found[known++] = (uint32_t)i;
		if (next < known)
			parent = table[found[next]].pid;
	}
	/* A child keeps its pid until it is reaped; any other pid may have been reused since the table was read. */
	for (size_t i = 0; i < known; i++) {
		const struct tree_process *p = &table[found[i]];
		_cleanup_(closep) int fd = p->parent == self ? -1 : (int)syscall(SYS_pidfd_open, p->pid, 0);
		struct tree_process again;

		if (p->parent == self)
			kill(p->pid, sig);
		else if (fd >= 0 && tree_stat_read(p->pid, &again) == 0 && again.start_ticks == p->start_ticks)
			syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
	}
	return (int)known;
}

/* ------------------------------------------------------------------------------------------------------- deadlines */

struct deadlines deadlines_make(uint64_t term_ns, uint64_t kill_ns)
{
	return (struct deadlines){ .term_ns = term_ns,
				   .kill_ns = kill_ns,
				   .stuck_ns = TIME_NEVER,
				   .round_ns = TIME_NEVER,
				   .round_gap_ns = ROUND_FIRST_NS };
}

void deadlines_cancel(struct deadlines *deadlines, uint64_t kill_ns)
{
	deadlines->flags |= RUNNER_CANCELLED;
	deadlines->term_ns = 0;
	if (kill_ns < deadlines->kill_ns)
		deadlines->kill_ns = kill_ns;
}

enum deadline deadlines_pass(struct deadlines *deadlines, uint64_t now)
{
	uint32_t cause = deadlines->flags & RUNNER_CANCELLED ? 0 : RUNNER_TIMED_OUT;

	if (now >= deadlines->kill_ns) {
		deadlines->flags |= RUNNER_KILLED | cause;
		deadlines->term_ns = deadlines->kill_ns = TIME_NEVER;
		deadlines->stuck_ns = now + RUNNER_STUCK_MS * NS_PER_MS;
		return DEADLINE_KILL;
	}
	if (now >= deadlines->term_ns) {
		deadlines->flags |= cause;
		deadlines->term_ns = TIME_NEVER;
		return DEADLINE_TERM;
	}
	if (now >= deadlines->stuck_ns) {
		deadlines->stuck_ns = TIME_NEVER;
		return DEADLINE_STUCK;
	}
	return DEADLINE_NONE;
}

uint64_t deadlines_next(const struct deadlines *deadlines)
{
	const uint64_t times[] = { deadlines->term_ns, deadlines->kill_ns, deadlines->stuck_ns, deadlines->round_ns };
	uint64_t next = TIME_NEVER;

	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		next = times[i] < next ? times[i] : next;
	return next;
}

bool tree_enforce(struct deadlines *deadlines, pid_t root, uint64_t now)
{
	enum deadline passed = deadlines_pass(deadlines, now);

	if (passed == DEADLINE_KILL)
		deadlines->round_ns = 0;
	if (passed == DEADLINE_TERM) {
		tree_signal(SIGTERM, NULL, 0);
		tree_signal(SIGCONT, NULL, 0); /* a stopped process receives SIGTERM only after SIGCONT */
	}
	if (now >= deadlines->round_ns) {
		if (root > 0)
			kill(root, SIGKILL);
		tree_signal(SIGKILL, NULL, 0);
		deadlines->round_ns = now + deadlines->round_gap_ns;
		deadlines->round_gap_ns *= 2;
		if (deadlines->round_gap_ns > ROUND_MAX_NS)
			deadlines->round_gap_ns = ROUND_MAX_NS;
	}
	return passed == DEADLINE_STUCK;
}
