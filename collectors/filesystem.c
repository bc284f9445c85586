/* SPDX-License-Identifier: MIT */
/*
 * system.disk.usage_stats: how full each file system is. mountinfo is parsed again only when the kernel says that it
 * changed; statvfs is called here only where it cannot hang, and asked of the prober everywhere else. What the prober
 * has not answered by the time of writing is stale: null, never the former figures.
 */
#include "filesystem.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "mountinfo.h"
#include "procfs.h"
#include "table.h"

#define GIB (1024.0 * 1024.0 * 1024.0)

struct usage {
	bool known;
	int error;
	uint64_t total_bytes, used_bytes, available_bytes, inodes_total, inodes_free;
};

struct filesystem {
	struct procfs_file mountinfo;
	bool own; /* pid 1's mountinfo may not be read (hidepid, another pid namespace): the agent's own is */
	struct procfs_buffer text;
	struct mount_table table;
	struct usage *usage; /* of the table's mounts */
	size_t probe_next;   /* where asking goes on when the prober could not take all */
};

static int filesystem_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct filesystem *fs = calloc(1, sizeof(*fs));

	(void)ctx;
	if (!fs)
		return -ENOMEM;
	fs->mountinfo = PROCFS_FILE;
	*ret_state = fs;
	return 0;
}

static void filesystem_close(void *state)
{
	struct filesystem *fs = state;

	if (!fs)
		return;
	procfs_close(&fs->mountinfo);
	procfs_buffer_free(&fs->text);
	mount_table_free(&fs->table);
	free(fs->usage);
	free(fs);
}

/* ------------------------------------------------------------------------------------------------- what is mounted */

/*
 * The kernel marks a kept mountinfo fd with POLLERR and POLLPRI when a mount came or went since the last poll
 * (mounts_poll in fs/proc_namespace.c): one system call instead of reading and comparing the whole text. A fixture's
 * file cannot tell.
 */
static bool mounts_changed(const struct filesystem *fs, const struct collect_ctx *ctx)
{
	struct pollfd watched = {.fd = fs->mountinfo.fd, .events = POLLPRI};

	if (watched.fd < 0 || !fs->usage || !ctx->live)
		return true;
	return poll(&watched, 1, 0) != 0;
}

static int mountinfo_read(struct filesystem *fs, const struct collect_ctx *ctx)
{
	int r;

	if (!fs->own) {
		r = procfs_read(&fs->mountinfo, ctx->proc_fd, "1/mountinfo", &fs->text);
		if (r == 0 && fs->text.len > 0)
			return 0;
		if (r < 0 && r != -EACCES && r != -EPERM && r != -ENOENT && r != -EINVAL)
			return r;
		procfs_close(&fs->mountinfo);
	}
	r = procfs_read(&fs->mountinfo, ctx->proc_fd, "self/mountinfo", &fs->text);
	fs->own = r == 0;
	return r;
}

static int mounts_update(struct filesystem *fs, const struct collect_ctx *ctx)
{
	struct usage *usage;
	int r;

	if (!mounts_changed(fs, ctx))
		return 0;
	r = mountinfo_read(fs, ctx);
	if (r == 0)
		r = mount_table_build(&fs->table, fs->text.text, fs->text.len);
	if (r == 0) {
		usage = calloc(fs->table.count ? fs->table.count : 1, sizeof(*usage));
		if (usage) {
			free(fs->usage);
			fs->usage = usage;
			return 0;
		}
		/* The old figures are of other rows. */
		mount_table_free(&fs->table);
		r = -ENOMEM;
	}
	/* The change has been taken from the kept fd: only a new one makes the next collect look again. */
	procfs_close(&fs->mountinfo);
	return r;
}

/* ----------------------------------------------------------------------------------------------------- how full */

/* False when the figures contradict each other, as a broken FUSE file system's may. */
static bool usage_fill(struct usage *usage, const struct probe_statvfs *v)
{
	struct usage next = {.known = true};

	if (v->bfree > v->blocks || __builtin_mul_overflow(v->blocks, v->block_size, &next.total_bytes))
		return false;
	/* No product below exceeds the first, save for bavail, which some report as a wrapped negative number when
	 * full. */
	next.used_bytes = (v->blocks - v->bfree) * v->block_size;
	next.available_bytes = v->bavail <= v->blocks ? v->bavail * v->block_size : 0;
	if (v->ffree <= v->files) {
		next.inodes_total = v->files;
		next.inodes_free = v->ffree;
	}
	*usage = next;
	return true;
}

static void usage_measure(struct usage *usage, const char *mount_point)
{
	struct statvfs st;

	if (statvfs(mount_point, &st) < 0) {
		usage->error = -errno;
		return;
	}
	struct probe_statvfs v = {
		.block_size = st.f_frsize,
		.blocks = st.f_blocks,
		.bfree = st.f_bfree,
		.bavail = st.f_bavail,
		.files = st.f_files,
		.ffree = st.f_ffree,
		.flags = st.f_flag,
	};

	if (!usage_fill(usage, &v))
		usage->error = -EBADMSG;
}

/*
 * Asks for every mount that may hang. Once the prober is full the rest waits for the next collect, which then begins
 * there, so that with many such mounts each gets its turn.
 */
static void probes_request(struct filesystem *fs, const struct collect_ctx *ctx)
{
	size_t count = fs->table.count, start = fs->probe_next < count ? fs->probe_next : 0;

	for (size_t n = 0; ctx->prober && n < count; n++) {
		size_t i = (start + n) % count;
		const struct mount *mount = &fs->table.mounts[i];
		struct probe_request request = {
			.kind = PROBE_STATVFS,
			.key = mount->device_number,
			.arg = mount->mount_point,
			.arg_len = strlen(mount->mount_point),
		};
		int r;

		if (mount->class != MOUNT_PROBED)
			continue;
		if (request.arg_len > PROBE_ARG_MAX) {
			fs->usage[i].error = -ENAMETOOLONG;
			continue;
		}
		r = ctx->prober->request(ctx->prober, &request);
		if (r == -ENOBUFS) {
			fs->probe_next = i;
			return;
		}
	}
}

static int filesystem_collect(void *state, const struct collect_ctx *ctx)
{
	struct filesystem *fs = state;
	int r = mounts_update(fs, ctx);

	if (r < 0)
		return r;
	for (size_t i = 0; i < fs->table.count; i++) {
		fs->usage[i] = (struct usage){0};
		if (ctx->live && fs->table.mounts[i].class == MOUNT_LOCAL)
			usage_measure(&fs->usage[i], fs->table.mounts[i].mount_point);
	}
	probes_request(fs, ctx);
	return 0;
}

/* An answer may be for a mount that has gone meanwhile: then nobody waits for it. */
static void filesystem_probed(void *state, const struct probe_result *result)
{
	struct filesystem *fs = state;
	struct probe_statvfs v;

	if (result->kind != PROBE_STATVFS)
		return;
	for (size_t i = 0; i < fs->table.count; i++) {
		struct usage *usage = &fs->usage[i];

		if (fs->table.mounts[i].device_number != result->key || fs->table.mounts[i].class != MOUNT_PROBED)
			continue;
		if (result->error == -ETIMEDOUT) {
			*usage = (struct usage){0};
		} else if (result->error < 0) {
			*usage = (struct usage){.error = result->error};
		} else if (result->data_len < sizeof(v)) {
			*usage = (struct usage){.error = -EBADMSG};
		} else {
			memcpy(&v, result->data, sizeof(v));
			if (!usage_fill(usage, &v))
				*usage = (struct usage){.error = -EBADMSG};
		}
		return;
	}
}

/* ------------------------------------------------------------------------------------------------------ accessors */

size_t filesystem_count(const void *state)
{
	return state ? ((const struct filesystem *)state)->table.count : 0;
}

bool filesystem_get(const void *state, size_t index, struct filesystem_row *ret)
{
	const struct filesystem *fs = state;
	const struct mount *mount;
	const struct usage *usage;

	if (index >= filesystem_count(state))
		return false;
	mount = &fs->table.mounts[index];
	usage = &fs->usage[index];
	*ret = (struct filesystem_row){
		.mount_point = mount->mount_point,
		.device = mount->device,
		.type = mount->type,
		.device_number = mount->device_number,
		.known = usage->known,
		.error = usage->error,
		/* Not statvfs's flag: that is of our own view, which a sandbox makes read-only as a whole. */
		.read_only = mount->read_only,
		.total_bytes = usage->total_bytes,
		.used_bytes = usage->used_bytes,
		.available_bytes = usage->available_bytes,
		.inodes_total = usage->inodes_total,
		.inodes_free = usage->inodes_free,
	};
	return true;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void gib_emit(struct sink *out, const char *key, bool known, uint64_t bytes)
{
	if (known)
		sink_real(out, key, (double)bytes / GIB, 3);
	else
		sink_null(out, key);
}

static void count_emit(struct sink *out, const char *key, bool known, uint64_t value)
{
	if (known)
		sink_uint(out, key, value);
	else
		sink_null(out, key);
}

static void row_emit(const struct filesystem_row *row, struct sink *out)
{
	bool inodes = row->known && row->inodes_total > 0;

	sink_object_begin(out, NULL);
	sink_text(out, "mount_point", row->mount_point, strlen(row->mount_point), SINK_PATH_MAX);
	gib_emit(out, "total_gb", row->known, row->total_bytes);
	gib_emit(out, "used_gb", row->known, row->used_bytes);
	gib_emit(out, "available_gb", row->known, row->available_bytes);
	sink_text(out, "filesystem", row->type, strlen(row->type), SINK_COMM_MAX);
	sink_text(out, "device", row->device, strlen(row->device), SINK_PATH_MAX);
	count_emit(out, "total_bytes", row->known, row->total_bytes);
	count_emit(out, "used_bytes", row->known, row->used_bytes);
	count_emit(out, "available_bytes", row->known, row->available_bytes);
	count_emit(out, "inodes_total", inodes, row->inodes_total);
	count_emit(out, "inodes_free", inodes, row->inodes_free);
	if (row->known)
		sink_bool(out, "read_only", row->read_only);
	else
		sink_null(out, "read_only");
	sink_bool(out, "stale", !row->known);
	if (row->error < 0)
		sink_str(out, "error", strerrorname_np(-row->error));
	sink_object_end(out);
}

static void filesystem_emit(const void *state, struct sink *out)
{
	const struct filesystem *fs = state;
	struct filesystem_row row;
	size_t listed = 0;

	sink_array_begin(out, "usage_stats");
	for (; filesystem_get(fs, listed, &row); listed++) {
		struct sink_mark mark = sink_mark(out);

		row_emit(&row, out);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			break;
		}
	}
	sink_array_end(out);
	if (listed < fs->table.total || fs->text.truncated) {
		sink_bool(out, "usage_stats_truncated", true);
		sink_uint(out, "usage_stats_total", fs->table.total);
	}
}

const struct collector collector_filesystem = {
	.name = "filesystem",
	.path = "system.disk",
	.open = filesystem_open,
	.close = filesystem_close,
	.collect = filesystem_collect,
	.probed = filesystem_probed,
	.emit = filesystem_emit,
};
