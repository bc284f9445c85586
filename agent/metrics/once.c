/* SPDX-License-Identifier: MIT */
/* One sample for a person or a script; see once.h. */
#include "agent/metrics/once.h"

#include <errno.h>

#include "agent/metrics/generation.h"

#define BETWEEN_READINGS_NS (250 * NS_PER_MS)

static void leave_loop(void *data)
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
	struct ev_loop *ev = ev_default_loop(EVFLAG_AUTO);
	struct prober_config prober = { .idle = leave_loop, .idle_data = ev };
	struct prober_pool *pool = ev ? prober_new(ev, &prober) : NULL;
	struct sampling *sampling = NULL;
	struct deadline wait;
	struct identity id;
	struct loop loop;
	struct line *line;
	int r = -ENOMEM;

	if (!pool)
		return r;
	loop_init(&loop, ev);
	deadline_init(&wait, &loop, leave_loop, ev);
	identity_find(&id, config->agent.vm_id, -1, NULL);
	generation_make(id.generation);
	sampling = sampling_new(
		&(struct sampling_config){ .loop = &loop, .probers = pool, .id = &id, .changed = on_changed }, config);
	if (!sampling)
		goto out;
	sampling_collect_all(sampling);
	for (uint64_t end_ns = loop.now.mono_ns + BETWEEN_READINGS_NS; loop.now.mono_ns < end_ns;) {
		deadline_at(&wait, end_ns);
		ev_run(ev, 0);
	}
	sampling_collect_all(sampling);
	deadline_after(&wait, config->timers.collect_timeout_ms * NS_PER_MS);
	if (prober_outstanding(pool, NULL))
		ev_run(ev, 0);
	if (prober_outstanding(pool, NULL))
		left_out(data, "mounts", 0);
	sampling_each_left_out(sampling, left_out, data);
	line = sampling_encode(sampling);
	if (!line)
		r = -EMSGSIZE;
	else
		r = fwrite(line->text, 1, line->len, out) != line->len || fflush(out) != 0 ? -EIO : 0;
	line_unref(line);
out:
	deadline_stop(&wait);
	sampling_free(sampling);
	prober_free(pool);
	loop_done(&loop);
	ev_loop_destroy(ev);
	return r;
}
