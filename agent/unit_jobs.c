/* SPDX-License-Identifier: MIT */
/* Jobs of the service manager; see unit_jobs.h and org.freedesktop.systemd1(5). */
#include "agent/unit_jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/moment.h>

#include "agent/agent.h"
#include "agent/bus_work.h"
#include "agent/privilege.h"

static void stop_waiting(struct unit_jobs *jobs)
{
	jobs->watch = bus_unwatch(jobs->watch);
	jobs->subscription = bus_cancel(jobs->subscription);
	for (size_t i = 0; i < jobs->count; i++)
		jobs->list[i].call = bus_cancel(jobs->list[i].call);
	for (size_t i = 0; i < jobs->count; i++)
		unit_judge_cancel(&jobs->list[i].judge);
	for (size_t i = 0; i < jobs->count; i++)
		jobs->list[i].operation = privilege_operation_cancel(jobs->list[i].operation);
}

static void end_job(struct unit_job *job)
{
	struct unit_jobs *jobs = job->jobs;

	job->ended = true;
	job->path[0] = '\0';
	if (--jobs->running > 0)
		return;
	stop_waiting(jobs);
	jobs->done(jobs->data, 0);
}

static void refuse_job(struct unit_job *job, const char *name, const char *words)
{
	job->refused = true;
	snprintf(job->name, sizeof(job->name), "%s", name);
	snprintf(job->error, sizeof(job->error), "%s", words);
	end_job(job);
}

/* Unique names, so that nobody else can say that a job has ended; "" where there is no daemon between. */
static const char *sender_of(sd_bus_message *message)
{
	const char *sender = sd_bus_message_get_sender(message);

	return sender ? sender : "";
}

/* JobRemoved(u id, o job, s unit, s result) */
static void on_removed(void *data, sd_bus_message *signal)
{
	struct unit_jobs *jobs = data;
	const char *path, *unit, *result;
	uint32_t id;

	if (!signal) {
		stop_waiting(jobs);
		jobs->done(jobs->data, -ENOTCONN);
		return;
	}
	if (strcmp(jobs->sender, sender_of(signal)) != 0 ||
	    sd_bus_message_read(signal, "uoss", &id, &path, &unit, &result) < 0)
		return;
	for (size_t i = 0; i < jobs->count; i++) {
		struct unit_job *job = &jobs->list[i];

		if (job->ended || strcmp(job->path, path) != 0)
			continue;
		snprintf(job->result, sizeof(job->result), "%s", result);
		/* It may be the last: then everything here is gone. */
		end_job(job);
		return;
	}
}

static void on_job(void *data, const struct bus_reply *reply)
{
	struct unit_job *job = data;
	const char *path = "";

	job->call = NULL;
	job->jobs->heard = job->jobs->heard || reply->error == 0 || reply->error == -EREMOTEIO;
	if (reply->error == 0 && sd_bus_message_read(reply->message, "o", &path) >= 0 &&
	    strlen(path) < sizeof(job->path)) {
		memcpy(job->path, path, strlen(path) + 1);
		snprintf(job->jobs->sender, sizeof(job->jobs->sender), "%s", sender_of(reply->message));
		return;
	}
	refuse_job(job, reply->name, reply->error ? reply->text : "the answer made no sense");
}

/* A second subscription of one connection is refused, and is as good. */
static void on_subscribed(void *data, const struct bus_reply *reply)
{
	struct unit_jobs *jobs = data;

	(void)reply;
	jobs->subscription = NULL;
}

static int subscribe(struct unit_jobs *jobs)
{
	sd_bus_message *message = NULL;
	int r = bus_watch(jobs->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "JobRemoved", on_removed, jobs,
			  &jobs->watch);

	if (r >= 0)
		r = bus_message(jobs->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "Subscribe", &message);
	if (r >= 0)
		r = bus_call(jobs->bus, message, TIME_NEVER, on_subscribed, jobs, &jobs->subscription);
	sd_bus_message_unref(message);
	return r;
}

/*
 * ----------------------------------------------------------------------------------------- by ourselves, by the
 * executor
 */

static int start_by_bus(struct unit_job *job)
{
	struct bus *bus = job->jobs->bus;
	sd_bus_message *message = NULL;
	int r = bus_message(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, job->jobs->verb, &message);

	if (r >= 0)
		r = sd_bus_message_append(message, "ss", job->unit, "replace");
	if (r >= 0)
		r = bus_call(bus, message, TIME_NEVER, on_job, job, &job->call);
	sd_bus_message_unref(message);
	return r;
}

static void on_operation(void *data, const struct bus_reply *reply)
{
	struct unit_job *job = data;

	job->operation = NULL;
	job->jobs->heard = true;
	if (reply->error) {
		refuse_job(job, reply->name, reply->text);
		return;
	}
	snprintf(job->result, sizeof(job->result), "%s", reply->text);
	end_job(job);
}

static enum runner_operation operation_of(const char *verb)
{
	if (strcmp(verb, "StopUnit") == 0)
		return RUNNER_OPERATION_STOP;
	return strcmp(verb, "RestartUnit") == 0 ? RUNNER_OPERATION_RESTART : RUNNER_OPERATION_START;
}

static int start_by_executor(struct unit_job *job)
{
	struct command *command = job->jobs->command;
	struct privilege_wish wish = { .operation = operation_of(job->jobs->verb),
				       .action = command->action->name,
				       .group = command->group,
				       .unit = job->unit,
				       .deadline_ns = command->deadline_ns };

	return privilege_operation_start(command->agent, &wish, on_operation, job, &job->operation);
}

static void on_judged(void *data, const struct bus_reply *reply)
{
	struct unit_job *job = data;
	struct unit_jobs *jobs = job->jobs;
	int r;

	jobs->heard = jobs->heard || reply->error == 0 || reply->error == -EREMOTEIO;
	if (reply->error) {
		refuse_job(job, reply->name, reply->text);
		return;
	}
	r = jobs->command ? start_by_executor(job) : start_by_bus(job);
	if (r < 0 && jobs->command) {
		struct bus_reply failure = privilege_operation_failure(jobs->command->agent, r);

		refuse_job(job, failure.name, failure.text);
	} else if (r < 0) {
		refuse_job(job, "", strerror(-r));
	}
}

/*
 * --------------------------------------------------------------------------------------------------------------- all
 */

static int start_all(struct unit_jobs *jobs, const struct config *config, char (*units)[UNIT_NAME_SIZE], size_t count)
{
	int r = 0;

	if (count == 0 || count > UNIT_JOBS_MAX)
		return -EINVAL;
	jobs->list = calloc(count, sizeof(*jobs->list));
	if (!jobs->list)
		return -ENOMEM;
	jobs->count = jobs->running = count;
	if (!jobs->command)
		r = subscribe(jobs);
	for (size_t i = 0; i < count && r >= 0; i++) {
		struct unit_job *job = &jobs->list[i];

		job->jobs = jobs;
		memcpy(job->unit, units[i], UNIT_NAME_SIZE);
		r = unit_judge_start(&job->judge, jobs->bus, job->unit, config, on_judged, job);
	}
	return r;
}

int unit_jobs_start(struct unit_jobs *jobs, struct bus *bus, const struct config *config, const char *verb,
		    char (*units)[UNIT_NAME_SIZE], size_t count, unit_jobs_fn done, void *data)
{
	int r;

	*jobs = (struct unit_jobs){ .bus = bus, .verb = verb, .done = done, .data = data };
	r = start_all(jobs, config, units, count);
	if (r < 0)
		unit_jobs_done(jobs);
	return r < 0 ? r : 0;
}

int unit_jobs_start_for(struct unit_jobs *jobs, struct command *command, const char *verb,
			char (*units)[UNIT_NAME_SIZE], size_t count, unit_jobs_fn done, void *data)
{
	struct agent *agent = command->agent;
	int r;

	*jobs = (struct unit_jobs){ .bus = agent->bus,
				    .verb = verb,
				    .done = done,
				    .data = data,
				    .command = privilege_available(agent) ? NULL : command };
	r = start_all(jobs, &agent->config, units, count);
	if (r < 0)
		unit_jobs_done(jobs);
	return r < 0 ? r : 0;
}

void unit_jobs_done(struct unit_jobs *jobs)
{
	stop_waiting(jobs);
	free(jobs->list);
	*jobs = (struct unit_jobs){ .bus = NULL };
}

bool unit_job_succeeded(const struct unit_job *job)
{
	return !job->refused && (strcmp(job->result, "done") == 0 || strcmp(job->result, "skipped") == 0);
}

bool unit_job_denied(const struct unit_job *job)
{
	return job->refused && strcmp(job->name, UNIT_ERROR_DENIED) == 0;
}
