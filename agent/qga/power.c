/* SPDX-License-Identifier: MIT */
/* shutdown, whose success has no answer: the guest is about to go. */
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/table.h"

static const struct qga_param shutdown_params[] = { { "mode", QGA_TEXT, false }, { NULL, QGA_TEXT, false } };

static bool possible(const struct qga_env *env)
{
	return env->executor(env->data);
}

static void run_shutdown(struct qga_call *call)
{
	static const char *const modes[] = {
		[QGA_POWER_DOWN] = "powerdown", [QGA_POWER_HALT] = "halt", [QGA_POWER_REBOOT] = "reboot"
	};
	const char *mode = qga_request_text(&call->request, "mode", "powerdown");
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(mode, modes[i]) != 0)
			continue;
		if (call->env->power(call->env->data, (enum qga_power)i, &e) < 0)
			qga_fail(call, "%s", e.text);
		else
			qga_return_silently(call);
		return;
	}
	qga_fail(call, "mode is invalid (valid values are: halt|powerdown|reboot)");
}

const struct qga_command qga_command_shutdown = {
	.name = "guest-shutdown", .params = shutdown_params, .run = run_shutdown, .possible = possible
};
