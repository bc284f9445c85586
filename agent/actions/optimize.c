/* SPDX-License-Identifier: MIT */
/*
 * CheckResourceOptimization: whether the guest's size fits its use, by what the local metric log holds of the days
 * asked for. Without a day of history there is no advice, and the answer says so.
 */
#include "agent/actions/table.h"

#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/metrics/trend.h"
#include "agent/actions/env.h"
#include "agent/actions/health.h"
#include "collectors/processes.h"
#include "collectors/table.h"

#define WINDOW_DAYS_MAX 365
#define PROCESSES	5
/* Processes examined beyond those shown: the agent's own are never more. */
#define PROCESSES_LOOKED_AT 32
/* CPU time over the age of a process that has only begun says nothing of what it uses. */
#define AGE_MIN_MS 1000

struct findings {
	struct command *command;
	const struct health_work *work;
	struct advice advice[ADVICE_MAX];
	size_t count;
};

/*
 * True for the agent with its helpers, and for the executor with its supervisors; the commands themselves count as
 * other work. The privileged executor is no child of the agent, so it is found by name; only processes of root and the
 * agent's user count, so that no other process can hide behind the name.
 */
static bool is_ours(const struct action_env *env, const struct process_row *row)
{
	static const char name[] = "infiniservice";
	pid_t executor = exec_stats(env->runner).executor;

	return row->pid == getpid() || row->ppid == getpid() || (executor > 0 && row->ppid == executor) ||
	       (row->comm_len >= sizeof(name) - 1 && memcmp(row->comm, name, sizeof(name) - 1) == 0 && row->uid_known &&
		(row->uid == 0 || row->uid == geteuid()));
}

/* The processes that use most of the CPU now: beside the advice, not its reason. */
static void emit_processes(struct sink *out, const struct command *command)
{
	struct action_env *env = command_env(command);
	struct collect_ctx ctx = env_context(env, &collector_processes);
	void *state = sampling_state(env->sampling, &collector_processes);
	struct process_row rows[PROCESSES_LOOKED_AT];
	size_t count = state ? processes_sorted(state, &ctx, PROCESSES_BY_CPU, rows, ARRAY_SIZE(rows)) : 0, written = 0;

	sink_array_begin(out, "processes");
	for (size_t i = 0; i < count && written < PROCESSES; i++) {
		if (is_ours(env, &rows[i]) || env->loop->now.wall_ms - rows[i].start_wall_ms < AGE_MIN_MS)
			continue;
		written++;
		sink_object_begin(out, NULL);
		sink_int(out, "pid", rows[i].pid);
		sink_text(out, "name", rows[i].comm, rows[i].comm_len, SINK_COMM_MAX);
		sink_real(out, "cpu_usage", rows[i].cpu_percent, 2);
		sink_uint(out, "memory_kb", rows[i].rss_kb);
		sink_object_end(out);
	}
	sink_array_end(out);
}

static void emit_share(struct sink *out, const char *key, const struct trend_share *share)
{
	sink_object_begin(out, key);
	sink_real(out, "average_percent", trend_share_average(share), 2);
	sink_real(out, "p95_percent", trend_share_percentile(share, 95), 2);
	sink_real(out, "max_percent", share->max, 2);
	sink_object_end(out);
}

static void emit_findings(struct sink *out, const char *key, const void *arg)
{
	const struct findings *findings = arg;
	const struct health_facts *facts = &findings->work->facts;
	const struct trend *trend = &findings->work->trend;
	const char *message =
		findings->count ? "the guest's size does not fit its use" : "the guest's size fits its use";
	char text[RFC3339_SIZE];

	if (!facts->trend || trend->error < 0)
		message = "the metric log could not be read: nothing is known of the past";
	else if (!trend_enough(trend))
		message = "not enough history: at least a day of samples is needed before anything can be recommended";
	sink_object_begin(out, key);
	sink_str(out, "status", findings->count ? "suboptimal" : "optimal");
	sink_str(out, "message", message);
	sink_array_begin(out, "recommendations");
	for (const struct advice *advice = findings->advice; advice < findings->advice + findings->count; advice++) {
		sink_object_begin(out, NULL);
		sink_str(out, "resource", advice->resource);
		sink_real(out, "current_value", advice->current, 2);
		sink_real(out, "recommended_value", advice->recommended, 2);
		sink_str(out, "unit", advice->unit);
		sink_str(out, "reason", advice->reason);
		sink_real(out, "potential_savings_percent", advice->savings_percent, 1);
		sink_object_end(out);
	}
	sink_array_end(out);
	emit_processes(out, findings->command);
	/* What the advice is based on. */
	sink_object_begin(out, "history");
	sink_uint(out, "evaluation_window_days", facts->window_days);
	sink_bool(out, "enough", facts->trend && trend_enough(trend));
	sink_bool(out, "complete", facts->trend && !trend->partial && trend->error == 0);
	sink_uint(out, "samples", trend->samples);
	if (trend->samples) {
		rfc3339_format(trend->first_ms, text);
		sink_str(out, "begin", text);
		rfc3339_format(trend->last_ms, text);
		sink_str(out, "end", text);
		emit_share(out, "cpu", &trend->cpu);
		emit_share(out, "memory", &trend->memory);
	}
	sink_object_end(out);
	sink_object_end(out);
}

static void answer(struct command *command, struct health_work *work)
{
	struct findings findings = { .command = command, .work = work };

	if (work->facts.trend)
		findings.count = advice_make(&work->trend, findings.advice);
	command_succeed(command, emit_findings, &findings);
}

static void run_check_resource_optimization(struct command *command)
{
	struct message_fault fault;
	int64_t days = HEALTH_WINDOW_DAYS;

	if (message_param_integer(&command->message, "evaluation_window_days", 1, WINDOW_DAYS_MAX, &days, &fault) < 0)
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
	else
		health_gather(command, HEALTH_TREND, NULL, (unsigned)days, answer);
}

const struct action action_check_resource_optimization = { .name = "CheckResourceOptimization",
							   .group = GROUP_OBSERVE,
							   .slot = true,
							   .timeout_s = 240,
							   .run = run_check_resource_optimization };
