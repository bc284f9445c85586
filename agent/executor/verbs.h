/* SPDX-License-Identifier: MIT */
/* The tasks that infiniservice-exec does as a program of its own: `infiniservice-exec VERB …`. */
#ifndef AGENT_EXECUTOR_VERBS_H
#define AGENT_EXECUTOR_VERBS_H

#include <stdbool.h>

/* Whether `name` is a verb. */
bool executor_has_verb(const char *name);

#endif
