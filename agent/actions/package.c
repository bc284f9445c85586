/* SPDX-License-Identifier: MIT */
/*
 * The actions of packages: what each takes, does with the package manager and answers. PackageList, PackageSearch,
 * PackageInstall, PackageRemove, PackageUpdate and UpdateSystemSoftware; then the available updates and the installed
 * packages, under the many names that hosts use. A name is checked by its grammar first, then against the known
 * packages: apt takes an unknown name as a pattern or, with a sign at its end, as another operation. All data is read
 * from the guest's lists; `last_check` is the time of their last refresh. No action that observes refreshes them, as
 * that is a change (UpdateSystemSoftware).
 */
#include "agent/actions/table.h"

#include "agent/actions/env.h"
#include "agent/actions/package_job.h"
#include "agent/actions/run.h"

#define DAYS_DEFAULT 30
#define DAYS_MAX     3650

/* The text `key` into *ret, NULL where it is absent and not `needed`. False: the command has been answered. */
static bool take_text(struct command *command, const char *key, bool needed, const char **ret)
{
	struct message_fault fault;

	*ret = NULL;
	if (message_param_text(&command->message, key, ret, &fault) < 0)
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
	else if (needed && !*ret)
		command_fail(command, CODE_INVALID_PARAMETERS, "missing_field", "%s is missing", key);
	else
		return true;
	return false;
}

/* Likewise the name of a package. */
static bool take_name(struct command *command, enum package_parameter takes, const char **ret)
{
	const char *key = takes == PACKAGE_TAKES_INSTALLED ? "app_id" : "package";
	const struct package_manager *manager;

	if (!take_text(command, key, takes != PACKAGE_MAY_TAKE_NAME, ret))
		return false;
	if (!*ret)
		return true;
	if (!package_name_valid(*ret)) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value", "%s is no name of a package", key);
		return false;
	}
	manager = package_manager_require(command);
	if (!manager || package_manager_takes(manager, *ret))
		return manager != NULL;
	command_fail(command, CODE_INVALID_PARAMETERS, "bad_value", "%s is no name of a package of %s", key,
		     manager->name);
	return false;
}

/* The words of a search into the job, also as the manager wants them. False: the command has been answered. */
static bool take_query(struct command *command, struct package_job *job)
{
	enum package_form form = job->manager->steps[PACKAGE_SEARCH].form;
	const char *query;

	if (!take_text(command, "query", true, &query))
		return false;
	job->word_count = package_words(query, job->query, sizeof(job->query), job->words);
	for (size_t i = 0; i < job->word_count; i++)
		if (package_word_form(form, job->words[i], job->escaped[i], sizeof(job->escaped[i])) < 0)
			job->word_count = 0;
	if (job->word_count == 0)
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "query is up to 8 words of letters, digits and +.:~_- that begin with a letter or digit");
	return job->word_count > 0;
}

static void run_task(struct command *command, const struct package_task *task)
{
	struct message_fault fault;
	struct package_job *job;
	const char *name = NULL;
	int64_t days = DAYS_DEFAULT;

	if (task->takes == PACKAGE_TAKES_DAYS &&
	    message_param_integer(&command->message, "days", 1, DAYS_MAX, &days, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return;
	}
	if ((task->takes == PACKAGE_TAKES_NAME || task->takes == PACKAGE_MAY_TAKE_NAME ||
	     task->takes == PACKAGE_TAKES_INSTALLED) &&
	    !take_name(command, task->takes, &name))
		return;
	/* Rights before the look for the package: without them it does not matter whether there is one. */
	if (task->group == GROUP_PACKAGES && !privilege_require_program(command))
		return;
	job = package_job_new(command, task);
	if (!job || (task->takes == PACKAGE_TAKES_QUERY && !take_query(command, job)))
		return;
	job->name = name;
	job->days = task->takes == PACKAGE_TAKES_DAYS ? days : 0;
	package_job_start(job, name && task->plan_of_one ? task->plan_of_one : task->plan);
}

/* clang-format off */
#define PLAN(...) ((const enum job_step[]){ __VA_ARGS__, JOB_END })
#define PENDING	  JOB_SOURCES, JOB_LISTS, JOB_LIST, JOB_PENDING, JOB_JUDGE, JOB_ADVISORIES, JOB_SIZES
#define REFRESH	  JOB_REFRESH, JOB_SOURCES, JOB_LISTS, JOB_JUDGE, JOB_LIST

/* An action and its task: which parameter it takes, its plan and its data. */
#define ACTION(symbol, wire, policy, limit_s, ...) \
	static const struct package_task symbol##_task = { .group = policy, .takes = __VA_ARGS__ }; \
	static void run_##symbol(struct command *command) \
	{ \
		run_task(command, &symbol##_task); \
	} \
	const struct action action_##symbol = { \
		.name = wire, .group = policy, .slot = true, .timeout_s = limit_s, .run = run_##symbol \
	}

ACTION(package_list, "PackageList", GROUP_OBSERVE, 45,
       PACKAGE_TAKES_NOTHING, PLAN(JOB_LIST), package_emit_installed);
ACTION(package_search, "PackageSearch", GROUP_OBSERVE, 45,
       PACKAGE_TAKES_QUERY, PLAN(JOB_LIST, JOB_SEARCH, JOB_COUNT), package_emit_found);
ACTION(package_install, "PackageInstall", GROUP_PACKAGES, 300,
       PACKAGE_TAKES_NAME, PLAN(JOB_EXISTS, JOB_INSTALL));
ACTION(package_remove, "PackageRemove", GROUP_PACKAGES, 300,
       PACKAGE_TAKES_NAME, PLAN(JOB_LIST_ONE, JOB_REMOVE));
ACTION(package_update, "PackageUpdate", GROUP_PACKAGES, 300,
       PACKAGE_TAKES_NAME, PLAN(JOB_LIST_ONE, JOB_UPDATE));
ACTION(update_system_software, "UpdateSystemSoftware", GROUP_PACKAGES, 1800,
       PACKAGE_MAY_TAKE_NAME, PLAN(REFRESH, JOB_UPDATE_ALL, JOB_LIST_AGAIN, JOB_FACTS), package_emit_updated,
       .plan_of_one = PLAN(JOB_LIST_ONE, REFRESH, JOB_UPDATE, JOB_LIST_AGAIN, JOB_FACTS));

ACTION(check_linux_updates, "CheckLinuxUpdates", GROUP_OBSERVE, 300,
       PACKAGE_TAKES_NOTHING, PLAN(PENDING, JOB_FACTS), package_emit_updates, .asks_for_updates = true);
ACTION(get_pending_linux_updates, "GetPendingLinuxUpdates", GROUP_OBSERVE, 300,
       PACKAGE_TAKES_NOTHING, PLAN(PENDING, JOB_FACTS), package_emit_updates, .asks_for_updates = true);
ACTION(get_linux_security_updates, "GetLinuxSecurityUpdates", GROUP_OBSERVE, 300,
       PACKAGE_TAKES_NOTHING, PLAN(PENDING, JOB_FACTS), package_emit_updates, .asks_for_updates = true,
       .security_only = true);
ACTION(get_linux_update_history, "GetLinuxUpdateHistory", GROUP_OBSERVE, 300,
       PACKAGE_TAKES_DAYS, PLAN(PENDING, JOB_FACTS, JOB_HISTORY), package_emit_updates);
ACTION(get_available_updates, "GetAvailableUpdates", GROUP_OBSERVE, 300,
       PACKAGE_TAKES_NOTHING, PLAN(PENDING, JOB_FACTS), package_emit_updates_and_applications,
       .asks_for_updates = true);
ACTION(get_pending_updates, "GetPendingUpdates", GROUP_OBSERVE, 300,
       PACKAGE_TAKES_NOTHING, PLAN(PENDING, JOB_FACTS), package_emit_updates_and_applications,
       .asks_for_updates = true);
ACTION(get_security_updates, "GetSecurityUpdates", GROUP_OBSERVE, 300,
       PACKAGE_TAKES_NOTHING, PLAN(PENDING, JOB_FACTS), package_emit_updates_and_applications,
       .asks_for_updates = true, .security_only = true);
ACTION(get_update_history, "GetUpdateHistory", GROUP_OBSERVE, 300,
       PACKAGE_TAKES_DAYS, PLAN(JOB_HISTORY), package_emit_history);
ACTION(check_application_updates, "CheckApplicationUpdates", GROUP_OBSERVE, 300,
       PACKAGE_TAKES_NOTHING, PLAN(PENDING, JOB_FACTS), package_emit_updatable, .asks_for_updates = true,
       .counts_aloud = true);
ACTION(get_installed_applications_wmi, "GetInstalledApplicationsWMI", GROUP_OBSERVE, 300,
       PACKAGE_TAKES_NOTHING, PLAN(PENDING, JOB_FACTS), package_emit_applications);
ACTION(get_application_details, "GetApplicationDetails", GROUP_OBSERVE, 120,
       PACKAGE_TAKES_INSTALLED, PLAN(PENDING, JOB_SHOW), package_emit_details);
ACTION(check_specific_app_updates, "CheckSpecificAppUpdates", GROUP_OBSERVE, 120,
       PACKAGE_TAKES_INSTALLED, PLAN(PENDING), package_emit_application, .asks_for_updates = true);
ACTION(estimate_update_size, "EstimateUpdateSize", GROUP_OBSERVE, 120,
       PACKAGE_TAKES_INSTALLED, PLAN(PENDING), package_emit_size, .asks_for_updates = true);
/* clang-format on */
