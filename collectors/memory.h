/* SPDX-License-Identifier: MIT */
/* /proc/meminfo, parsed. */
#ifndef COLLECTORS_MEMORY_H
#define COLLECTORS_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* A line that the text does not have. */
#define MEMINFO_ABSENT UINT64_MAX

/* In KiB, as the kernel gives them (its "kB" are 1024 bytes). */
struct meminfo {
	uint64_t total_kb, free_kb;
	uint64_t available_kb; /* MemAvailable, since Linux 3.14; before: see meminfo_parse */
	uint64_t buffers_kb, cached_kb, reclaimable_kb, shmem_kb, slab_kb;
	uint64_t anon_kb, dirty_kb, writeback_kb, committed_kb;
	uint64_t swap_total_kb, swap_free_kb;
	uint64_t swap_cached_kb, active_kb, inactive_kb, unevictable_kb, locked_kb, mapped_kb;
	uint64_t zswap_kb, zswapped_kb; /* since Linux 5.19: compressed, and what it was */
	uint64_t kernel_stack_kb, page_tables_kb, commit_limit_kb, vmalloc_used_kb;
	uint64_t anon_huge_kb, huge_page_size_kb;
	uint64_t huge_total, huge_free, huge_reserved, huge_surplus; /* pages of that size */
	uint64_t skipped;					     /* invalid or duplicate lines */
};

/*
 * 0, or -EBADMSG without MemTotal, or with neither MemFree nor MemAvailable (*out untouched). Absent lines and lines
 * with an invalid number give MEMINFO_ABSENT, except available_kb, which is then estimated as free + buffers + cached +
 * reclaimable slab - shared memory. It never exceeds total_kb.
 */
int meminfo_parse(const char *text, size_t len, struct meminfo *out);

#endif
