/* SPDX-License-Identifier: MIT */
/* Queries and judges units; see unit_judge.h. */
#include "agent/actions/unit_judge.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/moment.h>

#include "agent/actions/bus_work.h"
#include "agent/command/command.h"
#include "agent/config/config.h"
#include "agent/rules/unit_rules.h"

#define UNIT_INTERFACE "org.freedesktop.systemd1.Unit"

static void refuse(struct unit_judge *judge, const char *name, const char *words)
{
	struct bus_reply refusal = { .error = -EREMOTEIO, .name = name, .text = words };

	judge->done(judge->data, &refusal);
}

static int ask(struct unit_judge *judge, const char *path, const char *interface, const char *member,
	       const char *argument, bus_reply_fn step)
{
	sd_bus_message *message = NULL;
	int r = bus_message(judge->bus, SYSTEMD_NAME, path, interface, member, &message);

	if (r >= 0)
		r = sd_bus_message_append(message, "s", argument);
	if (r >= 0)
		r = bus_call(judge->bus, message, TIME_NEVER, step, judge, &judge->call);
	sd_bus_message_unref(message);
	return r;
}

static void on_properties(void *data, const struct bus_reply *reply)
{
	struct unit_judge *judge = data;
	char words[UNIT_RULES_WORDS_SIZE];
	struct bus_reply passed = { .name = "", .text = "" };
	struct unit_facts facts;
	const char *error;

	judge->call = NULL;
	if (reply->error) {
		judge->done(judge->data, reply);
		return;
	}
	if (unit_facts_read(reply->message, judge->config->commands.deny_units, &facts) < 0) {
		refuse(judge, UNIT_ERROR_NOT_LOADED, "what the service manager says of the unit made no sense");
		return;
	}
	error = unit_facts_error(&facts, judge->unit, words);
	if (error)
		refuse(judge, error, words);
	else
		judge->done(judge->data, &passed);
}

static void on_path(void *data, const struct bus_reply *reply)
{
	struct unit_judge *judge = data;
	struct bus_reply lost = { .error = -ENOTCONN, .name = "", .text = "the bus is gone" };
	const char *path;

	judge->call = NULL;
	if (reply->error)
		judge->done(judge->data, reply);
	else if (sd_bus_message_read(reply->message, "o", &path) < 0)
		refuse(judge, UNIT_ERROR_NOT_LOADED, "what the service manager says of the unit made no sense");
	else if (ask(judge, path, DBUS_PROPERTIES, "GetAll", UNIT_INTERFACE, on_properties) < 0)
		judge->done(judge->data, &lost);
}

int unit_judge_start(struct unit_judge *judge, struct bus *bus, const char *unit, const struct config *config,
		     bus_reply_fn done, void *data)
{
	*judge = (struct unit_judge){ .bus = bus, .config = config, .done = done, .data = data };
	if (strlen(unit) >= sizeof(judge->unit))
		return -EINVAL;
	memcpy(judge->unit, unit, strlen(unit) + 1);
	return ask(judge, SYSTEMD_PATH, SYSTEMD_MANAGER, "LoadUnit", unit, on_path);
}

void unit_judge_cancel(struct unit_judge *judge)
{
	judge->call = bus_cancel(judge->call);
}

bool unit_judge_denied_by_name(struct command *command, const char *unit)
{
	char words[UNIT_RULES_WORDS_SIZE];

	if (!unit_name_error(unit, command->commands->config->commands.deny_units, words))
		return false;
	command_fail(command, CODE_POLICY_DENIED, "unit_denied", "%s", words);
	return true;
}
