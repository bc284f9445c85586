/* SPDX-License-Identifier: MIT */
/* The checks; see health.h. Files of /proc are read here and now: they come from memory, not from a disk. */
#include "agent/actions/health.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/sink.h>

#include "agent/metrics/trend.h"
#include "agent/actions/env.h"
#include "agent/actions/run.h"
#include "agent/metrics/disk_judge.h"
#include "collectors/cpu.h"
#include "collectors/host.h"
#include "collectors/memory.h"
#include "collectors/procfs.h"
#include "collectors/table.h"

#define MEMORY_WARNING	 10.0 /* percent available */
#define MEMORY_FAILED	 5.0
#define LOAD_WARNING	 2.0 /* a core, over 5 minutes */
#define LOAD_FAILED	 8.0
#define STEAL_WARNING	 10.0 /* percent of the processors' time that the host gave to others */
#define STEAL_FAILED	 50.0
#define PRESSURE_WARNING 20.0 /* percent of a minute in which some tasks waited */
#define PRESSURE_FAILED	 60.0

/* Sets the status and the message, unless the status so far is worse. */
__attribute__((format(printf, 3, 4))) static void say(struct health_result *result, enum health_status status,
						      const char *format, ...)
{
	va_list args;

	if (result->message[0] && status < result->status)
		return;
	result->status = status;
	va_start(args, format);
	vsnprintf(result->message, sizeof(result->message), format, args);
	va_end(args);
}

static void note(struct health_result *result, const char *key, double value)
{
	if (result->detail_count < HEALTH_DETAILS_MAX)
		result->details[result->detail_count++] = (struct health_detail){ .key = key, .number = value };
}

static void note_text(struct health_result *result, const char *key, const char *value)
{
	struct health_detail *detail;

	if (result->detail_count == HEALTH_DETAILS_MAX)
		return;
	detail = &result->details[result->detail_count++];
	*detail = (struct health_detail){ .key = key, .is_text = true };
	snprintf(detail->text, sizeof(detail->text), "%s", value);
}

/* ------------------------------------------------------------------------------------------------------- the checks */

static double share(uint64_t part, uint64_t whole)
{
	return whole ? (double)part * 100 / (double)whole : 0;
}

static void check_disk_space(const struct health_facts *facts, struct health_result *result)
{
	static const enum health_status statuses[] = {
		[DISK_OK] = HEALTH_PASSED, [DISK_TIGHT] = HEALTH_WARNING, [DISK_FULL] = HEALTH_FAILED
	};
	struct disk_verdict verdict;
	enum disk_level level;
	bool inodes, full;

	disk_judge(sampling_state(facts->env->sampling, &collector_filesystem), &verdict);
	level = disk_level(&verdict, DISK_WARNING, DISK_CRITICAL);
	if (verdict.judged == 0 && (verdict.unknown || verdict.not_judged == 0)) {
		say(result, HEALTH_WARNING, "how full the file systems are is not known");
		return;
	}
	inodes = verdict.inodes >= DISK_INODES_CRITICAL;
	full = verdict.judged && verdict.used >= DISK_CRITICAL;
	/*
	 * A file system that does not answer may be full, so the check does not pass. Else those are named that cause
	 * the status: the fullest one, the one short of inodes, or both.
	 */
	if (verdict.silent == 1 && level == DISK_OK)
		say(result, HEALTH_WARNING, "%.100s does not answer, so how full it is is not known",
		    verdict.silent_at);
	else if (verdict.silent && level == DISK_OK)
		say(result, HEALTH_WARNING, "%.100s and %u more do not answer, so how full they are is not known",
		    verdict.silent_at, verdict.silent - 1);
	else if (inodes && full)
		say(result, statuses[level], "%.100s is %.1f %% full, and %.100s has %.1f %% of its inodes in use",
		    verdict.worst.mount_point, verdict.used, verdict.inodes_at, verdict.inodes);
	else if (inodes)
		say(result, statuses[level], "%.100s has %.1f %% of its inodes in use", verdict.inodes_at,
		    verdict.inodes);
	else if (verdict.judged)
		say(result, statuses[level], "%.100s is %.1f %% full", verdict.worst.mount_point, verdict.used);
	else
		say(result, statuses[level], "there is no file system that could run full");
	if (verdict.judged) {
		note_text(result, "fullest_mount_point", verdict.worst.mount_point);
		note(result, "usage_percent", verdict.used);
		note(result, "available_gb", (double)verdict.worst.available_bytes / (1 << 30));
	}
	if (verdict.inodes >= 0)
		note(result, "inodes_percent", verdict.inodes);
	note(result, "mounts_not_answering", verdict.unknown);
	note(result, "mounts_not_judged", verdict.not_judged);
}

static ssize_t read_proc(const struct health_facts *facts, const char *path, char *text, size_t size)
{
	struct collect_ctx ctx = env_context(facts->env, &collector_memory);

	return procfs_read_once(ctx.proc_fd, path, text, size);
}

static void check_memory(const struct health_facts *facts, struct health_result *result)
{
	char text[8192];
	ssize_t len = read_proc(facts, "meminfo", text, sizeof(text));
	struct meminfo info;
	double available;

	if (len < 0 || meminfo_parse(text, (size_t)len, &info) < 0) {
		say(result, HEALTH_WARNING, "memory use is not known");
		return;
	}
	available = share(info.available_kb, info.total_kb);
	say(result,
	    available < MEMORY_FAILED	 ? HEALTH_FAILED
	    : available < MEMORY_WARNING ? HEALTH_WARNING
					 : HEALTH_PASSED,
	    "%.1f %% of %.0f MB are available", available, (double)info.total_kb / 1024);
	note(result, "total_kb", (double)info.total_kb);
	note(result, "available_kb", (double)info.available_kb);
	if (info.swap_total_kb != MEMINFO_ABSENT && info.swap_total_kb && info.swap_free_kb <= info.swap_total_kb)
		note(result, "swap_used_percent", share(info.swap_total_kb - info.swap_free_kb, info.swap_total_kb));
}

static void check_cpu_load(const struct health_facts *facts, struct health_result *result)
{
	char text[256];
	ssize_t len = read_proc(facts, "loadavg", text, sizeof(text));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct host_load load;
	double each;

	if (len < 0 || loadavg_parse(text, (size_t)len, &load) < 0 || cores < 1) {
		say(result, HEALTH_WARNING, "the load is not known");
		return;
	}
	each = load.load_5min / (double)cores;
	say(result,
	    each >= LOAD_FAILED	   ? HEALTH_FAILED
	    : each >= LOAD_WARNING ? HEALTH_WARNING
				   : HEALTH_PASSED,
	    "load %.2f over 5 minutes on %ld cores", load.load_5min, cores);
	note(result, "load_1min", load.load_1min);
	note(result, "load_5min", load.load_5min);
	note(result, "load_15min", load.load_15min);
	note(result, "cores", (double)cores);
}

/*
 * Steal is no use of this guest's: it looks like a slow machine from within, and nothing in here can be done about it.
 */
static void check_cpu_steal(const struct health_facts *facts, struct health_result *result)
{
	struct cpu_share share = cpu_last_share(sampling_state(facts->env->sampling, &collector_cpu));
	double steal = share.state[CPU_STEAL];

	if (!share.known) {
		say(result, HEALTH_WARNING, "how much time the host gave to other machines is not known");
		return;
	}
	say(result,
	    steal >= STEAL_FAILED    ? HEALTH_FAILED
	    : steal >= STEAL_WARNING ? HEALTH_WARNING
				     : HEALTH_PASSED,
	    "the host gave %.1f %% of the processors' time to others (steal), beside %.1f %% in use", steal,
	    share.usage);
	note(result, "steal_percent", steal);
	note(result, "usage_percent", share.usage);
}

/*
 * Judges the shares of a minute, in percent, in which some tasks waited for a CPU, memory, I/O. One task more than
 * there are CPUs makes "some" of cpu 100 %: busy, not broken. check_cpu_load judges the load.
 */
static void check_pressure(const struct health_facts *facts, struct health_result *result)
{
	static const struct {
		const char *path, *key, *words;
		enum health_status worst;
	} pressures[] = {
		{ "pressure/cpu", "cpu_percent", "a CPU", HEALTH_WARNING },
		{ "pressure/memory", "memory_percent", "memory", HEALTH_FAILED },
		{ "pressure/io", "io_percent", "I/O", HEALTH_FAILED },
	};
	int errors[ARRAY_SIZE(pressures)] = { 0 };
	unsigned absent = 0;

	for (size_t i = 0; i < ARRAY_SIZE(pressures); i++) {
		/* "some avg10=0.00 avg60=1.23 avg300=… total=…", Documentation/accounting/psi.rst. */
		char text[512];
		ssize_t len = read_proc(facts, pressures[i].path, text, sizeof(text) - 1);
		const char *at;
		double value;

		text[len < 0 ? 0 : len] = '\0';
		at = strstr(text, "avg60=");
		if (len < 0) {
			/* A kernel that could measure it and does not refuses to read. */
			absent += len == -ENOENT || len == -EOPNOTSUPP;
			errors[i] = len == -EOPNOTSUPP ? ENOENT : (int)-len;
		} else if (!at || sscanf(at, "avg60=%lf", &value) != 1 || value < 0) {
			errors[i] = EBADMSG;
		} else {
			note(result, pressures[i].key, value);
			if (value >= PRESSURE_WARNING)
				say(result, value >= PRESSURE_FAILED ? pressures[i].worst : HEALTH_WARNING,
				    "tasks waited for %s in %.0f %% of the last minute", pressures[i].words, value);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(pressures) && result->status == HEALTH_PASSED; i++)
		if (errors[i] && absent < ARRAY_SIZE(pressures))
			say(result, HEALTH_WARNING, "how long tasks wait for %s could not be read: %s",
			    pressures[i].words, strerror(errors[i]));
	say(result, HEALTH_PASSED,
	    absent < ARRAY_SIZE(pressures) ? "hardly a task had to wait" : "this kernel does not measure pressure");
}

static void check_clock(const struct health_facts *facts, struct health_result *result)
{
	if (facts->clock == CLOCK_UNKNOWN)
		say(result, HEALTH_WARNING, "whether the clock is synchronised is not known");
	else if (facts->clock == CLOCK_FREE)
		say(result, HEALTH_WARNING, "nothing synchronises the clock");
	else
		say(result, HEALTH_PASSED, "the clock is synchronised");
	note(result, "clock_steps", (double)*facts->env->clock_steps);
}

static void check_log(const struct health_facts *facts, struct health_result *result)
{
	struct logger_stats stats;

	logger_check(facts->env->logger, facts->env->loop->now);
	stats = logger_stats(facts->env->logger);
	if (!facts->env->config->log.enabled)
		say(result, HEALTH_PASSED, "the metric log is switched off");
	else if (stats.state == LOGGER_FAILED)
		say(result, HEALTH_FAILED, "the metric log cannot be written: %s",
		    strerror(stats.error < 0 ? -stats.error : EIO));
	else if (stats.state == LOGGER_LAGGING)
		say(result, HEALTH_WARNING, "the metric log lags behind");
	else
		say(result, HEALTH_PASSED, "the metric log is written");
	note(result, "written", (double)stats.written);
	note(result, "dropped", (double)stats.dropped);
	note(result, "queued", (double)stats.queued);
}

static void check_resource_optimization(const struct health_facts *facts, struct health_result *result)
{
	struct advice advice[ADVICE_MAX];
	size_t count = facts->trend ? advice_make(facts->trend, advice) : 0;

	note(result, "window_days", facts->window_days);
	if (!facts->env->config->log.enabled) {
		say(result, HEALTH_PASSED, "the metric log is switched off: there is no history to go by");
		return;
	}
	if (!facts->trend || facts->trend->error < 0) {
		say(result, HEALTH_WARNING, "the metric log could not be read; nothing is known of the past");
		return;
	}
	note(result, "samples", (double)facts->trend->samples);
	note(result, "hours_covered", (double)(facts->trend->last_ms - facts->trend->first_ms) / 3600000);
	if (!count && facts->trend->partial)
		say(result, HEALTH_WARNING,
		    "there was no time to read all of the metric log; whether the guest's size fits its use is "
		    "not known");
	else if (!trend_enough(facts->trend))
		say(result, HEALTH_PASSED, "not enough history yet: a day of samples is needed");
	else if (count)
		say(result, HEALTH_WARNING, "%.100s: %s", advice[0].resource, advice[0].reason);
	else
		say(result, HEALTH_PASSED, "the guest's size fits its use");
	note(result, "recommendations", (double)count);
}

static void check_failed_units(const struct health_facts *facts, struct health_result *result)
{
	if (!facts->units_known) {
		say(result, facts->units_absent ? HEALTH_PASSED : HEALTH_WARNING,
		    facts->units_absent ? "there is no service manager to ask"
					: "which units have failed could not be asked");
		return;
	}
	if (facts->failed.count) {
		say(result, HEALTH_WARNING, "%u units have failed", facts->failed.count);
		note_text(result, "units", facts->failed.text);
	} else {
		say(result, HEALTH_PASSED, "no unit has failed");
	}
	note(result, "failed_units", facts->failed.count);
}

static void check_reboot_required(const struct health_facts *facts, struct health_result *result)
{
	if (!facts->reboot_known && facts->reboot_asked)
		say(result, HEALTH_WARNING, "whether a reboot is due could not be read");
	else if (!facts->reboot_known)
		say(result, HEALTH_PASSED, "this distribution does not say whether a reboot is due");
	else if (facts->reboot_required)
		say(result, HEALTH_WARNING, "an update waits for a reboot");
	else
		say(result, HEALTH_PASSED, "no reboot is due");
}

static void check_packages(const struct health_facts *facts, struct health_result *result)
{
	const struct health_packages *packages = &facts->packages;

	if (packages->broken)
		say(result, HEALTH_FAILED, "the package manager cannot read its own database");
	if (packages->interrupted)
		say(result, HEALTH_FAILED,
		    "dpkg was interrupted, and does nothing before \"dpkg --configure -a\" was run");
	if (packages->incomplete.count)
		say(result, HEALTH_WARNING, "%u packages are neither installed nor gone: %.100s",
		    packages->incomplete.count, packages->incomplete.text);
	if (packages->check_failed && packages->unmet)
		say(result, HEALTH_WARNING, "%u packages lack what they need, the first is %.60s", packages->unmet,
		    packages->unmet_first);
	else if (packages->check_failed)
		say(result, HEALTH_WARNING, "the package manager's own check failed");
	else if (!packages->check_known && packages->checkable)
		say(result, HEALTH_WARNING, "whether packages have what they need could not be asked");
	if (!packages->interrupted_known && packages->interruptible)
		say(result, HEALTH_WARNING, "whether the package manager was interrupted could not be looked at");
	if (!packages->list_known && !packages->broken && packages->managed)
		say(result, HEALTH_WARNING,
		    "the list of packages could not be read whole, so what is not installed whole is not known");
	else if (!packages->list_known && !packages->broken)
		say(result, HEALTH_PASSED, "there is no package manager that could be asked");
	else
		say(result, HEALTH_PASSED, "all packages are installed whole");
	note(result, "incomplete", packages->incomplete.count);
	if (packages->incomplete.count)
		note_text(result, "incomplete_packages", packages->incomplete.text);
	if (packages->interrupted_known)
		note_text(result, "interrupted", packages->interrupted ? "yes" : "no");
	note_text(result, "dependencies",
		  !packages->check_known   ? "not known"
		  : packages->check_failed ? "broken"
					   : "met");
	note(result, "unmet_dependencies", packages->unmet);
}

/* An executor that is off is the owner's choice, and no fault. */
static void check_executor(const struct health_facts *facts, struct health_result *result)
{
	struct exec *list[] = { facts->env->runner, facts->env->executor };

	say(result, HEALTH_PASSED, "commands can be started");
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		if (exec_state(list[i]) == EXEC_STATE_FAULT)
			say(result, HEALTH_FAILED, "%s", exec_fault(list[i]));
		else if (exec_state(list[i]) == EXEC_STATE_OFF && !privilege_is_root())
			say(result, HEALTH_PASSED, "the executor is off: nothing that needs rights is done");
	}
}

const struct health_check health_checks[HEALTH_CHECKS] = {
	{ "disk_space", NULL, 0, check_disk_space },
	{ "resource_optimization", NULL, HEALTH_TREND, check_resource_optimization },
	{ "memory", "memory_usage", 0, check_memory },
	{ "cpu_load", "cpu_usage", 0, check_cpu_load },
	{ "cpu_steal", NULL, 0, check_cpu_steal },
	{ "pressure", NULL, 0, check_pressure },
	{ "clock", NULL, HEALTH_CLOCK, check_clock },
	{ "log", NULL, 0, check_log },
	{ "executor", NULL, 0, check_executor },
	{ "failed_units", "critical_services", HEALTH_UNITS, check_failed_units },
	{ "packages", NULL, HEALTH_PACKAGES, check_packages },
	{ "reboot_required", NULL, HEALTH_REBOOT, check_reboot_required },
};

const struct health_check *health_check_find(const char *name)
{
	for (const struct health_check *check = health_checks; check < health_checks + HEALTH_CHECKS; check++)
		if (strcasecmp(check->name, name) == 0 || (check->alias && strcasecmp(check->alias, name) == 0))
			return check;
	return NULL;
}

struct health_results *health_results_new(const struct health_facts *facts)
{
	struct health_results *results = calloc(1, sizeof(*results));

	if (!results)
		return NULL;
	for (size_t i = 0; i < HEALTH_CHECKS; i++) {
		struct health_result *result = &results->list[i];

		result->name = health_checks[i].name;
		health_checks[i].run(facts, result);
		if (!results->worst || result->status > results->worst->status)
			results->worst = result;
	}
	return results;
}

/* ------------------------------------------------------------------------------------------------------------ data */

const char *health_status_name(enum health_status status)
{
	static const char *const names[] = { "passed", "warning", "failed" };

	return names[status];
}

void health_emit(struct sink *out, const char *key, const struct health_result *result, bool named)
{
	sink_object_begin(out, key);
	sink_str(out, "status", health_status_name(result->status));
	sink_str(out, "message", result->message);
	sink_object_begin(out, "details");
	for (size_t i = 0; i < result->detail_count; i++) {
		if (result->details[i].is_text)
			sink_str(out, result->details[i].key, result->details[i].text);
		else
			sink_real(out, result->details[i].key, result->details[i].number, 2);
	}
	if (named)
		sink_str(out, "check_name", result->name);
	sink_object_end(out);
	sink_object_end(out);
}

void health_results_emit(struct sink *out, const struct health_results *results)
{
	static const char *const words[] = { "Healthy", "Warning", "Critical" };

	sink_str(out, "overall_health", words[results->worst->status]);
	for (size_t i = 0; i < HEALTH_CHECKS; i++)
		health_emit(out, results->list[i].name, &results->list[i], false);
}
