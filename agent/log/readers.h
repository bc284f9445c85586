/* SPDX-License-Identifier: MIT */
/*
 * Who may read measurements besides the owner: the viewing group, independent of the group of the agent's user (for an
 * agent started by hand that group may contain everybody).
 */
#ifndef AGENT_LOG_READERS_H
#define AGENT_LOG_READERS_H

#include <sys/types.h>

enum log_readers_kind {
	LOG_READERS_OWN,   /* the file's group as it is */
	LOG_READERS_GROUP, /* `gid`, set on each file */
	LOG_READERS_NOBODY,
};

struct log_readers {
	enum log_readers_kind kind;
	gid_t gid;
};

/*
 * Whether files can be given to the group: this process is a member, and no sandbox forbids it. 0 or -errno. The test
 * file is removed.
 */
int log_readers_try(gid_t gid);

/* Sets `mode` on an open file, with the group's bits only if the group is that of the readers. 0 or -errno. */
int log_readers_give(const struct log_readers *readers, int fd, mode_t mode);

#endif
