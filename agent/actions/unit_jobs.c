/* SPDX-License-Identifier: MIT */
/* Jobs of the service manager, judged here and done by the executor; see unit_jobs.h. */
#include "agent/actions/unit_jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/actions/env.h"
#include "agent/actions/bus_work.h"
#include "agent/actions/run.h"

static void end_job(struct unit_job *job)
{
	struct unit_jobs *jobs = job->jobs;

	if (--jobs->running == 0)
		jobs->done(jobs->command);
}

static void refuse_job(struct unit_job *job, const char *name, const char *words)
{
	job->refused = true;
	snprintf(job->name, sizeof(job->name), "%s", name);
	snprintf(job->error, sizeof(job->error), "%s", words);
	end_job(job);
}

static void on_operation(void *data, const struct bus_reply *reply)
{
	struct unit_job *job = data;

	job->operation = NULL;
	if (reply->error) {
		refuse_job(job, reply->name, reply->text);
		return;
	}
	snprintf(job->result, sizeof(job->result), "%s", reply->text);
	end_job(job);
}

/* False: the job has been refused. */
static bool take_reply(struct unit_job *job, const struct bus_reply *reply)
{
	struct bus_work *work = job->jobs->command->work;

	job->call = NULL;
	work->heard = work->heard || reply->error == 0 || reply->error == -EREMOTEIO;
	if (reply->error)
		refuse_job(job, reply->name, reply->text);
	return reply->error == 0;
}

static const char no_sense[] = "what the service manager says of the unit made no sense";

static void on_properties(void *data, const struct bus_reply *reply)
{
	struct unit_job *job = data;
	struct command *command = job->jobs->command;
	struct action_env *env = command_env(command);
	struct privilege_request request = { .operation = job->jobs->verb,
					     .action = command->action->name,
					     .group = command->group,
					     .unit = job->unit,
					     .deadline_ns = command->deadline_ns };
	char words[UNIT_RULES_WORDS_SIZE];
	struct unit_facts facts;
	const char *error;
	int r;

	if (!take_reply(job, reply))
		return;
	if (unit_facts_read(reply->message, env->config->commands.deny_units, &facts) < 0) {
		refuse_job(job, UNIT_ERROR_NOT_LOADED, no_sense);
		return;
	}
	error = unit_facts_error(&facts, job->unit, words);
	if (error) {
		refuse_job(job, error, words);
		return;
	}
	r = privilege_operation_start(env, &request, on_operation, job, &job->operation);
	if (r < 0) {
		struct bus_reply failure = privilege_operation_failure(env, r);

		refuse_job(job, failure.name, failure.text);
	}
}

static int ask(struct unit_job *job, const char *path, const char *interface, const char *member, const char *argument,
	       bus_reply_fn step)
{
	return bus_ask(command_env(job->jobs->command)->bus, TIME_NEVER, step, job, &job->call, SYSTEMD_NAME, path,
		       interface, member, "s", argument);
}

static void on_path(void *data, const struct bus_reply *reply)
{
	struct unit_job *job = data;
	const char *path;

	if (!take_reply(job, reply))
		return;
	if (sd_bus_message_read(reply->message, "o", &path) < 0)
		refuse_job(job, UNIT_ERROR_NOT_LOADED, no_sense);
	else if (ask(job, path, DBUS_PROPERTIES, "GetAll", "org.freedesktop.systemd1.Unit", on_properties) < 0)
		refuse_job(job, "", "the bus is gone");
}

int unit_jobs_start(struct unit_jobs *jobs, struct command *command, enum runner_operation verb,
		    char (*units)[UNIT_NAME_SIZE], size_t count, unit_jobs_fn done)
{
	int r = 0;

	*jobs = (struct unit_jobs){ .command = command, .verb = verb, .done = done };
	if (count == 0 || count > UNIT_JOBS_MAX)
		return -EINVAL;
	jobs->list = calloc(count, sizeof(*jobs->list));
	if (!jobs->list)
		return -ENOMEM;
	jobs->count = jobs->running = count;
	for (size_t i = 0; i < count && r >= 0; i++) {
		struct unit_job *job = &jobs->list[i];

		job->jobs = jobs;
		memcpy(job->unit, units[i], UNIT_NAME_SIZE);
		r = ask(job, SYSTEMD_PATH, SYSTEMD_MANAGER, "LoadUnit", job->unit, on_path);
	}
	if (r < 0)
		unit_jobs_done(jobs);
	return r < 0 ? r : 0;
}

void unit_jobs_done(struct unit_jobs *jobs)
{
	for (size_t i = 0; jobs->list && i < jobs->count; i++) {
		bus_cancel(jobs->list[i].call);
		privilege_operation_cancel(jobs->list[i].operation);
	}
	free(jobs->list);
	*jobs = (struct unit_jobs){ .command = NULL };
}

bool unit_job_succeeded(const struct unit_job *job)
{
	return !job->refused && (strcmp(job->result, "done") == 0 || strcmp(job->result, "skipped") == 0);
}

bool unit_job_denied(const struct unit_job *job)
{
	return job->refused && strcmp(job->name, UNIT_ERROR_DENIED) == 0;
}

bool unit_jobs_parameter(struct command *command, const char *parameter, bool required, char unit[UNIT_NAME_SIZE])
{
	struct message_fault fault;
	const char *name = NULL;

	*unit = '\0';
	if (message_param_text(&command->message, parameter, &name, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return false;
	}
	if (name ? unit_name_make(name, unit) : !required)
		return true;
	command_fail(command, CODE_INVALID_PARAMETERS, name ? "bad_value" : "missing_field",
		     "%s has to be the name of a service, socket, timer or path unit", parameter);
	return false;
}

bool unit_jobs_denied_by_name(struct command *command, const char *unit)
{
	char words[UNIT_RULES_WORDS_SIZE];

	if (!unit_name_error(unit, command->commands->config->commands.deny_units, words))
		return false;
	command_fail(command, CODE_POLICY_DENIED, "unit_denied", "%s", words);
	return true;
}
