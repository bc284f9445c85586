/* SPDX-License-Identifier: MIT */
/* See deed.h, org.freedesktop.systemd1(5) and org.freedesktop.login1(5). */
#include "agent/broker/deed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/broker/manager_call.h"
#include "agent/broker/rules.h"
#include "agent/unit_rules.h"

#define LOGIN_NAME	"org.freedesktop.login1"
#define LOGIN_PATH	"/org/freedesktop/login1"
#define LOGIN_INTERFACE "org.freedesktop.login1.Manager"

struct deed {
	struct broker *broker;
	struct deed *next;
	uint64_t id;
	enum executor_deed what;
	sd_bus_slot *slot; /* the call under way */
	char job[64];	   /* path of the job that is waited for */
	char unit[256];
};

/* Member of the service manager, or of the login manager, and the target that does the same. */
static const struct {
	const char *member, *target;
} kinds[EXECUTOR_DEEDS] = {
	[EXECUTOR_DEED_START] = { "StartUnit", NULL },
	[EXECUTOR_DEED_STOP] = { "StopUnit", NULL },
	[EXECUTOR_DEED_RESTART] = { "RestartUnit", NULL },
	[EXECUTOR_DEED_ENABLE] = { "EnableUnitFiles", NULL },
	[EXECUTOR_DEED_DISABLE] = { "DisableUnitFiles", NULL },
	[EXECUTOR_DEED_REBOOT] = { "Reboot", "reboot.target" },
	[EXECUTOR_DEED_POWER_OFF] = { "PowerOff", "poweroff.target" },
};

static void deed_free(struct deed *deed)
{
	struct broker *broker = deed->broker;
	struct deed **at = &broker->deeds;

	while (*at != deed)
		at = &(*at)->next;
	*at = deed->next;
	broker->deed_count--;
	sd_bus_slot_unref(deed->slot);
	free(deed);
}

/* `error` negative; the words are the result, or "NAME WORDS" of a refusal. */
static void deed_answer(struct deed *deed, int error, const char *words)
{
	struct executor_answer answer = { .reply = { .op = EXECUTOR_ANSWERED, .id = deed->id, .error = -error } };
	struct broker *broker = deed->broker;

	broker_reply(broker, &answer, words);
	deed_free(deed);
	broker_rest(broker);
}

/* True if the call failed: then it has been answered. */
static bool deed_failed(struct deed *deed, sd_bus_message *message)
{
	const sd_bus_error *failed = sd_bus_message_get_error(message);
	char words[EXECUTOR_TEXT_MAX];

	deed->slot = sd_bus_slot_unref(deed->slot);
	if (!failed)
		return false;
	snprintf(words, sizeof(words), "%s %s", failed->name, failed->message ? failed->message : "");
	deed_answer(deed, sd_bus_error_has_name(failed, SD_BUS_ERROR_DISCONNECTED) ? -ENOTCONN : -EREMOTEIO, words);
	return true;
}

static int on_done(sd_bus_message *message, void *data, sd_bus_error *error)
{
	(void)error;
	if (!deed_failed(data, message))
		deed_answer(data, 0, "done");
	return 1;
}

static int on_job(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct deed *deed = data;
	const char *path;

	(void)error;
	if (deed_failed(deed, message))
		return 1;
	if (sd_bus_message_read(message, "o", &path) < 0 || strlen(path) >= sizeof(deed->job))
		deed_answer(deed, -EREMOTEIO, "the service manager's answer made no sense");
	else
		memcpy(deed->job, path, strlen(path) + 1);
	return 1;
}

void deed_job_removed(struct broker *broker, sd_bus_message *signal)
{
	const char *path, *unit, *result;
	uint32_t number;

	if (!broker->deeds || sd_bus_message_read(signal, "uoss", &number, &path, &unit, &result) < 0)
		return;
	for (struct deed *deed = broker->deeds; deed; deed = deed->next)
		if (strcmp(deed->job, path) == 0) {
			deed_answer(deed, 0, result);
			return;
		}
}

static int manager_call(struct deed *deed, sd_bus_message_handler_t done, const char *member, const char *types, ...)
{
	sd_bus_message *message = NULL;
	va_list args;
	int r = broker_manager(deed->broker);

	if (r >= 0)
		r = sd_bus_message_new_method_call(deed->broker->manager, &message, MANAGER_NAME, MANAGER_PATH,
						   MANAGER_INTERFACE, member);
	va_start(args, types);
	if (r >= 0 && types)
		r = sd_bus_message_appendv(message, types, args);
	va_end(args);
	if (r >= 0)
		r = sd_bus_call_async(deed->broker->manager, &deed->slot, message, done, deed, UINT64_MAX);
	sd_bus_message_unref(message);
	return r;
}

/*
 * The links have changed; the manager reads them at a reload only. EnableUnitFiles says first whether there was
 * anything to go by: a unit without it is no more enabled than before.
 */
static int on_files_changed(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct deed *deed = data;
	int r, install = 1;

	(void)error;
	if (deed_failed(deed, message))
		return 1;
	if (deed->what == EXECUTOR_DEED_ENABLE && (sd_bus_message_read(message, "b", &install) < 0 || !install)) {
		deed_answer(deed, -EREMOTEIO, UNIT_ERROR_NO_INSTALL " " UNIT_NO_INSTALL_WORDS);
		return 1;
	}
	r = manager_call(deed, on_done, "Reload", NULL);
	if (r < 0)
		deed_answer(deed, r, "");
	return 1;
}

/* ----------------------------------------------------------------------------------------------------------- power */

static int power_by_target(struct deed *deed)
{
	return manager_call(deed, on_done, "StartUnit", "ss", kinds[deed->what].target, "replace-irreversibly");
}

static int on_login_manager(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct deed *deed = data;
	int r;

	(void)error;
	deed->slot = sd_bus_slot_unref(deed->slot);
	if (!sd_bus_message_is_method_error(message, NULL)) {
		deed_answer(deed, 0, "done");
		return 1;
	}
	r = power_by_target(deed);
	if (r < 0)
		deed_answer(deed, r, "");
	return 1;
}

static int system_open(struct broker *broker)
{
	const char *address = broker->options.system_address ? broker->options.system_address : BROKER_SYSTEM_ADDRESS;
	sd_bus *bus = NULL;
	int r = sd_bus_new(&bus);

	if (r >= 0)
		r = sd_bus_set_address(bus, address);
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, true);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0)
		r = sd_bus_attach_event(bus, broker->event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0) {
		sd_bus_close_unref(bus);
		return r;
	}
	broker->system = bus;
	return 0;
}

static int power(struct deed *deed)
{
	struct broker *broker = deed->broker;
	int r = 0;

	if (broker->system && sd_bus_is_open(broker->system) <= 0) {
		sd_bus_detach_event(broker->system);
		broker->system = sd_bus_close_unref(broker->system);
	}
	if (!broker->system)
		r = system_open(broker);
	if (r >= 0)
		r = sd_bus_call_method_async(broker->system, &deed->slot, LOGIN_NAME, LOGIN_PATH, LOGIN_INTERFACE,
					     kinds[deed->what].member, on_login_manager, deed, "b", false);
	return r < 0 ? power_by_target(deed) : r;
}

/* --------------------------------------------------------------------------------------------------------- units */

static int unit_do(struct deed *deed)
{
	const char *member = kinds[deed->what].member;

	switch (deed->what) {
	case EXECUTOR_DEED_START:
	case EXECUTOR_DEED_STOP:
	case EXECUTOR_DEED_RESTART:
		return manager_call(deed, on_job, member, "ss", deed->unit, "replace");
	case EXECUTOR_DEED_ENABLE:
		return manager_call(deed, on_files_changed, member, "asbb", 1, deed->unit, false, false);
	case EXECUTOR_DEED_DISABLE:
		return manager_call(deed, on_files_changed, member, "asb", 1, deed->unit, false);
	default:
		return -EINVAL;
	}
}

static void deed_deny(struct deed *deed, const char *words)
{
	struct broker *broker = deed->broker;

	broker_deny(broker, deed->id, EXECUTOR_STAGE_UNIT, deed->unit, words);
	deed_free(deed);
	broker_rest(broker);
}

/* The owner's list is the one of this moment, as the policy was when the deed was asked for. */
static void judge(struct deed *deed, sd_bus_message *message)
{
	const struct guard *guard = &deed->broker->guard;
	char words[UNIT_RULES_WORDS_SIZE], answer[EXECUTOR_TEXT_MAX];
	const char *error;
	struct unit_facts facts;
	int r;

	if (!guard->usable || unit_facts_read(message, guard->config.commands.deny_units, &facts) < 0) {
		deed_deny(deed, "what the service manager says of the unit made no sense");
		return;
	}
	error = unit_facts_error(&facts, deed->unit, words);
	if (error && strcmp(error, UNIT_ERROR_DENIED) == 0) {
		deed_deny(deed, words);
		return;
	}
	if (error) {
		snprintf(answer, sizeof(answer), "%s %s", error, words);
		deed_answer(deed, -EREMOTEIO, answer);
		return;
	}
	r = unit_do(deed);
	if (r < 0)
		deed_answer(deed, r, strerror(-r));
}

static int on_unit(sd_bus_message *message, void *data, sd_bus_error *error)
{
	(void)error;
	if (!deed_failed(data, message))
		judge(data, message);
	return 1;
}

static int on_unit_path(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct deed *deed = data;
	const char *path;
	int r;

	(void)error;
	if (deed_failed(deed, message))
		return 1;
	r = sd_bus_message_read(message, "o", &path);
	if (r >= 0)
		r = sd_bus_call_method_async(deed->broker->manager, &deed->slot, NULL, path,
					     "org.freedesktop.DBus.Properties", "GetAll", on_unit, deed, "s",
					     "org.freedesktop.systemd1.Unit");
	if (r < 0)
		deed_answer(deed, r, strerror(-r));
	return 1;
}

static int deed_do(struct deed *deed)
{
	if (!rules_deed_takes_unit(deed->what))
		return power(deed);
	return manager_call(deed, on_unit_path, "LoadUnit", "s", deed->unit);
}

void deed_start(struct broker *broker, const struct executor_call *call)
{
	struct deed *deed = broker->deed_count < BROKER_DEEDS_MAX ? calloc(1, sizeof(*deed)) : NULL;
	int r;

	if (!deed || strlen(call->argument) >= sizeof(deed->unit)) {
		free(deed);
		broker_refuse(broker, call->deed.head.id, EBUSY, EXECUTOR_STAGE_RESOURCE, "");
		return;
	}
	*deed = (struct deed){
		.broker = broker, .next = broker->deeds, .id = call->deed.head.id, .what = call->deed.deed
	};
	memcpy(deed->unit, call->argument, strlen(call->argument) + 1);
	broker->deeds = deed;
	broker->deed_count++;
	r = deed_do(deed);
	if (r < 0)
		deed_answer(deed, r, strerror(-r));
}

void deed_forget_all(struct broker *broker, bool tell)
{
	while (broker->deeds) {
		if (tell)
			deed_answer(broker->deeds, -ENOTCONN, "the connection to the service manager was lost");
		else
			deed_free(broker->deeds);
	}
}
