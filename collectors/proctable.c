/* SPDX-License-Identifier: MIT */
/* Rows live in two arrays: a scan merges the old one and the list of pids into the other, and then they change places.
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

#define NAMES_SIZE 32768U
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

void proctable_done(struct proctable *table)
{
	for (size_t i = 0; i < table->count; i++)
		row_drop(table, &table->rows[i]);
	if (table->dir_fd >= 0)
		close_fd(&table->dir_fd);
	free(table->rows);
	free(table->spare);
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

static int pids_list(struct proctable *table, const struct collect_ctx *ctx)
{
	ssize_t n;
	int r = 0;

	if (!table->names && !(table->names = malloc(NAMES_SIZE)))
		return -ENOMEM;
	if (table->dir_fd < 0)
		table->dir_fd = openat(ctx->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (table->dir_fd < 0 || lseek(table->dir_fd, 0, SEEK_SET) < 0)
		return -errno;
	table->pid_count = 0;
	table->truncated = false;
	while (r == 0 && !table->truncated) {
		n = getdents64(table->dir_fd, table->names, NAMES_SIZE);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		r = names_take(table, (size_t)n);
	}
	pids_sort(table);
	return r;
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

/* Reads one process into `row`, which holds what was known of that pid, or nothing (fd -1, base_ticks unset). */
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
		*row = (struct process){.fd = fd, .base_ticks = {PROCESS_NO_BASE, PROCESS_NO_BASE}};
	} else if (known &&
		   (stat.comm_len != row->stat.comm_len || memcmp(stat.comm, row->stat.comm, stat.comm_len) != 0)) {
		/* It has called execve (or renamed itself): command line and rights are new. */
		proctable_set_detail(table, row, NULL);
		row->asked_ns = row->looked_ns = 0;
	}
	row->stat = stat;
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- the scan */

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

/* field 22 counts from boot, suspends included: proc_pid_stat(5) */
static double age_percent(const struct proctable *table, const struct process *row, const struct moment *now)
{
	double age = (double)now->boot_ns / (double)NS_PER_S - (double)row->stat.start_ticks / table->tick_hz;
	double tick = 1 / table->tick_hz;

	return 100 * (double)row->stat.cpu_ticks / table->tick_hz / (age > tick ? age : tick);
}

static void rows_measure(struct proctable *table, const struct collect_ctx *ctx, bool move)
{
	double seconds = 0;
	int base = baseline_choose(table, ctx, &seconds);

	/* The first baseline, or one that is old enough to make place. */
	move = move && (base == 0 || !table->clock[0].started);
	for (size_t i = 0; i < table->count; i++) {
		struct process *row = &table->rows[i];
		uint64_t from = base < 0 ? PROCESS_NO_BASE : row->base_ticks[base], ticks = row->stat.cpu_ticks;

		if (from == PROCESS_NO_BASE)
			row->cpu_percent = age_percent(table, row, &ctx->now);
		else
			row->cpu_percent = ticks > from ? 100 * (double)(ticks - from) / table->tick_hz / seconds : 0;
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

/* Room for all that was listed, and none for a crowd long gone. */
static int spare_prepare(struct proctable *table)
{
	size_t wanted = table->pid_count + table->pid_count / 4 + 32;

	if (table->spare_size >= table->pid_count && table->spare_size / 8 <= wanted)
		return 0;
	free(table->spare);
	table->spare_size = 0;
	table->spare = calloc(wanted, sizeof(*table->spare));
	if (!table->spare)
		return -ENOMEM;
	table->spare_size = wanted;
	return 0;
}

static void spare_swap(struct proctable *table, size_t count)
{
	struct process *rows = table->rows;
	size_t size = table->size;

	table->rows = table->spare;
	table->size = table->spare_size;
	table->count = count;
	table->spare = rows;
	table->spare_size = size;
}

/* Errors of our own, as opposed to those of one process (gone, not permitted, a text that makes no sense). */
static bool is_fatal(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

int proctable_scan(struct proctable *table, const struct collect_ctx *ctx, bool baseline)
{
	size_t old = 0, count = 0;
	int r = pids_list(table, ctx), failed = 0;

	if (r == 0)
		r = spare_prepare(table);
	if (r < 0)
		return r;
	for (size_t i = 0; i < table->pid_count; i++) {
		struct process *row = &table->spare[count];
		pid_t pid = table->pids[i];
		bool known;

		while (old < table->count && table->rows[old].stat.pid < pid)
			row_drop(table, &table->rows[old++]);
		known = old < table->count && table->rows[old].stat.pid == pid;
		*row = known ? table->rows[old++]
			     : (struct process){.fd = -1, .base_ticks = {PROCESS_NO_BASE, PROCESS_NO_BASE}};
		r = row_update(table, ctx, row, pid, known);
		if (r == 0) {
			count++;
			continue;
		}
		failed = is_fatal(r) ? r : failed;
		row_drop(table, row);
	}
	while (old < table->count)
		row_drop(table, &table->rows[old++]);
	spare_swap(table, count);
	rows_measure(table, ctx, baseline && failed == 0);
	return failed ? failed : count == 0 ? -ENODATA : 0;
}
