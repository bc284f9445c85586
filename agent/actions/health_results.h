/* SPDX-License-Identifier: MIT */
/* What all checks of health.h said at one time. */
#ifndef AGENT_ACTIONS_HEALTH_RESULTS_H
#define AGENT_ACTIONS_HEALTH_RESULTS_H

#include "agent/actions/health.h"

#define HEALTH_CHECKS_MAX 32

struct health_results {
	struct health_result list[HEALTH_CHECKS_MAX]; /* as health_check_at counts */
	size_t count;
};

/* Makes all checks; to be freed with free(). NULL when out of memory. */
struct health_results *health_results_new(struct action_env *env, const struct health_facts *facts);

enum health_status health_results_worst(const struct health_results *results);

/* {status, message, details} of the worst check, whose name is in its details, under `key`. */
void health_results_emit_worst(struct sink *out, const char *key, const struct health_results *results);

/*
 * overall_health, and an object under the name of each check; into an open object. Nothing else: hosts take every key
 * there for a check, and would show what is none of {status, message, details} as a trouble of the guest.
 */
void health_results_emit(struct sink *out, const struct health_results *results);

#endif
