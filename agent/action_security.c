/* SPDX-License-Identifier: MIT */
/*
 * CheckLinuxSecurity and its parts: facts from files, and the states of units from the service manager. Without a bus, or an answer of
 * it, the states are unknown; the checks are made all the same.
 */
#include "agent/action.h"

#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/agent.h"
#include "agent/bus_work.h"
#include "agent/security.h"
#include "collectors/host.h"
#include "collectors/table.h"

typedef void (*security_emit_fn)(struct sink *out, const char *key, const struct security_facts *facts);

struct security_work {
	struct bus_work bus; /* first: see bus_work.h */
	security_emit_fn emit;
	struct security_facts facts;
};

static void emit(struct sink *out, const char *key, const void *arg)
{
	const struct security_work *work = arg;

	work->emit(out, key, &work->facts);
}

static void take_unit(struct security_facts *facts, const char *name, const char *load, const char *state)
{
	for (size_t i = 0; i < SECURITY_UNITS; i++)
		if (strcmp(security_unit_names[i], name) == 0)
			snprintf(facts->units[i], sizeof(facts->units[i]), "%s", strcmp(load, "not-found") == 0 ? "not-installed" : state);
}

static void on_units(struct command *command, const struct bus_reply *reply)
{
	struct security_work *work = command->work;
	const char *name, *description, *load, *state, *sub, *followed, *path, *job_type, *job_path;
	uint32_t job;

	if (reply->error == 0 && sd_bus_message_enter_container(reply->message, 'a', "(ssssssouso)") > 0)
		while (sd_bus_message_read(reply->message, "(ssssssouso)", &name, &description, &load, &state, &sub, &followed, &path,
					   &job, &job_type, &job_path) > 0)
			take_unit(&work->facts, name, load, state);
	command_succeed(command, emit, work);
}

static void on_expired(struct command *command)
{
	command_succeed(command, emit, command->work);
}

static sd_bus_message *ask_units(struct bus *bus)
{
	sd_bus_message *message = NULL;
	int r = bus_message(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "ListUnitsByNames", &message);

	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "s");
	for (size_t i = 0; i < SECURITY_UNITS && r >= 0; i++)
		r = sd_bus_message_append(message, "s", security_unit_names[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	return r < 0 ? sd_bus_message_unref(message) : message;
}

static enum action_result check(struct command *command, security_emit_fn emit_checks)
{
	struct agent *agent = command->agent;
	struct moment now = agent_now(agent);
	struct collect_ctx ctx = sampler_context(agent->sampler, &collector_host, &now);
	struct security_work *work = bus_work_new(command, sizeof(*work));
	sd_bus_message *message;

	if (!work)
		return ACTION_TAKEN;
	work->emit = emit_checks;
	security_read(&work->facts, ctx.root_fd, ctx.sys_fd);
	command->on_expired = on_expired;
	message = ask_units(agent->bus);
	if (!message || bus_work_send(command, on_units, message) < 0) {
		command_succeed(command, emit, work);
		sd_bus_message_unref(message);
		return ACTION_TAKEN;
	}
	sd_bus_message_unref(message);
	return ACTION_ASYNC;
}

enum action_result action_run_check_security(struct command *command)
{
	return check(command, security_emit_all);
}

enum action_result action_run_check_firewall(struct command *command)
{
	return check(command, security_emit_firewall);
}

enum action_result action_run_check_security_modules(struct command *command)
{
	return check(command, security_emit_modules);
}
