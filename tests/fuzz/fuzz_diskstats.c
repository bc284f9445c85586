/* SPDX-License-Identifier: MIT */
/* Lines of /proc/diskstats: the name lies within its line, and sectors that do not fit as bytes are refused. */
#include "collectors/disk.h"
#include "require.h"

static void check_line(const char *line, size_t len)
{
	struct diskstats_line parsed;

	if (diskstats_parse_line(line, len, &parsed) < 0)
		return;
	REQUIRE(parsed.name.at >= line && parsed.name.at < parsed.name.end && parsed.name.end <= line + len);
	REQUIRE(parsed.read_bytes % 512 == 0 && parsed.write_bytes % 512 == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	each_line(data, size, check_line);
	return 0;
}
