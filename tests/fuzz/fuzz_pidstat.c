/* SPDX-License-Identifier: MIT */
/* /proc/PID/stat and io: whatever the name holds, it is bounded, and the state has a word that hosts know. */
#include "collectors/pidstat.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pidstat stat;
	struct pidio io;

	if (pidstat_parse((const char *)data, size, &stat) == 0) {
		REQUIRE(stat.comm_len <= PIDSTAT_COMM_MAX);
		REQUIRE(pidstat_state_name(stat.state) && *pidstat_state_name(stat.state));
	}
	(void)pidio_parse((const char *)data, size, &io);
	return 0;
}
