/* SPDX-License-Identifier: MIT */
/*
 * The targets; see cleaner.h. Dot names with capitals at the top of /tmp belong to running servers, as in
 * tmpfiles.d/x11.conf.
 */
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/cleaner/cleaner.h"

#define LIST(...)   ((const char *const[]){ __VA_ARGS__, NULL })
#define PLACES(...) ((const struct cleaner_place[]){ __VA_ARGS__, { .path = NULL } })

static const char *const tmp_keep[] = { ".X11-unix",  ".ICE-unix",  ".font-unix",	 ".XIM-unix",
					".Test-unix", "lost+found", "systemd-private-*", "snap-private-tmp",
					".X*-lock",   NULL };

static const struct cleaner_target targets[] = {
	{ .name = "tmp",
	  .age_s = 10 * CLEANER_DAY_S,
	  .temporary = true,
	  .places = PLACES({ .path = "tmp", .keep = tmp_keep, .depth = 32 }) },
	{ .name = "var_tmp",
	  .age_s = 30 * CLEANER_DAY_S,
	  .temporary = true,
	  .places = PLACES({ .path = "var/tmp", .keep = tmp_keep, .depth = 32 }) },
	/* One hour, so that a running package manager does not lose what it has just fetched. */
	{ .name = "package_cache",
	  .age_s = 3600,
	  .places = PLACES({ .path = "var/cache/apt/archives", .globs = LIST("*.deb"), .depth = 2 },
			   { .path = "var/cache/dnf", .globs = LIST("*.rpm"), .depth = 4 },
			   { .path = "var/cache/apk", .globs = LIST("*.apk"), .depth = 2 }) },
	{ .name = "crash",
	  .age_s = 3 * CLEANER_DAY_S,
	  .places = PLACES({ .path = "var/crash", .globs = LIST("*"), .depth = 3 },
			   { .path = "var/lib/systemd/coredump", .globs = LIST("core.*"), .depth = 1 }) },
	/* Only files that journald has closed: names of open ones have no '@', see journald's journal-file.c. */
	{ .name = "journal",
	  .age_s = 14 * CLEANER_DAY_S,
	  .places = PLACES({ .path = "var/log/journal", .globs = LIST("*@*.journal", "*.journal~"), .depth = 2 }) },
	{ .name = "old_logs",
	  .age_s = 14 * CLEANER_DAY_S,
	  .places = PLACES({ .path = "var/log",
			     .globs = LIST("*.gz", "*.xz", "*.[0-9]", "*.[0-9][0-9]", "*.old"),
			     .keep = LIST("journal", "infiniservice"),
			     .depth = 4 }) },
};

const struct cleaner_target *cleaner_target_at(size_t index)
{
	return index < ARRAY_SIZE(targets) ? &targets[index] : NULL;
}

const struct cleaner_target *cleaner_target_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		if (strcmp(targets[i].name, name) == 0)
			return &targets[i];
	return NULL;
}
