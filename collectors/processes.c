/* SPDX-License-Identifier: MIT */
/*
 * The loop reads only what cannot hang: stat, io, the owner of the directory. Command line and executable need the
 * target's memory and come from the prober, for the rows shown only, once a process (and again when it calls execve).
 */
#include "processes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <infiniservice/cleanup.h>

#include "passwd.h"
#include "procfs.h"
#include "proctable.h"
#include "ranked.h"
#include "select.h"
#include "table.h"
#include "usernames.h"

/* A process may rewrite its command line or change its user without a call of execve. */
#define LOOK_AGAIN_NS (60 * NS_PER_S)
#define ASK_AGAIN_NS  (600 * NS_PER_S)
#define ASK_RETRY_NS  (60 * NS_PER_S)

/* Bounds of what is remembered of command lines. */
#define DETAILS_MAX	 2048U
#define DETAIL_BYTES_MAX (2U << 20)

/* A clock that drifts by less does not move the start times. */
#define BOOT_DRIFT_MS 500

struct processes {
	struct proctable table;
	struct passwd passwd;
	struct usernames users; /* that the file does not have */
	struct process *top;	/* copies of the rows shown: their fd and detail are the table's */
	size_t top_count, top_size;
	uint32_t *order;
	size_t order_size;
	int64_t boot_wall_ms; /* when the guest booted */
	bool boot_known;
};

/* -------------------------------------------------------------------------------------------------- order and time */

static bool before_cpu(uint32_t a, uint32_t b, const void *user)
{
	const struct process *left = (const struct process *)user + a, *right = (const struct process *)user + b;

	if (left->cpu_percent != right->cpu_percent)
		return left->cpu_percent > right->cpu_percent;
	if (left->stat.rss_pages != right->stat.rss_pages)
		return left->stat.rss_pages > right->stat.rss_pages;
	return a < b;
}

static bool before_memory(uint32_t a, uint32_t b, const void *user)
{
	const struct process *left = (const struct process *)user + a, *right = (const struct process *)user + b;

	if (left->stat.rss_pages != right->stat.rss_pages)
		return left->stat.rss_pages > right->stat.rss_pages;
	return a < b;
}

static bool before_pid(uint32_t a, uint32_t b, const void *user)
{
	(void)user;
	return a < b;
}

static int array_reserve(void *items, size_t *size, size_t wanted, size_t item_size)
{
	void *bigger;

	if (wanted <= *size)
		return 0;
	bigger = reallocarray(*(void **)items, wanted, item_size);
	if (!bigger)
		return -ENOMEM;
	*(void **)items = bigger;
	*size = wanted;
	return 0;
}

/* "btime 1767225600" of /proc/stat: for test fixtures, which do not have the clocks of this kernel. */
static bool boot_read(const struct collect_ctx *ctx, int64_t *ret_wall_ms)
{
	_cleanup_(procfs_buffer_free) struct procfs_buffer buffer = { 0 };
	_cleanup_(procfs_close) struct procfs_file file = PROCFS_FILE_SINGLE;
	struct scan text, line;
	uint64_t seconds;

	if (procfs_read(&file, ctx->proc_fd, "stat", &buffer) < 0)
		return false;
	text = scan_text(buffer.text, buffer.len);
	while (scan_line(&text, &line))
		if (scan_key(&line, "btime ") && scan_u64(&line, &seconds) && seconds < INT64_MAX / 1000) {
			*ret_wall_ms = (int64_t)seconds * 1000;
			return true;
		}
	return false;
}

/* The start times shown must not tremble with the clocks, but have to follow a clock that is set. */
static void boot_update(struct processes *processes, const struct collect_ctx *ctx)
{
	int64_t boot = ctx->now.wall_ms - (int64_t)(ctx->now.boot_ns / NS_PER_MS);
	int64_t drift = boot - processes->boot_wall_ms;

	if (!ctx->live) {
		if (!processes->boot_known)
			processes->boot_known = boot_read(ctx, &processes->boot_wall_ms);
		if (processes->boot_known)
			return;
	}
	if (!processes->boot_known || drift > BOOT_DRIFT_MS || drift < -BOOT_DRIFT_MS)
		processes->boot_wall_ms = boot;
	processes->boot_known = ctx->live;
}

static int64_t start_wall_ms(const struct processes *processes, const struct process *row)
{
	return processes->boot_wall_ms + (int64_t)((double)row->stat.start_ticks * 1000 / processes->table.tick_hz);
}

/* ---------------------------------------------------------------------------------- what is looked at for some rows */

static void container_look(const struct collect_ctx *ctx, struct process *row)
{
	char path[24], text[2048];
	ssize_t n;

	snprintf(path, sizeof(path), "%d/cgroup", row->stat.pid);
	n = procfs_read_once(ctx->proc_fd, path, text, sizeof(text));
	if (n <= 0 || !pidcontainer_parse(text, (size_t)n, row->container))
		row->container[0] = '\0';
}

/*
 * The owner of the directory /proc/PID is the effective user, also for a process that is not dumpable, whose files
 * there belong to root (fs/proc/base.c, task_dump_owner).
 */
static void row_look(const struct collect_ctx *ctx, struct process *row)
{
	struct stat owner;
	char path[16];

	if (row->looked_ns != 0 && ctx->now.mono_ns - row->looked_ns < LOOK_AGAIN_NS)
		return;
	snprintf(path, sizeof(path), "%d", row->stat.pid);
	row->uid_known = fstatat(ctx->proc_fd, path, &owner, 0) == 0;
	if (row->uid_known)
		row->uid = owner.st_uid;
	row->io_denied = false;
	row->switches_known = false;
	container_look(ctx, row);
	row->looked_ns = ctx->now.mono_ns ? ctx->now.mono_ns : 1;
}

static const char *user_of(const struct processes *processes, const struct process *row)
{
	const char *name = row->uid_known ? passwd_find(&processes->passwd, row->uid) : NULL;

	return name || !row->uid_known ? name : usernames_find(&processes->users, row->uid);
}

/* 1 when a name that the file does not have is to come. */
static int user_ask(struct processes *processes, const struct collect_ctx *ctx, const struct process *row)
{
	if (!row->uid_known || passwd_find(&processes->passwd, row->uid))
		return 0;
	return usernames_want(&processes->users, ctx, row->uid);
}

static bool io_read(const struct collect_ctx *ctx, struct process *row, struct pidio *ret)
{
	char path[24], text[512];
	ssize_t n;

	if (row->io_denied)
		return false;
	snprintf(path, sizeof(path), "%d/io", row->stat.pid);
	n = procfs_read_once(ctx->proc_fd, path, text, sizeof(text));
	row->io_denied = n == -EACCES || n == -EPERM;
	return n > 0 && pidio_parse(text, (size_t)n, ret) == 0;
}

/* What the row has read and written, and how fast since it was looked at before this collect. */
static void io_take(const struct collect_ctx *ctx, struct process *row)
{
	uint64_t now_ns = ctx->now.mono_ns ? ctx->now.mono_ns : 1, passed_ns = now_ns - row->io_ns, moved;
	struct pidio io;

	if (row->io_ns == now_ns)
		return;
	row->io_rated = false;
	if (!io_read(ctx, row, &io)) {
		row->io_ns = 0;
		return;
	}
	if (row->io_ns != 0 &&
	    rate_moved(row->io.read_bytes + row->io.write_bytes, io.read_bytes + io.write_bytes, &moved)) {
		row->io_rated = true;
		row->io_per_second = (double)moved * (double)NS_PER_S / (double)passed_ns;
	}
	row->io = io;
	row->io_ns = now_ns;
}

/*
 * The kernel writes fifty lines for the two that are of interest, so they are read of those alone that have used their
 * processor since, and once a minute.
 */
static void switches_take(const struct collect_ctx *ctx, struct process *row)
{
	char path[24], text[4096];
	ssize_t n;

	if (row->switches_known && row->switches_ticks == row->stat.cpu_ticks)
		return;
	snprintf(path, sizeof(path), "%d/status", row->stat.pid);
	n = procfs_read_once(ctx->proc_fd, path, text, sizeof(text));
	row->switches_known = n > 0 && pidswitches_parse(text, (size_t)n, &row->switches) == 0;
	row->switches_ticks = row->stat.cpu_ticks;
}

/* Neither has a command line, nor an executable to be found. */
static bool row_is_bare(const struct process *row)
{
	return pidstat_is_kernel(&row->stat) || row->stat.state == 'Z';
}

/* Makes room by forgetting what is not shown; those rows are asked for again if they ever are. */
static void details_trim(struct processes *processes, const struct process *keep)
{
	struct proctable *table = &processes->table;

	if (table->details < DETAILS_MAX && table->detail_bytes < DETAIL_BYTES_MAX)
		return;
	for (size_t i = 0; i < table->count; i++)
		if (&table->rows[i] != keep) {
			proctable_set_detail(table, &table->rows[i], NULL);
			table->rows[i].asked_ns = 0;
		}
}

/* 1: an answer is to come; 0: there is nothing to ask; or -errno of the prober. */
static int row_ask(const struct collect_ctx *ctx, struct process *row)
{
	uint64_t since = ctx->now.mono_ns - row->asked_ns;
	struct probe_request request = { .kind = PROBE_PROCESS };
	char pid[16];
	int r;

	if (row_is_bare(row))
		return 0;
	if (row->asked_ns != 0 && since < (row->detail ? ASK_AGAIN_NS : ASK_RETRY_NS))
		return row->asked && !row->detail;
	if (!ctx->prober)
		return -ENOSYS;
	request.key = pidstat_key(row->stat.pid, row->stat.start_ticks);
	request.arg = pid;
	request.arg_len = (size_t)snprintf(pid, sizeof(pid), "%d", row->stat.pid);
	/* A direct prober answers during the call, and `probed` says so. */
	row->asked = true;
	row->asked_ns = ctx->now.mono_ns ? ctx->now.mono_ns : 1;
	r = ctx->prober->request(ctx->prober, &request);
	if (r == 0 || r == -EALREADY)
		return row->asked && !row->detail;
	row->asked = false;
	row->asked_ns = 0;
	return r;
}

static void join_arguments(char *cmdline, uint32_t *len)
{
	while (*len > 0 && cmdline[*len - 1] == '\0')
		--*len;
	for (uint32_t i = 0; i < *len; i++)
		if (cmdline[i] == '\0')
			cmdline[i] = ' ';
}

/* NULL when the answer makes no sense, is about another process, or memory is out. */
static struct process_detail *detail_new(const struct probe_result *result)
{
	struct probe_process answer;
	struct process_detail *detail;
	const char *text = (const char *)result->data + sizeof(answer);

	if (result->data_len < sizeof(answer))
		return NULL;
	memcpy(&answer, result->data, sizeof(answer));
	if (answer.cmdline_len > SINK_CMDLINE_MAX || answer.exe_len > SINK_PATH_MAX ||
	    answer.cmdline_len + answer.exe_len > result->data_len - sizeof(answer))
		return NULL;
	if (pidstat_key(0, answer.start_ticks) != pidstat_key_start(result->key))
		return NULL;
	detail = malloc(sizeof(*detail) + answer.cmdline_len + answer.exe_len);
	if (!detail)
		return NULL;
	memcpy(detail->text, text, answer.cmdline_len);
	detail->cmdline_len = answer.cmdline_len;
	join_arguments(detail->text, &detail->cmdline_len);
	memcpy(detail->text + detail->cmdline_len, text + answer.cmdline_len, answer.exe_len);
	detail->exe_len = answer.exe_len;
	return detail;
}

static void processes_probed(void *state, const struct probe_result *result)
{
	struct processes *processes = state;
	struct process *row = proctable_find(&processes->table, pidstat_key_pid(result->key));
	struct process_detail *detail;

	if (result->kind == PROBE_USER) {
		usernames_probed(&processes->users, result);
		return;
	}
	if (result->kind != PROBE_PROCESS || !row || pidstat_key(row->stat.pid, row->stat.start_ticks) != result->key)
		return;
	row->asked = false;
	detail = result->error == 0 ? detail_new(result) : NULL;
	if (!detail)
		return;
	details_trim(processes, row);
	proctable_set_detail(&processes->table, row, detail);
}

/* ---------------------------------------------------------------------------------------------------- the collector */

static void processes_close(void *state)
{
	struct processes *processes = state;

	if (!processes)
		return;
	proctable_done(&processes->table);
	passwd_free(&processes->passwd);
	usernames_free(&processes->users);
	free(processes->top);
	free(processes->order);
	free(processes);
}

static int processes_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct processes *processes = calloc(1, sizeof(*processes));

	(void)ctx;
	if (!processes)
		return -ENOMEM;
	proctable_init(&processes->table);
	*ret_state = processes;
	return 0;
}

/* One more row for the sample, unless it is there already. */
static void choose(struct processes *processes, uint32_t at, size_t *chosen)
{
	struct process *row = &processes->table.rows[at];

	if (row->picked)
		return;
	row->picked = true;
	processes->order[(*chosen)++] = at;
}

/* Chooses up to `max` of these rows that read or write most. */
static void choose_by_io(struct processes *processes, const struct collect_ctx *ctx, const uint32_t *at, size_t count,
			 size_t max, size_t *chosen)
{
	struct process *rows = processes->table.rows;

	for (size_t i = 0; i < count && max > 0; i++)
		if (!rows[at[i]].picked && rows[at[i]].cpu_percent > 0)
			io_take(ctx, &rows[at[i]]);
	for (; max > 0; max--) {
		const struct process *most = NULL;

		for (size_t i = 0; i < count; i++) {
			const struct process *row = &rows[at[i]];

			if (!row->picked && row->io_rated && row->io_per_second > (most ? most->io_per_second : 0))
				most = row;
		}
		if (!most)
			return;
		choose(processes, (uint32_t)(most - rows), chosen);
	}
}

/*
 * Which rows a sample shows, in `order`: half of them by CPU, a quarter by memory, a quarter by what they read and
 * wrote, and what these leave again by CPU. Of I/O those are looked at that are next by CPU: there is no reading and
 * writing without, and to look at all would cost more than all the rest. Returns how many.
 */
static size_t top_choose(struct processes *processes, const struct collect_ctx *ctx, size_t wanted)
{
	const struct process *rows = processes->table.rows;
	size_t count = processes->table.count, quarter = wanted / 4, half = wanted - 2 * quarter, chosen = 0;
	uint32_t *by_cpu = processes->order + wanted, *by_memory = by_cpu + 2 * wanted;
	size_t cpu = select_first(by_cpu, 2 * wanted, count, before_cpu, rows);
	size_t memory = select_first(by_memory, half + quarter, count, before_memory, rows);

	for (size_t i = 0; i < cpu && chosen < half; i++)
		choose(processes, by_cpu[i], &chosen);
	for (size_t i = 0; i < memory && chosen < half + quarter; i++)
		choose(processes, by_memory[i], &chosen);
	choose_by_io(processes, ctx, by_cpu, cpu < wanted ? cpu : wanted, quarter, &chosen);
	for (size_t i = 0; i < cpu && chosen < wanted; i++)
		choose(processes, by_cpu[i], &chosen);
	for (size_t i = 0; i < chosen; i++)
		processes->table.rows[processes->order[i]].picked = false;
	return chosen;
}

static int top_take(struct processes *processes, const struct collect_ctx *ctx, size_t wanted)
{
	int r = array_reserve(&processes->top, &processes->top_size, wanted, sizeof(*processes->top));

	if (r == 0)
		r = array_reserve(&processes->order, &processes->order_size, 4 * wanted, sizeof(*processes->order));
	if (r < 0)
		return r;
	processes->top_count = top_choose(processes, ctx, wanted);
	for (size_t i = 0; i < processes->top_count; i++) {
		struct process *row = &processes->table.rows[processes->order[i]];

		row_look(ctx, row);
		io_take(ctx, row);
		switches_take(ctx, row);
		row_ask(ctx, row);
		user_ask(processes, ctx, row);
		processes->top[i] = *row;
	}
	return 0;
}

static int processes_collect(void *state, const struct collect_ctx *ctx)
{
	struct processes *processes = state;
	int r = proctable_scan(&processes->table, ctx, true);

	if (r != 0)
		return r;
	boot_update(processes, ctx);
	/* Without the file, or memory for it, users are shown by number. */
	passwd_refresh(&processes->passwd, ctx->root_fd);
	return top_take(processes, ctx, ctx->limits.processes_top);
}

/* ------------------------------------------------------------------------------------------------------------ emit */

static void emit_detail(struct sink *out, const struct processes *processes, const struct process *shown)
{
	/* The row, not the copy: the answer may have come after it was made. */
	const struct process *row = proctable_find(&processes->table, shown->stat.pid);
	const struct process_detail *detail =
		row && row->stat.start_ticks == shown->stat.start_ticks ? row->detail : NULL;

	if (detail && detail->exe_len > 0)
		sink_text(out, "exe_path", detail->text + detail->cmdline_len, detail->exe_len, SINK_PATH_MAX);
	else
		sink_null(out, "exe_path");
	if (detail || row_is_bare(shown))
		sink_text(out, "cmd_line", detail ? detail->text : "", detail ? detail->cmdline_len : 0,
			  SINK_COMMAND_MAX);
	else
		sink_null(out, "cmd_line");
}

static void emit_owner(struct sink *out, const struct processes *processes, const struct process *row)
{
	const char *name = user_of(processes, row);
	char number[16];

	if (!row->uid_known) {
		sink_null(out, "uid");
		sink_null(out, "user");
		return;
	}
	sink_uint(out, "uid", row->uid);
	snprintf(number, sizeof(number), "%u", row->uid);
	sink_str(out, "user", name ? name : number);
}

static void emit_io(struct sink *out, const struct process *row)
{
	if (row->io_ns) {
		sink_uint(out, "disk_read_bytes", row->io.read_bytes);
		sink_uint(out, "disk_write_bytes", row->io.write_bytes);
	} else {
		sink_null(out, "disk_read_bytes");
		sink_null(out, "disk_write_bytes");
	}
	if (row->io_ns && row->io_rated)
		sink_real(out, "disk_bytes_per_sec", row->io_per_second, 0);
	else
		sink_null(out, "disk_bytes_per_sec");
}

static void emit_switches(struct sink *out, const struct process *row)
{
	if (row->switches_known) {
		sink_uint(out, "voluntary_switches", row->switches.voluntary);
		sink_uint(out, "involuntary_switches", row->switches.involuntary);
	} else {
		sink_null(out, "voluntary_switches");
		sink_null(out, "involuntary_switches");
	}
}

static void emit_row(struct sink *out, const struct processes *processes, const struct process *row)
{
	char start[RFC3339_SIZE];

	sink_object_begin(out, NULL);
	sink_int(out, "pid", row->stat.pid);
	sink_int(out, "ppid", row->stat.ppid);
	sink_text(out, "name", row->stat.comm, row->stat.comm_len, SINK_COMM_MAX);
	emit_detail(out, processes, row);
	sink_real(out, "cpu_percent", row->cpu_percent, 1);
	sink_uint(out, "memory_kb", (uint64_t)((double)row->stat.rss_pages * processes->table.page_kb));
	emit_io(out, row);
	sink_str(out, "status", pidstat_state_name(row->stat.state));
	sink_text(out, "start_time", start, rfc3339_format(start_wall_ms(processes, row), start), sizeof(start));
	emit_owner(out, processes, row);
	sink_uint(out, "threads", row->stat.threads);
	emit_switches(out, row);
	if (row->container[0])
		sink_str(out, "container_id", row->container);
	sink_object_end(out);
}

static void emit_top(struct sink *out, uint32_t at, const void *user)
{
	const struct processes *processes = user;

	emit_row(out, processes, &processes->top[at]);
}

static void processes_emit(const void *state, struct sink *out)
{
	const struct processes *processes = state;
	struct ranked list = { .key = "processes",
			       .rank = "half by CPU, a quarter by memory, a quarter by I/O",
			       .count = processes->top_count,
			       .emit = emit_top,
			       .user = processes };
	size_t shown = ranked_emit(out, &list), total = processes->table.count + processes->table.left_out;

	sink_uint(out, "processes_total", total);
	if (shown < processes->top_count || processes->table.truncated)
		sink_bool(out, "processes_truncated", true);
	ranked_tell(out, &list, total - shown);
}

/* ----------------------------------------------------------------------------------------------- for the actions */

int processes_refresh(void *state, const struct collect_ctx *ctx)
{
	struct processes *processes = state;
	int r = proctable_scan(&processes->table, ctx, false);

	if (r != 0)
		return r;
	boot_update(processes, ctx);
	passwd_refresh(&processes->passwd, ctx->root_fd);
	return 0;
}

size_t processes_count(const void *state)
{
	const struct processes *processes = state;

	return processes->table.count;
}

static void row_fill(const struct processes *processes, const struct collect_ctx *ctx, struct process *row,
		     struct process_row *out)
{
	const struct process_detail *detail = row->detail;

	row_look(ctx, row);
	*out = (struct process_row){
		.pid = row->stat.pid,
		.ppid = row->stat.ppid,
		.comm = row->stat.comm,
		.comm_len = row->stat.comm_len,
		.cpu_percent = row->cpu_percent,
		.rss_kb = (uint64_t)((double)row->stat.rss_pages * processes->table.page_kb),
		.status = pidstat_state_name(row->stat.state),
		.uid = row->uid,
		.uid_known = row->uid_known,
		.user = user_of(processes, row),
		.start_ticks = row->stat.start_ticks,
		.start_wall_ms = start_wall_ms(processes, row),
		.threads = row->stat.threads,
		.kernel_thread = pidstat_is_kernel(&row->stat),
	};
	if (detail) {
		out->cmdline = detail->text;
		out->cmdline_len = detail->cmdline_len;
		out->exe = detail->exe_len ? detail->text + detail->cmdline_len : NULL;
		out->exe_len = detail->exe_len;
	} else if (row_is_bare(row)) {
		out->cmdline = "";
	}
}

size_t processes_sorted(void *state, const struct collect_ctx *ctx, enum processes_sort sort, struct process_row *rows,
			size_t max)
{
	static const select_before_fn orders[] = { before_cpu, before_memory, before_pid };
	struct processes *processes = state;
	size_t wanted = max < processes->table.count ? max : processes->table.count;

	if (array_reserve(&processes->order, &processes->order_size, wanted, sizeof(*processes->order)) < 0)
		return 0;
	wanted = select_first(processes->order, wanted, processes->table.count, orders[sort], processes->table.rows);
	for (size_t i = 0; i < wanted; i++)
		row_fill(processes, ctx, &processes->table.rows[processes->order[i]], &rows[i]);
	return wanted;
}

bool processes_find(void *state, const struct collect_ctx *ctx, pid_t pid, struct process_row *ret_row)
{
	struct processes *processes = state;
	struct process *row = proctable_find(&processes->table, pid);

	if (row)
		row_fill(processes, ctx, row, ret_row);
	return row != NULL;
}

int processes_ask(void *state, const struct collect_ctx *ctx, const struct process_row *rows, size_t count)
{
	struct processes *processes = state;
	int waiting = 0, refused = 0;

	for (size_t i = 0; i < count; i++) {
		struct process *row = proctable_find(&processes->table, rows[i].pid);
		int r = 0;

		if (row && row->stat.start_ticks == rows[i].start_ticks && !row->detail)
			r = row_ask(ctx, row);
		if (row)
			waiting += user_ask(processes, ctx, row);
		if (r < 0)
			refused = r;
		else
			waiting += r;
	}
	return waiting > 0 ? waiting : refused;
}

const struct collector collector_processes = {
	.name = "processes",
	.path = "",
	.reserve_bytes = 4096,
	.open = processes_open,
	.close = processes_close,
	.collect = processes_collect,
	.probed = processes_probed,
	.emit = processes_emit,
};
