/* SPDX-License-Identifier: MIT */
/* See sampling.h. Each deadline is computed from its grid (schedule.h): samples neither drift nor come in bursts. */
#include "agent/metrics/sampling.h"

#include <stdlib.h>

#include <infiniservice/cleanup.h>

#include "agent/base/schedule.h"
#include "collectors/processes.h"
#include "collectors/self.h"
#include "collectors/table.h"

#define WAKE_FDS_MAX 4

struct wake_watch {
	ev_io io;
	struct sampling *sampling;
	const struct collector *collector;
};

struct sampling {
	struct sampling_config config;
	uint64_t probes_ns; /* how long a sample waits for probes */
	bool log_apart;	    /* the log has a grid of its own; else it gets the samples of the metrics grid */
	bool log_enabled;
	struct schedule grid, log_grid;
	struct deadline tick, log_tick;
	struct deadline extra;	/* a sample out of turn */
	struct deadline slice;	/* at once: the next slice */
	struct deadline probes; /* the end of waiting for probes */
	struct wake_watch wakes[WAKE_FDS_MAX];
	unsigned wake_count;

	bool collecting;     /* a sample, or the baseline, in slices */
	bool scanning;	     /* the processes alone, likewise, */
	bool scan_again;     /* and once more after this */
	bool gap;	     /* the clock stepped or the guest slept since the last collect */
	unsigned pending_to; /* enum sample_to of the sample being collected; 0: none yet */
	unsigned extra_to;   /* enum sample_to of the next sample out of turn */
	uint64_t scans;	     /* of the processes, ended */
	struct sampling_waiter *waiters;
	uint64_t extra_ns; /* time of the last sample out of turn; 0: none yet */
	struct line *latest;
	struct sampling_stats stats;
};

static uint64_t now_ns(const struct sampling *sampling)
{
	return sampling->config.loop->now.mono_ns;
}

/* ----------------------------------------------------------------------------------------------------- collectors */

/*
 * Arms the sample out of turn at `due_ns`, unless it is due sooner already, and not before SAMPLING_BASELINE_NS has
 * passed.
 */
static void extra_at(struct sampling *sampling, unsigned to, uint64_t due_ns)
{
	uint64_t earliest_ns = sampling->stats.begun_ns + SAMPLING_BASELINE_NS;

	sampling->extra_to |= to;
	if (due_ns < earliest_ns)
		due_ns = earliest_ns;
	if (!deadline_is_set(&sampling->extra) || due_ns < sampling->extra.at_ns)
		deadline_at(&sampling->extra, due_ns);
}

static void on_wake(struct ev_loop *ev, ev_io *io, int events)
{
	struct wake_watch *wake = container_of(io, struct wake_watch, io);
	struct sampling *sampling = wake->sampling;
	uint64_t due_ns = now_ns(sampling) + SAMPLING_SETTLE_NS;

	(void)ev;
	(void)events;
	if (!sampler_wake(sampling->config.sampler, wake->collector))
		return;
	if (sampling->extra_ns && due_ns < sampling->extra_ns + SAMPLING_SPACING_NS)
		due_ns = sampling->extra_ns + SAMPLING_SPACING_NS;
	extra_at(sampling, SAMPLE_TO_ALL, due_ns);
}

static void watch_wake_fd(void *data, int fd, const struct collector *collector)
{
	struct sampling *sampling = data;
	struct wake_watch *wake;

	if (sampling->wake_count == WAKE_FDS_MAX)
		return;
	wake = &sampling->wakes[sampling->wake_count++];
	wake->sampling = sampling;
	wake->collector = collector;
	ev_io_init(&wake->io, on_wake, fd, EV_READ);
	ev_io_start(sampling->config.loop->ev, &wake->io);
}

static void unwatch_wake_fds(struct sampling *sampling)
{
	while (sampling->wake_count)
		ev_io_stop(sampling->config.loop->ev, &sampling->wakes[--sampling->wake_count].io);
}

/* A collector that could not be opened at first, or failed, may be there by now. */
static void attach_collectors(struct sampling *sampling, bool anew)
{
	void *self = sampler_state(sampling->config.sampler, &collector_self);

	if (self)
		self_attach(self, sampling->config.emit_self, sampling->config.data);
	if (!sampler_opened(sampling->config.sampler) && !anew)
		return;
	unwatch_wake_fds(sampling);
	sampler_each_wake_fd(sampling->config.sampler, watch_wake_fd, sampling);
}

/* --------------------------------------------------------------------------------------------------------- samples */

static void finish(struct sampling *sampling)
{
	const struct loop *loop = sampling->config.loop;
	struct sampling_stats *stats = &sampling->stats;
	unsigned to = sampling->pending_to;
	struct line *line;

	sampling->pending_to = 0;
	deadline_stop(&sampling->probes);
	line = sampler_encode(sampling->config.sampler, sampling->config.id, stats->next_seq, &loop->now);
	if (line) {
		stats->next_seq++;
		stats->samples++;
		stats->taken_ns = loop->now.mono_ns;
		line_unref(sampling->latest);
		sampling->latest = line_ref(line);
	} else {
		stats->lost++;
	}
	sampling->config.sample(sampling->config.data, to, line);
	line_unref(line);
}

static bool probes_outstanding(const struct sampling *sampling)
{
	return sampling->config.probers && prober_outstanding(sampling->config.probers, NULL) > 0;
}

static void on_probes_late(void *data)
{
	struct sampling *sampling = data;

	if (sampling->pending_to && !sampling->collecting)
		finish(sampling);
}

void sampling_leave(struct sampling_waiter *waiter)
{
	if (!waiter->at)
		return;
	*waiter->at = waiter->next;
	if (waiter->next)
		waiter->next->at = waiter->at;
	waiter->at = NULL;
}

/* Calls the waiters whose scan is over, or whose probes have been answered. They may wait again, or leave. */
static void wake_waiters(struct sampling *sampling)
{
	struct sampling_waiter *waiter = sampling->waiters;

	while (waiter) {
		if (waiter->scans ? sampling->scans < waiter->scans : probes_outstanding(sampling)) {
			waiter = waiter->next;
			continue;
		}
		sampling_leave(waiter);
		waiter->ready(waiter->data);
		waiter = sampling->waiters;
	}
}

void sampling_probed(struct sampling *sampling)
{
	on_probes_late(sampling);
	wake_waiters(sampling);
}

/* All collectors have been read; probes may still be outstanding. */
static void collected(struct sampling *sampling)
{
	sampling->collecting = false;
	attach_collectors(sampling, false);
	if (sampling->pending_to && probes_outstanding(sampling))
		deadline_after(&sampling->probes, sampling->probes_ns);
	else if (sampling->pending_to)
		finish(sampling);
}

static void collect(struct sampling *sampling)
{
	const struct moment *now = &sampling->config.loop->now;

	sampling->stats.begun_ns = now->mono_ns;
	sampling->collecting = sampler_collect(sampling->config.sampler, now, sampling->gap);
	sampling->gap = false;
	if (sampling->collecting)
		deadline_after(&sampling->slice, 0);
	else
		collected(sampling);
}

/* Adds `to` to the sample that is being collected, or begins one. The baseline does not count: it has no rates. */
static void take(struct sampling *sampling, unsigned to)
{
	bool busy = sampling->collecting || sampling->pending_to;

	if (sampling->collecting && !sampling->pending_to) {
		extra_at(sampling, to, now_ns(sampling));
		return;
	}
	sampling->pending_to |= to;
	if (busy)
		return;
	sampling->config.begin(sampling->config.data);
	collect(sampling);
}

void sampling_soon(struct sampling *sampling, unsigned to)
{
	extra_at(sampling, to, now_ns(sampling));
}

void sampling_gap(struct sampling *sampling)
{
	sampling->gap = true;
}

static void on_extra(void *data)
{
	struct sampling *sampling = data;
	unsigned to = sampling->extra_to;

	sampling->extra_to = 0;
	sampling->extra_ns = now_ns(sampling);
	take(sampling, to);
}

static void on_tick(void *data)
{
	struct sampling *sampling = data;

	sampling->stats.ticks++;
	if (schedule_due(&sampling->grid, now_ns(sampling)))
		take(sampling, SAMPLE_TO_PORT | SAMPLE_TO_LATEST | (sampling->log_apart ? 0 : SAMPLE_TO_LOG));
	deadline_at(&sampling->tick, sampling->grid.due_ns);
}

static void on_log_tick(void *data)
{
	struct sampling *sampling = data;

	if (schedule_due(&sampling->log_grid, now_ns(sampling)))
		take(sampling, SAMPLE_TO_LOG);
	deadline_at(&sampling->log_tick, sampling->log_grid.due_ns);
}

/* ----------------------------------------------------------------------------------------------------------- scans */

/* True when there is more to scan. A scan that fails is over too: the table stays as it was. */
static bool scan_step(struct sampling *sampling)
{
	struct sampler *sampler = sampling->config.sampler;
	struct collect_ctx ctx = sampler_context(sampler, &collector_processes, &sampling->config.loop->now);
	void *state = sampler_state(sampler, &collector_processes);

	return state && processes_refresh(state, &ctx) == COLLECT_MORE;
}

/* True when the scan goes on in the next turns of the loop. */
static bool scan(struct sampling *sampling)
{
	sampling->scanning = scan_step(sampling);
	if (sampling->scanning)
		deadline_after(&sampling->slice, 0);
	else
		sampling->scans++;
	return sampling->scanning;
}

static void wait_for(struct sampling *sampling, struct sampling_waiter *waiter, uint64_t scans)
{
	waiter->scans = scans;
	waiter->next = sampling->waiters;
	waiter->at = &sampling->waiters;
	if (waiter->next)
		waiter->next->at = &waiter->next;
	sampling->waiters = waiter;
}

/* A scan under way may have read processes before this call, so the caller waits for the next scan. */
bool sampling_scan(struct sampling *sampling, struct sampling_waiter *waiter)
{
	if (sampling->collecting || sampling->scanning) {
		sampling->scan_again = true;
		wait_for(sampling, waiter, sampling->scans + 2);
		return false;
	}
	if (!scan(sampling))
		return true;
	wait_for(sampling, waiter, sampling->scans + 1);
	return false;
}

bool sampling_await_probes(struct sampling *sampling, struct sampling_waiter *waiter)
{
	if (!probes_outstanding(sampling))
		return true;
	wait_for(sampling, waiter, 0);
	return false;
}

static void scanned(struct sampling *sampling)
{
	bool again = sampling->scan_again;

	sampling->scanning = sampling->scan_again = false;
	sampling->scans++;
	if (!again || !scan(sampling))
		wake_waiters(sampling);
}

/* A collect scans the processes too, and finishes the scan that was begun before it. */
static void on_slice(void *data)
{
	struct sampling *sampling = data;
	bool more = sampling->collecting ? sampler_go_on(sampling->config.sampler, &sampling->config.loop->now)
					 : scan_step(sampling);

	if (more) {
		deadline_after(&sampling->slice, 0);
		return;
	}
	if (sampling->collecting)
		collected(sampling);
	scanned(sampling);
}

/* ------------------------------------------------------------------------------------------------------------ life */

struct sampling *sampling_new(const struct sampling_config *config)
{
	struct sampling *sampling = calloc(1, sizeof(*sampling));

	if (!sampling)
		return NULL;
	sampling->config = *config;
	sampling->stats.next_seq = config->first_seq;
	deadline_init(&sampling->tick, config->loop, on_tick, sampling);
	deadline_init(&sampling->log_tick, config->loop, on_log_tick, sampling);
	deadline_init(&sampling->extra, config->loop, on_extra, sampling);
	deadline_init(&sampling->slice, config->loop, on_slice, sampling);
	deadline_init(&sampling->probes, config->loop, on_probes_late, sampling);
	return sampling;
}

struct sampling *sampling_free(struct sampling *sampling)
{
	if (!sampling)
		return NULL;
	sampling_stop(sampling);
	while (sampling->waiters)
		sampling_leave(sampling->waiters);
	line_unref(sampling->latest);
	free(sampling);
	return NULL;
}

static void take_over(struct sampling *sampling, const struct config *config)
{
	uint64_t timeout_ns = config->timers.collect_timeout_ms * NS_PER_MS;
	uint64_t half_ns = config->timers.metrics_interval_ms * NS_PER_MS / 2;

	sampling->probes_ns = timeout_ns < half_ns ? timeout_ns : half_ns;
	sampling->log_apart = config_log_interval_ms(config) != config->timers.metrics_interval_ms;
	sampling->log_enabled = config->log.enabled;
}

static void set_ticks(struct sampling *sampling)
{
	deadline_at(&sampling->tick, sampling->grid.due_ns);
	deadline_at(&sampling->log_tick,
		    sampling->log_apart && sampling->log_enabled ? sampling->log_grid.due_ns : TIME_NEVER);
}

void sampling_start(struct sampling *sampling, const struct config *config)
{
	take_over(sampling, config);
	schedule_start(&sampling->grid, config->timers.metrics_interval_ms * NS_PER_MS, now_ns(sampling));
	schedule_start(&sampling->log_grid, config_log_interval_ms(config) * NS_PER_MS, now_ns(sampling));
	collect(sampling);
	sampler_started(sampling->config.sampler);
	sampling_soon(sampling, SAMPLE_TO_LOG | SAMPLE_TO_LATEST);
	set_ticks(sampling);
}

void sampling_configure(struct sampling *sampling, const struct config *config)
{
	bool was_apart = sampling->log_apart;

	take_over(sampling, config);
	schedule_change(&sampling->grid, config->timers.metrics_interval_ms * NS_PER_MS, now_ns(sampling));
	if (was_apart)
		schedule_change(&sampling->log_grid, config_log_interval_ms(config) * NS_PER_MS, now_ns(sampling));
	else
		schedule_start(&sampling->log_grid, config_log_interval_ms(config) * NS_PER_MS, now_ns(sampling));
	unwatch_wake_fds(sampling); /* before a collector that is switched off closes its own */
	sampler_configure(sampling->config.sampler, config, &sampling->config.loop->now);
	attach_collectors(sampling, true);
	set_ticks(sampling);
}

void sampling_stop(struct sampling *sampling)
{
	unwatch_wake_fds(sampling);
	deadline_stop(&sampling->tick);
	deadline_stop(&sampling->log_tick);
	deadline_stop(&sampling->extra);
	deadline_stop(&sampling->slice);
	deadline_stop(&sampling->probes);
	sampling->collecting = sampling->scanning = sampling->scan_again = false;
	sampling->pending_to = sampling->extra_to = 0;
}

struct line *sampling_latest(const struct sampling *sampling)
{
	return sampling->latest;
}

struct sampling_stats sampling_stats(const struct sampling *sampling)
{
	struct sampling_stats stats = sampling->stats;

	stats.skipped = sampling->grid.skipped;
	stats.due_ns = sampling->grid.due_ns;
	stats.making = sampling->pending_to | sampling->extra_to;
	return stats;
}
