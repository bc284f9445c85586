/* SPDX-License-Identifier: MIT */
/*
 * PackageList, PackageSearch, PackageInstall, PackageRemove, PackageUpdate and UpdateSystemSoftware. A name is checked
 * by its grammar first, then against the known packages: apt takes an unknown name as a pattern or, with a sign at its
 * end, as another operation.
 */
#include "agent/actions/table.h"

#include <string.h>

#include "agent/actions/env.h"
#include "agent/actions/package_emit.h"
#include "agent/actions/package_job.h"
#include "agent/actions/privilege.h"

static void answer_installed(struct command *command, struct package_job *job)
{
	package_job_succeed(command, package_emit_installed, job);
}

static void run_package_list(struct command *command)
{
	static const enum job_step plan[] = { JOB_LIST, JOB_END };

	if (!package_job_new(command))
		return;
	package_job_start(command, plan, answer_installed);
}

static void answer_found(struct command *command, struct package_job *job)
{
	package_job_succeed(command, package_emit_found, job);
}

static bool take_query(struct command *command, struct package_job *job)
{
	enum package_form form = job->manager->steps[PACKAGE_SEARCH].form;
	struct message_fault fault;
	const char *query = NULL;

	if (message_param_text(&command->message, "query", &query, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return false;
	}
	if (!query) {
		command_fail(command, CODE_INVALID_PARAMETERS, "missing_field", "query is missing");
		return false;
	}
	job->word_count = package_words(query, job->query, sizeof(job->query), job->words);
	for (size_t i = 0; i < job->word_count; i++)
		if (package_word_form(form, job->words[i], job->escaped[i], sizeof(job->escaped[i])) < 0)
			job->word_count = 0;
	if (job->word_count == 0) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "query is up to 8 words of letters, digits and +.:~_- that begin with a letter or digit");
		return false;
	}
	return true;
}

static void run_package_search(struct command *command)
{
	static const enum job_step plan[] = { JOB_LIST, JOB_SEARCH, JOB_COUNT, JOB_END };
	struct package_job *job = package_job_new(command);

	if (!job || !take_query(command, job))
		return;
	package_job_start(command, plan, answer_found);
}

static void answer_done(struct command *command, struct package_job *job)
{
	(void)job;
	package_job_succeed(command, NULL, NULL);
}

static void change(struct command *command, const enum job_step *plan)
{
	const char *name = NULL;
	struct package_job *job;

	/* Rights before the look for the package: without them it does not matter whether there is one. */
	if (!package_parameter(command, "package", true, &name) || !privilege_require_program(command))
		return;
	job = package_job_new(command);
	if (!job)
		return;
	job->name = name;
	package_job_start(command, plan, answer_done);
}

static void run_package_install(struct command *command)
{
	static const enum job_step plan[] = { JOB_EXISTS, JOB_INSTALL, JOB_END };

	change(command, plan);
}

static void run_package_remove(struct command *command)
{
	static const enum job_step plan[] = { JOB_LIST_ONE, JOB_REMOVE, JOB_END };

	change(command, plan);
}

static void run_package_update(struct command *command)
{
	static const enum job_step plan[] = { JOB_LIST_ONE, JOB_UPDATE, JOB_END };

	change(command, plan);
}

static void answer_updated(struct command *command, struct package_job *job)
{
	package_job_succeed(command, package_emit_updated, job);
}

static void run_update_system_software(struct command *command)
{
	static const enum job_step all[] = { JOB_REFRESH,    JOB_SOURCES,    JOB_LISTS, JOB_JUDGE, JOB_LIST,
					     JOB_UPDATE_ALL, JOB_LIST_AGAIN, JOB_FACTS, JOB_END };
	static const enum job_step one[] = { JOB_LIST_ONE, JOB_REFRESH, JOB_SOURCES,	JOB_LISTS, JOB_JUDGE,
					     JOB_LIST,	   JOB_UPDATE,	JOB_LIST_AGAIN, JOB_FACTS, JOB_END };
	const char *name = NULL;
	struct package_job *job;

	if (!package_parameter(command, "package", false, &name) || !privilege_require_program(command))
		return;
	job = package_job_new(command);
	if (!job)
		return;
	job->name = name;
	package_job_start(command, name ? one : all, answer_updated);
}

const struct action action_package_list = {
	.name = "PackageList", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 45, .run = run_package_list
};

const struct action action_package_search = {
	.name = "PackageSearch", .group = GROUP_OBSERVE, .slot = true, .timeout_s = 45, .run = run_package_search
};

const struct action action_package_install = {
	.name = "PackageInstall", .group = GROUP_PACKAGES, .slot = true, .timeout_s = 300, .run = run_package_install
};

const struct action action_package_remove = {
	.name = "PackageRemove", .group = GROUP_PACKAGES, .slot = true, .timeout_s = 300, .run = run_package_remove
};

const struct action action_package_update = {
	.name = "PackageUpdate", .group = GROUP_PACKAGES, .slot = true, .timeout_s = 300, .run = run_package_update
};

const struct action action_update_system_software = { .name = "UpdateSystemSoftware",
						      .group = GROUP_PACKAGES,
						      .slot = true,
						      .timeout_s = 1800,
						      .run = run_update_system_software };
