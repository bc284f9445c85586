/* SPDX-License-Identifier: MIT */
/* Jobs of the service manager, done by the executor; see unit_jobs.h. */
#include "agent/actions/unit_jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/actions/env.h"
#include "agent/actions/bus_work.h"
#include "agent/actions/privilege.h"

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

static void on_judged(void *data, const struct bus_reply *reply)
{
	struct unit_job *job = data;
	struct unit_jobs *jobs = job->jobs;
	struct command *command = jobs->command;
	struct bus_work *work = command->work;
	struct privilege_request request = { .operation = jobs->verb,
					     .action = command->action->name,
					     .group = command->group,
					     .unit = job->unit,
					     .deadline_ns = command->deadline_ns };
	int r;

	work->heard = work->heard || reply->error == 0 || reply->error == -EREMOTEIO;
	if (reply->error) {
		refuse_job(job, reply->name, reply->text);
		return;
	}
	r = privilege_operation_start(command_env(command), &request, on_operation, job, &job->operation);
	if (r < 0) {
		struct bus_reply failure = privilege_operation_failure(command_env(command), r);

		refuse_job(job, failure.name, failure.text);
	}
}

int unit_jobs_start(struct unit_jobs *jobs, struct command *command, enum runner_operation verb,
		    char (*units)[UNIT_NAME_SIZE], size_t count, unit_jobs_fn done)
{
	struct action_env *env = command_env(command);
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
		r = unit_judge_start(&job->judge, env->bus, job->unit, env->config, on_judged, job);
	}
	if (r < 0)
		unit_jobs_done(jobs);
	return r < 0 ? r : 0;
}

void unit_jobs_done(struct unit_jobs *jobs)
{
	for (size_t i = 0; jobs->list && i < jobs->count; i++) {
		unit_judge_cancel(&jobs->list[i].judge);
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
