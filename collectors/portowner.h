/* SPDX-License-Identifier: MIT */
/*
 * The owners of sockets: inode → process, found by the prober's walk over /proc/PID/fd. The prober is asked
 * about new inodes only; an answer holds until the socket or the process ends. Without sufficient rights the walk finds
 * nothing; it is repeated at growing intervals, as missing rights and races cannot be told apart.
 */
#ifndef COLLECTORS_PORTOWNER_H
#define COLLECTORS_PORTOWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/collector.h>

#include "idmap.h"
#include "pidstat.h"

#define PORTOWNERS_MAX 4096U

enum portowner_state {
	PORTOWNER_NEW,	   /* to be asked about */
	PORTOWNER_ASKED,   /* in the request under way */
	PORTOWNER_KNOWN,   /* pid is valid */
	PORTOWNER_UNKNOWN, /* the walk did not find it */
};

struct portowner {
	uint64_t inode;
	enum portowner_state state;
	bool seen;    /* in the dump being taken */
	bool listens; /* its executable is of interest, too */
	bool named;   /* start_ticks and comm are valid */
	uint8_t comm_len, tries;
	pid_t pid;
	uint64_t start_ticks;
	uint64_t checked_ns; /* when the process was last seen to live */
	uint64_t retry_ns;   /* not to be asked about again before */
	uint64_t exe_asked_ns;
	char *exe; /* NULL: not known or not permitted */
	size_t exe_len;
	char comm[PIDSTAT_COMM_MAX];
};

/* Zeroed is empty. */
struct portowners {
	struct portowner *items;
	size_t count, size;
	struct idmap by_inode;
	uint64_t asked_ns; /* of the request under way; 0: none is */
	int proc_fd;	   /* of the last update: the directory outlives the collector */
};

/*
 * Notes a socket with this inode, that listens or has a peer. 0 (also when there are too many: those that were noted
 * first are kept) or -ENOMEM.
 */
int portowners_see(struct portowners *owners, uint64_t inode, bool listens);

/*
 * To be called when all sockets of a dump have been noted: forgets the others, checks whether the known processes still
 * live, and asks the prober about new inodes. 0 or -ENOMEM.
 */
int portowners_update(struct portowners *owners, const struct collect_ctx *ctx);

/* An answer of the prober: PROBE_SOCKETS or PROBE_PROCESS. */
void portowners_probed(struct portowners *owners, const struct probe_result *result);

/* NULL when nothing is known of the inode. */
const struct portowner *portowners_find(const struct portowners *owners, uint64_t inode);

void portowners_free(struct portowners *owners);

#endif
