/* SPDX-License-Identifier: MIT */
/*
 * Gathering facts for health checks; see health_work.h. Facts that are waited for in the loop come first, programs
 * last.
 */
#include "agent/actions/health_work.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

#include "agent/actions/env.h"
#include "agent/actions/bus_work.h"

#define DAY_MS INT64_C(86400000)

static void work_free(void *data)
{
	struct health_work *work = data;

	work->job = trend_cancel(work->job);
	work->call = bus_cancel(work->call);
	free(work);
}

struct health_work *health_work_new(struct command *command)
{
	struct health_work *work = calloc(1, sizeof(*work));

	if (!work) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
		return NULL;
	}
	work->command = command;
	command->work = work;
	command->work_free = work_free;
	return work;
}

/* ------------------------------------------------------------------------------------------------------- the trend */

static void on_trend(void *data, const struct trend *trend)
{
	struct health_work *work = data;

	work->job = NULL;
	if (trend) {
		work->trend = *trend;
		work->facts.trend = &work->trend;
	}
	health_work_start(work);
}

/* Half of the time there is, so that the rest remains for the other facts. */
static bool ask_trend(struct health_work *work)
{
	struct action_env *env = command_env(work->command);
	struct moment now = env->loop->now;
	struct trend_request *request = calloc(1, sizeof(*request));
	bool asked;

	if (!request)
		return false;
	request->begin_ms = now.wall_ms - work->window_days * DAY_MS;
	request->end_ms = INT64_MAX;
	request->limit_ms =
		work->command->term_ns > now.mono_ns ? (work->command->term_ns - now.mono_ns) / 2 / NS_PER_MS : 0;
	snprintf(request->dir, sizeof(request->dir), "%s", env->config->log.dir);
	asked = env->config->log.enabled && trend_start(env->loop->ev, request, on_trend, work, &work->job) == 0;
	free(request);
	return asked;
}

/* -------------------------------------------------------------------------------------------------- failed units */

void health_name(struct health_names *names, const char *name)
{
	size_t len = strlen(names->text), more = strlen(name);

	names->count++;
	if (names->told + 1 < names->count || len + more + HEALTH_NAMES_REST > sizeof(names->text))
		return;
	snprintf(names->text + len, sizeof(names->text) - len, "%s%s", len ? ", " : "", name);
	names->told++;
}

void health_names_end(struct health_names *names)
{
	size_t len = strlen(names->text);

	if (names->told < names->count)
		snprintf(names->text + len, sizeof(names->text) - len, "%s%u%s", len ? " and " : "",
			 names->count - names->told, len ? " more" : " of them");
}

/* a(ssssssouso): the name comes first, org.freedesktop.systemd1(5). */
static bool read_units(sd_bus_message *message, struct health_facts *facts)
{
	const char *name;
	int r = sd_bus_message_enter_container(message, 'a', "(ssssssouso)");

	while (r >= 0 && (r = sd_bus_message_enter_container(message, 'r', "ssssssouso")) > 0) {
		r = sd_bus_message_read(message, "s", &name);
		if (r >= 0)
			r = sd_bus_message_skip(message, "sssssouso");
		if (r >= 0)
			r = sd_bus_message_exit_container(message);
		if (r >= 0)
			health_name(&facts->failed, name);
	}
	health_names_end(&facts->failed);
	return r >= 0;
}

/* As sd_booted(3) asks: a manager that cannot be reached is there all the same. */
static bool booted_by_systemd(void)
{
	return access("/run/systemd/system", F_OK) == 0;
}

static void on_units(void *data, const struct bus_reply *reply)
{
	struct health_work *work = data;

	work->call = NULL;
	work->facts.units_absent = reply->error == -ENOTCONN && !booted_by_systemd();
	work->facts.units_known = reply->error == 0 && read_units(reply->message, &work->facts);
	health_work_start(work);
}

static bool ask_units(struct health_work *work)
{
	struct bus *bus = command_env(work->command)->bus;
	sd_bus_message *message = NULL;
	int r = bus_message(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "ListUnitsFiltered", &message);

	if (r >= 0)
		r = sd_bus_message_append(message, "as", 1, "failed");
	if (r >= 0)
		r = bus_call(bus, message, 10 * NS_PER_S, on_units, work, &work->call);
	sd_bus_message_unref(message);
	work->facts.units_absent = r < 0 && r != -EBUSY && r != -ENOMEM && !booted_by_systemd();
	return r >= 0;
}

/* -------------------------------------------------------------------------------------------------------- the clock */

#define TIMEDATE_NAME	  "org.freedesktop.timedate1"
#define TIMEDATE_PATH	  "/org/freedesktop/timedate1"
#define PROPERTIES	  "org.freedesktop.DBus.Properties"
#define TIMEDATE_PROPERTY "NTPSynchronized"

static void on_clock(void *data, const struct bus_reply *reply)
{
	struct health_work *work = data;
	int synchronised;

	work->call = NULL;
	if (reply->error == 0 && sd_bus_message_enter_container(reply->message, 'v', "b") > 0 &&
	    sd_bus_message_read(reply->message, "b", &synchronised) > 0)
		work->facts.clock = synchronised ? CLOCK_SYNCHRONISED : CLOCK_FREE;
	health_work_start(work);
}

/*
 * The kernel's own view: STA_UNSYNC is cleared by the daemon that disciplines the clock, adjtimex(2). The service's
 * sandbox (ProtectClock=) forbids the call, as it could set the clock, too; then systemd-timedated(8) is asked instead.
 */
static bool ask_clock(struct health_work *work)
{
	struct timex state = { .modes = 0 };
	struct bus *bus = command_env(work->command)->bus;
	sd_bus_message *message = NULL;
	int r;

	if (adjtimex(&state) >= 0) {
		work->facts.clock = state.status & STA_UNSYNC ? CLOCK_FREE : CLOCK_SYNCHRONISED;
		return false;
	}
	r = bus_message(bus, TIMEDATE_NAME, TIMEDATE_PATH, PROPERTIES, "Get", &message);
	if (r >= 0)
		r = sd_bus_message_append(message, "ss", TIMEDATE_NAME, TIMEDATE_PROPERTY);
	if (r >= 0)
		r = bus_call(bus, message, 5 * NS_PER_S, on_clock, work, &work->call);
	sd_bus_message_unref(message);
	return r >= 0;
}

void health_work_start(struct health_work *work)
{
	if (work->want_trend) {
		work->want_trend = false;
		if (ask_trend(work))
			return;
	}
	if (work->want_units) {
		work->want_units = false;
		if (ask_units(work))
			return;
	}
	if (work->want_clock) {
		work->want_clock = false;
		if (ask_clock(work))
			return;
	}
	if (health_programs_next(work))
		return;
	work->finish(work->command, work);
}
