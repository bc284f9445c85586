/* SPDX-License-Identifier: MIT */
/* The state of a unit as PID 1 reports it in its properties; see org.freedesktop.systemd1(5). */
#ifndef AGENT_BUS_UNIT_STATE_H
#define AGENT_BUS_UNIT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/bus/libsystemd.h"

struct unit_state {
	char load[16], state[16], sub[24], result[24]; /* LoadState, ActiveState, SubState, Result, */
	char file[24];				       /* UnitFileState; "": it has no file */
	int32_t pid, code, status;		       /* ExecMainPID, -Code (of siginfo), -Status */
	uint64_t exit_us;			       /* ExecMainExitTimestampMonotonic; 0: it has not exited */
};

/* Reads properties (a{sv}) and stores the known ones in `state`. 0 or -errno. */
int unit_state_read(sd_bus_message *message, struct unit_state *state);

/* Whether ActiveState and SubState say that the unit's program has exited while PID 1 still remembers the unit. */
bool unit_state_over(const char *state, const char *sub);

#endif
