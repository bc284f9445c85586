/* SPDX-License-Identifier: MIT */
/* The values of all rules are picked from the line at once, each metric once. */
#include "agent/metrics/alerts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/catalog/expr.h"
#include "agent/log/pick.h"

#define WORDS_MAX 256

struct condition {
	struct expr expr;
	unsigned values[EXPR_METRICS_MAX]; /* of the picked ones, for each metric */
};

struct rule {
	struct config_alert config;
	struct condition when, clear; /* clear: of no node where there is none */
	bool pending, active;
	uint64_t since_ns; /* when the condition began to hold */
};

struct alerts {
	alerts_tell *tell;
	void *data;
	struct rule *rules[CONFIG_ALERTS_MAX];
	unsigned count;
	struct pick *pick;
	struct expr_value picked[PICK_MAX];
	char paths[PICK_MAX][EXPR_PATH_MAX];
	unsigned path_count;
};

struct alerts *alerts_new(alerts_tell *tell, void *data)
{
	struct alerts *alerts = calloc(1, sizeof(*alerts));

	if (alerts) {
		alerts->tell = tell;
		alerts->data = data;
	}
	return alerts;
}

static void drop_rules(struct alerts *alerts)
{
	for (unsigned i = 0; i < alerts->count; i++)
		free(alerts->rules[i]);
	alerts->count = alerts->path_count = 0;
	alerts->pick = pick_free(alerts->pick);
}

struct alerts *alerts_free(struct alerts *alerts)
{
	if (alerts)
		drop_rules(alerts);
	free(alerts);
	return NULL;
}

static bool same_rule(const struct config_alert *a, const struct config_alert *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->when, b->when) && !strcmp(a->clear, b->clear) &&
	       a->for_ms == b->for_ms;
}

/* The place of a path among those that are picked, or -errno. */
static int place_of(struct alerts *alerts, const char *path)
{
	struct err err;
	int place;

	for (unsigned i = 0; i < alerts->path_count; i++)
		if (!strcmp(alerts->paths[i], path))
			return (int)i;
	place = pick_add(alerts->pick, path, &err);
	if (place < 0)
		return place;
	snprintf(alerts->paths[alerts->path_count++], EXPR_PATH_MAX, "%s", path);
	return place;
}

static int make_condition(struct alerts *alerts, const char *text, const char *implied, struct condition *ret)
{
	struct err err;
	int r = expr_parse(text, strlen(text), implied, &ret->expr, &err);

	for (unsigned i = 0; !r && i < ret->expr.metric_count; i++) {
		int place = place_of(alerts, ret->expr.metrics[i]);

		ret->values[i] = place < 0 ? 0 : (unsigned)place;
		r = place < 0 ? place : 0;
	}
	return r;
}

static int add_rule(struct alerts *alerts, const struct config_alert *config)
{
	struct rule *rule = calloc(1, sizeof(*rule));
	int r;

	if (!rule)
		return -ENOMEM;
	rule->config = *config;
	r = make_condition(alerts, config->when, NULL, &rule->when);
	if (!r && config->clear[0])
		r = make_condition(alerts, config->clear, rule->when.expr.metrics[0], &rule->clear);
	if (r) {
		free(rule);
		return r;
	}
	alerts->rules[alerts->count++] = rule;
	return 0;
}

/* Gives the state of an old rule to the same one of the new ones; an alert without such a one is over. */
static void hand_on(struct alerts *alerts, const struct rule *old)
{
	for (unsigned i = 0; i < alerts->count; i++)
		if (same_rule(&alerts->rules[i]->config, &old->config)) {
			alerts->rules[i]->pending = old->pending;
			alerts->rules[i]->active = old->active;
			alerts->rules[i]->since_ns = old->since_ns;
			return;
		}
	if (old->active)
		alerts->tell(alerts->data, old->config.name, false, "is over: its rule is gone or has changed");
}

int alerts_configure(struct alerts *alerts, const struct config_alerts *config)
{
	struct rule *old[CONFIG_ALERTS_MAX];
	unsigned old_count = alerts->count;
	int r = 0;

	memcpy(old, alerts->rules, sizeof(old));
	alerts->count = 0;
	drop_rules(alerts);
	if (config->count && !(alerts->pick = pick_new()))
		r = -ENOMEM;
	for (unsigned i = 0; !r && i < config->count; i++)
		r = add_rule(alerts, &config->list[i]);
	if (r)
		drop_rules(alerts);
	for (unsigned i = 0; i < old_count; i++) {
		hand_on(alerts, old[i]);
		free(old[i]);
	}
	return r;
}

/* ----------------------------------------------------------------------------------------------------- evaluation */

static void on_value(void *data, unsigned path, struct pick_text key, struct pick_text text)
{
	struct alerts *alerts = data;

	(void)key;
	alerts->picked[path].known = pick_number(text, &alerts->picked[path].value);
}

static enum expr_truth judge(const struct alerts *alerts, const struct condition *condition)
{
	struct expr_value values[EXPR_METRICS_MAX];

	for (unsigned i = 0; i < condition->expr.metric_count; i++)
		values[i] = alerts->picked[condition->values[i]];
	return expr_eval(&condition->expr, values);
}

static void tell(struct alerts *alerts, struct rule *rule, bool begins, uint64_t now_ns)
{
	const struct expr_value *value = &alerts->picked[rule->when.values[0]];
	char words[WORDS_MAX], now[48] = "";

	if (value->known)
		snprintf(now, sizeof(now), "; the value is %.6g", value->value);
	snprintf(words, sizeof(words), "%s%s for %llu s%s", begins ? "" : "is over: ", rule->config.when,
		 (unsigned long long)((now_ns - rule->since_ns) / NS_PER_S), now);
	rule->active = begins;
	rule->pending = begins;
	alerts->tell(alerts->data, rule->config.name, begins, words);
}

static void judge_rule(struct alerts *alerts, struct rule *rule, uint64_t now_ns)
{
	bool clears = rule->clear.expr.node_count > 0;
	enum expr_truth truth = judge(alerts, rule->active && clears ? &rule->clear : &rule->when);

	if (truth == EXPR_UNKNOWN)
		return;
	if (rule->active) {
		if ((truth == EXPR_TRUE) == clears)
			tell(alerts, rule, false, now_ns);
		return;
	}
	if (truth == EXPR_TRUE && !rule->pending)
		rule->since_ns = now_ns;
	rule->pending = truth == EXPR_TRUE;
	if (rule->pending && now_ns - rule->since_ns >= rule->config.for_ms * NS_PER_MS)
		tell(alerts, rule, true, now_ns);
}

void alerts_sample(struct alerts *alerts, uint64_t now_ns, const char *line, size_t len)
{
	if (alerts->count == 0)
		return;
	memset(alerts->picked, 0, sizeof(alerts->picked));
	pick_line(alerts->pick, line, len, on_value, alerts);
	for (unsigned i = 0; i < alerts->count; i++)
		judge_rule(alerts, alerts->rules[i], now_ns);
}

unsigned alerts_active(const struct alerts *alerts)
{
	unsigned active = 0;

	for (unsigned i = 0; i < alerts->count; i++)
		active += alerts->rules[i]->active;
	return active;
}
