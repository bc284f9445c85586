/* SPDX-License-Identifier: MIT */
#include "agent/config/alerts.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/catalog/expr.h"

#define LONGEST_FOR_S 604800

static bool is_name(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
			return false;
	return len > 0 && len <= CONFIG_ALERT_NAME_MAX;
}

bool config_alert_section(const char *section, bool *ret_good, const char **ret_name, unsigned *ret_len)
{
	size_t len = strlen(section);

	if (strncmp(section, "alert", 5) != 0 || (section[5] && section[5] != ' ' && section[5] != '"'))
		return false;
	*ret_good =
		len > 8 && !strncmp(section, "alert \"", 7) && section[len - 1] == '"' && is_name(section + 7, len - 8);
	*ret_name = *ret_good ? section + 7 : NULL;
	*ret_len = *ret_good ? (unsigned)(len - 8) : 0;
	return true;
}

/* "300", "30s", "5m", "1h". */
static int parse_for(const char *text, uint64_t *ret_ms, struct err *err)
{
	static const char units[] = "smhd";
	static const unsigned factors[] = { 1, 60, 3600, 86400 };
	char *end;
	unsigned long long value = strtoull(text, &end, 10);
	const char *unit = *end ? strchr(units, *end) : units;

	if (!isdigit((unsigned char)*text) || !unit || (*end && end[1]) || value > LONGEST_FOR_S ||
	    value * factors[unit - units] > LONGEST_FOR_S)
		return err_set(err, -EINVAL, "\"%.40s\" is no time up to 7d: write 30s, 5m or 1h", text);
	*ret_ms = value * factors[unit - units] * 1000;
	return 0;
}

static int check_condition(const char *text, const char *implied, struct err *err)
{
	_cleanup_(freep) struct expr *expr = malloc(sizeof(*expr));

	return expr ? expr_parse(text, strlen(text), implied, expr, err) : -ENOMEM;
}

static struct config_alert *find_or_add(struct config_alerts *alerts, const char *name, unsigned len)
{
	for (unsigned i = 0; i < alerts->count; i++)
		if (strlen(alerts->list[i].name) == len && !strncmp(alerts->list[i].name, name, len))
			return &alerts->list[i];
	if (!alerts->list)
		alerts->list = calloc(CONFIG_ALERTS_MAX, sizeof(*alerts->list));
	if (!alerts->list || alerts->count == CONFIG_ALERTS_MAX)
		return NULL;
	memcpy(alerts->list[alerts->count].name, name, len);
	return &alerts->list[alerts->count++];
}

int config_alert_set(struct config_alerts *alerts, const char *name, unsigned len, const char *key, const char *value,
		     struct err *err)
{
	struct config_alert *alert = find_or_add(alerts, name, len);
	int rc = 0;

	if (!alert)
		return alerts->list ? err_set(err, -EINVAL, "more than %d alerts", CONFIG_ALERTS_MAX) : -ENOMEM;
	if (strlen(value) >= CONFIG_ALERT_VALUE_MAX)
		return err_set(err, -EINVAL, "longer than %d bytes", CONFIG_ALERT_VALUE_MAX - 1);
	if (!strcmp(key, "when")) {
		rc = check_condition(value, NULL, err);
		if (!rc)
			strcpy(alert->when, value);
	} else if (!strcmp(key, "clear")) {
		strcpy(alert->clear, value); /* judged when `when` is known */
	} else if (!strcmp(key, "for")) {
		rc = parse_for(value, &alert->for_ms, err);
	} else {
		return -ENOENT;
	}
	return rc ? err_context(err, "%s", key) : 0;
}

int config_alert_check(const struct config_alert *alert, struct err *err)
{
	_cleanup_(freep) struct expr *expr = malloc(sizeof(*expr));

	if (!expr)
		return err_set(err, -ENOMEM, "out of memory");
	if (!alert->when[0])
		return err_set(err, -EINVAL, "[alert \"%s\"] has no `when`: write one such as cpu.usage_percent > 90",
			       alert->name);
	if (expr_parse(alert->when, strlen(alert->when), NULL, expr, err) ||
	    (alert->clear[0] && check_condition(alert->clear, expr->metrics[0], err)))
		return err_context(err, "[alert \"%s\"] clear", alert->name);
	return 0;
}

int config_alerts_copy(struct config_alerts *ret, const struct config_alerts *alerts)
{
	*ret = (struct config_alerts){ 0 };
	if (!alerts->list)
		return 0;
	ret->list = calloc(CONFIG_ALERTS_MAX, sizeof(*ret->list));
	if (!ret->list)
		return -ENOMEM;
	memcpy(ret->list, alerts->list, CONFIG_ALERTS_MAX * sizeof(*ret->list));
	ret->count = alerts->count;
	return 0;
}

void config_alerts_free(struct config_alerts *alerts)
{
	free(alerts->list);
	*alerts = (struct config_alerts){ 0 };
}
