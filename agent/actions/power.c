/* SPDX-License-Identifier: MIT */
/*
 * RebootSystem and ShutdownSystem: answered first, done a little later, by the executor (power.h). The obstacles are
 * checked before the answer: no bus, no rights, another operation pending, or an inhibitor lock (`force` overrides the
 * lock).
 */
#include "agent/actions/power.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/actions/bus_work.h"
#include "agent/actions/env.h"
#include "agent/actions/run.h"
#include "agent/actions/table.h"
#include "agent/base/report.h"

#define CALL_NS (25 * NS_PER_S)

static const char *words_of(enum runner_operation operation)
{
	return operation == RUNNER_OPERATION_REBOOT ? "reboot"
	       : operation == RUNNER_OPERATION_HALT ? "halt"
						    : "power-off";
}

static void end(struct power *power, const char *trouble)
{
	char text[512];

	power->pending = false;
	if (!trouble) {
		report(LOG_NOTICE, "%s has begun", words_of(power->operation));
		return;
	}
	snprintf(text, sizeof(text), "%s did not happen: %s", words_of(power->operation), trouble);
	report(LOG_ERR, "%s", text);
	power->env->event(power->env->data, REPLY_ERROR, "power", text);
}

static void on_operation(void *data, const struct bus_reply *reply)
{
	struct power *power = data;

	power->call = NULL;
	end(power, reply->error ? reply->text : NULL);
}

static void on_time(void *data)
{
	struct power *power = data;
	struct privilege_request request = { .operation = power->operation,
					     .action = power->action,
					     .group = power->group,
					     .unit = "",
					     .deadline_ns = power->env->loop->now.mono_ns + CALL_NS };
	int r = privilege_operation_start(power->env, &request, on_operation, power, &power->call);

	if (r < 0)
		end(power, privilege_operation_failure(power->env, r).text);
}

void power_init(struct power *power, struct action_env *env)
{
	*power = (struct power){ .env = env };
	deadline_init(&power->timer, env->loop, on_time, power);
}

void power_done(struct power *power)
{
	if (!power->env)
		return;
	deadline_stop(&power->timer);
	power->call = privilege_operation_cancel(power->call);
	power->pending = false;
}

void power_cancel(struct power *power)
{
	if (!deadline_is_set(&power->timer))
		return;
	deadline_stop(&power->timer);
	end(power, "the agent was stopped before");
}

int power_schedule(struct power *power, enum runner_operation operation, uint64_t delay_s, const char *action,
		   enum policy_group group)
{
	if (power->pending)
		return -EALREADY;
	power->pending = true;
	power->operation = operation;
	power->action = action;
	power->group = group;
	deadline_after(&power->timer, delay_s * NS_PER_S);
	report(LOG_NOTICE, "%s in %llu s", words_of(operation), (unsigned long long)delay_s);
	return 0;
}

/* ----------------------------------------------------------------------------------------------------- the actions */

struct power_request {
	struct bus_work bus; /* first: see bus_work.h */
	enum runner_operation operation;
	bool force;
	int64_t delay_s;
};

static void emit_scheduled(struct sink *out, const char *key, const void *arg)
{
	const struct power_request *request = arg;
	char at[RFC3339_SIZE];

	rfc3339_format(command_env(request->bus.command)->loop->now.wall_ms + request->delay_s * 1000, at);
	sink_object_begin(out, key);
	sink_str(out, "action", request->operation == RUNNER_OPERATION_REBOOT ? "reboot" : "shutdown");
	sink_int(out, "delay_s", request->delay_s);
	sink_str(out, "at", at);
	sink_object_end(out);
}

static void schedule(struct command *command)
{
	struct power_request *request = command->work;

	if (power_schedule(&command_env(command)->power, request->operation, (uint64_t)request->delay_s,
			   command->action->name, GROUP_POWER) < 0)
		command_fail(command, CODE_COMMAND_FAILED, "pending", "a reboot or shutdown is already pending");
	else
		command_succeed(command, emit_scheduled, request);
}

static void on_manager(struct command *command, const struct bus_reply *reply)
{
	if (!bus_work_failed(command, reply))
		schedule(command);
}

/*
 * BlockInhibited of logind lists the blocked operations, as "shutdown:sleep". Without logind the service manager has to
 * be there.
 */
static void on_inhibited(struct command *command, const struct bus_reply *reply)
{
	const struct power_request *request = command->work;
	const char *locked = "";

	if (reply->error) {
		bus_work_call(command, on_manager, SYSTEMD_NAME, SYSTEMD_PATH, DBUS_PROPERTIES, "Get", "ss",
			      SYSTEMD_MANAGER, "Version");
		return;
	}
	if (sd_bus_message_read(reply->message, "v", "s", &locked) >= 0 && strstr(locked, "shutdown") &&
	    !request->force)
		command_fail(command, CODE_COMMAND_FAILED, "inhibited",
			     "a program of the guest holds a lock against shutting down (\"force\" overrides it)");
	else
		schedule(command);
}

static void run_power(struct command *command)
{
	struct message_fault fault;
	struct power_request *request;
	int64_t delay_s = 0;
	bool force = false;

	if (message_param_bool(&command->message, "force", &force, &fault) < 0 ||
	    message_param_integer(&command->message, "delay_s", 0, POWER_DELAY_MAX_S, &delay_s, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return;
	}
	if (!privilege_require(command))
		return;
	request = bus_work_new(command, sizeof(*request));
	if (!request)
		return;
	request->operation =
		command->action == &action_reboot_system ? RUNNER_OPERATION_REBOOT : RUNNER_OPERATION_POWER_OFF;
	request->force = force;
	/* Never before the answer has had time to leave. */
	request->delay_s = delay_s ? delay_s : POWER_DELAY_S;
	bus_work_call(command, on_inhibited, "org.freedesktop.login1", "/org/freedesktop/login1", DBUS_PROPERTIES,
		      "Get", "ss", "org.freedesktop.login1.Manager", "BlockInhibited");
}

const struct action action_reboot_system = {
	.name = "RebootSystem", .group = GROUP_POWER, .bus = true, .slot = true, .run = run_power
};

const struct action action_shutdown_system = {
	.name = "ShutdownSystem", .group = GROUP_POWER, .bus = true, .slot = true, .run = run_power
};
