/* SPDX-License-Identifier: MIT */
/*
 * RestartServices: one service by its name, or without a name those that have failed. Jobs run side by side; data says
 * which of them came up, which did not, and which are not to be controlled (unit_rules.h).
 */
#include "agent/actions/table.h"

#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/actions/bus_work.h"
#include "agent/actions/privilege.h"
#include "agent/actions/service_table.h"
#include "agent/actions/unit_jobs.h"
#include "agent/actions/unit_judge.h"
#include "agent/base/unit_name.h"

struct restart {
	struct bus_work bus; /* first: see bus_work.h */
	char units[UNIT_JOBS_MAX][UNIT_NAME_SIZE];
	size_t count, left_out;
	bool named; /* by the host: else those that have failed */
	struct unit_jobs jobs;
};

static void emit_failure(struct sink *out, const struct unit_job *job)
{
	sink_object_begin(out, NULL);
	sink_str(out, "name", job->unit);
	sink_str(out, "result", job->refused ? "refused" : job->result);
	if (job->refused)
		sink_str(out, "error", job->error);
	sink_object_end(out);
}

static void emit_restart(struct sink *out, const char *key, const void *arg)
{
	const struct restart *restart = arg;

	sink_object_begin(out, key);
	sink_array_begin(out, "restarted");
	for (size_t i = 0; i < restart->jobs.count; i++)
		if (unit_job_succeeded(&restart->jobs.list[i]))
			sink_str(out, NULL, restart->jobs.list[i].unit);
	sink_array_end(out);
	sink_array_begin(out, "failed");
	for (size_t i = 0; i < restart->jobs.count; i++)
		if (!unit_job_succeeded(&restart->jobs.list[i]) && !unit_job_denied(&restart->jobs.list[i]))
			emit_failure(out, &restart->jobs.list[i]);
	sink_array_end(out);
	sink_array_begin(out, "denied");
	for (size_t i = 0; i < restart->jobs.count; i++)
		if (unit_job_denied(&restart->jobs.list[i]))
			sink_str(out, NULL, restart->jobs.list[i].unit);
	sink_array_end(out);
	if (restart->left_out) {
		sink_bool(out, "truncated", true);
		sink_uint(out, "total_count", restart->count + restart->left_out);
	}
	sink_object_end(out);
}

static void answer(struct command *command)
{
	struct restart *restart = command->work;
	struct response response = { .success = true, .data = emit_restart, .arg = restart };
	size_t failed = 0;
	char text[512];

	if (restart->named && unit_job_denied(restart->jobs.list)) {
		command_fail(command, CODE_POLICY_DENIED, "unit_denied", "%s", restart->jobs.list->error);
		return;
	}
	/* Without a name, failed services that must not be controlled are left out. */
	for (size_t i = 0; i < restart->jobs.count; i++)
		failed += !unit_job_succeeded(&restart->jobs.list[i]) && !unit_job_denied(&restart->jobs.list[i]);
	if (failed) {
		const struct unit_job *job = restart->jobs.list;

		response.success = false;
		response.code = strstr(job->name, "NoSuchUnit") && restart->jobs.count == 1 ? CODE_NOT_FOUND
											    : CODE_COMMAND_FAILED;
		snprintf(text, sizeof(text), "%zu of %zu services could not be restarted%s%s", failed,
			 restart->jobs.count, restart->jobs.count == 1 && job->refused ? ": " : "",
			 restart->jobs.count == 1 && job->refused ? job->error : "");
		response.error = text;
	}
	command_answer(command, &response);
}

/* False: the command has been answered. */
static bool start(struct command *command)
{
	struct restart *restart = command->work;
	int r = unit_jobs_start(&restart->jobs, command, RUNNER_OPERATION_RESTART, restart->units, restart->count,
				answer);

	if (r < 0)
		bus_work_fail(command, r);
	return r >= 0;
}

static void on_units(struct command *command, const struct bus_reply *reply)
{
	struct restart *restart = command->work;
	struct service_table table = { .count = 0 };
	int r;

	if (bus_work_failed(command, reply))
		return;
	r = service_table_add_units(&table, reply->message);
	for (size_t i = 0; i < table.count && r >= 0; i++) {
		if (strcmp(service_row_status(&table.rows[i]), "failed") != 0)
			continue;
		if (restart->count == UNIT_JOBS_MAX || strlen(table.rows[i].name) > UNIT_NAME_MAX)
			restart->left_out++;
		else
			snprintf(restart->units[restart->count++], UNIT_NAME_SIZE, "%s", table.rows[i].name);
	}
	service_table_done(&table);
	if (r < 0)
		bus_work_fail(command, r);
	else if (restart->count == 0)
		answer(command);
	else
		start(command);
}

static void restart_done(struct bus_work *work)
{
	unit_jobs_done(&container_of(work, struct restart, bus)->jobs);
}

static void run_restart_services(struct command *command)
{
	struct message_fault fault;
	const char *name = NULL;
	char unit[UNIT_NAME_SIZE] = "";
	struct restart *restart;

	if (message_param_text(&command->message, "service_name", &name, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return;
	}
	if (name && !unit_name_make(name, unit)) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "service_name has to be the name of a service, socket, timer or path unit");
		return;
	}
	if (name && unit_judge_denied_by_name(command, unit))
		return;
	if (!privilege_require(command))
		return;
	restart = bus_work_new(command, sizeof(*restart));
	if (!restart)
		return;
	restart->bus.done = restart_done;
	if (!name) {
		bus_call_manager(command, on_units, "ListUnits", NULL);
		return;
	}
	restart->named = true;
	memcpy(restart->units[restart->count++], unit, sizeof(unit));
	start(command);
}

const struct action action_restart_services = { .name = "RestartServices",
						.group = GROUP_CONTROL,
						.bus = true,
						.slot = true,
						.timeout_s = 300,
						.run = run_restart_services };
