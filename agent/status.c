/* SPDX-License-Identifier: MIT */
/* The contents of Status: the state of the agent, for `infinictl status` and for hosts. */
#include "agent/agent.h"

#include <unistd.h>

#include <infiniservice/libc.h>

static void emit_breaker(struct sink *out, const struct agent *agent)
{
	static const char *const states[] = { "Closed", "Open", "HalfOpen" };
	struct moment now = agent->loop.now;
	struct reply_breaker_state breaker = breaker_describe(&agent->breaker, &now);
	char timestamp[RFC3339_SIZE];

	sink_object_begin(out, "circuit_breaker");
	sink_str(out, "state", states[breaker.state]);
	sink_uint(out, "failure_count", breaker.failure_count);
	if (breaker.last_failure_ms >= 0)
		rfc3339_format(breaker.last_failure_ms, timestamp);
	sink_str(out, "last_failure_time", breaker.last_failure_ms >= 0 ? timestamp : NULL);
	if (breaker.recovery_eta_s >= 0)
		sink_int(out, "recovery_eta_seconds", breaker.recovery_eta_s);
	else
		sink_null(out, "recovery_eta_seconds");
	sink_object_end(out);
}

static void emit_port(struct sink *out, const struct agent *agent)
{
	const struct port_stats *stats = port_stats(agent->port);

	sink_object_begin(out, "port");
	sink_str(out, "spec", agent->config.port.spec);
	sink_str(out, "state", port_state_name(port_state(agent->port)));
	sink_str(out, "where", port_where(agent->port));
	sink_uint(out, "sessions", stats->sessions);
	sink_uint(out, "renewals", stats->renewals);
	sink_uint(out, "bytes_in", stats->bytes_in);
	sink_uint(out, "bytes_out", stats->bytes_out);
	sink_uint(out, "queued_bytes", port_queued_bytes(agent->port));
	sink_uint(out, "replies_sent", stats->lines_sent[LINE_REPLY] + stats->lines_sent[LINE_BULK]);
	sink_uint(out, "replies_dropped",
		  stats->lines_dropped[LINE_REPLY] + stats->lines_refused[LINE_REPLY] +
			  stats->lines_dropped[LINE_BULK] + stats->lines_refused[LINE_BULK]);
	sink_uint(out, "samples_sent", stats->lines_sent[LINE_SAMPLE]);
	sink_uint(out, "samples_dropped", stats->lines_dropped[LINE_SAMPLE] + stats->lines_refused[LINE_SAMPLE]);
	sink_uint(out, "stalls", stats->stalls);
	sink_uint(out, "faults", stats->faults);
	emit_breaker(out, agent);
	sink_uint(out, "lines_in", agent->port_session.lines_in);
	sink_uint(out, "bad_lines", agent->port_session.bad_lines);
	sink_uint(out, "half_lines", agent->port_session.half_lines);
	sink_object_end(out);
}

static void emit_log(struct sink *out, const struct agent *agent)
{
	static const char *const states[] = { "ok", "lagging", "failed" };
	struct logger_stats stats = logger_stats(agent->logger);

	sink_object_begin(out, "log");
	sink_bool(out, "enabled", agent->config.log.enabled);
	sink_str(out, "dir", agent->config.log.dir);
	sink_str(out, "state", states[stats.state]);
	sink_str(out, "error", stats.error ? strerrorname_np(-stats.error) : NULL);
	sink_uint(out, "taken", stats.put);
	sink_uint(out, "written", stats.written);
	sink_uint(out, "dropped", stats.dropped);
	sink_uint(out, "queued", stats.queued);
	sink_uint(out, "restarts", stats.restarts);
	sink_uint(out, "last_seq", stats.last_seq);
	sink_int(out, "pid", stats.pid);
	sink_object_end(out);
}

static void emit_executor_state(struct sink *out, struct exec *exec)
{
	static const char *const states[] = { "off", "idle", "ready", "unusable" };
	const char *fault = exec_fault(exec);

	sink_str(out, "state", states[exec_state(exec)]);
	sink_str(out, "place", exec_place(exec));
	sink_str(out, "fault", *fault ? fault : NULL);
}

static void emit_bus(struct sink *out, const struct agent *agent)
{
	static const char *const states[] = { "unused", "reading", "ready", "unusable" };
	const char *fault = bus_fault(agent->bus);

	sink_object_begin(out, "bus");
	sink_str(out, "state", states[bus_state(agent->bus)]);
	sink_str(out, "fault", *fault ? fault : NULL);
	sink_uint(out, "open_us", libsystemd_open_ns() / NS_PER_US);
	sink_object_end(out);
}

static void emit_helpers(struct sink *out, const struct agent *agent)
{
	struct prober_stats prober = prober_stats(agent->prober);
	struct exec_stats exec = exec_stats(agent->exec);

	sink_object_begin(out, "prober");
	sink_uint(out, "requests", prober.requests);
	sink_uint(out, "timeouts", prober.timeouts);
	sink_uint(out, "stuck", prober.stuck);
	sink_uint(out, "starts", prober.child_starts);
	sink_int(out, "pid", prober.child);
	sink_object_end(out);
	sink_object_begin(out, "executor");
	sink_uint(out, "running", exec.running);
	sink_uint(out, "started", exec.accepted);
	sink_uint(out, "done", exec.done);
	sink_uint(out, "stuck", exec.stuck);
	sink_uint(out, "lost", exec.lost);
	sink_uint(out, "starts", exec.executor_starts);
	sink_int(out, "pid", exec.executor);
	emit_executor_state(out, agent->exec);
	sink_object_begin(out, "privileged");
	emit_executor_state(out, agent->privileged);
	sink_object_end(out);
	sink_object_end(out);
}

static void emit_published(struct sink *out, const char *key, uint64_t taken, uint64_t missed)
{
	sink_object_begin(out, key);
	sink_uint(out, "taken", taken);
	sink_uint(out, "missed", missed);
	sink_object_end(out);
}

/* A fault that lasts, or an alert that is not over. */
static void report_standing(void *data, const struct reply_event *event)
{
	static const char *const severities[] = { "debug", "info", "warn", "error" };
	struct sink *out = data;

	sink_object_begin(out, NULL);
	sink_str(out, "severity", severities[event->severity]);
	sink_str(out, "source", event->source);
	sink_str(out, "message", event->message);
	event->context(out, event->arg);
	sink_object_end(out);
}

void agent_report(const struct agent *agent, struct sink *out)
{
	struct sampling_stats sampling = sampling_stats(agent->sampling);
	struct moment now = agent->loop.now;
	char timestamp[RFC3339_SIZE];

	rfc3339_format(agent->started.wall_ms, timestamp);
	sink_str(out, "version", INFINISERVICE_VERSION);
	sink_int(out, "pid", getpid());
	sink_str(out, "vm_id", agent->id.vm_id);
	sink_str(out, "vm_id_source", agent->id.source);
	sink_str(out, "boot_id", agent->id.boot_id);
	sink_str(out, "generation", agent->id.generation);
	sink_str(out, "started", timestamp);
	sink_real(out, "uptime_s", (double)(now.boot_ns - agent->started.boot_ns) / (double)NS_PER_S, 3);
	sink_str(out, "state", agent->stopping == STOP_NOT ? "running" : "stopping");
	sink_bool(out, "signature_required", peers_demand_signature(&agent->peers));
	sink_uint(out, "last_seq", sampling.next_seq - 1);
	emit_port(out, agent);
	qgalink_report(agent, out);
	emit_log(out, agent);
	sink_object_begin(out, "commands");
	commands_report(&agent->commands, out);
	sink_object_end(out);
	sink_object_begin(out, "subscribers");
	emit_published(out, "port", agent->published.port, agent->published.port_missed);
	emit_published(out, "feed", agent->published.feed, 0);
	emit_published(out, "log", agent->published.log, 0);
	emit_published(out, "latest", agent->published.latest, 0);
	sink_object_end(out);
	sink_object_begin(out, "collectors");
	sampling_report(agent->sampling, out);
	sink_object_end(out);
	emit_helpers(out, agent);
	emit_bus(out, agent);
	sink_object_begin(out, "local");
	local_report(agent->local, out);
	sink_object_end(out);
	sink_object_begin(out, "subscriptions");
	publish_report(&agent->publisher, out);
	sink_object_end(out);
	sink_object_begin(out, "scripts");
	scripts_report(&agent->scripts, out);
	sink_object_end(out);
	sink_uint(out, "alerts_active", alerts_active(agent->alerts));
	sink_array_begin(out, "standing");
	standing_each(&agent->standing, report_standing, out);
	sink_array_end(out);
	sink_object_begin(out, "audit");
	audit_report(&agent->audit, out);
	sink_object_end(out);
	sink_object_begin(out, "loop");
	sink_uint(out, "turns", ev_iteration(agent->loop.ev));
	sink_uint(out, "turns_over_1ms", agent->counters.turns_over_1ms);
	sink_uint(out, "worst_turn_us", agent->counters.turn_ns_worst / NS_PER_US);
	sink_uint(out, "samples", sampling.samples);
	sink_uint(out, "samples_lost", sampling.lost);
	sink_uint(out, "ticks_skipped", sampling.skipped);
	sink_uint(out, "clock_steps", agent->counters.clock_steps);
	sink_uint(out, "sleeps", agent->counters.sleeps);
	sink_uint(out, "reloads", agent->counters.reloads);
	sink_uint(out, "reloads_failed", agent->counters.reloads_failed);
	sink_uint(out, "log_lines_lost", report_lost());
	turns_report(&agent->loop.turns, out);
	sink_object_end(out);
}
