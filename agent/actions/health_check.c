/* SPDX-License-Identifier: MIT */
/* RunHealthCheck, RunAllHealthChecks and ValidateSystemHealth: the named checks of health.h, one or all. */
#include "agent/actions/table.h"

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/actions/health_results.h"
#include "agent/actions/health_work.h"

#define WINDOW_DAYS 7

struct report {
	const struct health_work *work;
	const struct health_results *results;
};

static void emit_all(struct sink *out, const char *key, const void *arg)
{
	const struct report *report = arg;
	const struct health_facts *facts = &report->work->facts;

	sink_object_begin(out, key);
	health_results_emit(out, report->results);
	if (report->work->validating) {
		sink_bool(out, "valid", health_results_worst(report->results) != HEALTH_FAILED);
		sink_bool(out, "failed_units_known", facts->units_known);
		sink_uint(out, "failed_units_count", facts->failed.count);
		sink_bool(out, "reboot_due", facts->reboot_required);
	}
	sink_object_end(out);
}

static void answer_all(struct command *command, struct health_work *work)
{
	_cleanup_(freep) struct health_results *results = health_results_new(command_env(command), &work->facts);
	struct report report = { .work = work, .results = results };

	if (results)
		command_succeed(command, emit_all, &report);
	else
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
}

static void emit_worst(struct sink *out, const char *key, const void *arg)
{
	health_results_emit_worst(out, key, arg);
}

/* RunHealthCheck without a name, as hosts send it: they look for the status of one check. */
static void answer_worst(struct command *command, struct health_work *work)
{
	_cleanup_(freep) struct health_results *results = health_results_new(command_env(command), &work->facts);

	if (results)
		command_succeed(command, emit_worst, results);
	else
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
}

static void emit_one(struct sink *out, const char *key, const void *arg)
{
	health_emit(out, key, arg);
}

static void answer_one(struct command *command, struct health_work *work)
{
	struct health_result result = { .status = HEALTH_PASSED };

	work->one->run(command_env(command), &work->facts, &result);
	command_succeed(command, emit_one, &result);
}

typedef void (*finish_fn)(struct command *command, struct health_work *work);

static void start(struct command *command, const struct health_check *one, bool validating, finish_fn finish)
{
	struct health_work *work = health_work_new(command);

	if (!work)
		return;
	work->one = one;
	work->validating = validating;
	work->window_days = work->facts.window_days = WINDOW_DAYS;
	work->want_trend = !one || one->needs_trend;
	work->want_units = !one || one->needs_units;
	work->want_reboot = !one || one->needs_reboot;
	work->want_packages = !one || one->needs_packages;
	work->want_clock = !one || one->needs_clock;
	work->finish = one ? answer_one : finish;
	health_work_start(work);
}

/* The check that is asked for, NULL: none is named. False with the command answered. */
static bool take_check(struct command *command, const struct health_check **ret)
{
	struct message_fault fault;
	const char *name = NULL;

	*ret = NULL;
	if (message_param_text(&command->message, "check_name", &name, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return false;
	}
	if (!name || (*ret = health_check_find(name)))
		return true;
	command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
		     "check_name is disk_space, resource_optimization, memory, cpu_load, pressure, clock, log, "
		     "executor, failed_units, packages "
		     "or reboot_required");
	return false;
}

static void run_health_check(struct command *command)
{
	const struct health_check *check;

	if (take_check(command, &check))
		start(command, check, false, answer_worst);
}

static void run_all_health_checks(struct command *command)
{
	start(command, NULL, false, answer_all);
}

static void run_validate_system_health(struct command *command)
{
	const struct health_check *check;

	if (take_check(command, &check))
		start(command, check, true, answer_all);
}

const struct action action_run_health_check = { .name = "RunHealthCheck",
						.group = GROUP_OBSERVE,
						.bus = true,
						.slot = true,
						.timeout_s = 300,
						.run = run_health_check };

const struct action action_run_all_health_checks = { .name = "RunAllHealthChecks",
						     .group = GROUP_OBSERVE,
						     .bus = true,
						     .slot = true,
						     .timeout_s = 300,
						     .run = run_all_health_checks };

const struct action action_validate_system_health = { .name = "ValidateSystemHealth",
						      .group = GROUP_OBSERVE,
						      .bus = true,
						      .slot = true,
						      .timeout_s = 300,
						      .run = run_validate_system_health };
