/* SPDX-License-Identifier: MIT */
/*
 * Who beside its owner may read what the agent measured: the group that may view, whatever the group of the agent's
 * own user is (for one that somebody started by hand that may be everybody's).
 */
#ifndef AGENT_LOG_READERS_H
#define AGENT_LOG_READERS_H

#include <sys/types.h>

enum log_readers_kind {
	LOG_READERS_OWN,   /* the file's group, whichever that is */
	LOG_READERS_GROUP, /* `gid`, to which each file is given */
	LOG_READERS_NOBODY,
};

struct log_readers {
	enum log_readers_kind kind;
	gid_t gid;
};

/*
 * Whether files can be given to the group here: it is a group of this process, and no sandbox forbids it. 0 or -errno.
 * Nothing is left of the trial.
 */
int log_readers_try(gid_t gid);

/* Gives an open file `mode`, its group's bits only where the group is that of the readers. 0 or -errno. */
int log_readers_give(const struct log_readers *readers, int fd, mode_t mode);

#endif
