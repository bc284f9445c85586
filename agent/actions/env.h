/* SPDX-License-Identifier: MIT */
/*
 * The environment of the actions: parts that the agent owns and lends, and the state that actions keep between
 * commands.
 */
#ifndef AGENT_ACTIONS_ENV_H
#define AGENT_ACTIONS_ENV_H

#include "agent/base/loop.h"
#include "agent/bus/bus.h"
#include "agent/command/command.h"
#include "agent/config/config.h"
#include "agent/actions/detached.h"
#include "agent/metrics/logger.h"
#include "agent/metrics/publish.h"
#include "agent/metrics/sampling.h"
#include "agent/actions/power.h"
#include "agent/run/exec.h"
#include "transport/reply.h"

/* The result of the last refresh of the package manager's lists by this agent process. */
struct package_refresh {
	bool failed;	 /* for some or all repositories: */
	char names[512]; /* the failed repositories, as many as fit */
};

struct history;
struct scripts;

struct action_env {
	struct loop *loop;
	const struct config *config;
	struct sampling *sampling; /* holds the last measured values */
	struct logger *logger;
	struct exec *runner;   /* runs programs as the agent's own user */
	struct exec *executor; /* runs privileged programs and operations */
	struct bus *bus;
	struct scripts *scripts;
	struct publisher *publisher;
	const uint64_t *clock_steps; /* since the agent's start */
	/* Sends an event to the connected host and publishes it to the subscribers of "events". */
	void (*event)(void *data, enum reply_level level, const char *source, const char *text);
	/* Puts a checked configuration into force; takes ownership of it. */
	void (*apply_config)(void *data, struct config *fresh);
	/* Writes the agent's own part of Status into an open object. */
	void (*report)(void *data, struct sink *out);
	void *data; /* of these three */

	struct history *histories; /* the histories being read now, see history.h */
	struct power power;
	struct detached detached;
	struct package_refresh package_refresh;
};

static inline struct action_env *command_env(const struct command *command)
{
	return command->commands->env;
}

/* The collect context of a collector, with the time of this turn: for reading its files again now. */
static inline struct collect_ctx env_context(const struct action_env *env, const struct collector *collector)
{
	return sampling_context(env->sampling, collector);
}

#endif
