/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/mountinfo: fields lie within their line, what is unescaped is no longer than it was, the table is bounded;
 * of what is to be frozen each superblock is there once.
 */
#include <stdio.h>

#include "agent/freeze/mounts.h"
#include "collectors/mountinfo.h"
#include "require.h"

static void check_field(const char *line, size_t len, const struct scan *field)
{
	size_t size = (size_t)(field->end - field->at);
	char out[256];
	ssize_t n = mountinfo_unescape(field, out, sizeof(out));

	REQUIRE(field->at >= line && field->at <= field->end && field->end <= line + len);
	REQUIRE(n < 0 || ((size_t)n <= size && out[n] == '\0' && strlen(out) <= (size_t)n));
}

static void check_line(const char *line, size_t len)
{
	struct mountinfo_line parsed;

	if (mountinfo_parse_line(line, len, &parsed) < 0)
		return;
	check_field(line, len, &parsed.root);
	check_field(line, len, &parsed.mount_point);
	check_field(line, len, &parsed.type);
	check_field(line, len, &parsed.source);
	check_field(line, len, &parsed.options);
	REQUIRE(mountinfo_autofs_timeout_s(&parsed.options) <= UINT32_MAX);
	(void)mount_is_noise(&parsed);
	REQUIRE(mount_classify(&parsed.type, parsed.device) <= MOUNT_NOISE);
}

/* The first byte of the path says on which device a file lies below what. */
static bool backing(void *data, uint64_t device, unsigned i, char *out, size_t size)
{
	(void)data;
	snprintf(out, size, "/%c/file", (char)('a' + device % 26));
	return i == 0;
}

static void check_freeze(const char *text, size_t len)
{
	struct freeze_mounts mounts;

	if (freeze_mounts_read(&mounts, text, len, NULL) < 0)
		return;
	freeze_mounts_order(&mounts, backing, NULL);
	REQUIRE(mounts.target_count <= mounts.count && mounts.target_count <= FREEZE_TARGETS_MAX);
	for (size_t i = 0; i < mounts.target_count; i++)
		for (size_t k = 0; k < i; k++)
			REQUIRE(mounts.mounts[mounts.targets[i]].device != mounts.mounts[mounts.targets[k]].device);
	freeze_mounts_free(&mounts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mount_table table = { 0 };

	each_line(data, size, check_line);
	check_freeze((const char *)data, size);
	if (mount_table_build(&table, (const char *)data, size) < 0)
		return 0;
	REQUIRE(table.count <= table.total && table.count <= MOUNT_TABLE_MAX);
	for (size_t i = 0; i < table.count; i++)
		REQUIRE(table.mounts[i].mount_point && table.mounts[i].device && table.mounts[i].type);
	mount_table_free(&table);
	return 0;
}
