/* SPDX-License-Identifier: MIT */
/*
 * Which file systems a freeze is about, and in which order: pure functions over the text of /proc/PID/mountinfo
 * (proc(5)). One entry a superblock, the newest first, and a file system on a loop device before the one that holds its
 * file: the other way round the inner one could not write what it still has to, and the freeze would hang in it.
 */
#ifndef AGENT_FREEZE_MOUNTS_H
#define AGENT_FREEZE_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* File systems of one freeze, and mounts that are looked at; beyond either nothing is frozen (-E2BIG). */
#define FREEZE_TARGETS_MAX 512
#define FREEZE_MOUNTS_MAX  32768

struct freeze_mount {
	uint64_t id;	 /* of the mount, as /proc/PID/fdinfo has it (mnt_id) */
	uint64_t device; /* major << 32 | minor of the superblock */
	const char *path;
	bool eligible;		/* its file system has a device of its own, is not read-only and not in user space */
	bool lazytime, dirsync; /* flags of the superblock that statfs(2) does not tell */
};

struct freeze_mounts {
	struct freeze_mount *mounts; /* in the order of the text */
	size_t count;
	size_t targets[FREEZE_TARGETS_MAX]; /* the oldest mount of each superblock, in the order to be frozen */
	size_t target_count;
	char *arena;
};

/*
 * Reads the text. `wanted`: mount points, NULL at the end, of which alone the file systems are taken; NULL: all. A
 * wanted one that is no mount point is left out, as qemu-ga does. 0, -ENOMEM, -E2BIG or -EBADMSG (no valid line).
 */
int freeze_mounts_read(struct freeze_mounts *out, const char *text, size_t len, const char *const *wanted);
void freeze_mounts_free(struct freeze_mounts *mounts);

/* The next mount of the superblock `device` from index `from` on, by which it can be reached; `count`: no more. */
size_t freeze_mounts_next(const struct freeze_mounts *mounts, uint64_t device, size_t from);

/* The superblock that holds the file at the absolute `path`; 0: unknown. */
uint64_t freeze_mounts_device_at(const struct freeze_mounts *mounts, const char *path);

/*
 * Backing file number `i` of the block device, through partitions, dm and md, as a path in `out`; false: there is no
 * such (sysfs, block/loopN/loop/backing_file).
 */
typedef bool (*freeze_backing_fn)(void *data, uint64_t device, unsigned i, char *out, size_t size);

/* Puts what stands on a loop device before the file system with its file. */
void freeze_mounts_order(struct freeze_mounts *mounts, freeze_backing_fn backing, void *data);

/* freeze_backing_fn over sysfs; `data` points to a descriptor of its directory (/sys). */
bool freeze_backing_sysfs(void *data, uint64_t device, unsigned i, char *out, size_t size);

#endif
