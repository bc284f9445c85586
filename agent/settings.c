/* SPDX-License-Identifier: MIT */
/*
 * Loads and applies the configuration: from file, command line and host, at the start and at run time. An invalid
 * configuration changes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/table.h"
#include "agent/agent.h"
#include "agent/config/keys.h"
#include "agent/base/notify.h"

static void warn_config(void *data, const char *text)
{
	(void)data;
	report(LOG_WARNING, "%s", text);
}

static int apply_options(struct config *config, const struct agent_options *options, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < options->setting_count && r == 0; i++) {
		r = config_set(config, options->settings[i], e);
		if (r < 0)
			err_context(e, "--set %s", options->settings[i]);
	}
	if (r == 0 && options->port_spec) {
		_cleanup_(freep) char *assignment = NULL;

		if (asprintf(&assignment, "port.spec=%s", options->port_spec) < 0)
			return err_set(e, -ENOMEM, "out of memory");
		r = config_set(config, assignment, e);
		if (r < 0)
			err_context(e, "--port %s", options->port_spec);
	}
	return r;
}

int agent_load_config(struct config *config, const struct agent_options *options, struct err *e)
{
	int r = config_init(config);

	if (r < 0)
		return err_set(e, r, "out of memory");
	r = config_load(config, options->config_path, warn_config, NULL, e);
	if (r == 0)
		r = apply_options(config, options, e);
	if (r == 0)
		r = config_check(config, warn_config, NULL, e);
	if (r < 0)
		config_free(config);
	return r;
}

/* Checks what config/ cannot know: whether a word is the name of an action. */
static int inspect_actions(char *const *words, const char *key, config_tell_fn tell, void *data)
{
	int r = 0;

	for (; *words; words++) {
		const struct action *action;
		char text[256];

		if (**words < 'A' || **words > 'Z' || action_find(&actions, *words, &action) != ACTION_UNKNOWN)
			continue;
		snprintf(text, sizeof(text), "%s: there is no action %.100s", key, *words);
		tell(data, CONFIG_MISTAKE, text);
		r = -EINVAL;
	}
	return r;
}

int agent_inspect_config(struct config *config, const struct agent_options *options, config_tell_fn tell, void *data)
{
	struct err e = { 0 };
	int r = config_init(config), found;

	if (r < 0)
		return r;
	found = config_inspect(config, options->config_path, tell, data, NULL);
	r = apply_options(config, options, &e);
	if (r == 0 && found == 0) /* else an option may have corrected the mistake that the inspection reported */
		r = config_check(config, NULL, NULL, &e);
	if (r < 0)
		tell(data, CONFIG_ERROR, e.text);
	if (inspect_actions(config->commands.allow, "commands.allow", tell, data) < 0 && r == 0)
		r = -EINVAL;
	if (inspect_actions(config->commands.deny, "commands.deny", tell, data) < 0 && r == 0)
		r = -EINVAL;
	return found ? found : r;
}

static void find_nothing(void *data, enum config_finding finding, const char *text)
{
	(void)data;
	(void)finding;
	(void)text;
}

/* " (FILE:LINE)" of a setting; "" for a default and for a setting from the command line. */
static const char *place_of(const struct config_origins *origins, const char *name, char *out, size_t size)
{
	const char *at = origins->of[config_key_find("commands", name) - config_keys];

	*out = '\0';
	if (at)
		snprintf(out, size, " (%s)", at);
	return out;
}

void agent_tell_policy(const struct agent *agent)
{
	const struct config *config = &agent->config;
	char allowed[CONFIG_VALUE_MAX], place[512], unsafe[512];
	struct config_origins origins = { { NULL } };
	struct config read;

	if (config_init(&read) < 0)
		return;
	config_inspect(&read, agent->options->config_path, find_nothing, NULL, &origins);
	config_free(&read);
	config_key_format(config, config_key_find("commands", "allow"), allowed);
	if (!config->commands.enabled)
		report(LOG_INFO, "the host may: nothing%s", place_of(&origins, "enabled", place, sizeof(place)));
	else
		report(LOG_INFO, "the host may: %.200s%s%s%s", *allowed ? allowed : "nothing",
		       place_of(&origins, "allow", place, sizeof(place)),
		       config->commands.allow_unsafe ? "; run any program" : "",
		       config->commands.allow_unsafe ? place_of(&origins, "allow_unsafe", unsafe, sizeof(unsafe)) : "");
	if (strcmp(config->qga.spec, "none") != 0) {
		config_key_format(config, config_key_find("qga", "allow"), allowed);
		report(LOG_INFO, "a host of the QEMU guest agent's language may: %.200s%s",
		       *allowed ? allowed : "nothing",
		       config->qga.allow_unsafe ? "; as root, where that is exec or files" : "");
	}
	config_origins_free(&origins);
}

void agent_set_log_level(const struct agent *agent)
{
	static const int levels[] = { LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

	report_set_level(agent->options->verbose ? LOG_DEBUG : levels[agent->config.agent.log_level]);
}

/* Settings that take effect only at a start keep their present values. */
static void keep_fixed(struct config *new, struct config *old)
{
	for (const struct config_key *key = config_keys; key->section; key++) {
		char before[CONFIG_VALUE_MAX], after[CONFIG_VALUE_MAX];
		struct err e;

		if (!key->at_start)
			continue;
		config_key_format(old, key, before);
		config_key_format(new, key, after);
		if (strcmp(before, after) == 0)
			continue;
		report(LOG_WARNING, "%s.%s takes effect at the next start", key->section, key->name);
		config_key_parse(new, key, before, false, &e);
	}
}

void agent_apply_config(struct agent *agent, struct config *fresh)
{
	keep_fixed(fresh, &agent->config);
	config_free(&agent->config);
	agent->config = *fresh;
	agent_set_log_level(agent);
	sampling_configure(agent->sampling, &agent->config);
	alerts_into_force(agent);
	housekeeping_configure(agent);
}

void agent_reload(struct agent *agent)
{
	struct secret *secret = secret_new();
	struct config fresh;
	struct err e = { 0 }, warning = { 0 };
	int r;

	notify_reloading(agent->loop.now.mono_ns);
	r = agent_load_config(&fresh, agent->options, &e);
	if (r == 0) {
		r = secret ? secret_find(fresh.auth.secret_file, secret, &warning, &e)
			   : err_set(&e, -ENOMEM, "out of memory");
		if (r < 0)
			config_free(&fresh);
	}
	if (r < 0 || !secret) {
		agent->counters.reloads_failed++;
		report(LOG_ERR, "configuration not reloaded, the old one stays: %s", e.text);
		standing_set(&agent->standing, REPLY_ERROR, "config", "",
			     "configuration not reloaded, the old one stays: %s", e.text);
	} else {
		if (warning.code) {
			report(LOG_WARNING, "%s", warning.text);
			standing_set(&agent->standing, REPLY_WARN, "config", "secret", "%s", warning.text);
		} else {
			standing_clear(&agent->standing, "config", "secret",
				       "the secret is read by the agent alone again");
		}
		agent_apply_config(agent, &fresh);
		/* A secret from the environment has been removed from there at the start. */
		if (secret->len > 0 || *agent->config.auth.secret_file)
			memcpy(agent->secret, secret, sizeof(*secret));
		agent->counters.reloads++;
		report(LOG_INFO, "configuration reloaded");
		standing_clear(&agent->standing, "config", "", NULL);
		agent_tell_policy(agent);
		hostlink_event(agent, REPLY_INFO, "config", "configuration reloaded");
	}
	secret_free(secret);
	notify_ready();
}
