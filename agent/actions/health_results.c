/* SPDX-License-Identifier: MIT */
#include "agent/actions/health_results.h"

#include <stdlib.h>

struct health_results *health_results_new(struct action_env *env, const struct health_facts *facts)
{
	struct health_results *results = calloc(1, sizeof(*results));
	const struct health_check *check;

	if (!results)
		return NULL;
	for (; results->count < HEALTH_CHECKS_MAX && (check = health_check_at(results->count)); results->count++)
		check->run(env, facts, &results->list[results->count]);
	return results;
}

static size_t find_worst(const struct health_results *results)
{
	size_t worst = 0;

	for (size_t i = 1; i < results->count; i++)
		if (results->list[i].status > results->list[worst].status)
			worst = i;
	return worst;
}

enum health_status health_results_worst(const struct health_results *results)
{
	return results->list[find_worst(results)].status;
}

void health_results_emit_worst(struct sink *out, const char *key, const struct health_results *results)
{
	size_t worst = find_worst(results);
	struct health_result result = results->list[worst];

	health_text(&result, "check_name", health_check_at(worst)->name);
	health_emit(out, key, &result);
}

void health_results_emit(struct sink *out, const struct health_results *results)
{
	static const char *const words[] = { "Healthy", "Warning", "Critical" };

	sink_str(out, "overall_health", words[health_results_worst(results)]);
	for (size_t i = 0; i < results->count; i++)
		health_emit(out, health_check_at(i)->name, &results->list[i]);
}
