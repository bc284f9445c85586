/* SPDX-License-Identifier: MIT */
/* /proc/PID/mountinfo, parsed, and which of its mounts are file systems worth listing. */
#ifndef COLLECTORS_MOUNTINFO_H
#define COLLECTORS_MOUNTINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "procfs.h"

/* Lines looked at and mounts listed, at most. */
#define MOUNTINFO_LINES_MAX 32768
#define MOUNT_TABLE_MAX	    1024

/* One line. Texts point into it and are escaped as the kernel has them. */
struct mountinfo_line {
	uint64_t id, parent;
	uint64_t device; /* major << 32 | minor */
	struct scan root, mount_point, type, source;
	struct scan options;  /* of the file system; empty where the line ends before them */
	bool read_only;	      /* the mount or the file system under it */
	bool super_read_only; /* the file system itself is read-only, at all its mounts */
};

/* Parses one line (no '\n'). 0 or -EBADMSG (*out untouched). */
int mountinfo_parse_line(const char *text, size_t len, struct mountinfo_line *out);

/*
 * Writes `field` with its octal escapes (\040 and the like) undone, NUL-terminated, into `out`. Anything that is not an
 * escape of a non-zero byte stays as it is. Returns the length, or -ENAMETOOLONG when it does not fit in `size` bytes.
 */
ssize_t mountinfo_unescape(const struct scan *field, char *out, size_t size);

enum mount_class {
	MOUNT_IGNORED, /* no storage of its own: listed only as "/" */
	MOUNT_LOCAL,   /* listed; statvfs is answered from memory and does not hang */
	MOUNT_PROBED,  /* listed; network, FUSE or unknown: statvfs may hang */
	MOUNT_NOISE,   /* the many mounts of engines, desktops and snapshots: listed only as "/", and counted */
};

/* How a file system of this type on this device is treated. */
enum mount_class mount_classify(const struct scan *type, uint64_t device);

/*
 * True for mounts that container engines, snapshots and helpers make by themselves, which df(1) and the engines' own
 * monitors leave out: layers and datasets below an engine's folder, ".zfs/snapshot", views made by FUSE. False for a
 * disk of its own that is mounted there (a volume).
 */
bool mount_is_noise(const struct mountinfo_line *line);

/* How long an autofs mount waits for the next use, in seconds, from its options ("timeout=300"); 0: for ever. */
uint64_t mountinfo_autofs_timeout_s(const struct scan *options);

/* A mount to list. Texts are NUL-terminated, in the table's arena. */
struct mount {
	uint64_t device_number; /* major << 32 | minor */
	uint64_t id;
	enum mount_class class; /* MOUNT_LOCAL or MOUNT_PROBED */
	bool read_only, super_read_only;
	uint64_t expires_s; /* unused for so long, it is unmounted by autofs (its own or one on the way); 0: it stays */
	const char *mount_point, *device, *type;
};

struct mount_table {
	struct mount *mounts; /* "/" first, then in the order of the text */
	size_t count;
	size_t total;	/* number of mounts without the limit MOUNT_TABLE_MAX */
	size_t noise;	/* left out: see MOUNT_NOISE */
	size_t skipped; /* invalid lines */
	bool truncated; /* there were more lines than MOUNTINFO_LINES_MAX */
	char *arena;
};

/*
 * Chooses the mounts to list, one a device: the mount at "/", else a mount that shows the device's own root rather than
 * a part of it (a bind mount), else a writable mount, else the mount with the shortest mount point. Mounts hidden under
 * another one are left out, and mounts below a mount that may hang, or below autofs, are probed, because their path
 * leads through that mount. Invalid lines are skipped and counted. 0, -ENOMEM or -EBADMSG (no valid line); *out is
 * replaced on success only.
 */
int mount_table_build(struct mount_table *out, const char *text, size_t len);

void mount_table_free(struct mount_table *table);

#endif
