/* SPDX-License-Identifier: MIT */
/* SystemInfo and OsInfo: the identity of this guest, from the last facts of the host collector. */
#include "agent/actions/table.h"

#include "agent/actions/env.h"
#include "collectors/host.h"
#include "collectors/table.h"

/* Unknown values are null, as in the samples. */
static void emit_text(struct sink *out, const char *key, const char *text)
{
	sink_str(out, key, *text ? text : NULL);
}

struct identity_answer {
	struct host_facts facts;
	bool whole; /* of OsInfo */
};

static void emit_identity(struct sink *out, const char *key, const void *arg)
{
	const struct identity_answer *answer = arg;
	const struct host_facts *facts = &answer->facts;

	sink_object_begin(out, key);
	emit_text(out, "os_type", facts->os_type);
	emit_text(out, "os_name", facts->os_name);
	emit_text(out, "version", facts->version);
	emit_text(out, "architecture", facts->architecture);
	emit_text(out, "hostname", facts->hostname);
	emit_text(out, "kernel_version", facts->kernel_version);
	emit_text(out, "linux_distro", facts->linux_distro);
	if (answer->whole) {
		sink_array_begin(out, "available_package_managers");
		for (size_t i = 0; i < facts->package_managers_count; i++)
			sink_str(out, NULL, facts->package_managers[i]);
		sink_array_end(out);
		emit_text(out, "default_shell", facts->default_shell);
	}
	sink_object_end(out);
}

static void run_identity(struct command *command)
{
	const void *state = sampling_state(command_env(command)->sampling, &collector_host);
	struct identity_answer answer = { .whole = command->action == &action_os_info };

	if (!state) {
		command_fail(command, CODE_INTERNAL, "collector", "the host collector is off or failing (see Status)");
		return;
	}
	host_facts_get(state, &answer.facts);
	command_succeed(command, emit_identity, &answer);
}

const struct action action_system_info = { .name = "SystemInfo", .group = GROUP_OBSERVE, .run = run_identity };

const struct action action_os_info = { .name = "OsInfo", .group = GROUP_OBSERVE, .run = run_identity };
