/* SPDX-License-Identifier: MIT */
/* One sample for a person or a script; see once.h. */
#include "agent/metrics/once.h"

#include <errno.h>

#include <ev.h>

#include "agent/metrics/generation.h"
#include "agent/base/identity.h"
#include "agent/metrics/prober.h"
#include "agent/metrics/sample.h"

#define BETWEEN_READINGS_NS (250 * NS_PER_MS)

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)timer;
	(void)events;
	ev_break(loop, EVBREAK_ALL);
}

static void wait_for(struct ev_loop *loop, double seconds)
{
	ev_timer timer;

	ev_timer_init(&timer, on_timer, seconds, 0);
	ev_timer_start(loop, &timer);
	ev_run(loop, 0);
	ev_timer_stop(loop, &timer);
}

static void on_idle(void *data)
{
	ev_break(data, EVBREAK_ALL);
}

static void on_changed(void *data, const struct collector *collector, int error)
{
	(void)data;
	(void)collector;
	(void)error; /* asked for at the end */
}

int once_print(const struct config *config, FILE *out, once_left_out *left_out, void *data)
{
	struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
	struct prober_config prober = { .idle = on_idle, .idle_data = loop };
	struct prober_pool *pool = loop ? prober_new(loop, &prober) : NULL;
	struct moment now = moment_now();
	struct sampler *sampler = NULL;
	struct identity id;
	struct line *line;
	int r;

	if (!pool)
		return -ENOMEM;
	r = sampler_new(config, pool, &now, on_changed, NULL, &sampler);
	if (r < 0)
		goto out;
	identity_find(&id, config->agent.vm_id, -1, NULL);
	generation_make(id.generation);
	sampler_collect_all(sampler, &now);
	for (uint64_t end_ns = now.mono_ns + BETWEEN_READINGS_NS; now.mono_ns < end_ns; now = moment_now())
		wait_for(loop, (double)(end_ns - now.mono_ns) / (double)NS_PER_S);
	sampler_collect_all(sampler, &now);
	if (prober_outstanding(pool, NULL))
		wait_for(loop, (double)config->timers.collect_timeout_ms / 1000);
	if (prober_outstanding(pool, NULL))
		left_out(data, "mounts", 0);
	sampler_each_left_out(sampler, left_out, data);
	line = sampler_encode(sampler, &id, 0, &now);
	if (!line)
		r = -EMSGSIZE;
	else if (fwrite(line->text, 1, line->len, out) != line->len || fflush(out) != 0)
		r = -EIO;
	line_unref(line);
out:
	sampler_free(sampler);
	prober_free(pool);
	ev_loop_destroy(loop);
	return r;
}
