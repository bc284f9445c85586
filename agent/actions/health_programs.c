/* SPDX-License-Identifier: MIT */
/* Facts for health checks that the package manager's programs know, asked one after the other; see health_work.h. */
#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/actions/health_work.h"
#include "agent/actions/package_job.h"
#include "agent/actions/run.h"

#define LIST_MAX (8u << 20)

static const struct package_manager *find_manager(void)
{
	const struct package_manager *manager;
	char path[64];

	for (size_t i = 0; (manager = package_manager_at(i)); i++)
		if (run_find(manager->probe, path, sizeof(path)))
			return manager;
	return NULL;
}

static void take_reboot_flag(struct health_facts *facts, const struct package_manager *manager,
			     const struct exec_outcome *outcome)
{
	facts->reboot_known = manager->reboot_path && outcome->exit_code <= 1;
	facts->reboot_required =
		facts->reboot_known && stat_time(outcome->out.bytes, outcome->out.len, manager->reboot_path) >= 0;
}

static void take_list(struct health_facts *facts, const struct package_manager *manager,
		      const struct exec_outcome *outcome)
{
	struct package_list list = { .rows = NULL };

	facts->packages.broken = outcome->exit_code > 1;
	facts->packages.list_known =
		!facts->packages.broken && outcome->out.total == outcome->out.len &&
		manager->steps[PACKAGE_LIST].parse(outcome->out.bytes, outcome->out.len, &list) == 0;
	for (size_t i = 0; facts->packages.list_known && i < list.count; i++)
		if (!list.rows[i].installed || list.rows[i].reinstall)
			health_name(&facts->packages.incomplete, list.rows[i].name);
	health_names_end(&facts->packages.incomplete);
	package_list_done(&list);
}

static void take_interrupted(struct health_facts *facts, const struct package_manager *manager,
			     const struct exec_outcome *outcome)
{
	(void)manager;
	facts->packages.interrupted_known = outcome->exit_code == 0;
	facts->packages.interrupted = outcome->out.len > 0;
}

static void take_check(struct health_facts *facts, const struct package_manager *manager,
		       const struct exec_outcome *outcome)
{
	struct health_packages *packages = &facts->packages;

	(void)manager;
	packages->check_known = true;
	packages->check_failed = outcome->exit_code != 0;
	packages->unmet = check_unmet_parse(outcome->out.bytes, outcome->out.len, packages->unmet_first,
					    sizeof(packages->unmet_first));
}

static const struct {
	enum package_step step;
	bool packages; /* for the check of the packages; else for that of the reboot */
	void (*take)(struct health_facts *facts, const struct package_manager *manager,
		     const struct exec_outcome *outcome);
} programs[] = {
	{ PACKAGE_FACTS, false, take_reboot_flag },
	{ PACKAGE_LIST, true, take_list },
	{ PACKAGE_INTERRUPTED, true, take_interrupted },
	{ PACKAGE_CHECK, true, take_check },
};

/* A program that was killed or lost answers the command: there is no time left for another one. */
static void on_program(struct command *command, struct exec_outcome *outcome)
{
	struct health_work *work = command->work;
	const struct package_manager *manager = find_manager();

	if (!outcome->started || outcome->lost || outcome->cancelled || outcome->timed_out || outcome->stuck) {
		run_answer(command, outcome, NULL, NULL);
		return;
	}
	if (manager && outcome->exit_code >= 0 && outcome->signal == 0)
		programs[work->program].take(&work->facts, manager, outcome);
	work->program++;
	health_work_start(work);
}

static void run(struct health_work *work, const char *const argv[])
{
	struct run run = { .argv = argv, .question = true, .max_output_bytes = LIST_MAX, .done = on_program };

	run_program(work->command, &run);
}

/* Notes which facts this package manager can give. */
static void take_manager(struct health_work *work, const struct package_manager *manager)
{
	struct health_packages *packages = &work->facts.packages;

	packages->managed = manager && work->want_packages && manager->steps[PACKAGE_LIST].argv;
	packages->interruptible = packages->managed && manager->steps[PACKAGE_INTERRUPTED].argv;
	packages->checkable = packages->managed && manager->steps[PACKAGE_CHECK].argv;
	work->facts.reboot_asked = manager && manager->reboot_path && work->want_reboot;
}

bool health_programs_next(struct health_work *work)
{
	const struct package_manager *manager = find_manager();
	const char *argv[PACKAGE_ARGS_MAX];
	char path[64];

	if (work->program == 0)
		take_manager(work, manager);
	for (; manager && work->program < ARRAY_SIZE(programs); work->program++) {
		const struct package_command *step = &manager->steps[programs[work->program].step];
		bool packages = programs[work->program].packages;

		if (packages ? !work->want_packages : !work->want_reboot || !manager->reboot_path)
			continue;
		if (!step->argv || !run_find(step->argv[0], path, sizeof(path)) ||
		    package_argv(step, path, NULL, 0, argv) < 0)
			continue;
		run(work, argv);
		return true;
	}
	return false;
}
