/* SPDX-License-Identifier: MIT */
/* Lines of /proc/net/dev: the name lies within its line. */
#include "collectors/network.h"
#include "require.h"

static void check_line(const char *line, size_t len)
{
	struct netdev_counters counters;
	struct scan name;

	if (netdev_parse((struct scan){ line, line + len }, &name, &counters) == 0)
		REQUIRE(name.at >= line && name.at < name.end && name.end <= line + len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	each_line(data, size, check_line);
	return 0;
}
