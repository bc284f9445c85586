/* SPDX-License-Identifier: MIT */
/*
 * system.vmstat: what the memory costs the guest in paging, swapping, stalls and kills, from /proc/vmstat.
 */
#include "vmstat.h"

#include <errno.h>
#include <stdlib.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "procfs.h"
#include "rate.h"
#include "table.h"

/* ------------------------------------------------------------------------------------------------------ parsing */

#define NAME(text)                                                                                                     \
	{                                                                                                              \
		text, sizeof(text) - 1                                                                                 \
	}

static const struct {
	const char *name;
	size_t len;
} names[] = {
	[VMSTAT_PGPGIN] = NAME("pgpgin"),
	[VMSTAT_PGPGOUT] = NAME("pgpgout"),
	[VMSTAT_PSWPIN] = NAME("pswpin"),
	[VMSTAT_PSWPOUT] = NAME("pswpout"),
	[VMSTAT_PGMAJFAULT] = NAME("pgmajfault"),
	[VMSTAT_OOM_KILL] = NAME("oom_kill"),
	[VMSTAT_COMPACT_STALL] = NAME("compact_stall"),
	[VMSTAT_ALLOCSTALL] = NAME("allocstall"),
};

/* VMSTAT_COUNTERS when it is none of them. The lines allocstall_ZONE (since Linux 4.10) count as allocstall. */
static unsigned counter_find(const struct scan *name)
{
	size_t len = scan_len(name);

	for (unsigned i = 0; i < VMSTAT_COUNTERS; i++) {
		if (len == names[i].len && memcmp(name->at, names[i].name, len) == 0)
			return i;
	}
	if (len > names[VMSTAT_ALLOCSTALL].len &&
	    memcmp(name->at, "allocstall_", names[VMSTAT_ALLOCSTALL].len + 1) == 0)
		return VMSTAT_ALLOCSTALL;
	return VMSTAT_COUNTERS;
}

/*	pgpgin 37104 */
int vmstat_parse(const char *text, size_t len, struct vmstat *out)
{
	struct scan rest = scan_text(text, len), line, name;
	struct vmstat vmstat = { .skipped = 0 };
	bool found = false;

	for (unsigned i = 0; i < VMSTAT_COUNTERS; i++)
		vmstat.counters[i] = VMSTAT_ABSENT;
	while (scan_line(&rest, &line)) {
		unsigned i;
		uint64_t *counter, value;
		bool sum;

		if (!scan_until(&line, ' ', &name) || (i = counter_find(&name)) == VMSTAT_COUNTERS)
			continue;
		counter = &vmstat.counters[i];
		sum = i == VMSTAT_ALLOCSTALL && *counter != VMSTAT_ABSENT;
		/* A second line of the same name may be anything: the first counts. */
		if ((*counter != VMSTAT_ABSENT && !sum) || !scan_u64(&line, &value) ||
		    (sum && __builtin_add_overflow(value, *counter, &value)) || value == VMSTAT_ABSENT) {
			vmstat.skipped++;
			continue;
		}
		*counter = value;
		found = true;
	}
	if (!found)
		return -EBADMSG;
	*out = vmstat;
	return 0;
}

/* ---------------------------------------------------------------------------------------------------- collecting */

struct paging {
	struct procfs_file file;
	struct procfs_buffer text;
	struct rate_clock clock;
	struct rate rates[VMSTAT_COUNTERS]; /* not started where the kernel has no such line, or an invalid one */
	uint64_t skipped;
};

static int vmstat_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct paging *paging = calloc(1, sizeof(*paging));

	(void)ctx;
	if (!paging)
		return -ENOMEM;
	paging->file = PROCFS_FILE_SINGLE;
	*ret_state = paging;
	return 0;
}

static void vmstat_close(void *state)
{
	struct paging *paging = state;

	if (!paging)
		return;
	procfs_close(&paging->file);
	procfs_buffer_free(&paging->text);
	free(paging);
}

/*
 * The kernel hands the text out by the page, sums the counters of all CPUs up anew for each read (nine tenths of what
 * this collector costs), and has all that is used on the first page. Only where the last of it is not there is the text
 * read to its end, from then on.
 */
static int vmstat_read(struct paging *paging, const struct collect_ctx *ctx, struct vmstat *now)
{
	for (;;) {
		int r = procfs_read(&paging->file, ctx->proc_fd, "vmstat", &paging->text);

		if (r < 0)
			return r;
		r = vmstat_parse(paging->text.text, paging->text.len, now);
		if (!paging->file.single || (r == 0 && now->counters[VMSTAT_COMPACT_STALL] != VMSTAT_ABSENT))
			return r;
		paging->file.single = false;
	}
}

static int vmstat_collect(void *state, const struct collect_ctx *ctx)
{
	struct paging *paging = state;
	struct rate_interval interval;
	struct vmstat now;
	int r = vmstat_read(paging, ctx, &now);

	if (r < 0)
		return r;
	interval = rate_clock_next(&paging->clock, &ctx->now, ctx->gap);
	if (!interval.first && !(interval.seconds > 0))
		return 0;
	for (unsigned i = 0; i < VMSTAT_COUNTERS; i++) {
		if (now.counters[i] == VMSTAT_ABSENT)
			rate_miss(&paging->rates[i]);
		else
			rate_update(&paging->rates[i], interval, now.counters[i]);
	}
	paging->skipped = now.skipped;
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void vmstat_emit(const void *state, struct sink *out)
{
	static const struct {
		const char *counter, *rate;
	} keys[VMSTAT_COUNTERS] = {
		[VMSTAT_PGPGIN] = { "paged_in_kb", "paged_in_kb_per_sec" },
		[VMSTAT_PGPGOUT] = { "paged_out_kb", "paged_out_kb_per_sec" },
		[VMSTAT_PSWPIN] = { "swapped_in_pages", "swapped_in_pages_per_sec" },
		[VMSTAT_PSWPOUT] = { "swapped_out_pages", "swapped_out_pages_per_sec" },
		[VMSTAT_PGMAJFAULT] = { "major_faults", "major_faults_per_sec" },
		[VMSTAT_OOM_KILL] = { "oom_kills", "oom_kills_per_sec" },
		[VMSTAT_COMPACT_STALL] = { "compaction_stalls", "compaction_stalls_per_sec" },
		[VMSTAT_ALLOCSTALL] = { "allocation_stalls", "allocation_stalls_per_sec" },
	};
	const struct paging *paging = state;
	enum rate_state worst = RATE_OK;

	for (unsigned i = 0; i < VMSTAT_COUNTERS; i++) {
		const struct rate *rate = &paging->rates[i];

		if (rate->started)
			sink_uint(out, keys[i].counter, rate->counter);
		else
			sink_null(out, keys[i].counter);
		if (rate_known(rate))
			sink_real(out, keys[i].rate, rate->per_second, 2);
		else
			sink_null(out, keys[i].rate);
		if (rate->started)
			worst = rate_state_worse(worst, rate->state);
	}
	sink_str(out, "state", rate_state_name(worst));
	if (paging->skipped > 0)
		sink_uint(out, "lines_skipped", paging->skipped);
}

const struct collector collector_vmstat = {
	.name = "vmstat",
	.path = "system.vmstat",
	.period_s = 10,
	.open = vmstat_open,
	.close = vmstat_close,
	.collect = vmstat_collect,
	.emit = vmstat_emit,
};
