/* SPDX-License-Identifier: MIT */
/*
 * data.self: the cost of the agent and its helpers, from /proc/self and /proc/PID, read through fds that stay open. The
 * agent adds its own counters to the same object. schedstat counts nanoseconds; utime and stime would count kernel
 * ticks of 10 ms, more than a sample takes.
 */
#include "self.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "procfs.h"
#include "rate.h"
#include "table.h"

/* ------------------------------------------------------------------------------------------------------ parsing */

/*	time on a CPU (ns), time waiting for one (ns), time slices */
int schedstat_parse(const char *text, size_t len, uint64_t *out)
{
	struct scan rest = scan_text(text, len), line;

	return scan_line(&rest, &line) && scan_u64(&line, out) ? 0 : -EBADMSG;
}

/*	size resident shared text lib data dt, in pages */
int statm_parse(const char *text, size_t len, uint64_t *out)
{
	struct scan rest = scan_text(text, len), line;

	return scan_line(&rest, &line) && scan_skip(&line, 1) && scan_u64(&line, out) ? 0 : -EBADMSG;
}

/* ---------------------------------------------------------------------------------------------------- collecting */

struct process {
	pid_t pid; /* 0: the agent itself */
	struct procfs_file schedstat, statm;
	struct rate cpu_ns;
	bool has_rss;
	uint64_t rss_kb;
};

struct self {
	struct process agent;
	struct process helpers[SELF_HELPERS_MAX];
	size_t helpers_count;
	struct procfs_buffer text;
	struct rate_clock clock;
	struct rate_interval interval;
	int fd_dir; /* /proc/self/fd, -1 until first needed */
	bool has_fds;
	uint64_t fds;
	uint64_t page_kb;
	void (*attached)(void *data, struct sink *out);
	void *attached_data;
};

static void process_init(struct process *process, pid_t pid)
{
	*process = (struct process){ .pid = pid, .schedstat = PROCFS_FILE_SINGLE, .statm = PROCFS_FILE_SINGLE };
}

static void process_done(struct process *process)
{
	procfs_close(&process->schedstat);
	procfs_close(&process->statm);
}

static int self_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct self *self = calloc(1, sizeof(*self));
	long page = sysconf(_SC_PAGESIZE);

	(void)ctx;
	if (!self)
		return -ENOMEM;
	process_init(&self->agent, 0);
	self->text.max = 4096;
	self->fd_dir = -1;
	self->page_kb = page > 1024 ? (uint64_t)page / 1024 : 4;
	*ret_state = self;
	return 0;
}

static void self_close(void *state)
{
	struct self *self = state;

	if (!self)
		return;
	process_done(&self->agent);
	for (size_t i = 0; i < self->helpers_count; i++)
		process_done(&self->helpers[i]);
	close_fd(&self->fd_dir);
	procfs_buffer_free(&self->text);
	free(self);
}

void self_attach(void *state, void (*emit)(void *data, struct sink *out), void *data)
{
	struct self *self = state;

	self->attached = emit;
	self->attached_data = data;
}

static bool helper_listed(pid_t pid, const pid_t *pids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

void self_helpers_set(void *state, const pid_t *pids, size_t count)
{
	struct self *self = state;
	size_t kept = 0;

	if (count > SELF_HELPERS_MAX)
		count = SELF_HELPERS_MAX;
	for (size_t i = 0; i < self->helpers_count; i++) {
		if (helper_listed(self->helpers[i].pid, pids, count))
			self->helpers[kept++] = self->helpers[i];
		else
			process_done(&self->helpers[i]);
	}
	self->helpers_count = kept;
	for (size_t i = 0; i < count; i++) {
		bool known = false;

		for (size_t k = 0; k < kept; k++)
			known = known || self->helpers[k].pid == pids[i];
		if (!known && pids[i] > 0 && self->helpers_count < SELF_HELPERS_MAX)
			process_init(&self->helpers[self->helpers_count++], pids[i]);
	}
}

static int process_read(struct self *self, const struct collect_ctx *ctx, struct process *process,
			struct procfs_file *file, const char *name)
{
	char path[48];

	if (process->pid > 0)
		snprintf(path, sizeof(path), "%d/%s", (int)process->pid, name);
	else
		snprintf(path, sizeof(path), "self/%s", name);
	return procfs_read(file, ctx->proc_fd, path, &self->text);
}

/* A value that cannot be read (a helper just gone, a kernel without schedstat) is unknown, not an error. */
static void process_measure(struct self *self, const struct collect_ctx *ctx, struct process *process)
{
	uint64_t value;

	if (process_read(self, ctx, process, &process->schedstat, "schedstat") == 0 &&
	    schedstat_parse(self->text.text, self->text.len, &value) == 0)
		rate_update(&process->cpu_ns, self->interval, value);
	else
		rate_miss(&process->cpu_ns);
	process->has_rss = process_read(self, ctx, process, &process->statm, "statm") == 0 &&
			   statm_parse(self->text.text, self->text.len, &value) == 0 &&
			   !__builtin_mul_overflow(value, self->page_kb, &process->rss_kb);
}

/* How many entries the directory has; the fd it is read through is not counted. */
static bool fds_list(struct self *self, uint64_t *ret)
{
	_Alignas(struct dirent64) char entries[2048];
	uint64_t count = 0;
	ssize_t n;

	if (lseek(self->fd_dir, 0, SEEK_SET) < 0)
		return false;
	while ((n = getdents64(self->fd_dir, entries, sizeof(entries))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry = (const struct dirent64 *)(const void *)(entries + at);

			count += entry->d_name[0] != '.';
			at += entry->d_reclen;
		}
	}
	if (n < 0 || count == 0)
		return false;
	*ret = count - 1;
	return true;
}

/* Since Linux 6.2 the size of /proc/PID/fd is the number of fds (fs/proc/fd.c, proc_fd_getattr). */
static void fds_count(struct self *self, const struct collect_ctx *ctx)
{
	struct stat st;

	self->has_fds = false;
	if (self->fd_dir < 0)
		self->fd_dir = openat(ctx->proc_fd, "self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (self->fd_dir < 0)
		return;
	if (ctx->live && fstat(self->fd_dir, &st) == 0 && st.st_size > 0) {
		self->fds = (uint64_t)st.st_size - 1;
		self->has_fds = true;
	} else {
		self->has_fds = fds_list(self, &self->fds);
	}
	if (!self->has_fds)
		close_fd(&self->fd_dir);
}

static int self_collect(void *state, const struct collect_ctx *ctx)
{
	struct self *self = state;

	self->interval = rate_clock_next(&self->clock, &ctx->now, ctx->gap);
	process_measure(self, ctx, &self->agent);
	for (size_t i = 0; i < self->helpers_count; i++)
		process_measure(self, ctx, &self->helpers[i]);
	fds_count(self, ctx);
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void count_emit(struct sink *out, const char *key, bool known, uint64_t value)
{
	if (known)
		sink_uint(out, key, value);
	else
		sink_null(out, key);
}

/* Of one CPU, over the time since the last sample. */
static void percent_emit(struct sink *out, bool known, double ns_per_second)
{
	if (known)
		sink_real(out, "cpu_percent", ns_per_second * 100 / (double)NS_PER_S, 3);
	else
		sink_null(out, "cpu_percent");
}

/* Sums over the helpers that could be read; unknown when none could. */
static void helpers_emit(const struct self *self, struct sink *out)
{
	uint64_t total_ns = 0, rss_kb = 0;
	double ns_per_second = 0;
	bool cpu = false, rate = false, rss = false;

	for (size_t i = 0; i < self->helpers_count; i++) {
		const struct process *helper = &self->helpers[i];

		cpu = cpu || helper->cpu_ns.started;
		rate = rate || rate_known(&helper->cpu_ns);
		rss = rss || helper->has_rss;
		total_ns += helper->cpu_ns.counter;
		ns_per_second += helper->cpu_ns.per_second;
		rss_kb += helper->has_rss ? helper->rss_kb : 0;
	}
	sink_object_begin(out, "helpers");
	sink_uint(out, "count", self->helpers_count);
	count_emit(out, "cpu_ns_total", cpu, total_ns);
	percent_emit(out, rate, ns_per_second);
	count_emit(out, "rss_kb", rss, rss_kb);
	sink_object_end(out);
}

static void self_emit(const void *state, struct sink *out)
{
	const struct self *self = state;
	const struct rate *cpu = &self->agent.cpu_ns;

	sink_object_begin(out, "self");
	count_emit(out, "cpu_ns", rate_known(cpu), cpu->delta);
	count_emit(out, "cpu_ns_total", cpu->started, cpu->counter);
	percent_emit(out, rate_known(cpu), cpu->per_second);
	count_emit(out, "rss_kb", self->agent.has_rss, self->agent.rss_kb);
	count_emit(out, "fds", self->has_fds, self->fds);
	if (self->helpers_count > 0)
		helpers_emit(self, out);
	if (self->attached)
		self->attached(self->attached_data, out);
	sink_object_end(out);
}

const struct collector collector_self = {
	.name = "self",
	.path = "",
	.open = self_open,
	.close = self_close,
	.collect = self_collect,
	.emit = self_emit,
};
