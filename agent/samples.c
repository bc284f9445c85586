/* SPDX-License-Identifier: MIT */
/* The samples of the agent: what they are made with, what is in them of the agent itself, and to whom they go. */
#include "agent/agent.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* The same bytes for all; one that is away or cannot take them costs no other a sample. */
static void publish(struct agent *agent, unsigned to, struct line *line)
{
	struct published *published = &agent->published;

	if (to & SAMPLE_TO_PORT) {
		if (hostlink_sample(agent, line) == 0)
			published->port++;
		else
			published->port_missed++;
		publish_line(&agent->publisher, PUBLISH_METRICS, line);
		published->feed++;
	}
	if (to & SAMPLE_TO_LOG) {
		logger_put(agent->logger, line, agent->loop.now);
		published->log++;
	}
	if (to & SAMPLE_TO_LATEST) {
		logger_latest(agent->logger, line, agent->loop.now);
		published->latest++;
	}
	asked_publish(&agent->asked, line);
}

static void on_sample_begin(void *data)
{
	struct agent *agent = data;

	housekeeping_check_clock(agent);
	logger_check(agent->logger, agent->loop.now); /* its figures are part of the sample */
}

static void on_sample(void *data, unsigned to, struct line *line)
{
	struct agent *agent = data;

	if (line)
		publish(agent, to, line);
	else
		report_limited(&agent->encode_topic, agent->loop.now.mono_ns, LOG_ERR,
			       "a sample could not be encoded (out of memory, or over the line limit)");
}

static void on_scanned(void *data)
{
	struct agent *agent = data;

	commands_probed(&agent->commands);
}

/* The agent's own counters, into the object that the self collector has open. */
static void emit_self(void *data, struct sink *out)
{
	const struct agent *agent = data;
	const struct port_stats *port = port_stats(agent->port);
	struct logger_stats log = logger_stats(agent->logger);
	struct sampling_stats sampling = sampling_stats(agent->sampling);

	sink_uint(out, "samples", sampling.samples);
	sink_uint(out, "samples_lost", sampling.lost);
	sink_uint(out, "port_dropped", port->lines_dropped[LINE_SAMPLE] + port->lines_refused[LINE_SAMPLE]);
	sink_uint(out, "port_queued_bytes", port_queued_bytes(agent->port));
	sink_uint(out, "log_dropped", log.dropped);
	sink_uint(out, "log_queued", log.queued);
	sink_uint(out, "commands_running", commands_running(&agent->commands));
	sink_uint(out, "commands_queued", commands_queued(&agent->commands));
	sink_uint(out, "commands_answered", agent->commands.stats.answered);
	sink_uint(out, "worst_turn_us", agent->counters.turn_ns_worst / NS_PER_US);
}

static void on_collector_changed(void *data, const struct collector *collector, int error)
{
	struct agent *agent = data;

	if (error)
		report(LOG_WARNING, "collector %s: %s; it goes on being tried", collector->name, strerror(-error));
	else
		report(LOG_NOTICE, "collector %s works again", collector->name);
	if (error)
		standing_set(&agent->standing, REPLY_WARN, "collector", collector->name, "%s", strerror(-error));
	else
		standing_clear(&agent->standing, "collector", collector->name, "works again");
}

static void on_renewed(void *data, const char *why)
{
	struct agent *agent = data;

	agent->counters.generations++;
	report(LOG_NOTICE,
	       "this guest was put back to an earlier state, or paused: %s; its samples are of generation %s from "
	       "%" PRIu64 " on",
	       why, agent->generation.text, agent->generation.first_seq);
	hostlink_renewed_generation(agent, why);
}

int samples_build(struct agent *agent, uint64_t first_seq)
{
	struct sampling_config config = {
		.loop = &agent->loop,
		.probers = agent->prober,
		.id = &agent->id,
		.first_seq = first_seq,
		.begin = on_sample_begin,
		.sample = on_sample,
		.scanned = on_scanned,
		.emit_self = emit_self,
		.data = agent,
	};
	int r = sampler_new(&agent->config, agent->prober, &agent->loop.now, on_collector_changed, agent,
			    &agent->sampler);

	if (r < 0)
		return r;
	config.sampler = agent->sampler;
	agent->sampling = sampling_new(&config);
	agent->asked = (struct asked){ .loop = &agent->loop,
				       .sampling = agent->sampling,
				       .sources = &agent->commands.sources };
	if (!agent->sampling)
		return -ENOMEM;
	agent->generation = (struct generation){ .loop = &agent->loop,
						 .config = &agent->config,
						 .id = &agent->id,
						 .sampling = agent->sampling,
						 .probers = agent->prober,
						 .renewed = on_renewed,
						 .data = agent };
	generation_open(&agent->generation);
	return 0;
}
