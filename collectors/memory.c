/* SPDX-License-Identifier: MIT */
/*
 * system.memory: /proc/meminfo as free(1) counts it, used = total - available.
 */
#include "memory.h"

#include <errno.h>
#include <stdlib.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "procfs.h"
#include "table.h"

/* ------------------------------------------------------------------------------------------------------ parsing */

#define KEY(text, field)                                                                                               \
	{                                                                                                              \
		text, sizeof(text) - 1, offsetof(struct meminfo, field)                                                \
	}

/* In the order of the kernel's text (fs/proc/meminfo.c), so that the search goes on where the last one ended. */
static const struct {
	const char *name;
	size_t len;
	size_t offset;
} keys[] = {
	KEY("MemTotal", total_kb),
	KEY("MemFree", free_kb),
	KEY("MemAvailable", available_kb),
	KEY("Buffers", buffers_kb),
	KEY("Cached", cached_kb),
	KEY("SwapCached", swap_cached_kb),
	KEY("Active", active_kb),
	KEY("Inactive", inactive_kb),
	KEY("Unevictable", unevictable_kb),
	KEY("Mlocked", locked_kb),
	KEY("SwapTotal", swap_total_kb),
	KEY("SwapFree", swap_free_kb),
	KEY("Zswap", zswap_kb),
	KEY("Zswapped", zswapped_kb),
	KEY("Dirty", dirty_kb),
	KEY("Writeback", writeback_kb),
	KEY("AnonPages", anon_kb),
	KEY("Mapped", mapped_kb),
	KEY("Shmem", shmem_kb),
	KEY("Slab", slab_kb),
	KEY("SReclaimable", reclaimable_kb),
	KEY("KernelStack", kernel_stack_kb),
	KEY("PageTables", page_tables_kb),
	KEY("CommitLimit", commit_limit_kb),
	KEY("Committed_AS", committed_kb),
	KEY("VmallocUsed", vmalloc_used_kb),
	KEY("AnonHugePages", anon_huge_kb),
	KEY("HugePages_Total", huge_total),
	KEY("HugePages_Free", huge_free),
	KEY("HugePages_Rsvd", huge_reserved),
	KEY("HugePages_Surp", huge_surplus),
	KEY("Hugepagesize", huge_page_size_kb),
};

static uint64_t *field_of(struct meminfo *info, size_t key)
{
	return (uint64_t *)(void *)((char *)info + keys[key].offset);
}

/* The key this line begins with, looked for from *from on, all round; ARRAY_SIZE(keys) when it is none of them. */
static size_t key_find(struct scan *line, size_t *from)
{
	for (size_t n = 0, k = *from; n < ARRAY_SIZE(keys); n++, k = (k + 1) % ARRAY_SIZE(keys)) {
		if (scan_len(line) > keys[k].len && line->at[keys[k].len] == ':' && line->at[0] == keys[k].name[0] &&
		    memcmp(line->at, keys[k].name, keys[k].len) == 0) {
			line->at += keys[k].len + 1;
			*from = (k + 1) % ARRAY_SIZE(keys);
			return k;
		}
	}
	return ARRAY_SIZE(keys);
}

static uint64_t or_zero(uint64_t value)
{
	return value == MEMINFO_ABSENT ? 0 : value;
}

/* Saturates instead of wrapping, below MEMINFO_ABSENT. */
static uint64_t plus(uint64_t a, uint64_t b)
{
	return a > MEMINFO_ABSENT - 1 - b ? MEMINFO_ABSENT - 1 : a + b;
}

static uint64_t available_estimate(const struct meminfo *info)
{
	uint64_t page_cache = plus(or_zero(info->buffers_kb), or_zero(info->cached_kb));
	uint64_t shared = or_zero(info->shmem_kb);

	page_cache = plus(page_cache, or_zero(info->reclaimable_kb));
	return plus(info->free_kb, page_cache > shared ? page_cache - shared : 0);
}

/*	MemTotal:        4025956 kB */
int meminfo_parse(const char *text, size_t len, struct meminfo *out)
{
	struct scan rest = scan_text(text, len), line;
	size_t found = 0, from = 0;
	struct meminfo info;

	info.skipped = 0;
	for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
		*field_of(&info, k) = MEMINFO_ABSENT;
	while (found < ARRAY_SIZE(keys) && scan_line(&rest, &line)) {
		size_t key = key_find(&line, &from);
		uint64_t value;

		if (key == ARRAY_SIZE(keys))
			continue;
		/* A second line of the same key may be anything: the first counts. */
		if (*field_of(&info, key) != MEMINFO_ABSENT || !scan_u64(&line, &value) || value == MEMINFO_ABSENT) {
			info.skipped++;
			continue;
		}
		found++;
		*field_of(&info, key) = value;
	}
	if (info.total_kb == MEMINFO_ABSENT || (info.free_kb == MEMINFO_ABSENT && info.available_kb == MEMINFO_ABSENT))
		return -EBADMSG;
	if (info.available_kb == MEMINFO_ABSENT)
		info.available_kb = available_estimate(&info);
	if (info.available_kb > info.total_kb)
		info.available_kb = info.total_kb;
	*out = info;
	return 0;
}

/* ---------------------------------------------------------------------------------------------------- collecting */

struct memory {
	struct procfs_file file;
	struct procfs_buffer text;
	struct meminfo info;
};

static int memory_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	(void)ctx;
	if (!memory)
		return -ENOMEM;
	memory->file = PROCFS_FILE_SINGLE;
	*ret_state = memory;
	return 0;
}

static void memory_close(void *state)
{
	struct memory *memory = state;

	if (!memory)
		return;
	procfs_close(&memory->file);
	procfs_buffer_free(&memory->text);
	free(memory);
}

static int memory_collect(void *state, const struct collect_ctx *ctx)
{
	struct memory *memory = state;
	int r = procfs_read(&memory->file, ctx->proc_fd, "meminfo", &memory->text);

	return r < 0 ? r : meminfo_parse(memory->text.text, memory->text.len, &memory->info);
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void kb_emit(struct sink *out, const char *key, uint64_t kb)
{
	if (kb == MEMINFO_ABSENT)
		sink_null(out, key);
	else
		sink_uint(out, key, kb);
}

/* A guest without swap says 0 of 0: the host wants null there. How much there is may be known where its use is not. */
static void swap_emit(struct sink *out, const struct meminfo *info)
{
	bool none = or_zero(info->swap_total_kb) == 0, unknown = info->swap_free_kb == MEMINFO_ABSENT;
	uint64_t free_kb = info->swap_free_kb < info->swap_total_kb ? info->swap_free_kb : info->swap_total_kb;

	kb_emit(out, "swap_total_kb", none ? MEMINFO_ABSENT : info->swap_total_kb);
	kb_emit(out, "swap_used_kb", none || unknown ? MEMINFO_ABSENT : info->swap_total_kb - free_kb);
}

static void swap_more_emit(struct sink *out, const struct meminfo *info)
{
	kb_emit(out, "swap_cached_kb", info->swap_cached_kb);
	kb_emit(out, "zswap_kb", info->zswap_kb);
	kb_emit(out, "zswapped_kb", info->zswapped_kb);
}

/* What swap holds moves where there is any, and else it never does. */
static void memory_emit(const void *state, struct sink *out)
{
	const struct meminfo *info = &((const struct memory *)state)->info;
	bool swap = or_zero(info->swap_total_kb) > 0;

	sink_uint(out, "total_kb", info->total_kb);
	sink_uint(out, "used_kb", info->total_kb - info->available_kb);
	sink_uint(out, "available_kb", info->available_kb);
	swap_emit(out, info);
	kb_emit(out, "free_kb", info->free_kb);
	kb_emit(out, "buffers_kb", info->buffers_kb);
	kb_emit(out, "cached_kb", info->cached_kb);
	kb_emit(out, "anonymous_kb", info->anon_kb);
	kb_emit(out, "shared_kb", info->shmem_kb);
	kb_emit(out, "slab_kb", info->slab_kb);
	kb_emit(out, "reclaimable_kb", info->reclaimable_kb);
	kb_emit(out, "dirty_kb", info->dirty_kb);
	kb_emit(out, "writeback_kb", info->writeback_kb);
	kb_emit(out, "committed_kb", info->committed_kb);
	kb_emit(out, "active_kb", info->active_kb);
	kb_emit(out, "inactive_kb", info->inactive_kb);
	kb_emit(out, "mapped_kb", info->mapped_kb);
	kb_emit(out, "page_tables_kb", info->page_tables_kb);
	kb_emit(out, "kernel_stack_kb", info->kernel_stack_kb);
	kb_emit(out, "vmalloc_used_kb", info->vmalloc_used_kb);
	kb_emit(out, "anonymous_huge_kb", info->anon_huge_kb);
	if (swap)
		swap_more_emit(out, info);
	sink_whole_begin(out);
	if (!swap)
		swap_more_emit(out, info);
	kb_emit(out, "unevictable_kb", info->unevictable_kb);
	kb_emit(out, "locked_kb", info->locked_kb);
	kb_emit(out, "commit_limit_kb", info->commit_limit_kb);
	kb_emit(out, "huge_page_size_kb", info->huge_page_size_kb);
	kb_emit(out, "huge_pages_total", info->huge_total);
	kb_emit(out, "huge_pages_free", info->huge_free);
	kb_emit(out, "huge_pages_reserved", info->huge_reserved);
	kb_emit(out, "huge_pages_surplus", info->huge_surplus);
	sink_whole_end(out);
	if (info->skipped > 0)
		sink_uint(out, "lines_skipped", info->skipped);
}

const struct collector collector_memory = {
	.name = "memory",
	.path = "system.memory",
	.reserve_bytes = 1024,
	.whole_keys = "swap_cached_kb zswap_kb zswapped_kb unevictable_kb locked_kb commit_limit_kb huge_page_size_kb "
		      "huge_pages_total huge_pages_free huge_pages_reserved "
		      "huge_pages_surplus",
	.required = true,
	.open = memory_open,
	.close = memory_close,
	.collect = memory_collect,
	.emit = memory_emit,
};
