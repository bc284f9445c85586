/* SPDX-License-Identifier: MIT */
/*
 * The available updates and the installed packages, under the many names that hosts use. All data is read from the
 * guest's lists; `last_check` is the time of their last refresh. No action here refreshes them, as that is a change
 * (UpdateSystemSoftware).
 */
#include "agent/actions/table.h"

#include "agent/actions/env.h"
#include "agent/actions/package_emit.h"
#include "agent/actions/package_job.h"
#include "collectors/host.h"
#include "collectors/table.h"

#define DAYS_DEFAULT 30
#define DAYS_MAX     3650
#define DAY_S	     86400

#define PENDING JOB_SOURCES, JOB_LISTS, JOB_LIST, JOB_PENDING, JOB_JUDGE, JOB_ADVISORIES, JOB_SIZES

static const enum job_step plan_updates[] = { PENDING, JOB_FACTS, JOB_END };
static const enum job_step plan_history[] = { PENDING, JOB_FACTS, JOB_HISTORY, JOB_END };
static const enum job_step plan_log[] = { JOB_HISTORY, JOB_END };
static const enum job_step plan_one[] = { PENDING, JOB_END };
static const enum job_step plan_details[] = { PENDING, JOB_SHOW, JOB_END };

static const char *distro_of(const struct action_env *env)
{
	const void *state = sampler_state(env->sampler, &collector_host);
	struct host_facts facts;

	if (!state)
		return NULL;
	host_facts_get(state, &facts);
	return facts.linux_distro;
}

static void answer_updates(struct command *command, struct package_job *job)
{
	job->distro = distro_of(command_env(command));
	package_job_succeed(command, package_emit_updates, job);
}

static void answer_both(struct command *command, struct package_job *job)
{
	job->distro = distro_of(command_env(command));
	package_job_succeed(command, package_emit_updates_and_applications, job);
}

static void answer_applications(struct command *command, struct package_job *job)
{
	package_job_succeed(command, package_emit_applications, job);
}

/* One line for people beside the data. */
static void answer_updatable(struct command *command, struct package_job *job)
{
	package_say_updatable(job, job->said, sizeof(job->said));
	package_job_succeed(command, package_emit_updatable, job);
}

static void answer_history(struct command *command, struct package_job *job)
{
	package_job_succeed(command, package_emit_history, job);
}

static void ask(struct command *command, bool security_only, void (*answer)(struct command *, struct package_job *))
{
	struct package_job *job = package_job_new(command);

	if (!job)
		return;
	job->security_only = security_only;
	job->asks_for_updates = answer != answer_applications;
	package_job_start(command, plan_updates, answer);
}

static void ask_history(struct command *command, const enum job_step *plan,
			void (*answer)(struct command *, struct package_job *))
{
	struct message_fault fault;
	struct package_job *job;
	int64_t days = DAYS_DEFAULT;

	if (message_param_integer(&command->message, "days", 1, DAYS_MAX, &days, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return;
	}
	job = package_job_new(command);
	if (!job)
		return;
	job->days = (unsigned)days;
	job->since_s = command_env(command)->loop->now.wall_ms / 1000 - days * DAY_S;
	package_job_start(command, plan, answer);
}

static void ask_one(struct command *command, const enum job_step *plan,
		    void (*answer)(struct command *, struct package_job *))
{
	const char *name = NULL;
	struct package_job *job;

	if (!package_parameter(command, "app_id", true, &name))
		return;
	job = package_job_new(command);
	if (!job)
		return;
	job->name = name;
	job->asks_for_updates = plan == plan_one;
	package_job_start(command, plan, answer);
}

static void run_check_linux_updates(struct command *command)
{
	ask(command, false, answer_updates);
}

static void run_linux_security_updates(struct command *command)
{
	ask(command, true, answer_updates);
}

static void run_linux_update_history(struct command *command)
{
	ask_history(command, plan_history, answer_updates);
}

static void run_available_updates(struct command *command)
{
	ask(command, false, answer_both);
}

static void run_security_updates(struct command *command)
{
	ask(command, true, answer_both);
}

static void run_update_history(struct command *command)
{
	ask_history(command, plan_log, answer_history);
}

static void run_application_updates(struct command *command)
{
	ask(command, false, answer_updatable);
}

static void run_applications(struct command *command)
{
	ask(command, false, answer_applications);
}

static void answer_application(struct command *command, struct package_job *job)
{
	package_job_succeed(command, package_emit_application, job);
}

static void answer_details(struct command *command, struct package_job *job)
{
	package_job_succeed(command, package_emit_details, job);
}

static void answer_size(struct command *command, struct package_job *job)
{
	package_job_succeed(command, package_emit_size, job);
}

static void run_application_details(struct command *command)
{
	ask_one(command, plan_details, answer_details);
}

static void run_specific_app_updates(struct command *command)
{
	ask_one(command, plan_one, answer_application);
}

static void run_estimate_update_size(struct command *command)
{
	ask_one(command, plan_one, answer_size);
}

const struct action action_check_linux_updates = { .name = "CheckLinuxUpdates",
						   .group = GROUP_OBSERVE,
						   .slot = true,
						   .timeout_s = 300,
						   .run = run_check_linux_updates };

const struct action action_get_linux_security_updates = { .name = "GetLinuxSecurityUpdates",
							  .group = GROUP_OBSERVE,
							  .slot = true,
							  .timeout_s = 300,
							  .run = run_linux_security_updates };

const struct action action_get_linux_update_history = { .name = "GetLinuxUpdateHistory",
							.group = GROUP_OBSERVE,
							.slot = true,
							.timeout_s = 300,
							.run = run_linux_update_history };

const struct action action_get_pending_linux_updates = { .name = "GetPendingLinuxUpdates",
							 .group = GROUP_OBSERVE,
							 .slot = true,
							 .timeout_s = 300,
							 .run = run_check_linux_updates };

const struct action action_get_available_updates = { .name = "GetAvailableUpdates",
						     .group = GROUP_OBSERVE,
						     .slot = true,
						     .timeout_s = 300,
						     .run = run_available_updates };

const struct action action_get_pending_updates = { .name = "GetPendingUpdates",
						   .group = GROUP_OBSERVE,
						   .slot = true,
						   .timeout_s = 300,
						   .run = run_available_updates };

const struct action action_get_security_updates = { .name = "GetSecurityUpdates",
						    .group = GROUP_OBSERVE,
						    .slot = true,
						    .timeout_s = 300,
						    .run = run_security_updates };

const struct action action_get_update_history = {
	.name = "GetUpdateHistory", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 300, .run = run_update_history
};

const struct action action_check_application_updates = { .name = "CheckApplicationUpdates",
							 .group = GROUP_OBSERVE,
							 .slot = true,
							 .timeout_s = 300,
							 .run = run_application_updates };

const struct action action_get_installed_applications_wmi = { .name = "GetInstalledApplicationsWMI",
							      .group = GROUP_OBSERVE,
							      .slot = true,
							      .timeout_s = 300,
							      .run = run_applications };

const struct action action_get_application_details = { .name = "GetApplicationDetails",
						       .group = GROUP_OBSERVE,
						       .slot = true,
						       .timeout_s = 120,
						       .run = run_application_details };

const struct action action_check_specific_app_updates = { .name = "CheckSpecificAppUpdates",
							  .group = GROUP_OBSERVE,
							  .slot = true,
							  .timeout_s = 120,
							  .run = run_specific_app_updates };

const struct action action_estimate_update_size = { .name = "EstimateUpdateSize",
						    .group = GROUP_OBSERVE,
						    .slot = true,
						    .timeout_s = 120,
						    .run = run_estimate_update_size };
