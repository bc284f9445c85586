/* SPDX-License-Identifier: MIT */
/*
 * The texts of the kernel and of the system that this language shows: pure parsers over bytes and length, and small
 * files read whole. Layouts: proc(5), utmp(5), Documentation/ABI/ of the kernel.
 */
#ifndef AGENT_QGA_TEXTS_H
#define AGENT_QGA_TEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectors/procfs.h"

/* Reads at most `size` - 1 bytes of a file below `dir_fd` and ends them with NUL. The length, or -errno. */
ssize_t qga_read(int dir_fd, const char *path, char *text, size_t size);

/* The same as an unsigned number of this base. False: it cannot be read, or is none. */
bool qga_read_number(int dir_fd, const char *path, unsigned base, uint64_t *ret);

/* ---- users: /run/utmp */

struct qga_user {
	char name[33];
	int64_t login_us; /* since 1970 */
};

/*
 * The users of the records of `text` (struct utmp of the machine), each once with the earliest login. At most `max`;
 * returns their number. Half a record at the end is left out.
 */
size_t qga_users_parse(const char *text, size_t len, struct qga_user *out, size_t max);

/* ---- routes: /proc/net/route and /proc/net/ipv6_route */

struct qga_route {
	char iface[32];
	bool ipv6;
	uint8_t destination[16], gateway[16], source[16], mask[4];
	unsigned prefix, source_prefix; /* of IPv6 */
	uint64_t metric, flags, refcnt, use, mtu, window, irtt;
};

/* One line (not the heading). 0 or -EBADMSG. */
int qga_route_parse(struct scan line, struct qga_route *out);
int qga_route6_parse(struct scan line, struct qga_route *out);

/* ---- /proc/diskstats: all columns. Documentation/admin-guide/iostats.rst */

#define QGA_DISK_COLUMNS 17

struct qga_diskstats {
	uint64_t major, minor;
	struct scan name;
	unsigned count; /* columns that there are: 11 before Linux 4.18, 15 before 5.5 */
	uint64_t columns[QGA_DISK_COLUMNS];
};

/* The name may hold blanks: it ends where numbers alone follow. 0 or -EBADMSG. */
int qga_diskstats_parse(struct scan line, struct qga_diskstats *out);

/* ---- /proc/stat: the times of one processor, in ticks */

#define QGA_CPU_TIMES 10

struct qga_cpustats {
	uint64_t cpu;
	unsigned count; /* times that there are */
	uint64_t ticks[QGA_CPU_TIMES];
};

/* A line "cpuN …"; -ENOENT for any other line, -EBADMSG for a malformed one. */
int qga_cpustats_parse(struct scan line, struct qga_cpustats *out);

/* ---- the place of a disk in the machine, by the path of its device in sysfs */

struct qga_disk_path {
	bool pci;
	unsigned domain, bus, slot, function; /* of the last PCI device on the way */
	size_t pci_len;			      /* of the path up to and with it */
	bool has_host, has_target;
	unsigned host;	    /* "/hostN/" */
	unsigned target[3]; /* channel, id and lun of "/targetH:C:T/H:C:T:L" */
	bool virtio;	    /* "/virtioN/" */
	bool virtual;	    /* below devices/virtual/block: made of others */
};

/* `path` is that of a block device, "devices/pci0000:00/0000:00:02.0/virtio0/block/vda". */
void qga_disk_path_parse(const char *path, struct qga_disk_path *out);

#endif
