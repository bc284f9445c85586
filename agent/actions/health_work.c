/* SPDX-License-Identifier: MIT */
/*
 * RunHealthCheck, RunAllHealthChecks and ValidateSystemHealth: the named checks of health.h, one or all. Before them
 * the facts are gathered: what is waited for in the loop comes first, programs last.
 */
#include "agent/actions/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/bus_work.h"
#include "agent/actions/env.h"
#include "agent/actions/health.h"
#include "agent/actions/package_job.h"
#include "agent/actions/run.h"

#define DAY_MS	 INT64_C(86400000)
#define LIST_MAX (8u << 20)
/* Room in a list of names for "and 4294967295 of them". */
#define NAMES_REST 24

static void go_on(struct health_work *work);

/* ------------------------------------------------------------------------------------------------------- the trend */

static void on_trend(void *data, const struct trend *trend)
{
	struct health_work *work = data;

	work->job = NULL;
	if (trend) {
		work->trend = *trend;
		work->facts.trend = &work->trend;
	}
	go_on(work);
}

/* Half of the time there is, so that the rest remains for the other facts. */
static bool ask_trend(struct health_work *work)
{
	struct action_env *env = work->facts.env;
	struct moment now = env->loop->now;
	uint64_t term_ns = work->command->term_ns;
	struct trend_request request = {
		.begin_ms = now.wall_ms - work->facts.window_days * DAY_MS,
		.end_ms = INT64_MAX,
		.limit_ms = term_ns > now.mono_ns ? (term_ns - now.mono_ns) / 2 / NS_PER_MS : 0,
	};

	snprintf(request.dir, sizeof(request.dir), "%s", env->config->log.dir);
	return env->config->log.enabled && trend_start(env->loop->ev, &request, on_trend, work, &work->job) == 0;
}

/* -------------------------------------------------------------------------------------------------- failed units */

static void add_name(struct health_names *names, const char *name)
{
	size_t len = strlen(names->text), more = strlen(name);

	names->count++;
	if (names->told + 1 < names->count || len + more + NAMES_REST > sizeof(names->text))
		return;
	snprintf(names->text + len, sizeof(names->text) - len, "%s%s", len ? ", " : "", name);
	names->told++;
}

/* To be called after the last name. */
static void end_names(struct health_names *names)
{
	size_t len = strlen(names->text);

	if (names->told < names->count)
		snprintf(names->text + len, sizeof(names->text) - len, "%s%u%s", len ? " and " : "",
			 names->count - names->told, len ? " more" : " of them");
}

/* As sd_booted(3) asks: a manager that cannot be reached is there all the same. */
static bool booted_by_systemd(void)
{
	return access("/run/systemd/system", F_OK) == 0;
}

/* a(ssssssouso): the name comes first, org.freedesktop.systemd1(5). */
static void on_units(void *data, const struct bus_reply *reply)
{
	struct health_work *work = data;
	struct health_names *failed = &work->facts.failed;
	const char *name;
	int r = reply->error;

	work->call = NULL;
	work->facts.units_absent = r == -ENOTCONN && !booted_by_systemd();
	if (r == 0)
		r = sd_bus_message_enter_container(reply->message, 'a', "(ssssssouso)");
	while (r >= 0 && (r = sd_bus_message_read(reply->message, "(ssssssouso)", &name, NULL, NULL, NULL, NULL, NULL,
						  NULL, NULL, NULL, NULL)) > 0)
		add_name(failed, name);
	end_names(failed);
	work->facts.units_known = r >= 0;
	go_on(work);
}

static bool ask_units(struct health_work *work)
{
	int r = bus_ask(work->facts.env->bus, 10 * NS_PER_S, on_units, work, &work->call, SYSTEMD_NAME, SYSTEMD_PATH,
			SYSTEMD_MANAGER, "ListUnitsFiltered", "as", 1, "failed");

	work->facts.units_absent = r < 0 && r != -EBUSY && r != -ENOMEM && !booted_by_systemd();
	return r >= 0;
}

/* -------------------------------------------------------------------------------------------------------- the clock */

static void on_clock(void *data, const struct bus_reply *reply)
{
	struct health_work *work = data;
	int synchronised;

	work->call = NULL;
	if (reply->error == 0 && sd_bus_message_read(reply->message, "v", "b", &synchronised) > 0)
		work->facts.clock = synchronised ? CLOCK_SYNCHRONISED : CLOCK_FREE;
	go_on(work);
}

/*
 * The kernel's own view: STA_UNSYNC is cleared by the daemon that disciplines the clock, adjtimex(2). The service's
 * sandbox (ProtectClock=) forbids the call, as it could set the clock, too; then systemd-timedated(8) is asked instead.
 */
static bool ask_clock(struct health_work *work)
{
	struct timex state = { .modes = 0 };

	if (adjtimex(&state) >= 0) {
		work->facts.clock = state.status & STA_UNSYNC ? CLOCK_FREE : CLOCK_SYNCHRONISED;
		return false;
	}
	return bus_ask(work->facts.env->bus, 5 * NS_PER_S, on_clock, work, &work->call, "org.freedesktop.timedate1",
		       "/org/freedesktop/timedate1", DBUS_PROPERTIES, "Get", "ss", "org.freedesktop.timedate1",
		       "NTPSynchronized") >= 0;
}

/*
 * ---------------------------------------------------------------------------------- programs of the package manager
 */

static const struct {
	enum package_step step;
	unsigned fact;
} programs[] = {
	{ PACKAGE_FACTS, HEALTH_REBOOT },
	{ PACKAGE_LIST, HEALTH_PACKAGES },
	{ PACKAGE_INTERRUPTED, HEALTH_PACKAGES },
	{ PACKAGE_CHECK, HEALTH_PACKAGES },
};

static void take_output(struct health_facts *facts, enum package_step step, const struct package_manager *manager,
			const struct exec_outcome *outcome)
{
	struct health_packages *packages = &facts->packages;
	struct package_list list = { .rows = NULL };
	const char *text = outcome->out.bytes;
	size_t len = outcome->out.len;

	switch (step) {
	case PACKAGE_FACTS:
		facts->reboot_known = manager->reboot_path && outcome->exit_code <= 1;
		facts->reboot_required = facts->reboot_known && stat_time(text, len, manager->reboot_path) >= 0;
		break;
	case PACKAGE_LIST:
		packages->broken = outcome->exit_code > 1;
		packages->list_known = !packages->broken && outcome->out.total == len &&
				       manager->steps[PACKAGE_LIST].parse(text, len, &list) == 0;
		for (size_t i = 0; packages->list_known && i < list.count; i++)
			if (!list.rows[i].installed || list.rows[i].reinstall)
				add_name(&packages->incomplete, list.rows[i].name);
		end_names(&packages->incomplete);
		package_list_done(&list);
		break;
	case PACKAGE_INTERRUPTED:
		packages->interrupted_known = outcome->exit_code == 0;
		packages->interrupted = len > 0;
		break;
	default:
		packages->check_known = true;
		packages->check_failed = outcome->exit_code != 0;
		packages->unmet = check_unmet_parse(text, len, packages->unmet_first, sizeof(packages->unmet_first));
	}
}

/* A program that was killed or lost answers the command: there is no time left for another one. */
static void on_program(struct command *command, struct exec_outcome *outcome)
{
	struct health_work *work = command->work;
	const struct package_manager *manager = package_manager_find();

	if (!outcome->started || outcome->lost || outcome->cancelled || outcome->timed_out || outcome->stuck) {
		run_answer(command, outcome, NULL, NULL);
		return;
	}
	if (manager && outcome->exit_code >= 0 && outcome->signal == 0)
		take_output(&work->facts, programs[work->program].step, manager, outcome);
	work->program++;
	go_on(work);
}

/* Starts the next wanted program. False: none is left. */
static bool run_next(struct health_work *work)
{
	const struct package_manager *manager = package_manager_find();
	struct health_packages *packages = &work->facts.packages;

	if (!manager)
		return false;
	/* The facts that this package manager can give. */
	packages->managed = work->wanted & HEALTH_PACKAGES && manager->steps[PACKAGE_LIST].argv;
	packages->interruptible = packages->managed && manager->steps[PACKAGE_INTERRUPTED].argv;
	packages->checkable = packages->managed && manager->steps[PACKAGE_CHECK].argv;
	work->facts.reboot_asked = manager->reboot_path && work->wanted & HEALTH_REBOOT;
	for (; work->program < ARRAY_SIZE(programs); work->program++) {
		unsigned fact = programs[work->program].fact;

		if (work->wanted & fact && (fact != HEALTH_REBOOT || manager->reboot_path) &&
		    package_run(work->command, manager, programs[work->program].step,
				(struct run){ .max_output_bytes = LIST_MAX, .done = on_program }))
			return true;
	}
	return false;
}

/* ----------------------------------------------------------------------------------------------- one after the other
 */

static void go_on(struct health_work *work)
{
	static const struct {
		unsigned fact;
		bool (*ask)(struct health_work *work); /* true: go_on is called when it is known */
	} asked[] = { { HEALTH_TREND, ask_trend }, { HEALTH_UNITS, ask_units }, { HEALTH_CLOCK, ask_clock } };

	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		if (!(work->wanted & asked[i].fact))
			continue;
		work->wanted &= ~asked[i].fact;
		if (asked[i].ask(work))
			return;
	}
	if (!run_next(work))
		work->finish(work->command, work);
}

static void work_free(void *data)
{
	struct health_work *work = data;

	work->job = trend_cancel(work->job);
	work->call = bus_cancel(work->call);
	free(work);
}

void health_gather(struct command *command, unsigned wanted, const struct health_check *one, unsigned window_days,
		   void (*finish)(struct command *command, struct health_work *work))
{
	struct health_work *work = calloc(1, sizeof(*work));

	if (!work) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
		return;
	}
	*work = (struct health_work){ .command = command,
				      .one = one,
				      .wanted = one ? one->needs : wanted,
				      .finish = finish,
				      .facts = { .env = command_env(command), .window_days = window_days } };
	command->work = work;
	command->work_free = work_free;
	go_on(work);
}

/* ------------------------------------------------------------------------------------------------------ the actions */

struct report {
	const struct health_facts *facts; /* ValidateSystemHealth: writes some more keys of them; else NULL */
	const struct health_results *results;
	const struct health_result *one; /* instead of all results */
	bool named;
};

static void emit_report(struct sink *out, const char *key, const void *arg)
{
	const struct report *report = arg;

	if (report->one) {
		health_emit(out, key, report->one, report->named);
		return;
	}
	sink_object_begin(out, key);
	health_results_emit(out, report->results);
	if (report->facts) {
		sink_bool(out, "valid", report->results->worst->status != HEALTH_FAILED);
		sink_bool(out, "failed_units_known", report->facts->units_known);
		sink_uint(out, "failed_units_count", report->facts->failed.count);
		sink_bool(out, "reboot_due", report->facts->reboot_required);
	}
	sink_object_end(out);
}

static void answer(struct command *command, struct health_work *work)
{
	_cleanup_(freep) struct health_results *results = work->one ? NULL : health_results_new(&work->facts);
	struct health_result result = { .status = HEALTH_PASSED };
	struct report report = { .results = results };

	if (work->one) {
		work->one->run(&work->facts, &result);
		report.one = &result;
	} else if (!results) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
		return;
	} else if (command->action == &action_run_health_check) {
		/* Without a name, as hosts send it: they look for the status of one check. */
		report.one = results->worst;
		report.named = true;
	} else if (command->action == &action_validate_system_health) {
		report.facts = &work->facts;
	}
	command_succeed(command, emit_report, &report);
}

static void run_all(struct command *command)
{
	health_gather(command, HEALTH_FACTS, NULL, HEALTH_WINDOW_DAYS, answer);
}

/* The check that is asked for, or all of them if none is named. */
static void run_named(struct command *command)
{
	const struct health_check *check = NULL;
	struct message_fault fault;
	const char *name = NULL;

	if (message_param_text(&command->message, "check_name", &name, &fault) < 0)
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
	else if (name && !(check = health_check_find(name)))
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "check_name is disk_space, resource_optimization, memory, cpu_load, cpu_steal, pressure, "
			     "clock, log, "
			     "executor, failed_units, packages or reboot_required");
	else
		health_gather(command, HEALTH_FACTS, check, HEALTH_WINDOW_DAYS, answer);
}

const struct action action_run_health_check = {
	.name = "RunHealthCheck", .group = GROUP_OBSERVE, .bus = true, .slot = true, .timeout_s = 300, .run = run_named
};

const struct action action_run_all_health_checks = { .name = "RunAllHealthChecks",
						     .group = GROUP_OBSERVE,
						     .bus = true,
						     .slot = true,
						     .timeout_s = 300,
						     .run = run_all };

const struct action action_validate_system_health = { .name = "ValidateSystemHealth",
						      .group = GROUP_OBSERVE,
						      .bus = true,
						      .slot = true,
						      .timeout_s = 300,
						      .run = run_named };
