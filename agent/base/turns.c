/* SPDX-License-Identifier: MIT */
#include "agent/base/turns.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/moment.h>

/* Of one process, to the file that watches. */
#define WATCH_LINES_MAX 200

void turns_init(struct turns *turns)
{
	*turns = (struct turns){ .count = 1, .works[0].work.what = "other", .watch_fd = -1 };
}

void turns_watch(struct turns *turns, const char *path)
{
	if (path)
		turns->watch_fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

/* The class of a time: octave and quarter of it, by the two bits below the highest one of the quarter microseconds. */
static unsigned class_of(uint64_t ns)
{
	uint64_t quarters = ns / 250;
	unsigned octave, class;

	if (quarters < 4)
		return 0;
	octave = 61U - (unsigned)__builtin_clzll(quarters);
	class = 4 * octave + ((unsigned)(quarters >> octave) & 3);
	return class < TURNS_CLASSES ? class : TURNS_CLASSES - 1;
}

static uint64_t class_end_ns(unsigned class)
{
	return ((uint64_t)(5 + class % 4) << class / 4) * 250;
}

static void spread_add(struct turns_spread *spread, uint64_t ns)
{
	spread->counts[class_of(ns)]++;
	spread->count++;
	spread->sum_ns += ns;
	if (ns > spread->max_ns)
		spread->max_ns = ns;
}

static struct turns_of_work *entry_of(struct turns *turns, struct work work)
{
	for (unsigned i = 0; i < turns->count; i++)
		if (turns->works[i].work.what == work.what && turns->works[i].work.which == work.which)
			return &turns->works[i];
	if (!work.what || turns->count == TURNS_WORKS_MAX)
		return &turns->works[0];
	turns->works[turns->count].work = work;
	return &turns->works[turns->count++];
}

void turns_count(struct turns *turns, struct work work, uint64_t ns)
{
	spread_add(&turns->all, ns);
	spread_add(&entry_of(turns, work)->spread, ns);
}

void turns_begin(struct turns *turns, uint64_t now_ns)
{
	turns->began_ns = now_ns;
	turns->longest_ns = 0;
	turns->several = false;
	turns->present = turns->longest = (struct work){ 0 };
}

/* The present work is over. */
static uint64_t close_present(struct turns *turns)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), took_ns = now_ns - turns->began_ns;

	if (took_ns >= turns->longest_ns) {
		turns->longest = turns->present;
		turns->longest_ns = took_ns;
	}
	turns->began_ns = now_ns;
	return now_ns;
}

uint64_t turns_work(struct turns *turns, const char *what, const char *which)
{
	if (turns->present.what) {
		close_present(turns);
		turns->several = true;
	}
	turns->present = (struct work){ what, which };
	return turns->began_ns;
}

static void tell_watcher(struct turns *turns, struct work work, uint64_t ns)
{
	char line[160];
	int len = snprintf(line, sizeof(line), "%llu %s%s%s\n", (unsigned long long)(ns / NS_PER_US),
			   work.what ? work.what : "other", work.which ? " " : "", work.which ? work.which : "");

	if (turns->watch_lines++ < WATCH_LINES_MAX && write(turns->watch_fd, line, (size_t)len) < 0)
		turns->watch_lines = WATCH_LINES_MAX;
}

void turns_end(struct turns *turns, uint64_t cpu_ns)
{
	uint64_t took_ns = cpu_ns - turns->cpu_ns;
	bool first = turns->cpu_ns == 0;

	turns->cpu_ns = cpu_ns;
	if (first)
		return;
	if (turns->several)
		close_present(turns);
	else
		turns->longest = turns->present;
	turns_count(turns, turns->longest, took_ns);
	if (turns->watch_fd >= 0 && took_ns > TURNS_BUDGET_NS)
		tell_watcher(turns, turns->longest, took_ns);
}

uint64_t turns_quantile_ns(const struct turns_spread *spread, unsigned permille)
{
	uint64_t wanted = (spread->count * permille + 999) / 1000, seen = 0;

	for (unsigned class = 0; class < TURNS_CLASSES; class ++) {
		seen += spread->counts[class];
		if (seen >= wanted && seen > 0)
			return class < TURNS_CLASSES - 1 && class_end_ns(class) < spread->max_ns ? class_end_ns(class)
												 : spread->max_ns;
	}
	return 0;
}

unsigned turns_by_worst(const struct turns *turns, unsigned order[static TURNS_WORKS_MAX])
{
	unsigned count = 0;

	for (unsigned i = 0; i < turns->count; i++) {
		unsigned at = count;

		if (turns->works[i].spread.count == 0)
			continue;
		for (; at > 0 && turns->works[order[at - 1]].spread.max_ns < turns->works[i].spread.max_ns; at--)
			order[at] = order[at - 1];
		order[at] = i;
		count++;
	}
	return count;
}

static void spread_report(const struct turns_spread *spread, struct sink *out)
{
	sink_uint(out, "turns", spread->count);
	sink_uint(out, "p50_us", turns_quantile_ns(spread, 500) / NS_PER_US);
	sink_uint(out, "p99_us", turns_quantile_ns(spread, 990) / NS_PER_US);
	sink_uint(out, "p999_us", turns_quantile_ns(spread, 999) / NS_PER_US);
	sink_uint(out, "max_us", spread->max_ns / NS_PER_US);
	sink_uint(out, "total_us", spread->sum_ns / NS_PER_US);
}

void turns_report(const struct turns *turns, struct sink *out)
{
	unsigned order[TURNS_WORKS_MAX], count = turns_by_worst(turns, order);

	sink_object_begin(out, "turn_cpu");
	spread_report(&turns->all, out);
	sink_object_end(out);
	sink_array_begin(out, "work");
	for (unsigned i = 0; i < count; i++) {
		const struct turns_of_work *entry = &turns->works[order[i]];
		char name[80];

		snprintf(name, sizeof(name), "%s%s%s", entry->work.what, entry->work.which ? " " : "",
			 entry->work.which ? entry->work.which : "");
		sink_object_begin(out, NULL);
		sink_str(out, "name", name);
		spread_report(&entry->spread, out);
		sink_object_end(out);
	}
	sink_array_end(out);
}
