/* SPDX-License-Identifier: MIT */
/* What the actions of this agent work with: parts that the agent owns, and what the actions keep between commands. */
#ifndef AGENT_ACTIONS_ENV_H
#define AGENT_ACTIONS_ENV_H

#include "agent/base/loop.h"
#include "agent/bus/bus.h"
#include "agent/command/command.h"
#include "agent/config/config.h"
#include "agent/actions/detached.h"
#include "agent/metrics/logger.h"
#include "agent/metrics/publish.h"
#include "agent/metrics/sample.h"
#include "agent/metrics/sampling.h"
#include "agent/actions/power.h"
#include "agent/run/exec.h"
#include "transport/reply.h"

/* How the last refresh of the package manager's lists ended that this agent has made. */
struct package_refresh {
	bool failed;	 /* in part, or as a whole: */
	char names[512]; /* these repositories, as many as fit */
};

struct history;
struct scripts;

struct action_env {
	struct loop *loop;
	const struct config *config;
	struct sampler *sampler; /* what was measured last */
	struct sampling *sampling;
	struct prober_pool *prober;
	struct logger *logger;
	struct exec *runner;   /* of programs as the agent's own user */
	struct exec *executor; /* of privileged programs and operations */
	struct bus *bus;
	struct scripts *scripts;
	struct publisher *publisher;
	const uint64_t *clock_steps; /* since the agent's start */
	/* Tells the host that is there, and all who subscribed to events. */
	void (*event)(void *data, enum reply_level level, const char *source, const char *text);
	/* Makes a checked configuration, which is taken over, the one in force. */
	void (*apply_config)(void *data, struct config *fresh);
	/* Writes what the agent tells of itself into an open object. */
	void (*report)(void *data, struct sink *out);
	void *data; /* of these three */

	struct history *histories; /* being read now, see history.h */
	struct power power;
	struct detached detached;
	struct package_refresh package_refresh;
};

static inline struct action_env *command_env(const struct command *command)
{
	return command->commands->env;
}

/* The context of the last collect, for reading once more now. */
static inline struct collect_ctx env_context(const struct action_env *env, const struct collector *collector)
{
	return sampler_context(env->sampler, collector, &env->loop->now);
}

#endif
