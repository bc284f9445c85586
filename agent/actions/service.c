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
#include "agent/actions/privilege.h"
#include "agent/actions/unit_jobs.h"
#include "agent/actions/unit_judge.h"
#include "agent/base/unit_name.h"
#include "agent/rules/unit_rules.h"

#define UNIT_INTERFACE	  "org.freedesktop.systemd1.Unit"
#define SERVICE_INTERFACE "org.freedesktop.systemd1.Service"

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
	char load_state[32], active_state[32], sub_state[32], file_state[32];
	uint32_t main_pid;
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static enum policy_group group_of_service_control(const struct message *message)
{
	struct message_fault fault;
	const char *operation = NULL;

	if (message_param_text(message, "operation", &operation, &fault) != 0)
		return GROUP_CONTROL;
	return operation && strcmp(operation, "status") == 0 ? GROUP_OBSERVE : GROUP_CONTROL;
}

/*
 * -------------------------------------------------------------------------------------------------- the unit's state
 */

static bool is_enabled(const char *file_state)
{
	return strcmp(file_state, "enabled") == 0 || strcmp(file_state, "enabled-runtime") == 0;
}

static void emit_control(struct sink *out, const char *key, const void *arg)
{
	const struct control *control = arg;

	sink_object_begin(out, key);
	sink_str(out, "service", control->unit[0]);
	sink_str(out, "active_state", control->active_state);
	sink_str(out, "sub_state", control->sub_state);
	sink_bool(out, "enabled", is_enabled(control->file_state));
	if (strcmp(unit_name_suffix(control->unit[0]), ".service") == 0)
		sink_uint(out, "main_pid", control->main_pid);
	else
		sink_null(out, "main_pid");
	sink_str(out, "load_state", control->load_state);
	sink_str(out, "unit_file_state", *control->file_state ? control->file_state : NULL);
	sink_object_end(out);
}

/*
 * True if the unit file is as the verb left it: units enabled by another unit or a generator count as enabled, linked
 * and static ones do not.
 */
static bool files_are_as_wanted(const struct control *control)
{
	if (control->verb->operation == RUNNER_OPERATION_ENABLE)
		return is_enabled(control->file_state) || strcmp(control->file_state, "indirect") == 0 ||
		       strcmp(control->file_state, "alias") == 0;
	return control->verb->operation != RUNNER_OPERATION_DISABLE || !is_enabled(control->file_state);
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
		response.success = false;
		response.code = CODE_COMMAND_FAILED;
		response.reason = "job_failed";
		response.error = text;
	} else if (!files_are_as_wanted(control)) {
		snprintf(text, sizeof(text), "it was done, and its unit file is %s all the same",
			 *control->file_state ? control->file_state : "not there");
		response.success = false;
		response.code = CODE_COMMAND_FAILED;
		response.reason = control->verb->operation == RUNNER_OPERATION_ENABLE ? "not_enabled" : "still_enabled";
		response.error = text;
	}
	command_answer(command, &response);
}

static void on_main_pid(struct command *command, const struct bus_reply *reply)
{
	struct control *control = command->work;

	if (reply->error == 0 && sd_bus_message_read(reply->message, "v", "u", &control->main_pid) < 0)
		control->main_pid = 0;
	if (reply->error == 0 || !bus_work_failed(command, reply))
		answer(command);
}

static int read_property(sd_bus_message *message, struct control *control)
{
	const struct {
		const char *name;
		char *to;
	} wanted[] = {
		{ "LoadState", control->load_state },
		{ "ActiveState", control->active_state },
		{ "SubState", control->sub_state },
		{ "UnitFileState", control->file_state },
	};
	const char *name, *value;
	int r = sd_bus_message_read(message, "s", &name);

	for (size_t i = 0; i < ARRAY_SIZE(wanted) && r >= 0; i++) {
		if (strcmp(wanted[i].name, name) != 0)
			continue;
		r = sd_bus_message_read(message, "v", "s", &value);
		if (r >= 0)
			snprintf(wanted[i].to, sizeof(control->load_state), "%s", value);
		return r;
	}
	return r < 0 ? r : sd_bus_message_skip(message, "v");
}

/* a{sv} */
static int read_properties(sd_bus_message *message, struct control *control)
{
	int r = sd_bus_message_enter_container(message, 'a', "{sv}");

	while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
		r = read_property(message, control);
		if (r >= 0)
			r = sd_bus_message_exit_container(message);
	}
	return r;
}

static void on_properties(struct command *command, const struct bus_reply *reply)
{
	struct control *control = command->work;

	if (bus_work_failed(command, reply))
		return;
	if (read_properties(reply->message, control) < 0)
		bus_work_fail(command, -EBADMSG);
	else if (strcmp(control->load_state, "not-found") == 0)
		command_fail(command, CODE_NOT_FOUND, "no_such_unit", "Unit %s not found.", control->unit[0]);
	else if (strcmp(unit_name_suffix(control->unit[0]), ".service") == 0)
		bus_work_call(command, on_main_pid, SYSTEMD_NAME, control->path, DBUS_PROPERTIES, "Get", "ss",
			      SERVICE_INTERFACE, "MainPID");
	else
		answer(command);
}

static void ask_properties(struct command *command)
{
	struct control *control = command->work;

	bus_work_call(command, on_properties, SYSTEMD_NAME, control->path, DBUS_PROPERTIES, "GetAll", "s",
		      UNIT_INTERFACE);
}

/*
 * ---------------------------------------------------------------------------------------------------------- the verbs
 */

static void on_path(struct command *command, const struct bus_reply *reply);

/* The verb may have unloaded the unit: it is loaded again for its state. */
static void ask_state(struct command *command)
{
	struct control *control = command->work;

	bus_call_manager(command, on_path, "LoadUnit", "s", control->unit[0]);
}

/* Where the manager refuses the verb its words are the answer. */
static void on_job_done(struct command *command)
{
	struct control *control = command->work;
	const struct unit_job *job = control->jobs.list;
	struct bus_reply refusal = { .error = -EREMOTEIO, .name = job->name, .text = job->error };

	if (job->refused) {
		if (!*job->name)
			refusal.error = -ENOTCONN;
		bus_work_failed(command, &refusal);
	} else {
		ask_state(command);
	}
}

/* False: the command has been answered. */
static bool start_verb(struct command *command)
{
	struct control *control = command->work;
	int r;

	if (control->verb->operation == RUNNER_OPERATION_NONE)
		return bus_call_manager(command, on_path, "LoadUnit", "s", control->unit[0]);
	r = unit_jobs_start(&control->jobs, command, control->verb->operation, control->unit, 1, on_job_done);
	if (r < 0)
		bus_work_fail(command, r);
	return r >= 0;
}

/* False: the command has been answered. */
static bool take_path(struct command *command, const struct bus_reply *reply)
{
	struct control *control = command->work;
	const char *path;

	if (bus_work_failed(command, reply))
		return false;
	if (sd_bus_message_read(reply->message, "o", &path) < 0 || strlen(path) >= sizeof(control->path)) {
		bus_work_fail(command, -EBADMSG);
		return false;
	}
	memcpy(control->path, path, strlen(path) + 1);
	return true;
}

static void on_path(struct command *command, const struct bus_reply *reply)
{
	if (take_path(command, reply))
		ask_properties(command);
}

static void control_done(struct bus_work *work)
{
	unit_jobs_done(&container_of(work, struct control, bus)->jobs);
}

/* False: the command has been answered. */
static bool parameters(struct command *command, const char *name, char unit[UNIT_NAME_SIZE])
{
	struct message_fault fault;
	const char *service = NULL;

	if (message_param_text(&command->message, name, &service, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return false;
	}
	if (!service || !unit_name_make(service, unit)) {
		command_fail(command, CODE_INVALID_PARAMETERS, service ? "bad_value" : "missing_field",
			     "%s has to be the name of a service, socket, timer or path unit", name);
		return false;
	}
	return true;
}

static const struct verb *operation(struct command *command)
{
	struct message_fault fault;
	const char *name = NULL;
	const struct verb *verb;

	if (message_param_text(&command->message, "operation", &name, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return NULL;
	}
	verb = find_verb(name);
	if (!verb)
		command_fail(command, CODE_INVALID_PARAMETERS, name ? "bad_value" : "missing_field",
			     "operation is one of start, stop, restart, enable, disable, status");
	return verb;
}

static void run_service_control(struct command *command)
{
	const struct verb *verb = operation(command);
	char unit[UNIT_NAME_SIZE];
	struct control *control;

	if (!verb || !parameters(command, "service", unit))
		return;
	/* A unit that is denied by its name alone is refused without D-Bus and rights. */
	if (verb->operation != RUNNER_OPERATION_NONE && unit_judge_denied_by_name(command, unit))
		return;
	if (verb->operation != RUNNER_OPERATION_NONE && !privilege_require(command))
		return;
	control = bus_work_new(command, sizeof(*control));
	if (!control)
		return;
	control->bus.done = control_done;
	control->verb = verb;
	memcpy(control->unit[0], unit, sizeof(unit));
	start_verb(command);
}

const struct action action_service_control = { .name = "ServiceControl",
					       .group = GROUP_CONTROL,
					       .bus = true,
					       .group_of = group_of_service_control,
					       .slot = true,
					       .run = run_service_control };
