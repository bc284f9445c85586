/* SPDX-License-Identifier: MIT */
#include "agent/bus/unit_state.h"

#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

int unit_state_read(sd_bus_message *message, struct unit_state *state)
{
	const struct {
		const char *name, *type;
		void *to;
		size_t size; /* of a text */
	} known[] = {
		{ "LoadState", "s", state->load, sizeof(state->load) },
		{ "ActiveState", "s", state->state, sizeof(state->state) },
		{ "SubState", "s", state->sub, sizeof(state->sub) },
		{ "Result", "s", state->result, sizeof(state->result) },
		{ "UnitFileState", "s", state->file, sizeof(state->file) },
		{ "ExecMainPID", "u", &state->pid, 0 },
		{ "ExecMainCode", "i", &state->code, 0 },
		{ "ExecMainStatus", "i", &state->status, 0 },
		{ "ExecMainExitTimestampMonotonic", "t", &state->exit_us, 0 },
	};
	const char *name, *text;
	int r = sd_bus_message_enter_container(message, 'a', "{sv}");

	while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
		size_t i = 0;

		r = sd_bus_message_read(message, "s", &name);
		while (r >= 0 && i < ARRAY_SIZE(known) && strcmp(known[i].name, name) != 0)
			i++;
		if (r >= 0 && i == ARRAY_SIZE(known))
			r = sd_bus_message_skip(message, "v");
		else if (r >= 0 && known[i].size == 0)
			r = sd_bus_message_read(message, "v", known[i].type, known[i].to);
		else if (r >= 0 && (r = sd_bus_message_read(message, "v", "s", &text)) >= 0)
			snprintf(known[i].to, known[i].size, "%s", text);
		if (r >= 0)
			r = sd_bus_message_exit_container(message);
	}
	return r < 0 ? r : sd_bus_message_exit_container(message);
}

bool unit_state_over(const char *state, const char *sub)
{
	return strcmp(state, "failed") == 0 || (strcmp(state, "active") == 0 && strcmp(sub, "exited") == 0);
}
