/* SPDX-License-Identifier: MIT */
/*
 * Names of units as a host may give them, and the start times of processes that it wants ended. A name that is let
 * through is of harmless letters, has a suffix of the four and is no unit of ours under any spelling; a start time that
 * is taken matches no process of another hour.
 */
#include <fnmatch.h>

#include "agent/rules/requests.h"
#include "agent/rules/unit_rules.h"
#include "require.h"

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && strcmp(text + len - end_len, end) == 0;
}

static void check_made(const char *name)
{
	char again[UNIT_NAME_SIZE];
	static char own_pattern[] = "own-*.service";
	char *more[] = { own_pattern, NULL };

	REQUIRE(strlen(name) <= UNIT_NAME_MAX && name[0] != '-' && name[0] != '.');
	for (const char *at = name; *at; at++)
		REQUIRE(*at > ' ' && (unsigned char)*at < 0x7f && !strchr("/;|&$`'\"<>(){}*?[]~#%!=,", *at));
	REQUIRE(ends_with(name, ".service") || ends_with(name, ".socket") || ends_with(name, ".timer") ||
		ends_with(name, ".path"));
	REQUIRE(unit_name_make(name, again) && strcmp(name, again) == 0);
	if (strncmp(name, "infiniservice", 13) == 0 && strchr(".-@", name[13]))
		REQUIRE(unit_rules_deny(name, NULL));
	if (strncmp(name, "debug-shell.", 12) == 0 || strncmp(name, "user@", 5) == 0)
		REQUIRE(unit_rules_deny(name, NULL));
	/* What the owner adds is added, and takes nothing away. */
	if (fnmatch(own_pattern, name, 0) == 0 || unit_rules_deny(name, NULL))
		REQUIRE(unit_rules_deny(name, more));
	(void)unit_name_is_power(name);
	REQUIRE(*unit_name_suffix(name) == '.');
}

static void check_start_time(const char *text)
{
	struct moment now = { .wall_ms = 1790000000000, .mono_ns = 5000 * NS_PER_S, .boot_ns = 5000 * NS_PER_S };
	int64_t start_ms;

	if (!kill_rule_parse(text, &start_ms))
		return;
	for (uint64_t ticks = 0; ticks < 500000; ticks += 100000) {
		int64_t shown_ms = now.wall_ms - 5000000 + (int64_t)ticks * 10,
			apart = start_ms > shown_ms ? start_ms - shown_ms : shown_ms - start_ms;

		if (kill_rule_matches(start_ms, ticks, 100, &now))
			REQUIRE(apart < 3600000);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), name[UNIT_NAME_SIZE];

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (unit_name_make(text, name))
		check_made(name);
	(void)unit_rules_deny(text, NULL);
	check_start_time(text);
	free(text);
	return 0;
}
