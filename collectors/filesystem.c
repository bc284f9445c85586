/* SPDX-License-Identifier: MIT */
/*
 * system.disk.usage_stats: how full each file system is. mountinfo is parsed again only when the kernel says that it
 * changed; statvfs is called here only where it cannot hang, and asked of the prober everywhere else. A file system
 * without an answer of the prober by the time of writing is stale: null, never the former figures.
 */
#include "filesystem.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/libc.h>
#include <infiniservice/collector.h>

#include "mountinfo.h"
#include "procfs.h"
#include "ranked.h"
#include "table.h"

#define GIB (1024.0 * 1024.0 * 1024.0)

/* A file system of no blocks (an interface to something, shown as files) may get some: it is looked at again. */
#define EMPTY_AGAIN_NS (600 * NS_PER_S)

struct usage {
	bool known;
	bool full_by_make;
	int error;
	uint64_t asked_ns; /* when; 0: never */
	uint64_t pace_ns;  /* least time between two requests; 0: at every collect */
	uint64_t total_bytes, used_bytes, free_bytes, available_bytes, inodes_total, inodes_free;
};

/* Bytes of mountinfo: some three hundred mounts. */
#define LONG_TABLE 32768

struct filesystem {
	struct procfs_file mountinfo;
	bool own; /* pid 1's mountinfo may not be read (hidepid, another pid namespace): the agent's own is */
	struct procfs_buffer text;
	struct mount_table table;
	bool is_read;	     /* the text has been, and its table is to be built: the step of a collect in slices */
	struct usage *usage; /* of the table's mounts */
	size_t probe_next;   /* where asking goes on when the prober could not take all */
	uint64_t now_ns;     /* of the last collect */
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
	struct pollfd watched = { .fd = fs->mountinfo.fd, .events = POLLPRI };

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

/* The mount in the former table, NULL when it is new. Mostly it is where it was. */
static const struct usage *usage_before(const struct filesystem *fs, const struct mount *mount, size_t at)
{
	const struct mount_table *table = &fs->table;

	for (size_t n = 0; fs->usage && n < table->count; n++) {
		size_t i = (at + n) % table->count;

		if (table->mounts[i].id == mount->id && table->mounts[i].device_number == mount->device_number)
			return &fs->usage[i];
	}
	return NULL;
}

/* A mount that is not read at every collect keeps its figures and its interval when another mount has come or gone. */
static struct usage *usage_of(const struct filesystem *fs, const struct mount_table *table)
{
	struct usage *usage = calloc(table->count ? table->count : 1, sizeof(*usage));

	for (size_t i = 0; usage && i < table->count; i++) {
		const struct usage *before = usage_before(fs, &table->mounts[i], i);

		if (before)
			usage[i] = *before;
		/* Between two looks lies a whole time-out without a use, and some of the next. */
		usage[i].pace_ns = 2 * table->mounts[i].expires_s * NS_PER_S;
	}
	return usage;
}

/* To read a long table and to build it is a turn of the loop each: COLLECT_MORE in between. */
static int mounts_update(struct filesystem *fs, const struct collect_ctx *ctx)
{
	struct mount_table table = { 0 };
	struct usage *usage = NULL;
	int r = 0;

	if (!fs->is_read) {
		if (!mounts_changed(fs, ctx))
			return 0;
		r = mountinfo_read(fs, ctx);
		fs->is_read = r == 0 && ctx->slice > 0 && fs->text.len > LONG_TABLE;
		if (fs->is_read)
			return COLLECT_MORE;
	}
	fs->is_read = false;
	if (r == 0)
		r = mount_table_build(&table, fs->text.text, fs->text.len);
	if (r == 0) {
		usage = usage_of(fs, &table);
		r = usage ? 0 : -ENOMEM;
	}
	if (r < 0) {
		mount_table_free(&table);
		/* The change has been taken from the kept fd: only a new one makes the next collect look again. */
		procfs_close(&fs->mountinfo);
		return r;
	}
	mount_table_free(&fs->table);
	free(fs->usage);
	fs->table = table;
	fs->usage = usage;
	return 0;
}

/* ----------------------------------------------------------------------------------------------------- how full */

static bool is_fuse(const char *type)
{
	return strncmp(type, "fuse", 4) == 0;
}

/*
 * True for an image, which is full by nature. A FUSE file system does not report being an image, but a writable one has
 * room for a file or a byte.
 */
static bool is_full_by_make(const struct probe_statvfs *v, const char *type)
{
	return is_fuse(type) && v->blocks > 0 && v->bfree == 0 && v->bavail == 0 && v->files > 0 && v->ffree == 0;
}

/* False when the figures contradict each other, as a broken FUSE file system's may. */
static bool usage_fill(struct usage *usage, const struct probe_statvfs *v, const char *type)
{
	struct usage next = { .known = true, .asked_ns = usage->asked_ns, .pace_ns = usage->pace_ns };

	if (v->bfree > v->blocks || __builtin_mul_overflow(v->blocks, v->block_size, &next.total_bytes))
		return false;
	/*
	 * No product below exceeds the first, save for bavail, which some report as a wrapped negative number when
	 * full.
	 */
	next.free_bytes = v->bfree * v->block_size;
	next.used_bytes = (v->blocks - v->bfree) * v->block_size;
	next.available_bytes = v->bavail <= v->blocks ? v->bavail * v->block_size : 0;
	if (v->ffree <= v->files) {
		next.inodes_total = v->files;
		next.inodes_free = v->ffree;
	}
	next.full_by_make = is_full_by_make(v, type);
	*usage = next;
	return true;
}

static void usage_measure(struct usage *usage, const struct mount *mount)
{
	struct statvfs st;

	if (statvfs(mount->mount_point, &st) < 0) {
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

	if (!usage_fill(usage, &v, mount->type))
		usage->error = -EBADMSG;
}

/* Drops the figures, but not the time of the next request. */
static void usage_forget(struct usage *usage, int error)
{
	*usage = (struct usage){ .error = error, .asked_ns = usage->asked_ns, .pace_ns = usage->pace_ns };
}

static bool is_empty(const struct usage *usage)
{
	return usage->known && usage->total_bytes == 0;
}

static bool is_due(const struct usage *usage, uint64_t now_ns)
{
	uint64_t pace_ns = usage->pace_ns;

	if (is_empty(usage) && pace_ns < EMPTY_AGAIN_NS)
		pace_ns = EMPTY_AGAIN_NS;
	return pace_ns == 0 || usage->asked_ns == 0 || now_ns - usage->asked_ns >= pace_ns;
}

/*
 * Asks for every mount that may hang. Once the prober is full the rest waits for the next collect, which then begins
 * there, so that with many such mounts each gets its turn.
 */
static void probes_request(struct filesystem *fs, const struct collect_ctx *ctx)
{
	size_t count = fs->usage ? fs->table.count : 0, start = fs->probe_next < count ? fs->probe_next : 0;

	for (size_t n = 0; ctx->prober && n < count; n++) {
		size_t i = (start + n) % count;
		const struct mount *mount = &fs->table.mounts[i];
		struct usage *usage = &fs->usage[i];
		uint64_t asked_ns = usage->asked_ns;
		struct probe_request request = {
			.kind = PROBE_STATVFS,
			.key = mount->device_number,
			.arg = mount->mount_point,
			.arg_len = strlen(mount->mount_point),
		};
		int r;

		if (mount->class != MOUNT_PROBED || !is_due(usage, ctx->now.mono_ns))
			continue;
		if (request.arg_len > PROBE_ARG_MAX) {
			usage->error = -ENAMETOOLONG;
			continue;
		}
		/* A direct prober answers during the call. */
		usage->asked_ns = ctx->now.mono_ns ? ctx->now.mono_ns : 1;
		r = ctx->prober->request(ctx->prober, &request);
		if (r < 0)
			usage->asked_ns = asked_ns;
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

	if (r != 0)
		return r;
	fs->now_ns = ctx->now.mono_ns;
	for (size_t i = 0; fs->usage && i < fs->table.count; i++) {
		struct usage *usage = &fs->usage[i];

		if (is_due(usage, ctx->now.mono_ns))
			usage_forget(usage, 0);
		if (ctx->live && fs->table.mounts[i].class == MOUNT_LOCAL)
			usage_measure(usage, &fs->table.mounts[i]);
	}
	probes_request(fs, ctx);
	return 0;
}

/* An answer for a mount that has gone meanwhile is dropped. */
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
			usage_forget(usage, 0);
		} else if (result->error < 0) {
			usage_forget(usage, result->error);
		} else if (result->data_len < sizeof(v)) {
			usage_forget(usage, -EBADMSG);
		} else {
			memcpy(&v, result->data, sizeof(v));
			if (!usage_fill(usage, &v, fs->table.mounts[i].type))
				usage_forget(usage, -EBADMSG);
		}
		return;
	}
}

/* ------------------------------------------------------------------------------------------------------ accessors */

/* A file system of no blocks is an interface, not a storage: df(1) leaves it out too. "/" is always shown. */
static bool is_shown(const struct filesystem *fs, size_t at)
{
	return at == 0 || !is_empty(&fs->usage[at]) || strcmp(fs->table.mounts[at].mount_point, "/") == 0;
}

size_t filesystem_count(const void *state)
{
	const struct filesystem *fs = state;
	size_t count = 0;

	for (size_t i = 0; fs && i < fs->table.count; i++)
		count += is_shown(fs, i);
	return count;
}

static void row_fill(const struct filesystem *fs, size_t at, struct filesystem_row *ret)
{
	const struct mount *mount = &fs->table.mounts[at];
	const struct usage *usage = &fs->usage[at];

	*ret = (struct filesystem_row){
		.mount_point = mount->mount_point,
		.device = mount->device,
		.type = mount->type,
		.device_number = mount->device_number,
		.known = usage->known,
		.error = usage->error,
		/* Neither statvfs's flag nor our own mountinfo's: a sandbox makes its view read-only as a whole. */
		.read_only = fs->own ? mount->super_read_only : mount->read_only,
		.age_s = usage->known && usage->pace_ns ? (fs->now_ns - usage->asked_ns) / NS_PER_S : 0,
		.full_by_make = usage->full_by_make,
		.total_bytes = usage->total_bytes,
		.used_bytes = usage->used_bytes,
		.free_bytes = usage->free_bytes,
		.available_bytes = usage->available_bytes,
		.inodes_total = usage->inodes_total,
		.inodes_free = usage->inodes_free,
	};
}

bool filesystem_get(const void *state, size_t index, struct filesystem_row *ret)
{
	const struct filesystem *fs = state;

	for (size_t i = 0; fs && i < fs->table.count; i++) {
		if (!is_shown(fs, i) || index-- > 0)
			continue;
		row_fill(fs, i, ret);
		return true;
	}
	return false;
}

static bool is_among(const char *type, const char *const *types)
{
	for (; *types; types++)
		if (strcmp(type, *types) == 0)
			return true;
	return false;
}

bool filesystem_is_judged(const struct filesystem_row *row)
{
	static const char *const images[] = { "iso9660",
					      "udf",
					      "squashfs",
					      "erofs",
					      "cramfs",
					      "romfs",
					      "fuse.squashfuse",
					      "fuse.squashfuse_ll",
					      "fuse.snapfuse",
					      "fuse.fuseiso",
					      "fuse.archivemount",
					      "fuse.dwarfs",
					      "fuse.ratarmount",
					      "fuse.mount-zip",
					      "fuse.cvmfs2",
					      NULL };

	return !row->read_only && !row->full_by_make && row->total_bytes > 0 && !is_among(row->type, images);
}

bool filesystem_inodes_are_judged(const struct filesystem_row *row)
{
	static const char *const stocks[] = { "ext4",	"ext3",	 "ext2", "xfs",	 "f2fs", "jfs",	   "ufs", "minix",
					      "nilfs2", "ocfs2", "gfs2", "nfs4", "nfs",	 "lustre", NULL };

	return filesystem_is_judged(row) && row->inodes_total > 0 && is_among(row->type, stocks);
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

/* Of what users may fill, as df(1) counts it, and rounded up as it does, but to a hundredth. */
static void percent_emit(struct sink *out, const struct filesystem_row *row)
{
	double room = (double)row->used_bytes + (double)row->available_bytes;
	double hundredths = room > 0 ? (double)row->used_bytes * 10000 / room : 0;
	uint64_t whole = (uint64_t)hundredths;

	if (row->known && room > 0)
		sink_real(out, "used_percent", (double)(whole + ((double)whole < hundredths)) / 100, 2);
	else
		sink_null(out, "used_percent");
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
	sink_whole_begin(out);
	sink_text(out, "device", row->device, strlen(row->device), SINK_PATH_MAX);
	count_emit(out, "total_bytes", row->known, row->total_bytes);
	sink_whole_end(out);
	count_emit(out, "used_bytes", row->known, row->used_bytes);
	count_emit(out, "available_bytes", row->known, row->available_bytes);
	count_emit(out, "inodes_total", inodes, row->inodes_total);
	count_emit(out, "inodes_free", inodes, row->inodes_free);
	sink_whole_begin(out);
	if (row->known)
		sink_bool(out, "read_only", row->read_only);
	else
		sink_null(out, "read_only");
	sink_whole_end(out);
	sink_bool(out, "stale", !row->known);
	count_emit(out, "free_bytes", row->known, row->free_bytes);
	percent_emit(out, row);
	sink_bool(out, "device_error", row->error < 0);
	if (row->age_s > 0)
		sink_uint(out, "age_s", row->age_s);
	if (row->error < 0)
		sink_str(out, "error", strerrorname_np(-row->error));
	sink_object_end(out);
}

static void shown_emit(struct sink *out, uint32_t at, const void *user)
{
	const struct filesystem *fs = user;
	struct filesystem_row row;

	if (!is_shown(fs, at))
		return;
	row_fill(fs, at, &row);
	row_emit(&row, out);
}

/* Of what a user may fill, as df(1) counts it; nothing is known of what is stale. */
static double used_share(const struct usage *usage)
{
	uint64_t room = usage->used_bytes + usage->available_bytes;

	return usage->known && room > 0 ? (double)usage->used_bytes / (double)room : 0;
}

/* "/", then what can be written to and is fullest, then the rest; those that are not shown last. */
static bool mount_before(uint32_t a, uint32_t b, const void *user)
{
	const struct filesystem *fs = user;
	const struct mount *left = &fs->table.mounts[a], *right = &fs->table.mounts[b];
	bool left_root = strcmp(left->mount_point, "/") == 0, right_root = strcmp(right->mount_point, "/") == 0;
	double left_share = used_share(&fs->usage[a]), right_share = used_share(&fs->usage[b]);

	if (is_shown(fs, a) != is_shown(fs, b))
		return is_shown(fs, a);
	if (left_root != right_root)
		return left_root;
	if (left->super_read_only != right->super_read_only)
		return right->super_read_only;
	if (left_share > right_share || left_share < right_share)
		return left_share > right_share;
	return a < b;
}

static void filesystem_emit(const void *state, struct sink *out)
{
	const struct filesystem *fs = state;
	struct ranked list = { .key = "usage_stats",
			       .rank = "/, then fullest first",
			       .count = fs->table.count,
			       .emit = shown_emit,
			       .before = mount_before,
			       .user = fs };
	size_t taken = ranked_emit(out, &list), cut = fs->table.count - taken, hidden = 0;

	for (size_t i = 0; i < fs->table.count; i++)
		hidden += !is_shown(fs, i);
	/* Those that are not shown stand behind all others where the list was ranked. */
	cut = cut > hidden ? cut - hidden : 0;
	if (cut > 0 || fs->table.count < fs->table.total || fs->table.truncated || fs->text.truncated) {
		sink_bool(out, "usage_stats_truncated", true);
		sink_uint(out, "usage_stats_total", fs->table.total);
	}
	if (cut > 0)
		ranked_tell(out, &list, fs->table.noise + hidden + cut);
	sink_whole_begin(out);
	if (cut == 0 && fs->table.noise + hidden > 0)
		sink_uint(out, "usage_stats_left_out", fs->table.noise + hidden);
	sink_whole_end(out);
	if (fs->table.skipped > 0)
		sink_uint(out, "mounts_skipped", fs->table.skipped);
}

const struct collector collector_filesystem = {
	.name = "filesystem",
	.path = "system.disk",
	.reserve_bytes = 3072,
	.whole_keys = "device total_bytes read_only usage_stats_left_out",
	.open = filesystem_open,
	.close = filesystem_close,
	.collect = filesystem_collect,
	.probed = filesystem_probed,
	.emit = filesystem_emit,
};
