/* SPDX-License-Identifier: MIT */
/*
 * The scheduler of collectors and the composer of the message; see sample.h. The policy lives here: which collectors
 * are on, which back off after failures, what a failure costs. The buffer is as long as the longest line; only the
 * pages really written are ever resident.
 */
#include "agent/metrics/sample.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/libc.h>

#include "agent/config/keys.h"
#include "transport/backoff.h"
#include "transport/json_write.h"

#define SAMPLE_MAX     (1024 * 1024)
#define SAMPLE_SCHEMA  1
#define COLLECTORS_MAX 32
#define RETRY_MIN_NS   NS_PER_S
#define RETRY_MAX_NS   (300 * NS_PER_S)
/* A collector that fails this often in a row is tried less often. */
#define FAILURES_BEFORE_BACKOFF 5

/* Items that a collector may read in one turn of the loop: a process takes 3 to 20 µs. */
#define SLICE 32

struct slot {
	const struct collector *collector;
	void *state;
	struct prober *prober;
	bool on;
	bool good; /* the last collect went well: emit may be called */
	int error;
	unsigned failures; /* in a row */
	struct backoff backoff;
	uint64_t retry_ns;
	uint64_t took_ns, worst_ns;
};

struct sampler {
	int proc_fd, sys_fd, root_fd;
	struct collect_limits limits;
	struct prober_pool *probers;
	sampler_changed *changed;
	void *changed_data;
	unsigned rounds;	/* of collect, saturating at 2 */
	unsigned at;		/* index of the slot in work during a collect */
	bool within;		/* true once that slot has begun */
	struct moment slot_now; /* the time at which it began */
	unsigned slice;
	bool gap;
	const char *broke; /* why the next sample has no baseline (reported in it), or NULL */
	bool opened;	   /* a collector was opened since sampler_opened was last called */
	unsigned count;
	struct slot slots[COLLECTORS_MAX];
	char text[SAMPLE_MAX];
};

static struct collect_ctx context(const struct sampler *sampler, const struct slot *slot, const struct moment *now)
{
	return (struct collect_ctx){
		.proc_fd = sampler->proc_fd,
		.sys_fd = sampler->sys_fd,
		.root_fd = sampler->root_fd,
		.live = true,
		.now = *now,
		.gap = sampler->gap,
		.slice = sampler->slice,
		.limits = sampler->limits,
		.prober = slot->prober,
	};
}

static struct slot *find_slot(const struct sampler *sampler, const struct collector *collector)
{
	for (unsigned i = 0; i < sampler->count; i++)
		if (sampler->slots[i].collector == collector)
			return (struct slot *)(uintptr_t)&sampler->slots[i];
	return NULL;
}

static void forward_probe(void *data, const struct probe_result *result)
{
	struct slot *slot = data;

	if (slot->state && slot->collector->probed)
		slot->collector->probed(slot->state, result);
}

static void slot_failed(struct sampler *sampler, struct slot *slot, const struct moment *now, int error)
{
	bool first = slot->failures == 0;

	slot->good = false;
	slot->error = error;
	slot->failures++;
	if (slot->failures >= FAILURES_BEFORE_BACKOFF)
		slot->retry_ns = backoff_fail(&slot->backoff, now->mono_ns, (uint32_t)now->mono_ns);
	if (first)
		sampler->changed(sampler->changed_data, slot->collector, error);
}

static void slot_worked(struct sampler *sampler, struct slot *slot)
{
	bool recovered = slot->failures > 0;

	slot->good = true;
	slot->error = 0;
	slot->failures = 0;
	slot->retry_ns = 0;
	backoff_succeed(&slot->backoff);
	if (recovered)
		sampler->changed(sampler->changed_data, slot->collector, 0);
}

/* A collector whose open failed is opened again at its next try. */
static int slot_collect(struct sampler *sampler, struct slot *slot, const struct moment *now)
{
	struct collect_ctx ctx = context(sampler, slot, now);
	int r;

	if (!slot->state) {
		r = slot->collector->open(&ctx, &slot->state);
		if (r < 0)
			return r;
		sampler->opened = true;
	}
	return slot->collector->collect(slot->state, &ctx);
}

/* A collector without a switch is always on. */
static bool switched_on(const struct config *config, const struct collector *collector)
{
	const struct config_key *key = config_key_find("collectors", collector->name);

	return !key || key->type != CONFIG_BOOL || *(const bool *)((const char *)config + key->offset);
}

static void slot_close(struct slot *slot)
{
	slot->collector->close(slot->state);
	slot->state = NULL;
	slot->good = false;
	slot->failures = 0;
	slot->error = 0;
	slot->retry_ns = 0;
}

void sampler_configure(struct sampler *sampler, const struct config *config, const struct moment *now)
{
	struct collect_ctx ctx;

	sampler->limits.processes_top = (unsigned)config->collectors.processes_top;
	sampler->limits.ports_max = (unsigned)config->collectors.ports_max;
	for (unsigned i = 0; i < sampler->count; i++) {
		struct slot *slot = &sampler->slots[i];

		slot->on = switched_on(config, slot->collector);
		if (!slot->on) {
			slot_close(slot);
		} else if (!slot->state) {
			ctx = context(sampler, slot, now);
			if (slot->collector->open(&ctx, &slot->state) < 0)
				slot->state = NULL;
			sampler->opened = true;
		}
	}
}

int sampler_new(const struct config *config, struct prober_pool *probers, const struct moment *now,
		sampler_changed *changed, void *data, struct sampler **ret)
{
	struct sampler *sampler = calloc(1, sizeof(*sampler));

	if (!sampler)
		return -ENOMEM;
	sampler->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	sampler->sys_fd = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	sampler->root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	sampler->slice = SLICE;
	sampler->probers = probers;
	sampler->changed = changed;
	sampler->changed_data = data;
	for (unsigned i = 0; i < COLLECTORS_MAX && collectors[i]; i++) {
		struct slot *slot = &sampler->slots[sampler->count++];

		slot->collector = collectors[i];
		backoff_init(&slot->backoff, RETRY_MIN_NS, RETRY_MAX_NS);
		if (!probers || !slot->collector->probed)
			continue;
		slot->prober = prober_for(probers, forward_probe, slot);
		if (!slot->prober) {
			sampler_free(sampler);
			return -ENOMEM;
		}
	}
	sampler_configure(sampler, config, now);
	*ret = sampler;
	return 0;
}

struct sampler *sampler_free(struct sampler *sampler)
{
	if (!sampler)
		return NULL;
	for (unsigned i = 0; i < sampler->count; i++)
		slot_close(&sampler->slots[i]);
	closep(&sampler->proc_fd);
	closep(&sampler->sys_fd);
	closep(&sampler->root_fd);
	free(sampler);
	return NULL;
}

/* True when the collector has more to read. */
static bool slot_step(struct sampler *sampler, struct slot *slot)
{
	uint64_t before = clock_ns(CLOCK_MONOTONIC);
	int r = slot_collect(sampler, slot, &sampler->slot_now);

	slot->took_ns += clock_ns(CLOCK_MONOTONIC) - before;
	if (r == COLLECT_MORE)
		return true;
	if (slot->took_ns > slot->worst_ns)
		slot->worst_ns = slot->took_ns;
	if (r < 0)
		slot_failed(sampler, slot, &sampler->slot_now, r);
	else
		slot_worked(sampler, slot);
	return false;
}

/*
 * A collector that was switched off meanwhile is skipped; a collector that has begun goes on with the moment it began
 * with.
 */
bool sampler_go_on(struct sampler *sampler, const struct moment *now)
{
	for (; sampler->at < sampler->count; sampler->at++, sampler->within = false) {
		struct slot *slot = &sampler->slots[sampler->at];

		if (!slot->on || (!sampler->within && now->mono_ns < slot->retry_ns))
			continue;
		if (!sampler->within) {
			sampler->slot_now = *now;
			slot->took_ns = 0;
		}
		sampler->within = slot_step(sampler, slot);
		if (sampler->within)
			return true;
	}
	if (sampler->rounds < 2)
		sampler->rounds++;
	return false;
}

bool sampler_collect(struct sampler *sampler, const struct moment *now, bool gap)
{
	sampler->gap = gap;
	if (gap && !sampler->broke)
		sampler->broke = "clock";
	sampler->at = 0;
	sampler->within = false;
	return sampler_go_on(sampler, now);
}

void sampler_collect_all(struct sampler *sampler, const struct moment *now)
{
	sampler->gap = false;
	sampler->at = 0;
	sampler->within = false;
	sampler->slice = 0;
	while (sampler_go_on(sampler, now))
		;
	sampler->slice = SLICE;
}

void sampler_started(struct sampler *sampler)
{
	sampler->broke = "start";
}

bool sampler_opened(struct sampler *sampler)
{
	bool opened = sampler->opened;

	sampler->opened = false;
	return opened;
}

bool sampler_has_baseline(const struct sampler *sampler)
{
	return sampler->rounds >= 2;
}

/* Closes and opens objects so that the writer stands in `to`, having stood in `from`; paths are dotted names. */
static void move_path(struct sink *out, const char *from, const char *to)
{
	size_t common = 0, depth = 0;
	char part[32];

	for (size_t i = 0;; i++) {
		bool from_ends = from[i] == '.' || from[i] == '\0', to_ends = to[i] == '.' || to[i] == '\0';

		if (from_ends && to_ends)
			common = i;
		if (from[i] != to[i] || from[i] == '\0')
			break;
	}
	for (const char *at = from + common; *at; at++)
		depth += *at == '.';
	if (common == 0 && *from)
		depth++;
	for (; depth; depth--)
		sink_object_end(out);
	for (const char *at = to + common; *at;) {
		size_t len;

		at += *at == '.';
		len = strcspn(at, ".");
		if (len >= sizeof(part))
			return;
		memcpy(part, at, len);
		part[len] = '\0';
		sink_object_begin(out, part);
		at += len;
	}
}

static void emit_failures(const struct sampler *sampler, struct sink *out)
{
	bool any = false;

	for (unsigned i = 0; i < sampler->count; i++) {
		const struct slot *slot = &sampler->slots[i];

		if (!slot->on || slot->good)
			continue;
		if (!any)
			sink_array_begin(out, "failed_collectors");
		any = true;
		sink_object_begin(out, NULL);
		sink_str(out, "name", slot->collector->name);
		sink_str(out, "error", strerrorname_np(-slot->error));
		sink_uint(out, "failures", slot->failures);
		sink_object_end(out);
	}
	if (any)
		sink_array_end(out);
}

static void emit_data(const struct sampler *sampler, struct sink *out)
{
	const char *path = "";

	for (unsigned i = 0; i < sampler->count; i++) {
		const struct slot *slot = &sampler->slots[i];
		struct sink_mark mark;

		if (!slot->on || !slot->good)
			continue;
		move_path(out, path, slot->collector->path);
		path = slot->collector->path;
		mark = sink_mark(out);
		slot->collector->emit(slot->state, out);
		if (sink_full(out))
			sink_rewind(out, mark);
	}
	move_path(out, path, "");
}

struct line *sampler_encode(struct sampler *sampler, const struct identity *id, uint64_t seq, const struct moment *now)
{
	struct json_writer writer;
	struct sink *out = &writer.sink;
	char timestamp[RFC3339_SIZE];
	const char *text;
	struct line *line;
	size_t len;

	json_writer_init(&writer, sampler->text, sizeof(sampler->text));
	rfc3339_format(now->wall_ms, timestamp);
	sink_object_begin(out, NULL);
	sink_str(out, "type", "metrics");
	sink_str(out, "timestamp", timestamp);
	sink_uint(out, "seq", seq);
	sink_str(out, "boot_id", id->boot_id);
	sink_str(out, "generation", id->generation);
	sink_int(out, "schema", SAMPLE_SCHEMA);
	if (sampler->broke)
		sink_str(out, "gap", sampler->broke);
	sink_object_begin(out, "data");
	emit_data(sampler, out);
	emit_failures(sampler, out);
	sink_object_end(out);
	sink_object_end(out);
	if (json_writer_finish(&writer, &text, &len) < 0)
		return NULL;
	line = line_new(LINE_SAMPLE, text, len);
	if (!line)
		return NULL;
	line->seq = seq;
	sampler->broke = NULL;
	return line;
}

void *sampler_state(const struct sampler *sampler, const struct collector *collector)
{
	const struct slot *slot = find_slot(sampler, collector);

	return slot && slot->on && slot->good ? slot->state : NULL;
}

struct collect_ctx sampler_context(const struct sampler *sampler, const struct collector *collector,
				   const struct moment *now)
{
	const struct slot none = { 0 }, *slot = find_slot(sampler, collector);

	return context(sampler, slot ? slot : &none, now);
}

void sampler_report(const struct sampler *sampler, struct sink *out)
{
	for (unsigned i = 0; i < sampler->count; i++) {
		const struct slot *slot = &sampler->slots[i];

		if (!slot->on)
			continue;
		sink_object_begin(out, slot->collector->name);
		sink_str(out, "state", slot->good ? "ok" : slot->error ? "failing" : "waiting");
		sink_str(out, "error", slot->error ? strerrorname_np(-slot->error) : NULL);
		sink_uint(out, "failures", slot->failures);
		sink_uint(out, "last_us", slot->took_ns / NS_PER_US);
		sink_uint(out, "worst_us", slot->worst_ns / NS_PER_US);
		sink_object_end(out);
	}
}

void sampler_each_left_out(const struct sampler *sampler, void (*say)(void *data, const char *name, int error),
			   void *data)
{
	for (unsigned i = 0; i < sampler->count; i++) {
		const struct slot *slot = &sampler->slots[i];

		if (slot->on && !slot->good)
			say(data, slot->collector->name, slot->error);
	}
}

void sampler_each_wake_fd(struct sampler *sampler, void (*watch)(void *data, int fd, const struct collector *collector),
			  void *data)
{
	for (unsigned i = 0; i < sampler->count; i++) {
		struct slot *slot = &sampler->slots[i];
		int fd = slot->state && slot->collector->wake_fd ? slot->collector->wake_fd(slot->state) : -1;

		if (fd >= 0)
			watch(data, fd, slot->collector);
	}
}

bool sampler_wake(struct sampler *sampler, const struct collector *collector)
{
	struct slot *slot = find_slot(sampler, collector);

	return slot && slot->state && slot->collector->wake(slot->state);
}
