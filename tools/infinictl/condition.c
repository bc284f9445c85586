/* SPDX-License-Identifier: MIT */
#include "tools/infinictl/condition.h"

#include <stdio.h>
#include <string.h>

#include "tools/infinictl/cli.h"
#include "tools/infinictl/suggest.h"
#include "tools/infinictl/text.h"

/* The name between the quotes of "there is no metric \"…\"", for which likely ones are sought. */
static void likely_names(const char *error, char *out, size_t size)
{
	static const char before[] = "there is no metric \"";
	const char *name = strstr(error, before);
	char wanted[METRIC_TEXT_MAX];

	out[0] = '\0';
	if (!name)
		return;
	name += strlen(before);
	snprintf(wanted, sizeof(wanted), "%.*s", (int)strcspn(name, "\""), name);
	suggest_metrics(NULL, wanted, out, size);
}

int condition_parse(struct condition *condition, const char *option, const char *text)
{
	char likely[3 * METRIC_TEXT_MAX];
	struct err err = { 0 };

	if (expr_parse(text, strlen(text), NULL, &condition->expr, &err)) {
		likely_names(err.text, likely, sizeof(likely));
		cli_fail("--%s: %s%s%s", option, err.text, likely[0] ? "; perhaps " : "", likely);
		return CLI_USAGE;
	}
	for (unsigned i = 0; i < condition->expr.metric_count; i++)
		if (metric_parse(condition->expr.metrics[i], &condition->metrics[i], &err))
			return cli_usage("--%s: %s", option, err.text);
	condition->given = true;
	return CLI_OK;
}

bool condition_holds(struct condition *condition, struct json_object *data)
{
	struct expr_value values[EXPR_METRICS_MAX];
	enum expr_truth truth;

	if (!condition->given)
		return true;
	for (unsigned i = 0; i < condition->expr.metric_count; i++) {
		struct json_object *value = NULL;

		values[i].known = data && metric_find(&condition->metrics[i], data, &value) &&
				  text_number(value, &values[i].value);
	}
	truth = expr_eval(&condition->expr, values);
	condition->unknown += truth == EXPR_UNKNOWN;
	return truth == EXPR_TRUE;
}

void condition_report(const struct condition *condition)
{
	if (condition->unknown)
		cli_fail("samples that lack a value of --where, so that it does not hold: %llu",
			 (unsigned long long)condition->unknown);
}
