/* SPDX-License-Identifier: MIT */
#include "agent/bus/unit_state.h"

#include <stdio.h>
#include <string.h>

static int text_read(sd_bus_message *message, char *out, size_t size)
{
	const char *text;
	int r = sd_bus_message_read(message, "v", "s", &text);

	if (r >= 0)
		snprintf(out, size, "%s", text);
	return r;
}

static int property_read(sd_bus_message *message, struct unit_state *state)
{
	const char *name;
	int r = sd_bus_message_read(message, "s", &name);

	if (r < 0)
		return r;
	if (strcmp(name, "LoadState") == 0)
		return text_read(message, state->load, sizeof(state->load));
	if (strcmp(name, "ActiveState") == 0)
		return text_read(message, state->state, sizeof(state->state));
	if (strcmp(name, "SubState") == 0)
		return text_read(message, state->sub, sizeof(state->sub));
	if (strcmp(name, "Result") == 0)
		return text_read(message, state->result, sizeof(state->result));
	if (strcmp(name, "UnitFileState") == 0)
		return text_read(message, state->file, sizeof(state->file));
	if (strcmp(name, "ExecMainPID") == 0)
		return sd_bus_message_read(message, "v", "u", &state->pid);
	if (strcmp(name, "ExecMainCode") == 0)
		return sd_bus_message_read(message, "v", "i", &state->code);
	if (strcmp(name, "ExecMainStatus") == 0)
		return sd_bus_message_read(message, "v", "i", &state->status);
	if (strcmp(name, "ExecMainExitTimestampMonotonic") == 0)
		return sd_bus_message_read(message, "v", "t", &state->exit_us);
	return sd_bus_message_skip(message, "v");
}

int unit_state_read(sd_bus_message *message, struct unit_state *state)
{
	int r = sd_bus_message_enter_container(message, 'a', "{sv}");

	while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
		r = property_read(message, state);
		if (r >= 0)
			r = sd_bus_message_exit_container(message);
	}
	return r < 0 ? r : sd_bus_message_exit_container(message);
}

bool unit_state_over(const char *state, const char *sub)
{
	return strcmp(state, "failed") == 0 || (strcmp(state, "active") == 0 && strcmp(sub, "exited") == 0);
}
