/* SPDX-License-Identifier: MIT */
/* What the kernel has only so much of, parsed. */
#ifndef COLLECTORS_LIMITS_H
#define COLLECTORS_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* /proc/sys/fs/file-nr, proc_sys_fs(5): "1024 0 9223372036854775807": allocated, free (0 since Linux 2.6), maximum. */
struct file_nr {
	uint64_t open, max;
};

/* 0, or -EBADMSG (*out untouched). */
int file_nr_parse(const char *text, size_t len, struct file_nr *out);

/* /proc/sys/fs/inode-nr: "84312 1204": inodes in memory, and those of them that nobody uses. */
struct inode_nr {
	uint64_t in_memory, unused;
};

/* 0, or -EBADMSG (*out untouched). */
int inode_nr_parse(const char *text, size_t len, struct inode_nr *out);

#endif
