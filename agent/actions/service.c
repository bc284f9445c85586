/* SPDX-License-Identifier: MIT */
/*
 * ServiceControl: verbs of the service manager, and the state of the unit afterwards.
 *
 *	ServiceControl: (the unit is judged ─► verb, by the executor, and its end)
 *			─► LoadUnit ─► GetAll ─► its MainPID ─► answer
 */
#include "agent/actions/table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/actions/bus_work.h"
#include "agent/actions/run.h"
#include "agent/actions/unit_jobs.h"
#include "agent/bus/unit_state.h"

static const struct verb {
	const char *name;
	enum runner_operation operation; /* NONE: it only looks */
} verbs[] = {
	{ "status", RUNNER_OPERATION_NONE },   { "start", RUNNER_OPERATION_START },
	{ "stop", RUNNER_OPERATION_STOP },     { "restart", RUNNER_OPERATION_RESTART },
	{ "enable", RUNNER_OPERATION_ENABLE }, { "disable", RUNNER_OPERATION_DISABLE },
};

struct control {
	struct bus_work bus; /* first: see bus_work.h */
	const struct verb *verb;
	char unit[1][UNIT_NAME_SIZE];
	char path[512]; /* of the unit's object */
	struct unit_jobs jobs;
	struct unit_state state;
	uint32_t main_pid;
};

static enum policy_group group_of_service_control(const struct message *message)
{
	struct message_fault fault;
	const char *operation = NULL;

	if (message_param_text(message, "operation", &operation, &fault) != 0)
		return GROUP_CONTROL;
	return operation && strcmp(operation, "status") == 0 ? GROUP_OBSERVE : GROUP_CONTROL;
}

/* ------------------------------------------------------------------------------------------------ the unit's state */

static bool is_service(const struct control *control)
{
	return strcmp(unit_name_suffix(control->unit[0]), ".service") == 0;
}

static bool is_enabled(const struct control *control)
{
	return strcmp(control->state.file, "enabled") == 0 || strcmp(control->state.file, "enabled-runtime") == 0;
}

static void emit_control(struct sink *out, const char *key, const void *arg)
{
	const struct control *control = arg;

	sink_object_begin(out, key);
	sink_str(out, "service", control->unit[0]);
	sink_str(out, "active_state", control->state.state);
	sink_str(out, "sub_state", control->state.sub);
	sink_bool(out, "enabled", is_enabled(control));
	if (is_service(control))
		sink_uint(out, "main_pid", control->main_pid);
	else
		sink_null(out, "main_pid");
	sink_str(out, "load_state", control->state.load);
	sink_str(out, "unit_file_state", *control->state.file ? control->state.file : NULL);
	sink_object_end(out);
}

/*
 * True if the unit file is as the verb left it: units enabled by another unit or a generator count as enabled, linked
 * and static ones do not.
 */
static bool files_are_as_wanted(const struct control *control)
{
	if (control->verb->operation == RUNNER_OPERATION_ENABLE)
		return is_enabled(control) || strcmp(control->state.file, "indirect") == 0 ||
		       strcmp(control->state.file, "alias") == 0;
	return control->verb->operation != RUNNER_OPERATION_DISABLE || !is_enabled(control);
}

/* The job was done, but not well: the state says how the unit is now, the error how the job ended. */
static void answer(struct command *command)
{
	struct control *control = command->work;
	const struct unit_job *job = control->jobs.list;
	struct response response = { .success = true, .data = emit_control, .arg = control };
	char text[128];

	if (job && !unit_job_succeeded(job)) {
		snprintf(text, sizeof(text), "the job to %s it ended as \"%s\"", control->verb->name, job->result);
		response.reason = "job_failed";
	} else if (!files_are_as_wanted(control)) {
		snprintf(text, sizeof(text), "it was done, and its unit file is %s all the same",
			 *control->state.file ? control->state.file : "not there");
		response.reason = control->verb->operation == RUNNER_OPERATION_ENABLE ? "not_enabled" : "still_enabled";
	}
	if (response.reason) {
		response.success = false;
		response.code = CODE_COMMAND_FAILED;
		response.error = text;
	}
	command_answer(command, &response);
}

static void on_main_pid(struct command *command, const struct bus_reply *reply)
{
	struct control *control = command->work;

	if (bus_work_failed(command, reply))
		return;
	if (sd_bus_message_read(reply->message, "v", "u", &control->main_pid) < 0)
		control->main_pid = 0;
	answer(command);
}

static void on_properties(struct command *command, const struct bus_reply *reply)
{
	struct control *control = command->work;

	if (bus_work_failed(command, reply))
		return;
	if (unit_state_read(reply->message, &control->state) < 0)
		bus_work_fail(command, -EBADMSG);
	else if (strcmp(control->state.load, "not-found") == 0)
		command_fail(command, CODE_NOT_FOUND, "no_such_unit", "Unit %s not found.", control->unit[0]);
	else if (is_service(control))
		bus_work_call(command, on_main_pid, SYSTEMD_NAME, control->path, DBUS_PROPERTIES, "Get", "ss",
			      "org.freedesktop.systemd1.Service", "MainPID");
	else
		answer(command);
}

static void on_path(struct command *command, const struct bus_reply *reply)
{
	struct control *control = command->work;
	const char *path;

	if (bus_work_failed(command, reply))
		return;
	if (sd_bus_message_read(reply->message, "o", &path) < 0 || strlen(path) >= sizeof(control->path)) {
		bus_work_fail(command, -EBADMSG);
		return;
	}
	memcpy(control->path, path, strlen(path) + 1);
	bus_work_call(command, on_properties, SYSTEMD_NAME, control->path, DBUS_PROPERTIES, "GetAll", "s",
		      "org.freedesktop.systemd1.Unit");
}

/* ------------------------------------------------------------------------------------------------------- the verbs */

/*
 * Where the manager refuses the verb its words are the answer. The verb may have unloaded the unit: it is loaded again
 * for its state.
 */
static void on_job_done(struct command *command)
{
	struct control *control = command->work;
	const struct unit_job *job = control->jobs.list;
	struct bus_reply refusal = { .error = *job->name ? -EREMOTEIO : -ENOTCONN,
				     .name = job->name,
				     .text = job->error };

	if (job->refused)
		bus_work_failed(command, &refusal);
	else
		bus_call_manager(command, on_path, "LoadUnit", "s", control->unit[0]);
}

static void control_done(struct bus_work *work)
{
	unit_jobs_done(&container_of(work, struct control, bus)->jobs);
}

static const struct verb *find_verb(struct command *command)
{
	struct message_fault fault;
	const char *name = NULL;

	if (message_param_text(&command->message, "operation", &name, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return NULL;
	}
	for (size_t i = 0; name && i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	command_fail(command, CODE_INVALID_PARAMETERS, name ? "bad_value" : "missing_field",
		     "operation is one of start, stop, restart, enable, disable, status");
	return NULL;
}

static void run_service_control(struct command *command)
{
	const struct verb *verb = find_verb(command);
	char unit[UNIT_NAME_SIZE];
	struct control *control;
	bool looks;
	int r;

	if (!verb || !unit_jobs_parameter(command, "service", true, unit))
		return;
	looks = verb->operation == RUNNER_OPERATION_NONE;
	/* A unit that is denied by its name alone is refused without D-Bus and rights. */
	if (!looks && (unit_jobs_denied_by_name(command, unit) || !privilege_require(command)))
		return;
	control = bus_work_new(command, sizeof(*control));
	if (!control)
		return;
	control->bus.done = control_done;
	control->verb = verb;
	memcpy(control->unit[0], unit, sizeof(unit));
	if (looks) {
		bus_call_manager(command, on_path, "LoadUnit", "s", unit);
		return;
	}
	r = unit_jobs_start(&control->jobs, command, verb->operation, control->unit, 1, on_job_done);
	if (r < 0)
		bus_work_fail(command, r);
}

const struct action action_service_control = { .name = "ServiceControl",
					       .group = GROUP_CONTROL,
					       .bus = true,
					       .group_of = group_of_service_control,
					       .slot = true,
					       .run = run_service_control };
