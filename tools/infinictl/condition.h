/* SPDX-License-Identifier: MIT */
/* A condition (expr.h) of the command line over samples as json-c trees. */
#ifndef TOOLS_INFINICTL_CONDITION_H
#define TOOLS_INFINICTL_CONDITION_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/catalog/expr.h"
#include "tools/infinictl/metric.h"

struct json_object;

struct condition {
	bool given;
	struct expr expr;
	struct metric metrics[EXPR_METRICS_MAX];
	uint64_t unknown; /* samples for which it could not be judged */
};

/* CLI_OK, or CLI_USAGE after printing the error, with likely names for a metric that there is not. */
int condition_parse(struct condition *condition, const char *option, const char *text);

/* Whether it holds for the sample's `data`; true when no condition was given. */
bool condition_holds(struct condition *condition, struct json_object *data);

/* Says in how many samples it could not be judged. */
void condition_report(const struct condition *condition);

#endif
