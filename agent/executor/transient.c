/* SPDX-License-Identifier: MIT */
/*
 * Properties of systemd.service(5), systemd.exec(5), systemd.kill(5) and systemd.resource-control(5), in their D-Bus
 * form.
 */
#include "agent/executor/transient.h"

#include <signal.h>
#include <stdio.h>

#include <infiniservice/moment.h>

#include "agent/executor/manager_call.h"
#include "agent/executor/unit.h"
#include "agent/rules/surroundings.h"

#define STOP_US		 (10 * 1000000ULL)
#define DETACHED_STOP_US (60 * 1000000ULL)

const char *const *transient_environment(void)
{
	return runner_environment;
}

/* ExecStart=PROGRAM launch ACTION; the action is an argument only to be visible in the process list. */
static int append_program(sd_bus_message *m, const struct transient *t)
{
	return sd_bus_message_append(m, "(sv)", "ExecStart", "a(sasb)", 1, t->program, 3, t->program, "launch",
				     t->action, false);
}

/* When the command exits, systemd kills the rest of its control group: processes left behind end at once. */
static int append_ending(sd_bus_message *m, const struct transient *t, uint64_t now_ns)
{
	uint64_t left_ns = t->kill_ns > now_ns ? t->kill_ns - now_ns : 0;
	int r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)", "KillMode", "s", "control-group", "KillSignal", "i",
				      t->detached ? SIGTERM : SIGKILL, "SendSIGKILL", "b", true, "TimeoutStopUSec", "t",
				      t->detached ? DETACHED_STOP_US : STOP_US, "CollectMode", "s",
				      "inactive-or-failed");

	if (r >= 0 && t->kill_ns != TIME_NEVER)
		r = sd_bus_message_append(m, "(sv)", "RuntimeMaxUSec", "t",
					  (left_ns + TRANSIENT_LATE_MS * NS_PER_MS) / NS_PER_US);
	if (r >= 0 && t->bound_to)
		r = sd_bus_message_append(m, "(sv)(sv)", "BindsTo", "as", 1, t->bound_to, "After", "as", 1,
					  t->bound_to);
	return r;
}

/*
 * Swap is forbidden: otherwise a command over its memory limit would first fill the whole swap. With a detached run
 * only the program is killed for lack of memory, not the launcher, which has to record it.
 */
static int append_limits(sd_bus_message *m, const struct transient *t)
{
	int r = sd_bus_message_append(m, "(sv)(sv)", "Slice", "s", UNIT_SLICE, "OOMPolicy", "s",
				      t->detached ? "continue" : "kill");

	if (r >= 0 && t->tasks_max)
		r = sd_bus_message_append(m, "(sv)", "TasksMax", "t", t->tasks_max);
	if (r >= 0 && t->memory_max)
		r = sd_bus_message_append(m, "(sv)(sv)", "MemoryMax", "t", t->memory_max, "MemorySwapMax", "t",
					  (uint64_t)0);
	return r;
}

static int append_properties(sd_bus_message *m, const struct transient *t, uint64_t now_ns)
{
	char description[128];
	int r;

	snprintf(description, sizeof(description), "InfiniService command: %s", t->action);
	r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)", "Description", "s", description, "Type", "s", "exec",
				  "StandardInputFileDescriptor", "h", t->stdio[0], "StandardOutputFileDescriptor", "h",
				  t->stdio[1], "StandardErrorFileDescriptor", "h", t->stdio[2]);
	if (r >= 0)
		r = append_program(m, t);
	if (r >= 0)
		r = append_ending(m, t, now_ns);
	return r < 0 ? r : append_limits(m, t);
}

int transient_message(sd_bus *manager, const struct transient *transient, uint64_t now_ns, sd_bus_message **ret)
{
	sd_bus_message *m = NULL;
	int r = sd_bus_message_new_method_call(manager, &m, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
					       "StartTransientUnit");

	if (r >= 0)
		r = sd_bus_message_append(m, "ss", transient->name, "fail");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = append_properties(m, transient, now_ns);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r < 0) {
		sd_bus_message_unref(m);
		return r;
	}
	*ret = m;
	return 0;
}
