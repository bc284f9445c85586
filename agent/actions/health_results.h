/* SPDX-License-Identifier: MIT */
/* The results of all checks of health.h, made at one time. */
#ifndef AGENT_ACTIONS_HEALTH_RESULTS_H
#define AGENT_ACTIONS_HEALTH_RESULTS_H

#include "agent/actions/health.h"

#define HEALTH_CHECKS_MAX 32

struct health_results {
	struct health_result list[HEALTH_CHECKS_MAX]; /* in the order of health_check_at */
	size_t count;
};

/* Makes all checks; to be freed with free(). NULL when out of memory. */
struct health_results *health_results_new(struct action_env *env, const struct health_facts *facts);

enum health_status health_results_worst(const struct health_results *results);

/* Writes {status, message, details} of the worst check under `key`; its name is in the details. */
void health_results_emit_worst(struct sink *out, const char *key, const struct health_results *results);

/*
 * Writes overall_health and one object under the name of each check into an open object. Hosts take every key there for
 * a check and would show any other value as a fault of the guest, so nothing else is written.
 */
void health_results_emit(struct sink *out, const struct health_results *results);

#endif
