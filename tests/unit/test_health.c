/* SPDX-License-Identifier: MIT */
/* Checks of the guest's health over given facts: what could not be looked at has not passed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/actions/health.h"

static struct trend fresh = { .samples = 1 };
static struct trend unreadable = { .error = -EACCES };
static struct trend cut = { .samples = 1000, .last_ms = INT64_C(7) * 86400000, .partial = true };

/* All is known and well. */
#define WELL .managed = true, .list_known = true, .interruptible = true, .checkable = true

static void what_a_check_could_not_look_at_has_not_passed(void **state)
{
	static const struct {
		const char *check;
		struct health_facts facts;
		bool log_off;
		enum health_status status;
		const char *words;
	} cases[] = {
		{ "packages",
		  { .packages = { WELL, .interrupted_known = true, .check_known = true } },
		  false,
		  HEALTH_PASSED,
		  "installed whole" },
		{ "packages",
		  { .packages = { WELL, .interrupted_known = true } },
		  false,
		  HEALTH_WARNING,
		  "could not be asked" },
		{ "packages", { .packages = { WELL, .check_known = true } }, false, HEALTH_WARNING, "interrupted" },
		{ "packages",
		  { .packages = { WELL, .interrupted_known = true, .check_known = true, .check_failed = true } },
		  false,
		  HEALTH_WARNING,
		  "check failed" },
		{ "packages",
		  { .packages = { .managed = true, .list_known = true } },
		  false,
		  HEALTH_PASSED,
		  "installed whole" },
		{ "packages", { .packages = { .managed = true } }, false, HEALTH_WARNING, "could not be read" },
		{ "packages", { .packages = { .managed = false } }, false, HEALTH_PASSED, "no package manager" },
		{ "clock", { .clock = CLOCK_UNKNOWN }, false, HEALTH_WARNING, "not known" },
		{ "clock", { .clock = CLOCK_FREE }, false, HEALTH_WARNING, "nothing synchronises" },
		{ "clock", { .clock = CLOCK_SYNCHRONISED }, false, HEALTH_PASSED, "is synchronised" },
		{ "resource_optimization", { .trend = NULL }, false, HEALTH_WARNING, "could not be read" },
		{ "resource_optimization", { .trend = &unreadable }, false, HEALTH_WARNING, "could not be read" },
		{ "resource_optimization", { .trend = &cut }, false, HEALTH_WARNING, "no time" },
		{ "resource_optimization", { .trend = &fresh }, false, HEALTH_PASSED, "not enough history" },
		{ "resource_optimization", { .trend = NULL }, true, HEALTH_PASSED, "switched off" },
		{ "failed_units", { .units_absent = true }, false, HEALTH_PASSED, "no service manager" },
		{ "failed_units", { .units_known = false }, false, HEALTH_WARNING, "could not be asked" },
		{ "reboot_required", { .reboot_asked = true }, false, HEALTH_WARNING, "could not be read" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config config = { .log.enabled = !cases[i].log_off };
		struct loop loop = { .ev = NULL };
		uint64_t steps = 0;
		struct action_env env = { .loop = &loop, .config = &config, .clock_steps = &steps };
		struct health_result result = { .status = HEALTH_PASSED };

		health_check_find(cases[i].check)->run(&env, &cases[i].facts, &result);
		if (result.status != cases[i].status || !strstr(result.message, cases[i].words))
			fail_msg("%zu, %s: %d, \"%s\"", i, cases[i].check, result.status, result.message);
	}
}

static void pressure_that_was_read_in_part_has_not_passed(void **state)
{
	static const struct {
		double values[HEALTH_PRESSURES];
		enum health_status status;
		const char *words;
	} cases[] = {
		{ { 0, 1, 2 }, HEALTH_PASSED, "hardly" },
		{ { -ENOENT, -ENOENT, -ENOENT }, HEALTH_PASSED, "does not measure" },
		{ { 0, -EACCES, 2 }, HEALTH_WARNING, "memory could not be read: Permission" },
		{ { 0, 1, -EBADMSG }, HEALTH_WARNING, "I/O could not be read" },
		{ { 0, 1, -ENOENT }, HEALTH_WARNING, "I/O could not be read" },
		{ { -EMFILE, -EMFILE, -EMFILE }, HEALTH_WARNING, "a CPU could not be read" },
		{ { 0, 70, -EACCES }, HEALTH_FAILED, "waited for memory" },
		{ { 99, 0, 0 }, HEALTH_WARNING, "waited for a CPU" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct health_result result = { .status = HEALTH_PASSED };

		health_judge_pressure(cases[i].values, &result);
		if (result.status != cases[i].status || !strstr(result.message, cases[i].words))
			fail_msg("%zu: %d, \"%s\"", i, result.status, result.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_check_could_not_look_at_has_not_passed),
		cmocka_unit_test(pressure_that_was_read_in_part_has_not_passed),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
