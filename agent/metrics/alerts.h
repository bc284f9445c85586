/* SPDX-License-Identifier: MIT */
/*
 * The owner's rules over the samples: an alert begins when its condition has held for its time, and is over when its
 * condition to clear holds, or, without one, when the first does not. A value that a sample lacks changes nothing. Time
 * is an argument.
 */
#ifndef AGENT_METRICS_ALERTS_H
#define AGENT_METRICS_ALERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/config/alerts.h"

struct alerts;

/* `begins`: the alert begins, else it is over. `words` say the condition and the value of its first metric. */
typedef void alerts_tell(void *data, const char *name, bool begins, const char *words);

struct alerts *alerts_new(alerts_tell *tell, void *data);
/* Accepts NULL; returns NULL. Tells nothing. */
struct alerts *alerts_free(struct alerts *alerts);

/*
 * Puts the rules into force. An alert whose rule is the same goes on as it is; one that has begun and whose rule is
 * gone or another is over. 0 or -ENOMEM: then there are no rules.
 */
int alerts_configure(struct alerts *alerts, const struct config_alerts *config);

/* Judges a sample's line. */
void alerts_sample(struct alerts *alerts, uint64_t now_ns, const char *line, size_t len);

/* How many have begun and are not over. */
unsigned alerts_active(const struct alerts *alerts);

#endif
