/* SPDX-License-Identifier: MIT */
/* What PID 1 says of a unit, out of its properties; see org.freedesktop.systemd1(5). */
#ifndef AGENT_EXECUTOR_UNIT_STATE_H
#define AGENT_EXECUTOR_UNIT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/bus/libsystemd.h"

struct unit_state {
	char state[16], sub[24], result[24]; /* ActiveState, SubState, Result */
	int32_t pid, code, status;	     /* ExecMainPID, -Code (of siginfo), -Status */
	uint64_t exit_us;		     /* ExecMainExitTimestampMonotonic; 0: it has not exited */
};

/* Reads properties (a{sv}), those it knows into `state`. 0 or -errno. */
int unit_state_read(sd_bus_message *message, struct unit_state *state);

/* Whether ActiveState and SubState are those of a unit whose program is at its end, and which is still remembered. */
bool unit_state_over(const char *state, const char *sub);

#endif
