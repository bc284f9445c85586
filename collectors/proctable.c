/* SPDX-License-Identifier: MIT */
/*
 * A scan brings old rows up to date where they stand, marks those that have gone and gathers new ones apart; at its
 * end, and only then, rows go and come. So the table may be read between the slices of a scan.
 */
#include "proctable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "procfs.h"

#define NAMES_SIZE     8192U
#define NAMES_PER_READ 8
/* Rows for new processes that stay allocated between scans. */
#define FRESH_KEPT 256U
/* With more processes the end of a scan is a turn's work in itself. */
#define END_APART 100
/* Left for the rest of the agent when RLIMIT_NOFILE is small. */
#define FDS_RESERVED 512U

static unsigned kept_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= FDS_RESERVED)
		return 0;
	return limit.rlim_cur - FDS_RESERVED < PROCTABLE_KEPT_MAX ? (unsigned)(limit.rlim_cur - FDS_RESERVED)
								  : PROCTABLE_KEPT_MAX;
}

void proctable_init(struct proctable *table)
{
	*table = (struct proctable){
		.dir_fd = -1,
		.kept_max = kept_max(),
		.tick_hz = (double)sysconf(_SC_CLK_TCK),
		.page_kb = (double)sysconf(_SC_PAGESIZE) / 1024,
	};
}

void proctable_set_detail(struct proctable *table, struct process *row, struct process_detail *detail)
{
	if (row->detail) {
		table->details--;
		table->detail_bytes -= row->detail->cmdline_len + row->detail->exe_len;
		free(row->detail);
	}
	row->detail = detail;
	if (detail) {
		table->details++;
		table->detail_bytes += detail->cmdline_len + detail->exe_len;
	}
}

static void row_close(struct proctable *table, struct process *row)
{
	if (row->fd < 0)
		return;
	close_fd(&row->fd);
	table->kept--;
}

static void row_drop(struct proctable *table, struct process *row)
{
	row_close(table, row);
	proctable_set_detail(table, row, NULL);
}

static void fresh_drop(struct proctable *table);

void proctable_done(struct proctable *table)
{
	for (size_t i = 0; i < table->count; i++)
		row_drop(table, &table->rows[i]);
	fresh_drop(table);
	if (table->dir_fd >= 0)
		close_fd(&table->dir_fd);
	free(table->rows);
	free(table->pids);
	free(table->names);
}

struct process *proctable_find(const struct proctable *table, pid_t pid)
{
	size_t low = 0, high = table->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (table->rows[middle].stat.pid < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < table->count && table->rows[low].stat.pid == pid ? &table->rows[low] : NULL;
}

/* ------------------------------------------------------------------------------------------------------- the pids */

/* A name of digits only, as a pid; 0 for anything else. */
static int32_t pid_parse(const char *name)
{
	int32_t pid = 0;

	for (; *name >= '0' && *name <= '9'; name++) {
		if (pid > (INT32_MAX - 9) / 10)
			return 0;
		pid = pid * 10 + (*name - '0');
	}
	return *name == '\0' ? pid : 0;
}

static int pid_add(struct proctable *table, int32_t pid)
{
	size_t wanted = table->pid_size ? table->pid_size * 2 : 256;
	int32_t *bigger;

	if (table->pid_count == PROCTABLE_ROWS_MAX) {
		table->truncated = true;
		table->left_out++;
		return 0;
	}
	if (table->pid_count == table->pid_size) {
		bigger = reallocarray(table->pids, wanted, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		table->pids = bigger;
		table->pid_size = wanted;
	}
	table->pids[table->pid_count++] = pid;
	return 0;
}

static int names_take(struct proctable *table, size_t len)
{
	for (size_t at = 0; at < len;) {
		const struct dirent64 *entry = (const void *)(table->names + at);
		int32_t pid = pid_parse(entry->d_name);
		int r = pid > 0 ? pid_add(table, pid) : 0;

		if (r < 0)
			return r;
		at += entry->d_reclen;
	}
	return 0;
}

static int compare_pids(const void *a, const void *b)
{
	const int32_t *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

/* /proc is in order already; the directory of a fixture need not be. */
static void pids_sort(struct proctable *table)
{
	for (size_t i = 1; i < table->pid_count; i++)
		if (table->pids[i - 1] > table->pids[i]) {
			qsort(table->pids, table->pid_count, sizeof(*table->pids), compare_pids);
			return;
		}
}

/*
 * As much of the list as *left allows, in the order of the kernel; less is left then. A name costs an eighth of a
 * process that is read. 0 when it is whole, COLLECT_MORE, or -errno.
 */
static int pids_list(struct proctable *table, const struct collect_ctx *ctx, size_t *left)
{
	if (!table->names && !(table->names = malloc(NAMES_SIZE)))
		return -ENOMEM;
	if (table->dir_fd < 0)
		table->dir_fd = openat(ctx->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (table->dir_fd < 0 || (table->pid_count == 0 && lseek(table->dir_fd, 0, SEEK_SET) < 0))
		return -errno;
	for (;;) {
		size_t before = table->pid_count + table->left_out, cost;
		ssize_t n = getdents64(table->dir_fd, table->names, NAMES_SIZE);
		int r = n < 0 ? -errno : names_take(table, (size_t)n);

		if (r < 0)
			return r;
		if (n == 0)
			break;
		cost = (table->pid_count + table->left_out - before) / NAMES_PER_READ;
		if (cost >= *left)
			return COLLECT_MORE;
		*left -= cost;
	}
	pids_sort(table);
	return 0;
}

/* -------------------------------------------------------------------------------------------------------- reading */

/*
 * Opens and reads; one read is enough, as the kernel shows the file in one record. The fd is kept if there is room for
 * one more. The files of a fixture are replaced rather than rewritten: kept open they would never change.
 */
static ssize_t text_open(struct proctable *table, const struct collect_ctx *ctx, struct process *row, pid_t pid,
			 bool keep, char *text)
{
	char path[24];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%d/stat", pid);
	fd = openat(ctx->proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = pread(fd, text, PIDSTAT_TEXT_MAX, 0);
	if (n < 0)
		n = -errno;
	if (n < 0 || !keep || table->kept >= table->kept_max || !ctx->live) {
		close(fd);
		return n;
	}
	row->fd = fd;
	table->kept++;
	return n;
}

/* ESRCH through a kept fd: that process has gone, and the pid may be another's now. */
static int row_read(struct proctable *table, const struct collect_ctx *ctx, struct process *row, pid_t pid, bool keep,
		    struct pidstat *ret_stat)
{
	char text[PIDSTAT_TEXT_MAX];
	ssize_t n = -ESRCH;

	if (row->fd >= 0) {
		n = pread(row->fd, text, sizeof(text), 0);
		if (n <= 0)
			row_close(table, row);
	}
	if (row->fd < 0)
		n = text_open(table, ctx, row, pid, keep, text);
	if (n < 0)
		return (int)n;
	return pidstat_parse(text, (size_t)n, ret_stat);
}

/* Reads one process into `row`, which holds the former row of that pid, or is empty (fd -1, base_ticks unset). */
static int row_update(struct proctable *table, const struct collect_ctx *ctx, struct process *row, pid_t pid,
		      bool known)
{
	struct pidstat stat;
	int r = row_read(table, ctx, row, pid, known, &stat);

	if (r < 0)
		return r;
	if (known && stat.start_ticks != row->stat.start_ticks) {
		int fd = row->fd;

		proctable_set_detail(table, row, NULL);
		*row = (struct process){ .fd = fd, .base_ticks = { PROCESS_NO_BASE, PROCESS_NO_BASE } };
	} else if (known &&
		   (stat.comm_len != row->stat.comm_len || memcmp(stat.comm, row->stat.comm, stat.comm_len) != 0)) {
		/* The process has called execve (or renamed itself): command line and rights are new. */
		proctable_set_detail(table, row, NULL);
		row->asked_ns = row->looked_ns = 0;
	}
	row->stat = stat;
	return 0;
}

/* ------------------------------------------------------------------------------------------------------ measuring */

/* Which baseline a scan at ctx->now is measured from; -1: there is none. */
static int baseline_choose(const struct proctable *table, const struct collect_ctx *ctx, double *ret_seconds)
{
	for (int i = 0; i < 2; i++) {
		struct rate_clock clock = table->clock[i];
		struct rate_interval interval = rate_clock_next(&clock, &ctx->now, ctx->gap);

		if (!interval.first && rate_interval_ns(interval) >= PROCTABLE_BASELINE_NS) {
			*ret_seconds = interval.seconds;
			return i;
		}
	}
	return -1;
}

/*
 * field 22 counts from boot, suspends included: proc_pid_stat(5). The kernel charges whole ticks, and reads the
 * counters a little later than our clock was: over a shorter age than a baseline's that would be many times a CPU.
 */
static double age_percent(const struct proctable *table, const struct process *row, const struct moment *now)
{
	double age = (double)now->boot_ns / (double)NS_PER_S - (double)row->stat.start_ticks / table->tick_hz;
	double least = (double)PROCTABLE_BASELINE_NS / (double)NS_PER_S;
	double most = 100.0 * (row->stat.threads > 0 ? row->stat.threads : 1);
	double percent = 100 * (double)row->stat.cpu_ticks / table->tick_hz / (age > least ? age : least);

	return percent < most ? percent : most;
}

/* "0-3,8\n" of devices/system/cpu/online; 0: not known. */
static unsigned cpus_online(const struct collect_ctx *ctx)
{
	char text[512];
	ssize_t n = procfs_read_once(ctx->sys_fd, "devices/system/cpu/online", text, sizeof(text));
	struct scan list = scan_text(text, n > 0 ? (size_t)n : 0);
	uint64_t first, last, count = 0;

	while (scan_digits(&list, &first)) {
		last = first;
		if (scan_byte(&list, '-') && !scan_digits(&list, &last))
			return 0;
		count += last >= first && last - first < UINT16_MAX ? last - first + 1 : 0;
		scan_byte(&list, ',');
	}
	return (unsigned)count;
}

/* No process has more than all CPUs. How many there are is looked up only when one seems to have more than one. */
static void row_bound(const struct collect_ctx *ctx, struct process *row, double *most)
{
	if (row->cpu_percent <= 100)
		return;
	if (!(*most > 0)) {
		unsigned cpus = cpus_online(ctx);

		*most = cpus > 0 ? 100.0 * cpus : 1e9;
	}
	if (row->cpu_percent > *most)
		row->cpu_percent = *most;
}

static void rows_measure(struct proctable *table, const struct collect_ctx *ctx, bool move)
{
	double seconds = 0, most = 0;
	int base = baseline_choose(table, ctx, &seconds);

	/* Move the baselines if there is none yet, or if the one in use is old enough to be replaced. */
	move = move && (base == 0 || !table->clock[0].started);
	for (size_t i = 0; i < table->count; i++) {
		struct process *row = &table->rows[i];
		uint64_t from = base < 0 ? PROCESS_NO_BASE : row->base_ticks[base], ticks = row->stat.cpu_ticks, delta;

		if (from == PROCESS_NO_BASE)
			row->cpu_percent = age_percent(table, row, &ctx->now);
		else if (rate_moved(from, ticks, &delta))
			row->cpu_percent = 100 * (double)delta / table->tick_hz / seconds;
		else
			row->cpu_percent = 0;
		row_bound(ctx, row, &most);
		if (move) {
			row->base_ticks[1] = row->base_ticks[0];
			row->base_ticks[0] = ticks;
		}
	}
	if (move) {
		table->clock[1] = table->clock[0];
		rate_clock_next(&table->clock[0], &ctx->now, ctx->gap);
	}
}

/* ----------------------------------------------------------------------------------------------------- the scan */

/* Errors of the collector itself, as opposed to those of one process (gone, not permitted, an invalid text). */
static bool is_fatal(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

/* Adds a row for a process that was not there at the last scan; new rows are stored apart until the scan is over. */
static int fresh_add(struct proctable *table, const struct collect_ctx *ctx, pid_t pid)
{
	struct proctable_scan *scan = &table->scan;
	struct process row = { .fd = -1, .base_ticks = { PROCESS_NO_BASE, PROCESS_NO_BASE } };
	size_t wanted = scan->fresh_size ? scan->fresh_size * 2 : 32;
	struct process *bigger;
	int r = row_update(table, ctx, &row, pid, false);

	if (r < 0)
		return r;
	if (scan->fresh_count == scan->fresh_size) {
		bigger = reallocarray(scan->fresh, wanted, sizeof(*bigger));
		if (!bigger) {
			row_drop(table, &row);
			return -ENOMEM;
		}
		scan->fresh = bigger;
		scan->fresh_size = wanted;
	}
	scan->fresh[scan->fresh_count++] = row;
	return 0;
}

/* The next pid of the list: an old row is brought up to date where it stands. */
static void pid_take(struct proctable *table, const struct collect_ctx *ctx, pid_t pid)
{
	struct proctable_scan *scan = &table->scan;
	int r;

	while (scan->old < table->count && table->rows[scan->old].stat.pid < pid)
		table->rows[scan->old++].gone = true;
	if (scan->old < table->count && table->rows[scan->old].stat.pid == pid) {
		struct process *row = &table->rows[scan->old++];

		r = row_update(table, ctx, row, pid, true);
		row->gone = r < 0;
	} else {
		r = fresh_add(table, ctx, pid);
	}
	if (is_fatal(r))
		scan->failed = r;
}

static void drop_gone(struct proctable *table)
{
	size_t kept = 0;

	for (size_t i = 0; i < table->count; i++)
		if (table->rows[i].gone)
			row_drop(table, &table->rows[i]);
		else
			table->rows[kept++] = table->rows[i];
	table->count = kept;
}

/* Room for the new rows, and none for a crowd long gone. */
static int rows_reserve(struct proctable *table, size_t count)
{
	size_t wanted = count + count / 4 + 32;
	struct process *rows;

	if (table->size >= count && table->size / 8 <= wanted)
		return 0;
	rows = reallocarray(table->rows, wanted, sizeof(*rows));
	if (!rows)
		return table->size >= count ? 0 : -ENOMEM;
	table->rows = rows;
	table->size = wanted;
	return 0;
}

/* Both are in the order of pids; from the end, so that no row is written over before it has moved. */
static void fresh_merge(struct proctable *table)
{
	struct proctable_scan *scan = &table->scan;
	size_t old = table->count, fresh = scan->fresh_count, at = old + fresh;

	table->count = at;
	while (fresh > 0) {
		if (old > 0 && table->rows[old - 1].stat.pid > scan->fresh[fresh - 1].stat.pid)
			table->rows[--at] = table->rows[--old];
		else
			table->rows[--at] = scan->fresh[--fresh];
	}
	scan->fresh_count = 0;
}

static void fresh_drop(struct proctable *table)
{
	struct proctable_scan *scan = &table->scan;

	for (size_t i = 0; i < scan->fresh_count; i++)
		row_drop(table, &scan->fresh[i]);
	free(scan->fresh);
	scan->fresh = NULL;
	scan->fresh_count = scan->fresh_size = 0;
}

static void scan_begin(struct proctable *table)
{
	struct proctable_scan *scan = &table->scan;

	*scan = (struct proctable_scan){
		.active = true, .listing = true, .fresh = scan->fresh, .fresh_size = scan->fresh_size
	};
	table->pid_count = 0;
	table->left_out = 0;
	table->truncated = false;
}

/* The rows of the processes that are there, old and new. */
static void scan_merge(struct proctable *table)
{
	struct proctable_scan *scan = &table->scan;
	int r;

	while (scan->old < table->count)
		table->rows[scan->old++].gone = true;
	drop_gone(table);
	r = rows_reserve(table, table->count + scan->fresh_count);
	if (r == 0)
		fresh_merge(table);
	else
		scan->failed = r;
	/* The first scan finds all of them: that room is not needed again. */
	if (scan->fresh_size > FRESH_KEPT)
		fresh_drop(table);
	scan->merged = true;
}

/*
 * What is done with all rows at once, and what the caller does with them, has a turn of the loop each where there are
 * many.
 */
static int scan_end(struct proctable *table, const struct collect_ctx *ctx)
{
	struct proctable_scan *scan = &table->scan;
	bool apart = ctx->slice > 0 && table->pid_count > END_APART;

	if (!scan->merged) {
		scan_merge(table);
		if (apart)
			return COLLECT_MORE;
	}
	if (!scan->measured) {
		rows_measure(table, ctx, scan->baseline && !scan->failed);
		scan->measured = true;
		if (apart)
			return COLLECT_MORE;
	}
	scan->active = false;
	return scan->failed ? scan->failed : table->count == 0 ? -ENODATA : 0;
}

int proctable_scan(struct proctable *table, const struct collect_ctx *ctx, bool baseline)
{
	struct proctable_scan *scan = &table->scan;
	size_t left = ctx->slice ? ctx->slice : SIZE_MAX;
	int r;

	if (!scan->active)
		scan_begin(table);
	scan->baseline |= baseline;
	if (scan->listing) {
		r = pids_list(table, ctx, &left);
		if (r < 0)
			scan->active = false;
		if (r != 0)
			return r;
		scan->listing = false;
	}
	for (; left > 0 && scan->at < table->pid_count; left--)
		pid_take(table, ctx, table->pids[scan->at++]);
	return scan->at < table->pid_count ? COLLECT_MORE : scan_end(table, ctx);
}
