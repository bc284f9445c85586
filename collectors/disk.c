/* SPDX-License-Identifier: MIT */
/*
 * system.disk.io_stats: bytes and operations per second over the whole disks of the guest, and each device's share.
 *
 * A byte written to a file system on LVM passes through dm-0 and vda and is counted by both; the totals take the disks
 * at the bottom only. A device may get its members after it was first seen: a device that might be stacked, and has
 * been used since, is checked again before it is counted. Totals are sums of the devices' differences, so that a disk
 * plugged in or out makes no spike.
 */
#include "disk.h"

#include <errno.h>
#include <stdlib.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "diskkind.h"
#include "ranked.h"
#include "rate.h"
#include "table.h"

/* In flight at one device: more than any queue holds (nr_requests, times the hardware queues). */
#define REQUESTS_MAX   10000
#define STACK_CHECK_NS (60 * NS_PER_S)

#define SECTOR_BYTES 512 /* unit of the counters of every disk: Documentation/admin-guide/iostats.rst */

/* ------------------------------------------------------------------------------------------------------ parsing */

static bool bytes_of_sectors(uint64_t sectors, uint64_t *ret)
{
	return !__builtin_mul_overflow(sectors, (uint64_t)SECTOR_BYTES, ret);
}

/*
 *	254  0 vda 12301 4123 801234 5123 2311 1203 91234 812 0 4231 6012 [discards … [flushes …]]
 *	 1   2  3   4     5     6     7    8    9     10  11 12  13   14
 */
/* False: *out is partly filled. */
static bool columns_parse(struct scan line, struct diskstats_line *out)
{
	uint64_t n[8], sectors;

	for (size_t i = 0; i < ARRAY_SIZE(n); i++)
		if (!scan_u64(&line, &n[i]))
			return false;
	/* The number of requests in flight has been seen below zero: only this figure is lost. */
	out->has_in_flight = scan_u64(&line, &out->in_flight);
	if (!out->has_in_flight && !scan_skip(&line, 1))
		return false;
	if (!scan_u64(&line, &out->busy_ms) || !scan_u64(&line, &out->queued_ms))
		return false;
	if (!bytes_of_sectors(n[2], &out->read_bytes) || !bytes_of_sectors(n[6], &out->write_bytes))
		return false;
	out->has_in_flight = out->has_in_flight && out->in_flight <= INT32_MAX;
	out->has_discards = scan_u64(&line, &out->discard_ops) && scan_u64(&line, &out->discard_merges) &&
			    scan_u64(&line, &sectors) && bytes_of_sectors(sectors, &out->discard_bytes) &&
			    scan_u64(&line, &out->discard_ms);
	out->has_flushes = out->has_discards && scan_u64(&line, &out->flush_ops) && scan_u64(&line, &out->flush_ms);
	out->read_merges = n[1];
	out->write_merges = n[5];
	out->read_ops = n[0];
	out->read_ms = n[3];
	out->write_ops = n[4];
	out->write_ms = n[7];
	return true;
}

static bool is_column(const struct scan *field)
{
	for (const char *at = field->at; at < field->end; at++)
		if ((*at < '0' || *at > '9') && *at != '-')
			return false;
	return true;
}

/* A name with blanks: fields that are no columns, up to the first that is one. */
static struct scan long_name(struct scan line)
{
	struct scan name = { line.at, line.at }, field;

	while (scan_field(&line, &field) && !is_column(&field))
		name.end = field.end;
	return name;
}

/*
 *	254  0 vda 12301 4123 801234 5123 2311 1203 91234 812 0 4231 6012 [discards … [flushes …]]
 *	 1   2  3   4     5     6     7    8    9     10  11 12  13   14
 */
int diskstats_parse_line(const char *text, size_t len, struct diskstats_line *out)
{
	struct scan line = scan_text(text, len), names;
	struct diskstats_line disk = { 0 };
	uint64_t major, minor;

	if (!scan_u64(&line, &major) || !scan_u64(&line, &minor) || major > UINT32_MAX || minor > UINT32_MAX)
		return -EBADMSG;
	scan_blanks(&line);
	names = line;
	disk.device = major << 32 | minor;
	if (!scan_field(&line, &disk.name))
		return -EBADMSG;
	if (!columns_parse(line, &disk)) {
		disk.name = long_name(names);
		line.at = disk.name.end;
		if (!columns_parse(line, &disk))
			return -EBADMSG;
	}
	if (scan_len(&disk.name) == 0 || scan_len(&disk.name) >= DISK_NAME_MAX ||
	    memchr(disk.name.at, '\0', scan_len(&disk.name)))
		return -EBADMSG;
	*out = disk;
	return 0;
}

/* ---------------------------------------------------------------------------------------------------- collecting */

struct device {
	uint64_t number;
	char name[DISK_NAME_MAX];
	enum disk_kind kind;
	bool hardware;	    /* never made of anything else */
	bool nvme_head;	    /* stacked on paths that are in the list */
	uint64_t looked_ns; /* when its kind was last looked at */
	bool has_in_flight;
	uint64_t in_flight;
	struct rate read_bytes, write_bytes, read_ops, write_ops, busy_ms;
	struct rate read_ms, write_ms, queued_ms;
	struct diskstats_line last; /* what is shown as it is; its name is no longer valid */
};

struct disk {
	struct procfs_file file;
	struct procfs_buffer text;
	struct device *devices; /* in the order of the file */
	size_t count, room;
	bool paths;	       /* there are paths to NVMe disks in the list */
	size_t left_out;       /* lines beyond DISK_DEVICES_MAX */
	size_t skipped;	       /* invalid lines, or further lines of one device */
	struct device *former; /* scratch of the same room, when the list of devices has changed */
	struct rate_clock clock;
	enum rate_state state;
	double read_bytes, write_bytes, read_ops, write_ops; /* per second, over whole disks */
	uint64_t bytes_read, bytes_written;		     /* since they appeared, over whole disks */
	bool has_utilization;
	double utilization;
};

static int disk_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	(void)ctx;
	if (!disk)
		return -ENOMEM;
	disk->file = PROCFS_FILE_SHORT;
	*ret_state = disk;
	return 0;
}

static void disk_close(void *state)
{
	struct disk *disk = state;

	if (!disk)
		return;
	procfs_close(&disk->file);
	procfs_buffer_free(&disk->text);
	free(disk->devices);
	free(disk->former);
	free(disk);
}

static int devices_reserve(struct disk *disk, size_t count)
{
	size_t room = disk->room ? disk->room : 16;
	struct device *grown;

	if (count <= disk->room)
		return 0;
	while (room < count)
		room *= 2;
	grown = reallocarray(disk->devices, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	disk->devices = grown;
	grown = reallocarray(disk->former, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	disk->former = grown;
	disk->room = room;
	return 0;
}

/* The device number alone is not enough: the kernel gives 259:N to the next new partition or disk. */
static bool device_is(const struct device *device, const struct diskstats_line *line)
{
	return device->number == line->device && scan_equals(&line->name, device->name);
}

static void device_init(struct device *device, const struct diskstats_line *line, const struct collect_ctx *ctx)
{
	*device = (struct device){ .number = line->device };
	memcpy(device->name, line->name.at, scan_len(&line->name));
	device->kind = disk_kind_of(ctx->sys_fd, device->number, device->name);
	device->hardware = disk_is_hardware(ctx->sys_fd, device->number);
	device->looked_ns = ctx->now.mono_ns;
}

static bool has_moved(const struct device *device)
{
	return device->read_ops.delta > 0 || device->write_ops.delta > 0 || device->read_bytes.delta > 0 ||
	       device->write_bytes.delta > 0;
}

/*
 * The kind of a device is read again only if it matters: an unused device adds nothing to a total, and a stacked
 * device, which is used all the time, hardly ever becomes a disk of its own.
 */
static void device_look_again(struct device *device, const struct collect_ctx *ctx)
{
	bool due = device->kind == DISK_WHOLE	  ? !device->hardware && has_moved(device)
		   : device->kind == DISK_STACKED ? ctx->now.mono_ns - device->looked_ns >= STACK_CHECK_NS
						  : false;

	if (!due || device->nvme_head)
		return;
	device->kind = disk_kind_of(ctx->sys_fd, device->number, device->name);
	device->looked_ns = ctx->now.mono_ns;
}

static void device_update(struct device *device, const struct diskstats_line *line, struct rate_interval interval)
{
	device->has_in_flight = line->has_in_flight;
	device->in_flight = line->in_flight;
	rate_update(&device->read_bytes, interval, line->read_bytes);
	rate_update(&device->write_bytes, interval, line->write_bytes);
	rate_update(&device->read_ops, interval, line->read_ops);
	rate_update(&device->write_ops, interval, line->write_ops);
	/* Milliseconds in an unsigned int (jiffies_to_msecs in block/genhd.c), of which there are 1000 a second. */
	rate_update_32(&device->busy_ms, interval, line->busy_ms, 1000);
	rate_update_32(&device->read_ms, interval, line->read_ms, 1000 * REQUESTS_MAX);
	rate_update_32(&device->write_ms, interval, line->write_ms, 1000 * REQUESTS_MAX);
	rate_update_32(&device->queued_ms, interval, line->queued_ms, 1000 * REQUESTS_MAX);
	device->last = *line;
	device->last.name = (struct scan){ NULL, NULL };
}

/* Of all its counters: the state of the device is the worst of them. */
static enum rate_state device_state(const struct device *device)
{
	enum rate_state bytes = rate_state_worse(device->read_bytes.state, device->write_bytes.state);
	enum rate_state ops = rate_state_worse(device->read_ops.state, device->write_ops.state);
	enum rate_state times = rate_state_worse(rate_state_worse(device->read_ms.state, device->write_ms.state),
						 rate_state_worse(device->busy_ms.state, device->queued_ms.state));

	return rate_state_worse(rate_state_worse(bytes, ops), times);
}

/* The list changed: looks the device up among the former ones and puts it at `at`. */
static void device_place(struct disk *disk, size_t at, size_t former, const struct diskstats_line *line,
			 const struct collect_ctx *ctx)
{
	for (size_t i = 0; i < former; i++) {
		if (device_is(&disk->former[i], line)) {
			disk->devices[at] = disk->former[i];
			return;
		}
	}
	device_init(&disk->devices[at], line, ctx);
}

static struct device *device_named(struct disk *disk, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(disk->devices[i].name, name) == 0)
			return &disk->devices[i];
	return NULL;
}

static bool was_used(const struct device *device)
{
	return device->read_ops.counter > 0 || device->write_ops.counter > 0;
}

/*
 * Of an NVMe disk and the paths to it, which the kernel lists too, the paths are counted: old kernels count there
 * alone, newer ones at both. True when there are such paths, which are to be looked at again then.
 */
static bool heads_mark(struct disk *disk, size_t count, const struct collect_ctx *ctx)
{
	char name[DISK_NAME_MAX];
	bool paths = false;

	for (size_t i = 0; i < count; i++) {
		struct device *device = &disk->devices[i];

		if (device->nvme_head)
			device->kind = disk_kind_of(ctx->sys_fd, device->number, device->name);
		device->nvme_head = false;
	}
	for (size_t i = 0; i < count; i++) {
		struct device *head = NULL;

		if (disk_nvme_head(disk->devices[i].name, name, sizeof(name)))
			head = device_named(disk, count, name);
		paths = paths || head;
		if (!head || (!was_used(&disk->devices[i]) && was_used(head)))
			continue;
		head->kind = DISK_STACKED;
		head->nvme_head = true;
	}
	return paths;
}

/* Mostly the devices are those of the last time in the same order; from the first that is not, each is looked up. */
static bool is_twice(const struct disk *disk, size_t at, const struct diskstats_line *line)
{
	for (size_t i = 0; i < at; i++)
		if (device_is(&disk->devices[i], line))
			return true;
	return false;
}

static int devices_update(struct disk *disk, const struct collect_ctx *ctx, struct rate_interval interval)
{
	struct scan rest = scan_text(disk->text.text, disk->text.len), text;
	size_t at = 0, former = 0;
	struct diskstats_line line;
	bool changed = false;

	disk->skipped = 0;
	while (at < DISK_DEVICES_MAX && scan_line(&rest, &text)) {
		int r;

		if (diskstats_parse_line(text.at, scan_len(&text), &line) < 0) {
			disk->skipped++;
			continue;
		}
		if (!changed && !(at < disk->count && device_is(&disk->devices[at], &line))) {
			changed = true;
			former = disk->count;
			if (former > 0)
				memcpy(disk->former, disk->devices, former * sizeof(*disk->former));
		}
		if (changed && is_twice(disk, at, &line)) {
			disk->skipped++;
			continue;
		}
		if (changed) {
			r = devices_reserve(disk, at + 1);
			if (r < 0) {
				disk->count = at;
				return r;
			}
			device_place(disk, at, former, &line, ctx);
		}
		device_update(&disk->devices[at], &line, interval);
		device_look_again(&disk->devices[at++], ctx);
	}
	for (disk->left_out = 0; scan_line(&rest, &text); disk->left_out++)
		;
	if (changed || at != disk->count || disk->paths)
		disk->paths = heads_mark(disk, at, ctx);
	disk->count = at;
	return 0;
}

/* A device's share of a total: its rate, at the very first sample its average since boot, else 0. */
static double share(const struct rate *rate, bool first, double boot_seconds)
{
	if (rate_known(rate))
		return rate->per_second;
	return first && boot_seconds > 0 ? (double)rate->counter / boot_seconds : 0;
}

/* Percent of the time with a request in flight; a little above 100 when the kernel's clock and ours differ. */
static double busy_percent(const struct device *device)
{
	double percent = device->busy_ms.per_second / 10;

	return percent < 100 ? percent : 100;
}

static void totals_update(struct disk *disk, const struct collect_ctx *ctx)
{
	double boot_seconds = (double)ctx->now.boot_ns / (double)NS_PER_S;
	bool first = disk->state == RATE_FIRST;

	disk->read_bytes = disk->write_bytes = disk->read_ops = disk->write_ops = disk->utilization = 0;
	disk->has_utilization = false;
	disk->bytes_read = disk->bytes_written = 0;
	for (size_t i = 0; i < disk->count; i++) {
		const struct device *device = &disk->devices[i];

		if (device->kind != DISK_WHOLE)
			continue;
		/* A device that was added leaves the total valid; a device whose counters began anew does not. */
		if (device_state(device) == RATE_RESET)
			disk->state = RATE_RESET;
		disk->bytes_read += device->read_bytes.counter;
		disk->bytes_written += device->write_bytes.counter;
		disk->read_bytes += share(&device->read_bytes, first, boot_seconds);
		disk->write_bytes += share(&device->write_bytes, first, boot_seconds);
		disk->read_ops += share(&device->read_ops, first, boot_seconds);
		disk->write_ops += share(&device->write_ops, first, boot_seconds);
		if (rate_known(&device->busy_ms)) {
			disk->has_utilization = true;
			if (busy_percent(device) > disk->utilization)
				disk->utilization = busy_percent(device);
		}
	}
}

/*
 * A kernel without block devices has no diskstats: no disks, nothing read or written, and the state says stale. Any
 * other failure is one.
 */
static int disk_collect(void *state, const struct collect_ctx *ctx)
{
	struct disk *disk = state;
	int r = procfs_read(&disk->file, ctx->proc_fd, "diskstats", &disk->text);
	struct rate_interval interval;

	if (r < 0 && r != -ENOENT)
		return r;
	interval = rate_clock_next(&disk->clock, &ctx->now, ctx->gap);
	if (!interval.first && !(interval.seconds > 0))
		return 0;
	disk->state = r < 0 ? RATE_STALE : interval.first ? RATE_FIRST : ctx->gap ? RATE_GAP : RATE_OK;
	r = devices_update(disk, ctx, interval);
	totals_update(disk, ctx);
	return r;
}

/* ------------------------------------------------------------------------------------------------------- writing */

/* Rounded, and never more than an integer of JSON's common readers holds. */
static void whole_emit(struct sink *out, const char *key, double value)
{
	sink_uint(out, key, value < 9e15 ? (uint64_t)(value + 0.5) : (uint64_t)9e15);
}

static void rate_emit(struct sink *out, const char *key, const struct rate *rate)
{
	if (rate_known(rate))
		whole_emit(out, key, rate->per_second);
	else
		sink_null(out, key);
}

/*
 * How long a request took on average, in milliseconds, as iostat(1) counts its r_await and w_await: from when it was
 * queued to its end. Null where there was none.
 */
static void await_emit(struct sink *out, const char *key, const struct rate *ms, const struct rate *ops)
{
	if (rate_known(ms) && rate_known(ops) && ops->delta > 0)
		sink_real(out, key, (double)ms->delta / (double)ops->delta, 2);
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

static void counters_emit(const struct device *device, struct sink *out)
{
	const struct diskstats_line *last = &device->last;

	sink_uint(out, "read_time_ms", last->read_ms);
	sink_uint(out, "write_time_ms", last->write_ms);
	sink_uint(out, "io_time_ms", last->busy_ms);
	sink_uint(out, "weighted_time_ms", last->queued_ms);
	sink_uint(out, "read_merges", last->read_merges);
	sink_uint(out, "write_merges", last->write_merges);
	count_emit(out, "flush_ops", last->has_flushes, last->flush_ops);
	count_emit(out, "flush_time_ms", last->has_flushes, last->flush_ms);
	/* A disk that never discards says so in whole samples. */
	if (!last->discard_ops)
		sink_whole_begin(out);
	count_emit(out, "discard_ops", last->has_discards, last->discard_ops);
	count_emit(out, "discard_merges", last->has_discards, last->discard_merges);
	count_emit(out, "discard_bytes", last->has_discards, last->discard_bytes);
	count_emit(out, "discard_time_ms", last->has_discards, last->discard_ms);
	if (!last->discard_ops)
		sink_whole_end(out);
}

static void device_emit(const struct device *device, struct sink *out)
{
	sink_object_begin(out, NULL);
	sink_str(out, "name", device->name);
	sink_whole_begin(out);
	sink_str(out, "kind", device->kind == DISK_STACKED ? "stacked" : "disk");
	sink_whole_end(out);
	sink_uint(out, "read_bytes", device->read_bytes.counter);
	sink_uint(out, "write_bytes", device->write_bytes.counter);
	sink_uint(out, "read_ops", device->read_ops.counter);
	sink_uint(out, "write_ops", device->write_ops.counter);
	rate_emit(out, "read_bytes_per_sec", &device->read_bytes);
	rate_emit(out, "write_bytes_per_sec", &device->write_bytes);
	rate_emit(out, "read_ops_per_sec", &device->read_ops);
	rate_emit(out, "write_ops_per_sec", &device->write_ops);
	await_emit(out, "read_await_ms", &device->read_ms, &device->read_ops);
	await_emit(out, "write_await_ms", &device->write_ms, &device->write_ops);
	/* As iostat's aqu-sz: the requests in flight, on average. */
	if (rate_known(&device->queued_ms))
		sink_real(out, "queue_length", device->queued_ms.per_second / 1000, 2);
	else
		sink_null(out, "queue_length");
	counters_emit(device, out);
	if (rate_known(&device->busy_ms))
		sink_real(out, "io_utilization_percent", busy_percent(device), 2);
	else
		sink_null(out, "io_utilization_percent");
	count_emit(out, "in_flight", device->has_in_flight, device->in_flight);
	sink_str(out, "state", rate_state_name(device_state(device)));
	sink_object_end(out);
}

static bool is_listed(const struct device *device)
{
	return device->kind == DISK_WHOLE || device->kind == DISK_STACKED;
}

static void listed_emit(struct sink *out, uint32_t at, const void *user)
{
	const struct disk *disk = user;

	if (is_listed(&disk->devices[at]))
		device_emit(&disk->devices[at], out);
}

/* Disks before what is made of them, then the busiest; those that are not listed last. */
static bool device_before(uint32_t a, uint32_t b, const void *user)
{
	const struct disk *disk = user;
	const struct device *left = &disk->devices[a], *right = &disk->devices[b];
	uint64_t left_moved = left->read_bytes.delta + left->write_bytes.delta;
	uint64_t right_moved = right->read_bytes.delta + right->write_bytes.delta;

	if (is_listed(left) != is_listed(right))
		return is_listed(left);
	if (left->busy_ms.delta != right->busy_ms.delta)
		return left->busy_ms.delta > right->busy_ms.delta;
	if (left_moved != right_moved)
		return left_moved > right_moved;
	return left->kind != right->kind ? left->kind == DISK_WHOLE : a < b;
}

static void devices_emit(const struct disk *disk, struct sink *out)
{
	struct ranked list = { .key = "devices",
			       .rank = "busiest first",
			       .count = disk->count,
			       .emit = listed_emit,
			       .before = device_before,
			       .user = disk };
	size_t listed = 0, taken;

	for (size_t i = 0; i < disk->count; i++)
		listed += is_listed(&disk->devices[i]);
	taken = ranked_emit(out, &list);
	if (taken < disk->count || disk->left_out > 0) {
		sink_bool(out, "devices_truncated", true);
		sink_uint(out, "devices_total", listed + disk->left_out);
	}
	ranked_tell(out, &list, (taken < listed ? listed - taken : 0) + disk->left_out);
}

static void disk_emit(const void *state, struct sink *out)
{
	const struct disk *disk = state;

	sink_object_begin(out, "io_stats");
	whole_emit(out, "read_bytes_per_sec", disk->read_bytes);
	whole_emit(out, "write_bytes_per_sec", disk->write_bytes);
	whole_emit(out, "read_ops_per_sec", disk->read_ops);
	whole_emit(out, "write_ops_per_sec", disk->write_ops);
	sink_uint(out, "readBytes", disk->bytes_read);
	sink_uint(out, "writeBytes", disk->bytes_written);
	/* The utilization of the busiest disk: an average over many disks would hide a bottleneck. */
	if (disk->has_utilization)
		sink_real(out, "io_utilization_percent", disk->utilization, 2);
	else
		sink_null(out, "io_utilization_percent");
	sink_str(out, "state", rate_state_name(disk->state));
	sink_object_end(out);
	devices_emit(disk, out);
	if (disk->skipped > 0)
		sink_uint(out, "lines_skipped", disk->skipped);
}

const struct collector collector_disk = {
	.name = "disk",
	.path = "system.disk",
	.required = true,
	.reserve_bytes = 3072,
	.whole_keys = "kind discard_ops discard_merges discard_bytes discard_time_ms",
	.open = disk_open,
	.close = disk_close,
	.collect = disk_collect,
	.emit = disk_emit,
};
