/* SPDX-License-Identifier: MIT */
/*
 * SetConfig: the few settings that a host may change, if the policy grants it at all. All values or none; they hold
 * until the configuration is read again (a reload, a restart), and are not written to files, which belong to the
 * guest's owner.
 */
#include "agent/actions/table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "agent/actions/env.h"
#include "agent/base/report.h"
#include "agent/config/keys.h"
#include "agent/peer/session.h"

static const struct config_key *find_key(const char *full_name)
{
	const char *dot = strchr(full_name, '.');
	char section[32];

	if (!dot || (size_t)(dot - full_name) >= sizeof(section))
		return NULL;
	snprintf(section, sizeof(section), "%.*s", (int)(dot - full_name), full_name);
	return config_key_find(section, dot + 1);
}

static bool is_scalar(struct json_object *value)
{
	return json_object_is_type(value, json_type_string) || json_object_is_type(value, json_type_int) ||
	       json_object_is_type(value, json_type_boolean);
}

/* CODE_NONE when all values have been put into `config`. */
static enum error_code put_values(struct config *config, struct json_object *values, struct err *e)
{
	json_object_object_foreach(values, name, value)
	{
		const struct config_key *key = find_key(name);

		if (!key) {
			err_set(e, -EINVAL, "there is no key %.100s", name);
			return CODE_INVALID_PARAMETERS;
		}
		if (!key->host_may_set) {
			err_set(e, -EPERM, "%s.%s is not for a host to set", key->section, key->name);
			return CODE_POLICY_DENIED;
		}
		if (!is_scalar(value)) {
			err_set(e, -EINVAL, "%s.%s: a text, an integer, true or false is expected", key->section,
				key->name);
			return CODE_INVALID_PARAMETERS;
		}
		if (config_key_parse(config, key, json_object_get_string(value), false, e) < 0)
			return e->code == -ENOMEM ? CODE_INTERNAL : CODE_INVALID_PARAMETERS;
	}
	return config_check(config, NULL, NULL, e) < 0 ? CODE_INVALID_PARAMETERS : CODE_NONE;
}

static void emit_values(struct sink *out, const char *key, const void *arg)
{
	const struct command *command = arg;
	char text[CONFIG_VALUE_MAX];

	sink_object_begin(out, key);
	sink_object_begin(out, "values");
	json_object_object_foreach(command->message.values, name, value)
	{
		(void)value;
		config_key_format(command->commands->config, find_key(name), text);
		sink_str(out, name, text);
	}
	sink_object_end(out);
	sink_bool(out, "persistent", false);
	sink_object_end(out);
}

static void run_set_config(struct command *command)
{
	struct action_env *env = command_env(command);
	struct config fresh;
	struct err e = { 0 };
	enum error_code code;

	if (config_copy(&fresh, env->config) < 0) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
		return;
	}
	code = put_values(&fresh, command->message.values, &e);
	if (code != CODE_NONE) {
		config_free(&fresh);
		command_fail(command, code, NULL, "%s; nothing was changed", e.text);
		return;
	}
	env->apply_config(env->data, &fresh);
	report(LOG_NOTICE, "%s set %d keys, until the configuration is read again", command->session->name,
	       json_object_object_length(command->message.values));
	command_succeed(command, emit_values, command);
}

const struct action action_set_config = {
	.name = "SetConfig", .type = MESSAGE_SET_CONFIG, .group = GROUP_CONTROL, .run = run_set_config
};
