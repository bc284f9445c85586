/* SPDX-License-Identifier: MIT */
/* The sections [alert "NAME"] of the configuration: rules over the samples, of which there are none by default. */
#ifndef AGENT_CONFIG_ALERTS_H
#define AGENT_CONFIG_ALERTS_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniservice/err.h>

#define CONFIG_ALERTS_MAX      16
#define CONFIG_ALERT_NAME_MAX  32  /* letters, digits, '-' and '_' */
#define CONFIG_ALERT_VALUE_MAX 181 /* shorter than a line, also as it is printed */

struct config_alert {
	char name[CONFIG_ALERT_NAME_MAX + 1];
	char when[CONFIG_ALERT_VALUE_MAX];  /* a condition (expr.h); "": not set yet */
	char clear[CONFIG_ALERT_VALUE_MAX]; /* "": the alert is over when `when` does not hold; may begin with a
					       comparison */
	uint64_t for_ms;		    /* as long as `when` has to hold */
};

/* `list` has room for CONFIG_ALERTS_MAX, or is NULL. */
struct config_alerts {
	struct config_alert *list;
	unsigned count;
};

/* Whether a section's name is that of an alert, and a good one: then *ret_name is its name (not NUL-terminated). */
bool config_alert_section(const char *section, bool *ret_good, const char **ret_name, unsigned *ret_len);

/* Sets one key of the alert; `name` as above. 0, -EINVAL with words, -ENOENT for a key that there is not, -ENOMEM. */
int config_alert_set(struct config_alerts *alerts, const char *name, unsigned len, const char *key, const char *value,
		     struct err *err);

/* What is wrong with the alert as a whole: 0 or -EINVAL with words. */
int config_alert_check(const struct config_alert *alert, struct err *err);

int config_alerts_copy(struct config_alerts *ret, const struct config_alerts *alerts);
void config_alerts_free(struct config_alerts *alerts);

#endif
