/* SPDX-License-Identifier: MIT */
/* Alerts over samples: when they begin, when they are over, and what a reload leaves of them. Time is turned by hand.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <infiniservice/moment.h>

#include "agent/config/config.h"
#include "agent/metrics/alerts.h"

static char told[1024]; /* "+name " and "-name " */
static char words[256];

static void on_alert(void *data, const char *name, bool begins, const char *text)
{
	(void)data;
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s%s ", begins ? "+" : "-", name);
	snprintf(words, sizeof(words), "%s", text);
}

static struct config_alert disk = {
	.name = "disk", .when = "disk.usage_stats[/].used_gb > 90G", .clear = "< 85G", .for_ms = 60000
};
static struct config_alert cpu = { .name = "cpu", .when = "cpu.usage_percent > 90 and cpu.steal_percent < 5" };

static struct alerts *make(struct config_alert *a, struct config_alert *b)
{
	struct config_alert list[CONFIG_ALERTS_MAX] = { 0 };
	struct config_alerts config = { list, 0 };
	struct alerts *alerts = alerts_new(on_alert, NULL);

	if (a)
		list[config.count++] = *a;
	if (b)
		list[config.count++] = *b;
	assert_int_equal(alerts_configure(alerts, &config), 0);
	told[0] = '\0';
	return alerts;
}

/* A sample at `seconds`; `used` and `steal` as JSON. */
static void sample(struct alerts *alerts, unsigned seconds, const char *used, int usage, const char *steal)
{
	char line[512];
	int len =
		snprintf(line, sizeof(line),
			 "{\"type\":\"metrics\",\"seq\":1,\"data\":{\"system\":{\"cpu\":{\"usage_percent\":%d,\"steal_"
			 "percent\":%s},\"disk\":{\"usage_stats\":[{\"mount_point\":\"/\",\"used_gb\":%s}]}}}}\n",
			 usage, steal, used);

	alerts_sample(alerts, (1000 + seconds) * NS_PER_S, line, (size_t)len);
}

static void an_alert_begins_after_its_time_and_ends_where_it_clears(void **state)
{
	struct alerts *alerts = make(&disk, NULL);

	(void)state;
	sample(alerts, 0, "91", 0, "0");
	sample(alerts, 30, "92", 0, "0");
	assert_string_equal(told, "");
	sample(alerts, 60, "93", 0, "0");
	assert_string_equal(told, "+disk ");
	assert_string_equal(words, "disk.usage_stats[/].used_gb > 90G for 60 s; the value is 93");
	assert_int_equal(alerts_active(alerts), 1);
	/* Between the two it goes on, and is told no second time. */
	sample(alerts, 90, "87", 0, "0");
	sample(alerts, 120, "95", 0, "0");
	assert_string_equal(told, "+disk ");
	sample(alerts, 150, "84", 0, "0");
	assert_string_equal(told, "+disk -disk ");
	assert_non_null(strstr(words, "is over: "));
	assert_int_equal(alerts_active(alerts), 0);
	alerts_free(alerts);
}

static void what_does_not_last_is_no_alert(void **state)
{
	struct alerts *alerts = make(&disk, NULL);

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		sample(alerts, i * 30, i % 2 ? "80" : "99", 0, "0");
	assert_string_equal(told, "");
	alerts_free(alerts);
}

static void a_value_that_is_missing_neither_begins_nor_ends_an_alert(void **state)
{
	struct alerts *alerts = make(&disk, &cpu);

	(void)state;
	sample(alerts, 0, "null", 99, "null");
	sample(alerts, 100, "null", 99, "null");
	assert_string_equal(told, "");
	sample(alerts, 110, "91", 99, "null");
	sample(alerts, 140, "null", 99, "null");
	/* It has held for the time, as far as is known. */
	sample(alerts, 170, "91", 99, "1");
	assert_string_equal(told, "+disk +cpu ");
	sample(alerts, 200, "null", 99, "null");
	assert_string_equal(told, "+disk +cpu ");
	/* Without `clear` it ends when the condition does not hold. */
	sample(alerts, 230, "99", 50, "1");
	assert_string_equal(told, "+disk +cpu -cpu ");
	alerts_free(alerts);
}

static void a_reload_leaves_what_is_the_same_and_ends_what_is_gone(void **state)
{
	struct alerts *alerts = make(&disk, &cpu);
	struct config_alert list[CONFIG_ALERTS_MAX] = { 0 };
	struct config_alerts config = { list, 1 };

	(void)state;
	sample(alerts, 0, "99", 99, "0");
	sample(alerts, 60, "99", 99, "0");
	assert_string_equal(told, "+cpu +disk ");
	list[0] = disk;
	assert_int_equal(alerts_configure(alerts, &config), 0);
	assert_string_equal(told, "+cpu +disk -cpu ");
	assert_int_equal(alerts_active(alerts), 1);
	sample(alerts, 90, "84", 0, "0");
	assert_string_equal(told, "+cpu +disk -cpu -disk ");
	config.count = 0;
	assert_int_equal(alerts_configure(alerts, &config), 0);
	sample(alerts, 120, "99", 99, "0");
	assert_string_equal(told, "+cpu +disk -cpu -disk ");
	alerts_free(alerts);
}

/* Reads a text as a configuration file; its error, or "". */
static const char *read_config(const char *text, struct config *config)
{
	static struct err err;
	char path[] = "/tmp/test-alerts-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	err.text[0] = '\0';
	assert_int_equal(config_init(config), 0);
	if (config_load(config, path, NULL, NULL, &err) == 0)
		config_check(config, NULL, NULL, &err);
	unlink(path);
	return err.text;
}

static void rules_are_read_from_the_configuration(void **state)
{
	struct config config, copy;
	const char *why = read_config("[agent]\nlog_level = info\n[alert \"disk\"]\nwhen = disk.usage_stats[/].used_gb "
				      "> 90G\nfor = 5m\nclear = < 85G\n"
				      "[alert \"a-2\"]\nwhen = cpu.usage_percent > 90\n[alert \"disk\"]\nfor = 60\n",
				      &config);

	(void)state;
	assert_string_equal(why, "");
	assert_int_equal(config.alerts.count, 2);
	assert_string_equal(config.alerts.list[0].name, "disk");
	assert_string_equal(config.alerts.list[0].clear, "< 85G");
	assert_int_equal(config.alerts.list[0].for_ms, 60000);
	assert_string_equal(config.alerts.list[1].when, "cpu.usage_percent > 90");
	assert_int_equal(config_copy(&copy, &config), 0);
	config_free(&config);
	assert_string_equal(copy.alerts.list[1].name, "a-2");
	config_free(&copy);
}

static void a_wrong_rule_is_told_with_its_line(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "[alert \"x\"]\nwhen = cpu.usage > 90\n", ":2: when: column 1: there is no metric" },
		{ "[alert \"x\"]\nwhen = cpu.usage_percent > 90\nfor = 5x\n", ":3: for: \"5x\" is no time" },
		{ "[alert \"x\"]\nwhen = cpu.usage_percent > 90\nfor = 8d\n", "up to 7d" },
		{ "[alert \"x\"]\nfor = 5m\n", "[alert \"x\"] has no `when`" },
		{ "[alert \"x\"]\nwhen = cpu.usage_percent > 90\nclear = < 5M\n",
		  "clear: column 3: system.cpu.usage_percent is in percent" },
		{ "[alert x]\nwhen = cpu.usage_percent > 90\n", ":1: an alert's section is [alert \"NAME\"]" },
		{ "[alert \"a b\"]\n", ":1: an alert's section is" },
		{ "[alert]\n", ":1: an alert's section is" },
	};
	char many[4096] = "";
	struct config config;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *why = read_config(cases[i].text, &config);

		if (!strstr(why, cases[i].why))
			fail_msg("%s: %s", cases[i].text, why);
		config_free(&config);
	}
	for (unsigned i = 0; i < CONFIG_ALERTS_MAX + 1; i++)
		snprintf(many + strlen(many), 64, "[alert \"n%u\"]\nwhen = threads > 1\n", i);
	assert_non_null(strstr(read_config(many, &config), "more than 16 alerts"));
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_alert_begins_after_its_time_and_ends_where_it_clears),
		cmocka_unit_test(what_does_not_last_is_no_alert),
		cmocka_unit_test(a_value_that_is_missing_neither_begins_nor_ends_an_alert),
		cmocka_unit_test(a_reload_leaves_what_is_the_same_and_ends_what_is_gone),
		cmocka_unit_test(rules_are_read_from_the_configuration),
		cmocka_unit_test(a_wrong_rule_is_told_with_its_line),
	};

	return cmocka_run_group_tests_name("alerts", tests, NULL, NULL);
}
