/* SPDX-License-Identifier: MIT */
/*
 * The metrics of a sample: the path of each number below `data`, its unit, what it means, and whether the tiers of the
 * log keep it. This is the one table of them; tests/unit/test_catalog.c holds it to what the collectors write.
 *
 * A path is names joined by dots. In [] stands, in the table, the member by which the items of a list are told apart
 * (`system.disk.usage_stats[mount_point].used_gb`), and, as people write it, the value of that member or a position
 * (`system.disk.usage_stats[/].used_gb`, `system.cpu.cores_usage[0]`).
 */
#ifndef AGENT_CATALOG_CATALOG_H
#define AGENT_CATALOG_CATALOG_H

#include <stdbool.h>
#include <stddef.h>

enum catalog_unit {
	UNIT_NONE, /* a ratio or a number of its own kind, such as a load average */
	UNIT_COUNT,
	UNIT_PERCENT,
	UNIT_BYTES,
	UNIT_KIB,
	UNIT_GIB,
	UNIT_BYTES_PER_SECOND,
	UNIT_KIB_PER_SECOND,
	UNIT_PER_SECOND,
	UNIT_SECONDS,
	UNIT_MILLISECONDS,
	UNIT_MICROSECONDS,
	UNIT_NANOSECONDS,
	UNIT_CELSIUS,
};

enum catalog_flags {
	CATALOG_COUNTER = 1, /* only grows, since the boot or since the agent began; else the number is a gauge */
	CATALOG_KEPT = 2,    /* in the tiers of the log */
	/* Not in every sample: only where there is something to tell, where the machine has it, or from a running
	   agent. */
	CATALOG_SOMETIMES = 4,
};

/* A number is kept of at most this many items of a list. */
#define CATALOG_KEPT_ITEMS 8
/* At most so many metrics of the table are kept. */
#define CATALOG_KEPT_MAX 60

struct catalog_metric {
	const char *path;
	enum catalog_unit unit;
	unsigned flags;
	const char *meaning; /* one line, without a full stop */
};

/* In the order of the sample. */
extern const struct catalog_metric catalog_metrics[];
extern const size_t catalog_count;

/* "percent", "KiB", "B/s", "1/s" …; "" for UNIT_NONE. */
const char *catalog_unit_name(enum catalog_unit unit);

/*
 * The metric of a path as people write it, or of the table; NULL if there is none. What stands between [ and ] is not
 * judged; "data." in front of it is passed over, and "system." may be left out: cpu.usage_percent.
 */
const struct catalog_metric *catalog_find(const char *path);

/* The same, and the path below `data` into `out`, with "system."; NULL also when it does not fit. */
const struct catalog_metric *catalog_full_path(const char *path, char *out, size_t size);

/*
 * The part of the metric's path in front of its list and the member that names its items ("index": the items are plain
 * numbers). False for a metric outside of any list.
 */
struct catalog_list {
	const char *path, *member; /* not NUL-terminated; both within the metric's path */
	size_t path_len, member_len;
};
bool catalog_list(const struct catalog_metric *metric, struct catalog_list *ret);

#endif
