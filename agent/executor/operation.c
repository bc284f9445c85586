/* SPDX-License-Identifier: MIT */
/* See operation.h, org.freedesktop.systemd1(5) and org.freedesktop.login1(5). */
#include "agent/executor/operation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/executor/freeze.h"
#include "agent/rules/unit_rules.h"

#define LOGIN_NAME	"org.freedesktop.login1"
#define LOGIN_PATH	"/org/freedesktop/login1"
#define LOGIN_INTERFACE "org.freedesktop.login1.Manager"

struct operation {
	struct executor *executor;
	struct operation *next;
	uint64_t id;
	enum runner_operation what;
	sd_bus_slot *slot; /* the call in progress */
	char job[64];	   /* object path of the job waited for */
	char unit[256];
};

/* The method of the service manager or of the login manager, and the target with the same effect. */
static const struct {
	const char *member, *target;
} kinds[RUNNER_OPERATIONS] = {
	[RUNNER_OPERATION_START] = { "StartUnit", NULL },
	[RUNNER_OPERATION_STOP] = { "StopUnit", NULL },
	[RUNNER_OPERATION_RESTART] = { "RestartUnit", NULL },
	[RUNNER_OPERATION_ENABLE] = { "EnableUnitFiles", NULL },
	[RUNNER_OPERATION_DISABLE] = { "DisableUnitFiles", NULL },
	[RUNNER_OPERATION_REBOOT] = { "Reboot", "reboot.target" },
	[RUNNER_OPERATION_POWER_OFF] = { "PowerOff", "poweroff.target" },
	[RUNNER_OPERATION_HALT] = { "Halt", "halt.target" },
	[RUNNER_OPERATION_SUSPEND] = { "Suspend", "suspend.target" },
	[RUNNER_OPERATION_HIBERNATE] = { "Hibernate", "hibernate.target" },
	[RUNNER_OPERATION_HYBRID_SLEEP] = { "HybridSleep", "hybrid-sleep.target" },
};

static void operation_free(struct operation *operation)
{
	struct executor *executor = operation->executor;
	struct operation **at = &executor->operations;

	while (*at != operation)
		at = &(*at)->next;
	*at = operation->next;
	executor->operation_count--;
	sd_bus_slot_unref(operation->slot);
	free(operation);
}

/*
 * Answers and frees the operation. `error` is 0 or negative; `words` are the result, or "NAME TEXT" of the peer's
 * error.
 */
static void operation_answer(struct operation *operation, int error, const char *words)
{
	struct runner_answer answer = { .reply = { .op = RUNNER_ANSWERED, .id = operation->id, .error = -error } };
	struct executor *executor = operation->executor;

	executor_reply(executor, &answer, words, NULL);
	operation_free(operation);
	executor_rest(executor);
}

/* True if the call failed: then the operation has been answered and freed. */
static bool operation_failed(struct operation *operation, sd_bus_message *message)
{
	const sd_bus_error *failed = sd_bus_message_get_error(message);
	char words[RUNNER_TEXT_MAX];

	operation->slot = sd_bus_slot_unref(operation->slot);
	if (!failed)
		return false;
	snprintf(words, sizeof(words), "%s %s", failed->name, failed->message ? failed->message : "");
	operation_answer(operation, sd_bus_error_has_name(failed, SD_BUS_ERROR_DISCONNECTED) ? -ENOTCONN : -EREMOTEIO,
			 words);
	return true;
}

static int on_done(sd_bus_message *message, void *data, sd_bus_error *error)
{
	(void)error;
	if (!operation_failed(data, message))
		operation_answer(data, 0, "done");
	return 1;
}

static int on_job(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct operation *operation = data;
	const char *path;

	(void)error;
	if (operation_failed(operation, message))
		return 1;
	if (sd_bus_message_read(message, "o", &path) < 0 || strlen(path) >= sizeof(operation->job))
		operation_answer(operation, -EREMOTEIO, "the service manager's answer made no sense");
	else
		memcpy(operation->job, path, strlen(path) + 1);
	return 1;
}

int operation_job_removed(sd_bus_message *signal, void *data, sd_bus_error *error)
{
	struct executor *executor = data;
	struct operation *operation = executor->operations;
	const char *path, *unit, *result;
	uint32_t number;

	(void)error;
	if ((!operation && !executor->freezing) ||
	    sd_bus_message_read(signal, "uoss", &number, &path, &unit, &result) < 0)
		return 0;
	freeze_job_removed(executor, path, result);
	while (operation && strcmp(operation->job, path) != 0)
		operation = operation->next;
	if (operation)
		operation_answer(operation, 0, result);
	return 0;
}

/* Calls PID 1 for the operation; the rest as of manager_call. */
#define CALL(operation, done, ...) manager_call((operation)->executor, &(operation)->slot, done, operation, __VA_ARGS__)

/*
 * The unit's links have changed; the manager reads them only at a reload. For ENABLE the reply tells first whether the
 * unit has an [Install] section: without one it cannot be enabled.
 */
static int on_files_changed(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct operation *operation = data;
	int r, install = 1;

	(void)error;
	if (operation_failed(operation, message))
		return 1;
	if (operation->what == RUNNER_OPERATION_ENABLE &&
	    (sd_bus_message_read(message, "b", &install) < 0 || !install)) {
		operation_answer(operation, -EREMOTEIO, UNIT_ERROR_NO_INSTALL " " UNIT_NO_INSTALL_WORDS);
		return 1;
	}
	r = CALL(operation, on_done, "Reload", NULL);
	if (r < 0)
		operation_answer(operation, r, "");
	return 1;
}

/* ----------------------------------------------------------------------------------------------------------- power */

static int power_by_target(struct operation *operation)
{
	int r = executor_manager(operation->executor);

	return r < 0 ? r
		     : CALL(operation, on_done, "StartUnit", "ss", kinds[operation->what].target,
			    "replace-irreversibly");
}

static bool is_sleep(enum runner_operation what)
{
	return what == RUNNER_OPERATION_SUSPEND || what == RUNNER_OPERATION_HIBERNATE ||
	       what == RUNNER_OPERATION_HYBRID_SLEEP;
}

static bool login_manager_is_absent(const sd_bus_error *error)
{
	return error && (sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
			 sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
			 sd_bus_error_has_name(error, SD_BUS_ERROR_DISCONNECTED) ||
			 sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) ||
			 strncmp(error->name, "org.freedesktop.systemd1.", 25) == 0);
}

static int on_login_manager(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct operation *operation = data;
	int r;

	(void)error;
	/* Which way of sleeping this machine has the login manager knows best: where there is one, its word is the
	 * last. */
	if (is_sleep(operation->what) && !login_manager_is_absent(sd_bus_message_get_error(message))) {
		if (!operation_failed(operation, message))
			operation_answer(operation, 0, "done");
		return 1;
	}
	operation->slot = sd_bus_slot_unref(operation->slot);
	if (!sd_bus_message_is_method_error(message, NULL)) {
		operation_answer(operation, 0, "done");
		return 1;
	}
	r = power_by_target(operation);
	if (r < 0)
		operation_answer(operation, r, "");
	return 1;
}

static int power(struct operation *operation)
{
	struct executor *executor = operation->executor;
	const char *address =
		executor->options.system_address ? executor->options.system_address : EXECUTOR_SYSTEM_ADDRESS;
	int r = 0;

	if (executor->system && sd_bus_is_open(executor->system) <= 0) {
		sd_bus_detach_event(executor->system);
		executor->system = sd_bus_close_unref(executor->system);
	}
	if (!executor->system) {
		r = sd_bus_new(&executor->system);
		if (r >= 0)
			r = sd_bus_set_address(executor->system, address);
		if (r >= 0)
			r = sd_bus_set_bus_client(executor->system, true);
		if (r >= 0)
			r = sd_bus_start(executor->system);
		if (r >= 0)
			r = sd_bus_attach_event(executor->system, executor->event, SD_EVENT_PRIORITY_NORMAL);
		if (r < 0)
			executor->system = sd_bus_close_unref(executor->system);
	}
	if (r >= 0)
		r = sd_bus_call_method_async(executor->system, &operation->slot, LOGIN_NAME, LOGIN_PATH,
					     LOGIN_INTERFACE, kinds[operation->what].member, on_login_manager,
					     operation, "b", false);
	return r < 0 ? power_by_target(operation) : r;
}

/* --------------------------------------------------------------------------------------------------------- units */

static int unit_do(struct operation *operation)
{
	const char *member = kinds[operation->what].member;

	switch (operation->what) {
	case RUNNER_OPERATION_START:
	case RUNNER_OPERATION_STOP:
	case RUNNER_OPERATION_RESTART:
		return CALL(operation, on_job, member, "ss", operation->unit, "replace");
	case RUNNER_OPERATION_ENABLE:
		return CALL(operation, on_files_changed, member, "asbb", 1, operation->unit, false, false);
	case RUNNER_OPERATION_DISABLE:
		return CALL(operation, on_files_changed, member, "asb", 1, operation->unit, false);
	default:
		return -EINVAL;
	}
}

static void operation_deny(struct operation *operation, const char *words)
{
	struct executor *executor = operation->executor;

	executor_deny(executor, operation->id, RUNNER_STAGE_UNIT, operation->unit, words);
	operation_free(operation);
	executor_rest(executor);
}

/* The owner's deny_units are those read when the operation was requested. */
static int on_unit(sd_bus_message *message, void *data, sd_bus_error *bus_error)
{
	struct operation *operation = data;
	const struct policy_file *policy = &operation->executor->policy;
	char words[UNIT_RULES_WORDS_SIZE], answer[RUNNER_TEXT_MAX];
	const char *error;
	struct unit_facts facts;
	int r;

	(void)bus_error;
	if (operation_failed(operation, message))
		return 1;
	if (!policy->usable || unit_facts_read(message, policy->config.commands.deny_units, &facts) < 0) {
		operation_deny(operation, "what the service manager says of the unit made no sense");
		return 1;
	}
	error = unit_facts_error(&facts, operation->unit, words);
	if (error && strcmp(error, UNIT_ERROR_DENIED) == 0) {
		operation_deny(operation, words);
		return 1;
	}
	if (error) {
		snprintf(answer, sizeof(answer), "%s %s", error, words);
		operation_answer(operation, -EREMOTEIO, answer);
		return 1;
	}
	r = unit_do(operation);
	if (r < 0)
		operation_answer(operation, r, strerror(-r));
	return 1;
}

static int on_unit_path(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct operation *operation = data;
	const char *path;
	int r;

	(void)error;
	if (operation_failed(operation, message))
		return 1;
	r = sd_bus_message_read(message, "o", &path);
	if (r >= 0)
		r = sd_bus_call_method_async(operation->executor->manager, &operation->slot, NULL, path,
					     "org.freedesktop.DBus.Properties", "GetAll", on_unit, operation, "s",
					     "org.freedesktop.systemd1.Unit");
	if (r < 0)
		operation_answer(operation, r, strerror(-r));
	return 1;
}

void operation_start(struct executor *executor, const struct runner_call *call)
{
	struct operation *operation =
		executor->operation_count < EXECUTOR_OPERATIONS_MAX ? calloc(1, sizeof(*operation)) : NULL;
	int r;

	if (!operation || strlen(call->argument) >= sizeof(operation->unit)) {
		free(operation);
		executor_refuse(executor, call->operation.head.id, EBUSY, RUNNER_STAGE_RESOURCE, "");
		return;
	}
	*operation = (struct operation){ .executor = executor,
					 .next = executor->operations,
					 .id = call->operation.head.id,
					 .what = call->operation.operation };
	memcpy(operation->unit, call->argument, strlen(call->argument) + 1);
	executor->operations = operation;
	executor->operation_count++;
	if (!rules_operation_takes_unit(operation->what))
		r = power(operation);
	else if ((r = executor_manager(executor)) >= 0)
		r = CALL(operation, on_unit_path, "LoadUnit", "s", operation->unit);
	if (r < 0)
		operation_answer(operation, r, strerror(-r));
}

void operation_forget_all(struct executor *executor, bool tell)
{
	while (executor->operations) {
		if (tell)
			operation_answer(executor->operations, -ENOTCONN,
					 "the connection to the service manager was lost");
		else
			operation_free(executor->operations);
	}
}
