/* SPDX-License-Identifier: MIT */
/* Conversations on the bus on behalf of a command; see bus_work.h. */
#include "agent/actions/bus_work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/actions/run.h"
#include "agent/rules/unit_rules.h"

static void work_free(void *data)
{
	struct bus_work *work = data;

	work->call = bus_cancel(work->call);
	if (work->done)
		work->done(work);
	free(work);
}

static void on_expired(struct command *command)
{
	const struct bus_work *work = command->work;

	if (work->heard)
		command_fail(command, CODE_COMMAND_TIMEOUT, NULL,
			     "not finished at its deadline; what was begun may still happen");
	else
		command_fail(command, CODE_COMMAND_FAILED, "no_bus", "the system bus did not answer");
}

void *bus_work_new(struct command *command, size_t size)
{
	struct bus_work *work = calloc(1, size);

	if (!work) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
		return NULL;
	}
	work->command = command;
	command->work = work;
	command->work_free = work_free;
	command->on_expired = on_expired;
	return work;
}

void bus_work_fail(struct command *command, int error)
{
	switch (error) {
	case -ENOMEM:
	case -EBUSY:
		command_fail(command, CODE_INTERNAL, "resource", "the bus could not be asked: %s", strerror(-error));
		break;
	case -EBADMSG:
	case -ENXIO:
		command_fail(command, CODE_COMMAND_FAILED, "bad_reply", "the answer on the bus made no sense");
		break;
	case -ELIBACC:
		command_fail(command, CODE_COMMAND_FAILED, "no_bus", "%s", bus_fault(command_env(command)->bus));
		break;
	default:
		command_fail(command, CODE_COMMAND_FAILED, "no_bus", "there is no system bus to ask: %s",
			     strerror(-error));
	}
}

static const struct {
	const char *name;
	enum error_code code;
	const char *reason;
} refusals[] = {
	{ "org.freedesktop.systemd1.NoSuchUnit", CODE_NOT_FOUND, "no_such_unit" },
	{ "org.freedesktop.systemd1.LoadFailed", CODE_COMMAND_FAILED, "load_failed" },
	{ "org.freedesktop.systemd1.UnitMasked", CODE_COMMAND_FAILED, "masked" },
	{ "org.freedesktop.systemd1.OnlyByDependency", CODE_COMMAND_FAILED, "only_by_dependency" },
	{ SD_BUS_ERROR_FILE_NOT_FOUND, CODE_NOT_FOUND, "no_such_unit" },
	{ UNIT_ERROR_DENIED, CODE_POLICY_DENIED, "unit_denied" },
	{ UNIT_ERROR_NO_INSTALL, CODE_COMMAND_FAILED, "no_install_section" },
	{ UNIT_ERROR_NOT_LOADED, CODE_COMMAND_FAILED, "not_loaded" },
	{ PRIVILEGE_ERROR_ABSENT, CODE_PERMISSION_DENIED, "no_executor" },
	{ PRIVILEGE_ERROR_FAULT, CODE_INTERNAL, PRIVILEGE_REASON_FAULT },
	{ PRIVILEGE_ERROR_POLICY, CODE_POLICY_DENIED, "executor" },
	{ PRIVILEGE_ERROR_LOST, CODE_INTERNAL, "lost" },
	{ SD_BUS_ERROR_ACCESS_DENIED, CODE_PERMISSION_DENIED, "no_privilege" },
	{ SD_BUS_ERROR_AUTH_FAILED, CODE_PERMISSION_DENIED, "no_privilege" },
	{ SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, CODE_PERMISSION_DENIED, "no_privilege" },
};

bool bus_work_failed(struct command *command, const struct bus_reply *reply)
{
	if (reply->error == 0)
		return false;
	if (reply->error != -EREMOTEIO) {
		command_fail(command, CODE_COMMAND_FAILED, "no_bus", "the system bus: %s", reply->text);
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		if (strcmp(refusals[i].name, reply->name) == 0) {
			command_fail(command, refusals[i].code, refusals[i].reason, "%s", reply->text);
			return true;
		}
	}
	command_fail(command, CODE_COMMAND_FAILED, NULL, "%s (%s)", reply->text, reply->name);
	return true;
}

static void on_reply(void *data, const struct bus_reply *reply)
{
	struct bus_work *work = data;

	work->call = NULL;
	work->heard = work->heard || reply->error == 0 || reply->error == -EREMOTEIO;
	work->step(work->command, reply);
}

int bus_work_send(struct command *command, bus_step step, sd_bus_message *message)
{
	struct bus_work *work = command->work;

	work->step = step;
	return bus_call(command_env(command)->bus, message, TIME_NEVER, on_reply, work, &work->call);
}

static int ask(struct bus *bus, uint64_t timeout_ns, bus_reply_fn done, void *data, struct bus_call **ret,
	       const char *destination, const char *path, const char *interface, const char *member, const char *types,
	       va_list args)
{
	sd_bus_message *message = NULL;
	int r = bus_message(bus, destination, path, interface, member, &message);

	if (r >= 0 && types)
		r = sd_bus_message_appendv(message, types, args);
	if (r >= 0)
		r = bus_call(bus, message, timeout_ns, done, data, ret);
	sd_bus_message_unref(message);
	return r;
}

int bus_ask(struct bus *bus, uint64_t timeout_ns, bus_reply_fn done, void *data, struct bus_call **ret,
	    const char *destination, const char *path, const char *interface, const char *member, const char *types,
	    ...)
{
	va_list args;
	int r;

	va_start(args, types);
	r = ask(bus, timeout_ns, done, data, ret, destination, path, interface, member, types, args);
	va_end(args);
	return r;
}

bool bus_work_call(struct command *command, bus_step step, const char *destination, const char *path,
		   const char *interface, const char *member, const char *types, ...)
{
	struct bus_work *work = command->work;
	va_list args;
	int r;

	work->step = step;
	va_start(args, types);
	/* The command's own deadline limits it. */
	r = ask(command_env(command)->bus, TIME_NEVER, on_reply, work, &work->call, destination, path, interface,
		member, types, args);
	va_end(args);
	if (r < 0)
		bus_work_fail(command, r);
	return r >= 0;
}
