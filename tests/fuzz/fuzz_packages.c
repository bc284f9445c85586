/* SPDX-License-Identifier: MIT */
/*
 * What package managers print, through every parser of it: every named row is found again, and the list frees what it
 * holds.
 */
#include "agent/packages/package.h"
#include "agent/packages/verify.h"
#include "require.h"

static int (*const parsers[])(const char *text, size_t len, struct package_list *list) = {
	dpkg_list_parse, apt_simulation_parse, apt_records_parse, rpm_list_parse,
	dnf_query_parse, dnf_security_parse,   apk_list_parse,	  apk_search_parse,
};

static void check_list(const char *text, size_t size)
{
	for (size_t i = 0; i < sizeof(parsers) / sizeof(parsers[0]); i++) {
		struct package_list list = { 0 };

		(void)parsers[i](text, size, &list);
		package_list_sort(&list);
		for (size_t row = 0; row < list.count; row++) {
			const char *name = list.rows[row].name;
			struct package *found = name ? package_list_find(&list, name, NULL) : NULL;

			REQUIRE(!name || (found && strcmp(found->name, name) == 0));
		}
		package_list_done(&list);
	}
}

static void check_verify(const char *text, size_t size)
{
	const char *end = text + size;
	struct verify_line line;
	struct verify_rules rules = { .count = 0 };
	size_t left = size;

	REQUIRE(verify_rules_read(text, size, &rules) == 0 && rules.count <= VERIFY_RULES_MAX);
	while (verify_next(&text, &left, &line)) {
		REQUIRE(verify_judge(&line, &rules) < VERIFY_KINDS);
		REQUIRE(line.path_len > 0 && line.path + line.path_len <= end && text + left == end);
	}
	verify_rules_done(&rules);
}

static void check_sources(const char *text, size_t size)
{
	static void (*const readers[])(const char *text, size_t len, struct package_sources *sources) = {
		apt_refresh_parse, apt_sources_parse, apt_lists_parse,	 dnf_refresh_parse,
		dnf_sources_parse, dnf_lists_parse,   apk_refresh_parse,
	};
	struct package_sources *sources = calloc(1, sizeof(*sources));
	char names[300];

	for (size_t i = 0; sources && i < sizeof(readers) / sizeof(readers[0]); i++) {
		readers[i](text, size, sources);
		package_sources_name(sources, names, sizeof(names));
		REQUIRE(sources->count <= PACKAGE_SOURCES_MAX && package_sources_missing(sources) <= sources->count);
		REQUIRE((package_sources_missing(sources) == 0) == (*names == '\0'));
	}
	free(sources);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct package_history history = { 0 };

	check_list(text, size);
	check_verify(text, size);
	check_sources(text, size);
	(void)dpkg_log_parse(text, size, 0, &history);
	package_history_done(&history);
	(void)stat_time(text, size, "/run/reboot-required");
	REQUIRE(package_fault_of(text, size, 1) < PACKAGE_FAULTS);
	return 0;
}
