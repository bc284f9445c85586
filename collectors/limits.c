/* SPDX-License-Identifier: MIT */
/*
 * data.limits: what the kernel has only so much of, and how much of it is in use: open files, inodes, threads, tracked
 * connections, and the entropy of its random numbers. Each has a text of its own in /proc/sys.
 */
#include "limits.h"

#include <errno.h>
#include <stdlib.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "attr.h"
#include "host.h"
#include "procfs.h"
#include "table.h"

/* ------------------------------------------------------------------------------------------------------ parsing */

int file_nr_parse(const char *text, size_t len, struct file_nr *out)
{
	struct scan rest = scan_text(text, len), line;
	struct file_nr nr;
	uint64_t unused;

	if (!scan_line(&rest, &line) || !scan_u64(&line, &nr.open) || !scan_u64(&line, &unused) ||
	    !scan_u64(&line, &nr.max))
		return -EBADMSG;
	*out = nr;
	return 0;
}

int inode_nr_parse(const char *text, size_t len, struct inode_nr *out)
{
	struct scan rest = scan_text(text, len), line;
	struct inode_nr nr;

	if (!scan_line(&rest, &line) || !scan_u64(&line, &nr.in_memory) || !scan_u64(&line, &nr.unused))
		return -EBADMSG;
	*out = nr;
	return 0;
}

/* ---------------------------------------------------------------------------------------------------- collecting */

struct limits {
	struct file_nr files;
	struct inode_nr inodes;
	uint64_t threads, threads_max, pid_max;
	uint64_t connections, connections_max;
	uint64_t entropy_bits, pool_bits;
	int files_error, inodes_error, threads_error, connections_error, entropy_error;
};

static int limits_open(const struct collect_ctx *ctx, void **ret_state)
{
	(void)ctx;
	*ret_state = calloc(1, sizeof(struct limits));
	return *ret_state ? 0 : -ENOMEM;
}

static void limits_close(void *state)
{
	free(state);
}

/* The first of two errors. */
static int either(int a, int b)
{
	return a < 0 ? a : b;
}

static int files_read(int proc_fd, struct file_nr *files)
{
	char text[128];
	ssize_t n = procfs_read_once(proc_fd, "sys/fs/file-nr", text, sizeof(text));

	return n < 0 ? (int)n : file_nr_parse(text, (size_t)n, files);
}

static int inodes_read(int proc_fd, struct inode_nr *inodes)
{
	char text[128];
	ssize_t n = procfs_read_once(proc_fd, "sys/fs/inode-nr", text, sizeof(text));

	return n < 0 ? (int)n : inode_nr_parse(text, (size_t)n, inodes);
}

static int threads_read(int proc_fd, uint64_t *ret)
{
	char text[128];
	ssize_t n = procfs_read_once(proc_fd, "loadavg", text, sizeof(text));
	struct host_load load;
	int r = n < 0 ? (int)n : loadavg_parse(text, (size_t)n, &load);

	*ret = r < 0 ? ATTR_ABSENT : load.threads;
	return r;
}

/* What cannot be read is null; nothing that can is a failure. */
static int limits_collect(void *state, const struct collect_ctx *ctx)
{
	struct limits *limits = state;
	int fd = ctx->proc_fd;

	limits->files_error = files_read(fd, &limits->files);
	limits->inodes_error = inodes_read(fd, &limits->inodes);
	limits->threads_error = threads_read(fd, &limits->threads);
	limits->threads_error =
		either(limits->threads_error, attr_u64(fd, "sys/kernel/threads-max", &limits->threads_max));
	limits->threads_error = either(limits->threads_error, attr_u64(fd, "sys/kernel/pid_max", &limits->pid_max));
	limits->connections_error = attr_u64(fd, "sys/net/netfilter/nf_conntrack_count", &limits->connections);
	limits->connections_error = either(limits->connections_error, attr_u64(fd, "sys/net/netfilter/nf_conntrack_max",
									       &limits->connections_max));
	limits->entropy_error = attr_u64(fd, "sys/kernel/random/entropy_avail", &limits->entropy_bits);
	limits->entropy_error =
		either(limits->entropy_error, attr_u64(fd, "sys/kernel/random/poolsize", &limits->pool_bits));
	if (limits->files_error < 0 && limits->inodes_error < 0 && limits->threads == ATTR_ABSENT &&
	    limits->pid_max == ATTR_ABSENT)
		return limits->files_error;
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void resource_emit(struct sink *out, const char *name, const char *keys[2], uint64_t a, uint64_t b, int error)
{
	sink_object_begin(out, name);
	attr_emit(out, keys[0], a);
	attr_emit(out, keys[1], b);
	if (error < 0)
		sink_str(out, "reason", attr_reason(error));
	sink_object_end(out);
}

static void limits_emit(const void *state, struct sink *out)
{
	const struct limits *limits = state;
	bool files = limits->files_error == 0, inodes = limits->inodes_error == 0;
	/* Counted one after the other: for a moment there may be more unused ones than there were. */
	uint64_t used =
		limits->inodes.in_memory > limits->inodes.unused ? limits->inodes.in_memory - limits->inodes.unused : 0;

	resource_emit(out, "files", (const char *[2]){ "open", "max" }, files ? limits->files.open : ATTR_ABSENT,
		      files ? limits->files.max : ATTR_ABSENT, limits->files_error);
	resource_emit(out, "inodes", (const char *[2]){ "used", "unused" }, inodes ? used : ATTR_ABSENT,
		      inodes ? limits->inodes.unused : ATTR_ABSENT, limits->inodes_error);
	sink_object_begin(out, "threads");
	attr_emit(out, "used", limits->threads);
	attr_emit(out, "max", limits->threads_max);
	attr_emit(out, "pid_max", limits->pid_max);
	if (limits->threads_error < 0)
		sink_str(out, "reason", attr_reason(limits->threads_error));
	sink_object_end(out);
	resource_emit(out, "conntrack", (const char *[2]){ "used", "max" }, limits->connections,
		      limits->connections_max, limits->connections_error);
	resource_emit(out, "entropy", (const char *[2]){ "available_bits", "pool_bits" }, limits->entropy_bits,
		      limits->pool_bits, limits->entropy_error);
}

const struct collector collector_limits = {
	.name = "limits",
	.path = "limits",
	.period_s = 10,
	.open = limits_open,
	.close = limits_close,
	.collect = limits_collect,
	.emit = limits_emit,
};
