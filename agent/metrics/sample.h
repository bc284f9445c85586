/* SPDX-License-Identifier: MIT */
/*
 * Runs the collectors and turns their state into one `metrics` line. Two steps, because calls that may hang are
 * answered by the prober in between:
 *
 *	sampler_collect ─► sampler_go_on … ─► (probes outstanding? wait for them, with a limit) ─► sampler_encode
 *
 * A collector that fails costs its own part only: its keys are left out, data.collectors says why, and it is tried
 * again with back-off. The state of each collector stays readable between samples, as the cache that commands answer
 * from.
 */
#ifndef AGENT_METRICS_SAMPLE_H
#define AGENT_METRICS_SAMPLE_H

#include <infiniservice/collector.h>
#include <infiniservice/line.h>

#include "agent/config/config.h"
#include "agent/base/identity.h"
#include "agent/metrics/prober.h"

struct sampler;

/* Called when a collector begins to fail (error < 0) or recovers (0). */
typedef void sampler_changed(void *data, const struct collector *collector, int error);

/*
 * Opens the collectors that `config` has switched on. `prober` may be NULL. The fds of /proc, /sys and / are opened
 * here. 0 or -errno; a collector that cannot be opened only counts as failing.
 */
int sampler_new(const struct config *config, struct prober_pool *prober, const struct moment *now,
		sampler_changed *changed, void *data, struct sampler **ret);
struct sampler *sampler_free(struct sampler *sampler);

/* Switches collectors on and off as a new configuration says. */
void sampler_configure(struct sampler *sampler, const struct config *config, const struct moment *now);

/* The next sample says that nothing was measured before it: the agent has just been started. */
void sampler_started(struct sampler *sampler);

/*
 * Step one. `gap`: the clock stepped or the guest slept since the last time. True when it is not done, because a
 * collector has more to read than the loop should wait for: sampler_go_on is then called until it returns false. Not
 * while one is under way.
 */
bool sampler_collect(struct sampler *sampler, const struct moment *now, bool gap);
bool sampler_go_on(struct sampler *sampler, const struct moment *now);

/* The same in one go, however long it takes: where no loop waits. */
void sampler_collect_all(struct sampler *sampler, const struct moment *now);

/*
 * True if a collector was opened since the last call; a collect opens collectors too whose open failed before. Its
 * state and its wake fd are new then.
 */
bool sampler_opened(struct sampler *sampler);

/* True once two collects lie behind us, so that rates have a baseline. */
bool sampler_has_baseline(const struct sampler *sampler);

/* Step two: the whole message as a line of class LINE_SAMPLE. NULL when out of memory or larger than a line may be. */
struct line *sampler_encode(struct sampler *sampler, const struct identity *id, uint64_t seq, const struct moment *now);

/*
 * The state of a collector for the typed accessors of collectors/; NULL if it is switched off or its last collect
 * failed.
 */
void *sampler_state(const struct sampler *sampler, const struct collector *collector);

/* The context of the last collect, moved to `now`: for accessors that read again. */
struct collect_ctx sampler_context(const struct sampler *sampler, const struct collector *collector,
				   const struct moment *now);

/* Writes, per collector that is on: state, error, failures, last duration. Into an open object. */
void sampler_report(const struct sampler *sampler, struct sink *out);

/*
 * Calls `say` for each collector that is on and has nothing to show, with what went wrong (0: it has not answered yet).
 */
void sampler_each_left_out(const struct sampler *sampler, void (*say)(void *data, const char *name, int error),
			   void *data);

/* Calls `watch` for each fd whose readiness asks for an extra sample; sampler_wake tells whether it is worth one. */
void sampler_each_wake_fd(struct sampler *sampler, void (*watch)(void *data, int fd, const struct collector *collector),
			  void *data);
bool sampler_wake(struct sampler *sampler, const struct collector *collector);

#endif
