/* SPDX-License-Identifier: MIT */
#include "agent/health_results.h"

#include <stdlib.h>

struct health_results *health_results_new(struct agent *agent, const struct health_facts *facts)
{
	struct health_results *results = calloc(1, sizeof(*results));
	const struct health_check *check;

	if (!results)
		return NULL;
	for (; results->count < HEALTH_CHECKS_MAX && (check = health_check_at(results->count)); results->count++)
		check->run(agent, facts, &results->list[results->count]);
	return results;
}

enum health_status health_results_worst(const struct health_results *results)
{
	enum health_status worst = HEALTH_PASSED;

	for (size_t i = 0; i < results->count; i++)
		if (results->list[i].status > worst)
			worst = results->list[i].status;
	return worst;
}

static void emit_checks(struct sink *out, const struct health_results *results)
{
	sink_array_begin(out, "checks");
	for (size_t i = 0; i < results->count; i++) {
		sink_object_begin(out, NULL);
		sink_str(out, "check_name", health_check_at(i)->name);
		sink_str(out, "status", health_status_name(results->list[i].status));
		sink_str(out, "message", results->list[i].message);
		sink_object_end(out);
	}
	sink_array_end(out);
}

void health_results_emit(struct sink *out, const struct health_results *results)
{
	static const char *const words[] = { "Healthy", "Warning", "Critical" };

	sink_str(out, "overall_health", words[health_results_worst(results)]);
	for (size_t i = 0; i < results->count; i++)
		health_emit(out, health_check_at(i)->name, &results->list[i]);
	emit_checks(out, results);
}
