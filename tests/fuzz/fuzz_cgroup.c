/* SPDX-License-Identifier: MIT */
/* /proc/self/cgroup and mountinfo, cut at the first NUL, to the directory of one's own group: ended within its room. */
#include <errno.h>

#include "agent/executor/group.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 2), out[128];
	int r;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = text[size + 1] = '\0';
	r = group_locate(text, text + strlen(text) + (strlen(text) < size), out, sizeof(out));
	REQUIRE(r == 0 || r == -ENOENT || r == -ENAMETOOLONG);
	if (r == 0)
		REQUIRE(memchr(out, '\0', sizeof(out)));
	free(text);
	return 0;
}
