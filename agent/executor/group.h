/* SPDX-License-Identifier: MIT */
/*
 * Own cgroups, where the executor's is writable (root, or delegated by the service manager): a group for the
 * executor, and in it one per slot, used for one command after the other. A command is born inside its group and
 * cgroup.kill ends everything in it at once, forks in flight included. No controllers are switched on. Where any of
 * it is missing the tree walk alone does the work.
 */
#ifndef INFINISERVICE_EXECUTOR_GROUP_H
#define INFINISERVICE_EXECUTOR_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The executor's group. */
struct group_base {
	int fd; /* -1: no cgroups */
	char path[512];
};

/* The group of a slot, named by the pid of its supervisor. */
struct group {
	int fd, kill_fd; /* -1, -1: none */
	bool killed;	 /* since it was made */
	char name[16];
};

/*
 * Finds the directory of one's own cgroup v2 from the texts of /proc/self/cgroup and /proc/self/mountinfo
 * (NUL-terminated). 0, -ENOENT (no cgroup2 mount shows it) or -ENAMETOOLONG.
 */
int group_locate(const char *cgroup, const char *mountinfo, char *out, size_t size);

/* Makes the executor's group; fd is -1 when that is not possible. Removes groups left by executors that are dead. */
struct group_base group_base_open(void);
void group_base_close(struct group_base *base);

/* Makes (or opens) the group of a slot; none when there is no base or no cgroup.kill (before Linux 5.14). */
struct group group_open(const struct group_base *base, pid_t supervisor);
void group_close(struct group *group, const struct group_base *base);

/* SIGKILL to all in it. Does nothing without a group. */
void group_kill(struct group *group);

/*
 * Makes an emptied group fit for the next command: one that was killed is made anew, since Linux 6.18 kills whatever
 * is cloned into a group that has ever been killed (cgroup_css_set_fork compares the kill count of the parent's group
 * with it).
 */
void group_renew(struct group *group, const struct group_base *base, pid_t supervisor);

#endif
