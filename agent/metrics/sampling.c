/* SPDX-License-Identifier: MIT */
/*
 * The policy of collectors: which are on, which back off after failures, what a failure costs. Each deadline is
 * computed from its grid (pace.h): samples neither drift nor come in bursts. The buffer of a line is as long as the
 * longest one; only the pages really written are ever resident.
 */
#include "agent/metrics/sampling.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/libc.h>

#include "agent/base/pace.h"
#include "agent/config/keys.h"
#include "agent/metrics/whole.h"
#include "collectors/processes.h"
#include "collectors/self.h"
#include "collectors/table.h"
#include "transport/backoff.h"
#include "transport/json_write.h"

#define SAMPLE_MAX    (1024 * 1024)
#define SAMPLE_SCHEMA 1
/* Of a line: what is around data, and the list of those that failed. */
#define FRAME_BYTES    1024
#define RESERVE_BYTES  1024 /* of a collector that says nothing of it */
#define COLLECTORS_MAX 32
/* Parts of a line that only whole samples have: one an interface and one a disk. */
#define SPANS_MAX    256
#define RETRY_MIN_NS NS_PER_S
#define RETRY_MAX_NS (300 * NS_PER_S)
/* A collector that fails this often in a row is tried less often. */
#define FAILURES_BEFORE_BACKOFF 5
/* Items that a collector may read in one turn of the loop: a process takes 3 to 20 µs. */
#define SLICE 16
/* A turn of the loop that has read this long leaves the next collector to the next turn. */
#define TURN_NS (150 * NS_PER_US)

struct slot {
	const struct collector *collector;
	void *state;
	struct prober *prober;
	ev_io wake;
	bool on;
	bool good; /* the last collect went well: emit may be called */
	int error;
	unsigned failures; /* in a row */
	struct backoff backoff;
	uint64_t retry_ns;
	uint64_t read_ns; /* CLOCK_MONOTONIC: the last collect that went well; of a collector with a period */
	bool held;	  /* not read for the present sample, since it was read a short time ago */
	uint64_t took_ns, worst_ns;
};

struct sampling {
	struct sampling_config config;
	uint64_t probes_ns; /* how long a sample waits for probes */
	bool log_apart;	    /* the log has a grid of its own; else it gets the samples of the metrics grid */
	bool running;	    /* between sampling_start and sampling_stop */
	struct schedule grid, log_grid;
	struct deadline tick, log_tick;
	struct deadline extra;	/* a sample out of turn */
	struct deadline slice;	/* at once: the next slice */
	struct deadline probes; /* the end of waiting for probes */

	bool collecting;     /* a sample, or the baseline, in slices */
	bool scanning;	     /* the processes alone, likewise, */
	bool scan_again;     /* and once more after this */
	bool gap;	     /* the clock stepped or the guest slept since the last collect */
	bool fresh_next;     /* the next collect reads all collectors, also those whose period is not over, */
	bool fresh;	     /* and the present one does */
	unsigned pending_to; /* enum sample_to of the sample being collected; 0: none yet */
	unsigned extra_to;   /* enum sample_to of the next sample out of turn */
	uint64_t scans;	     /* of the processes, ended */
	struct sampling_waiter *waiters;
	uint64_t extra_ns;   /* time of the last sample out of turn; 0: none yet */
	struct line *latest; /* whole */
	bool latest_went_whole;
	struct whole whole;
	struct sampling_stats stats;

	int proc_fd, sys_fd, root_fd;
	struct collect_limits limits;
	size_t max_bytes;	/* of a line */
	unsigned at;		/* index of the slot in work during a collect */
	bool within;		/* true once that slot has begun */
	struct moment slot_now; /* the time at which it began */
	unsigned items;		/* of a slice; 0: all */
	bool over_gap;		/* the present collect is the first one after such a gap */
	const char *broke;	/* why the next sample has no baseline (reported in it), or NULL */
	unsigned count;
	struct slot slots[COLLECTORS_MAX];
	struct json_writer writer; /* of the last sample, until the next one is encoded */
	struct json_span spans[SPANS_MAX];
	char text[SAMPLE_MAX];
};

static uint64_t now_ns(const struct sampling *sampling)
{
	return sampling->config.loop->now.mono_ns;
}

/* Arms the sample out of turn, unless it is due sooner already, and not before SAMPLING_BASELINE_NS has passed. */
static void extra_at(struct sampling *sampling, unsigned to, uint64_t due_ns)
{
	uint64_t earliest_ns = sampling->stats.begun_ns + SAMPLING_BASELINE_NS;

	sampling->extra_to |= to;
	if (due_ns < earliest_ns)
		due_ns = earliest_ns;
	if (!deadline_is_set(&sampling->extra) || due_ns < sampling->extra.at_ns)
		deadline_at(&sampling->extra, due_ns);
}

void sampling_soon(struct sampling *sampling, unsigned to)
{
	sampling->fresh_next = true;
	extra_at(sampling, to, now_ns(sampling));
}

void sampling_whole(struct sampling *sampling, unsigned to)
{
	whole_want(&sampling->whole, to);
}

void sampling_gap(struct sampling *sampling)
{
	sampling->gap = true;
	sampling_whole(sampling, SAMPLE_TO_ALL); /* a clock that goes back begins a segment of the log */
}

/* ----------------------------------------------------------------------------------------------------- collectors */

static struct slot *find_slot(struct sampling *sampling, const struct collector *collector)
{
	for (unsigned i = 0; i < sampling->count; i++)
		if (sampling->slots[i].collector == collector)
			return &sampling->slots[i];
	return NULL;
}

static struct collect_ctx context(const struct sampling *sampling, const struct slot *slot, const struct moment *now)
{
	return (struct collect_ctx){
		.proc_fd = sampling->proc_fd,
		.sys_fd = sampling->sys_fd,
		.root_fd = sampling->root_fd,
		.live = true,
		.now = *now,
		.gap = sampling->over_gap,
		.fresh = sampling->fresh,
		.slice = sampling->items,
		.limits = sampling->limits,
		.prober = slot ? slot->prober : NULL,
	};
}

static void forward_probe(void *data, const struct probe_result *result)
{
	struct slot *slot = data;

	if (slot->state && slot->collector->probed)
		slot->collector->probed(slot->state, result);
}

static void on_wake(struct ev_loop *ev, ev_io *io, int events)
{
	struct slot *slot = container_of(io, struct slot, wake);
	struct sampling *sampling = io->data;
	uint64_t due_ns = now_ns(sampling) + SAMPLING_SETTLE_NS;

	(void)ev;
	(void)events;
	if (!slot->collector->wake(slot->state))
		return;
	if (sampling->extra_ns && due_ns < sampling->extra_ns + SAMPLING_SPACING_NS)
		due_ns = sampling->extra_ns + SAMPLING_SPACING_NS;
	extra_at(sampling, SAMPLE_TO_ALL, due_ns);
}

static void slot_watch(struct sampling *sampling, struct slot *slot)
{
	int fd = slot->state && slot->collector->wake_fd ? slot->collector->wake_fd(slot->state) : -1;

	if (!sampling->running || fd < 0)
		return;
	ev_io_init(&slot->wake, on_wake, fd, EV_READ);
	slot->wake.data = sampling;
	ev_io_start(sampling->config.loop->ev, &slot->wake);
}

static int slot_open(struct sampling *sampling, struct slot *slot, const struct collect_ctx *ctx)
{
	int r = slot->collector->open(ctx, &slot->state);

	if (r < 0) {
		slot->state = NULL;
		return r;
	}
	if (slot->collector == &collector_self && sampling->config.emit_self)
		self_attach(slot->state, sampling->config.emit_self, sampling->config.data);
	slot_watch(sampling, slot);
	return 0;
}

static void slot_close(struct sampling *sampling, struct slot *slot)
{
	ev_io_stop(sampling->config.loop->ev, &slot->wake);
	slot->collector->close(slot->state);
	slot->state = NULL;
	slot->good = false;
	slot->failures = 0;
	slot->error = 0;
	slot->retry_ns = 0;
}

/* Switches collectors on and off. A collector without a switch is always on. */
static void switch_slots(struct sampling *sampling, const struct config *settings)
{
	sampling->limits.cgroups_top = (unsigned)settings->collectors.cgroups_top;
	sampling->limits.processes_top = (unsigned)settings->collectors.processes_top;
	sampling->limits.ports_max = (unsigned)settings->collectors.ports_max;
	sampling->max_bytes = settings->collectors.sample_max_bytes;
	for (unsigned i = 0; i < sampling->count; i++) {
		struct slot *slot = &sampling->slots[i];
		struct collect_ctx ctx = context(sampling, slot, &sampling->config.loop->now);
		const struct config_key *key = config_key_find("collectors", slot->collector->name);

		slot->on = !key || key->type != CONFIG_BOOL || *(const bool *)((const char *)settings + key->offset);
		if (!slot->on)
			slot_close(sampling, slot);
		else if (!slot->state)
			slot_open(sampling, slot, &ctx);
	}
}

/* The collector has been read, with this result: it backs off, or not, and its first failure and its recovery are told.
 */
static void slot_done(struct sampling *sampling, struct slot *slot, int r)
{
	uint64_t began_ns = sampling->slot_now.mono_ns;
	bool news = (r < 0) != (slot->failures > 0);

	if (slot->took_ns > slot->worst_ns)
		slot->worst_ns = slot->took_ns;
	slot->good = r >= 0;
	slot->error = r < 0 ? r : 0;
	slot->read_ns = began_ns;
	if (r >= 0) {
		slot->failures = 0;
		slot->retry_ns = 0;
		backoff_succeed(&slot->backoff);
	} else if (++slot->failures >= FAILURES_BEFORE_BACKOFF) {
		slot->retry_ns = backoff_fail(&slot->backoff, began_ns, (uint32_t)began_ns);
	}
	if (news)
		sampling->config.changed(sampling->config.data, slot->collector, slot->error);
}

/* A grid point comes a little sooner or later: an eighth of the period is as good as the whole. */
static bool slot_is_due(const struct sampling *sampling, const struct slot *slot, uint64_t mono_ns)
{
	uint64_t period_ns = slot->collector->period_s * NS_PER_S;

	if (!slot->good)
		return mono_ns >= slot->retry_ns;
	return sampling->fresh || sampling->over_gap || mono_ns - slot->read_ns >= period_ns - period_ns / 8;
}

/*
 * Goes on with the collect. True when there is more to read than the loop should wait for, by one collector or by the
 * next ones. A collector that was switched off meanwhile is skipped; a collector that has begun goes on with the moment
 * it began with; a collector whose open failed is opened again at its next try.
 */
static bool collect_on(struct sampling *sampling)
{
	const struct moment *now = &sampling->config.loop->now;
	uint64_t turn_end_ns = 0; /* 0: nothing has been read in this turn */

	for (; sampling->at < sampling->count; sampling->at++, sampling->within = false) {
		struct slot *slot = &sampling->slots[sampling->at];
		struct collect_ctx ctx;
		uint64_t before_ns, after_ns;
		int r = 0;

		if (!slot->on)
			continue;
		slot->held = !sampling->within && !slot_is_due(sampling, slot, now->mono_ns);
		if (slot->held)
			continue;
		if (!sampling->within) {
			sampling->slot_now = *now;
			slot->took_ns = 0;
		}
		before_ns = loop_work(sampling->config.loop->ev, "collect", slot->collector->name);
		turn_end_ns = turn_end_ns ? turn_end_ns : before_ns + TURN_NS;
		ctx = context(sampling, slot, &sampling->slot_now);
		if (!slot->state)
			r = slot_open(sampling, slot, &ctx);
		if (r == 0)
			r = slot->collector->collect(slot->state, &ctx);
		after_ns = clock_ns(CLOCK_MONOTONIC);
		slot->took_ns += after_ns - before_ns;
		sampling->within = r == COLLECT_MORE;
		if (sampling->within)
			return true;
		slot_done(sampling, slot, r);
		/* Commands need the baseline, and nothing else is to be done before it. */
		if (sampling->pending_to && after_ns >= turn_end_ns && sampling->at + 1 < sampling->count) {
			sampling->at++;
			return true;
		}
	}
	return false;
}

/* Begins a collect. Returns as collect_on. */
static bool collect_anew(struct sampling *sampling)
{
	sampling->over_gap = sampling->gap;
	if (sampling->gap && !sampling->broke)
		sampling->broke = "clock";
	sampling->gap = false;
	sampling->fresh = sampling->fresh_next;
	sampling->fresh_next = false;
	sampling->at = 0;
	sampling->within = false;
	return collect_on(sampling);
}

void sampling_collect_all(struct sampling *sampling)
{
	sampling->fresh_next = true;
	sampling_collect_due(sampling);
}

void sampling_collect_due(struct sampling *sampling)
{
	sampling->items = 0;
	for (bool more = collect_anew(sampling); more; more = collect_on(sampling))
		;
	sampling->items = SLICE;
}

/* ------------------------------------------------------------------------------------------------------- the line */

#define PATH_LEN_MAX 64

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

/* The writer stands in `path` before and after. */
static void go_to(struct sink *out, char path[PATH_LEN_MAX], const char *to)
{
	move_path(out, path, to);
	snprintf(path, PATH_LEN_MAX, "%s", to);
}

/* One that writes into data itself has its name in the key. */
static void emit_age(const struct sampling *sampling, const struct slot *slot, struct sink *out)
{
	double age_s = (double)(now_ns(sampling) - slot->read_ns) / (double)NS_PER_S;
	char key[32];

	if (slot->collector->path[0])
		snprintf(key, sizeof(key), "age_s");
	else
		snprintf(key, sizeof(key), "%s_age_s", slot->collector->name);
	sink_real(out, key, age_s, 1);
}

/*
 * Writes a collector's keys, in so many bytes, and their age if they were not read for this sample. The object of a
 * collector that is in whole samples alone goes with its name, and has no age, which would be a change.
 */
static void emit_slot(struct sampling *sampling, const struct slot *slot, size_t bytes, char path[PATH_LEN_MAX])
{
	const struct collector *collector = slot->collector;
	struct sink *out = &sampling->writer.sink;
	const char *dot = strrchr(collector->path, '.');
	char parent[PATH_LEN_MAX];
	struct sink_mark mark;
	struct json_room room;

	snprintf(parent, sizeof(parent), "%.*s", dot ? (int)(dot - collector->path) : 0, collector->path);
	if (collector->whole) {
		go_to(out, path, parent);
		sink_whole_begin(out);
	}
	go_to(out, path, collector->path);
	mark = sink_mark(out);
	room = json_writer_bound(&sampling->writer, bytes);
	collector->emit(slot->state, out);
	if (slot->held && !collector->whole)
		emit_age(sampling, slot, out);
	if (sink_full(out))
		sink_rewind(out, mark);
	json_writer_restore(&sampling->writer, room);
	if (collector->whole) {
		go_to(out, path, parent);
		sink_whole_end(out);
	}
}

static bool is_shown(const struct slot *slot)
{
	return slot->on && slot->good;
}

static size_t reserve_of(const struct slot *slot)
{
	return slot->collector->reserve_bytes ? slot->collector->reserve_bytes : RESERVE_BYTES;
}

/* The parts of the collectors in the order of their table. Each leaves room for what those behind it may need. */
static void emit_slots(struct sampling *sampling, char path[PATH_LEN_MAX])
{
	size_t bytes = sampling->max_bytes - FRAME_BYTES, reserve = 0, left;

	for (unsigned i = 0; i < sampling->count; i++)
		if (is_shown(&sampling->slots[i]))
			reserve += reserve_of(&sampling->slots[i]);
	left = reserve;
	for (unsigned i = 0; i < sampling->count; i++) {
		const struct slot *slot = &sampling->slots[i];
		size_t taken = sampling->writer.len;

		if (!is_shown(slot))
			continue;
		left -= reserve_of(slot);
		taken += left * bytes / reserve;
		emit_slot(sampling, slot, bytes > taken ? bytes - taken : 0, path);
	}
}

/* The parts of the collectors, then the list of those that failed. */
static void emit_data(struct sampling *sampling, struct sink *out)
{
	char path[PATH_LEN_MAX] = "";
	bool failed = false;

	emit_slots(sampling, path);
	go_to(out, path, "");
	for (unsigned i = 0; i < sampling->count; i++) {
		const struct slot *slot = &sampling->slots[i];

		if (!slot->on || is_shown(slot))
			continue;
		if (!failed)
			sink_array_begin(out, "failed_collectors");
		failed = true;
		sink_object_begin(out, NULL);
		sink_str(out, "name", slot->collector->name);
		sink_str(out, "error", strerrorname_np(-slot->error));
		sink_uint(out, "failures", slot->failures);
		sink_object_end(out);
	}
	if (failed)
		sink_array_end(out);
}

/* The line without what only whole samples have; NULL: out of memory. */
static struct line *encode_brief(const struct sampling *sampling, const struct line *whole)
{
	struct line *line = malloc(sizeof(*line) + whole->len);

	if (!line)
		return NULL;
	*line = (struct line){ .refs = 1, .class = whole->class, .seq = whole->seq };
	line->len = json_writer_brief(&sampling->writer, line->text);
	return line;
}

struct line *sampling_encode(struct sampling *sampling)
{
	const struct identity *id = sampling->config.id;
	const struct moment *now = &sampling->config.loop->now;
	struct sampling_stats *stats = &sampling->stats;
	struct json_writer *writer = &sampling->writer;
	struct sink *out = &writer->sink;
	char timestamp[RFC3339_SIZE];
	struct line *line = NULL;
	const char *text;
	size_t len;

	json_writer_init(writer, sampling->text, sampling->max_bytes);
	json_writer_record(writer, sampling->spans, ARRAY_SIZE(sampling->spans));
	rfc3339_format(now->wall_ms, timestamp);
	sink_object_begin(out, NULL);
	sink_str(out, "type", "metrics");
	sink_str(out, "timestamp", timestamp);
	sink_uint(out, "seq", stats->next_seq);
	sink_str(out, "boot_id", id->boot_id);
	sink_str(out, "generation", id->generation);
	sink_int(out, "schema", SAMPLE_SCHEMA);
	if (sampling->broke)
		sink_str(out, "gap", sampling->broke);
	sink_whole_begin(out);
	sink_bool(out, "whole", true);
	sink_whole_end(out);
	sink_object_begin(out, "data");
	emit_data(sampling, out);
	sink_object_end(out);
	sink_object_end(out);
	if (json_writer_finish(writer, &text, &len) == 0)
		line = line_new(LINE_SAMPLE, text, len);
	if (!line) {
		stats->lost++;
		return NULL;
	}
	line->seq = stats->next_seq++;
	stats->samples++;
	stats->taken_ns = now->mono_ns;
	sampling->broke = NULL;
	return line;
}

/* --------------------------------------------------------------------------------------------------------- samples */

static void finish(struct sampling *sampling)
{
	unsigned to = sampling->pending_to;
	struct line *whole, *line = NULL;

	sampling->pending_to = 0;
	deadline_stop(&sampling->probes);
	loop_work(sampling->config.loop->ev, "encode", NULL);
	whole = sampling_encode(sampling);
	if (whole) {
		if (!whole_take(&sampling->whole, to, json_writer_spans_hash(&sampling->writer)))
			line = encode_brief(sampling, whole);
		if (!line)
			line = line_ref(whole);
		line_unref(sampling->latest);
		sampling->latest = line_ref(whole);
		sampling->latest_went_whole = line == whole;
	}
	loop_work(sampling->config.loop->ev, "publish", NULL);
	sampling->config.sample(sampling->config.data, to, line, whole);
	line_unref(line);
	line_unref(whole);
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

/* A slice of the collect has been read. At the end probes may still be outstanding. */
static void collected(struct sampling *sampling, bool more)
{
	sampling->collecting = more;
	if (more)
		deadline_after(&sampling->slice, 0);
	else if (sampling->pending_to && probes_outstanding(sampling))
		deadline_after(&sampling->probes, sampling->probes_ns);
	else if (sampling->pending_to)
		finish(sampling);
}

static void collect(struct sampling *sampling)
{
	sampling->stats.begun_ns = now_ns(sampling);
	collected(sampling, collect_anew(sampling));
}

/*
 * Adds `to` to the sample that is being collected, or begins one. The baseline does not count: it has no rates. A
 * sample out of turn that is due by now, or was asked for by begin(), is this one: no two at the same moment.
 */
static void take(struct sampling *sampling, unsigned to)
{
	bool busy = sampling->collecting || sampling->pending_to;

	if (sampling->collecting && !sampling->pending_to) {
		sampling_soon(sampling, to);
		return;
	}
	sampling->pending_to |= to;
	if (busy)
		return;
	sampling->config.begin(sampling->config.data);
	if (deadline_is_set(&sampling->extra) && sampling->extra.at_ns <= now_ns(sampling)) {
		sampling->pending_to |= sampling->extra_to;
		sampling->extra_to = 0;
		sampling->extra_ns = now_ns(sampling);
		deadline_stop(&sampling->extra);
	}
	collect(sampling);
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
	if (now_ns(sampling) >= sampling->grid.due_ns + SAMPLING_LATE_NS && sampling->config.late)
		sampling->config.late(sampling->config.data);
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
	struct collect_ctx ctx = sampling_context(sampling, &collector_processes);
	void *state = sampling_state(sampling, &collector_processes);

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

/* A collect scans the processes too, and finishes the scan that was begun before it. */
static void on_slice(void *data)
{
	struct sampling *sampling = data;
	bool again;

	if (sampling->collecting) {
		collected(sampling, collect_on(sampling));
		if (sampling->collecting)
			return;
	} else if (scan_step(sampling)) {
		deadline_after(&sampling->slice, 0);
		return;
	}
	again = sampling->scan_again;
	sampling->scanning = sampling->scan_again = false;
	sampling->scans++;
	if (!again || !scan(sampling))
		wake_waiters(sampling);
}

/* ------------------------------------------------------------------------------------------------------------ life */

struct sampling *sampling_new(const struct sampling_config *config, const struct config *settings)
{
	struct sampling *sampling = calloc(1, sizeof(*sampling));

	if (!sampling)
		return NULL;
	sampling->config = *config;
	sampling->stats.next_seq = config->first_seq;
	sampling->items = SLICE;
	deadline_init(&sampling->tick, config->loop, on_tick, sampling);
	ev_set_priority(&sampling->tick.timer, EV_MAXPRI - 1); /* see `late`; the time of the turn is read first */
	deadline_init(&sampling->log_tick, config->loop, on_log_tick, sampling);
	deadline_init(&sampling->extra, config->loop, on_extra, sampling);
	deadline_init(&sampling->slice, config->loop, on_slice, sampling);
	deadline_init(&sampling->probes, config->loop, on_probes_late, sampling);
	sampling->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	sampling->sys_fd = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	sampling->root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < COLLECTORS_MAX && collectors[i]; i++) {
		struct slot *slot = &sampling->slots[sampling->count++];

		slot->collector = collectors[i];
		ev_init(&slot->wake, on_wake);
		backoff_init(&slot->backoff, RETRY_MIN_NS, RETRY_MAX_NS);
		if (!config->probers || !slot->collector->probed)
			continue;
		slot->prober = prober_for(config->probers, forward_probe, slot);
		if (!slot->prober)
			return sampling_free(sampling);
	}
	switch_slots(sampling, settings);
	return sampling;
}

struct sampling *sampling_free(struct sampling *sampling)
{
	if (!sampling)
		return NULL;
	sampling_stop(sampling);
	while (sampling->waiters)
		sampling_leave(sampling->waiters);
	for (unsigned i = 0; i < sampling->count; i++)
		slot_close(sampling, &sampling->slots[i]);
	closep(&sampling->proc_fd);
	closep(&sampling->sys_fd);
	closep(&sampling->root_fd);
	line_unref(sampling->latest);
	free(sampling);
	return NULL;
}

/* The intervals; the grid of the log is kept if it was in use and still is. */
static void set_ticks(struct sampling *sampling, const struct config *settings, bool anew)
{
	uint64_t interval_ms = settings->timers.metrics_interval_ms, log_ms = config_log_interval_ms(settings);
	uint64_t timeout_ns = settings->timers.collect_timeout_ms * NS_PER_MS, half_ns = interval_ms * NS_PER_MS / 2;
	bool was_apart = sampling->log_apart;

	sampling->probes_ns = timeout_ns < half_ns ? timeout_ns : half_ns;
	sampling->log_apart = log_ms != interval_ms;
	if (anew)
		schedule_start(&sampling->grid, interval_ms * NS_PER_MS, now_ns(sampling));
	else
		schedule_change(&sampling->grid, interval_ms * NS_PER_MS, now_ns(sampling));
	if (anew || !was_apart)
		schedule_start(&sampling->log_grid, log_ms * NS_PER_MS, now_ns(sampling));
	else
		schedule_change(&sampling->log_grid, log_ms * NS_PER_MS, now_ns(sampling));
	deadline_at(&sampling->tick, sampling->grid.due_ns);
	deadline_at(&sampling->log_tick,
		    sampling->log_apart && settings->log.enabled ? sampling->log_grid.due_ns : TIME_NEVER);
}

void sampling_start(struct sampling *sampling, const struct config *settings)
{
	sampling->running = true;
	for (unsigned i = 0; i < sampling->count; i++)
		slot_watch(sampling, &sampling->slots[i]);
	set_ticks(sampling, settings, true);
	collect(sampling);
	sampling->broke = "start";
	sampling_soon(sampling, SAMPLE_TO_LOG | SAMPLE_TO_LATEST);
}

void sampling_configure(struct sampling *sampling, const struct config *settings)
{
	set_ticks(sampling, settings, false);
	switch_slots(sampling, settings);
}

void sampling_stop(struct sampling *sampling)
{
	sampling->running = false;
	for (unsigned i = 0; i < sampling->count; i++)
		ev_io_stop(sampling->config.loop->ev, &sampling->slots[i].wake);
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

bool sampling_latest_went_whole(const struct sampling *sampling)
{
	return sampling->latest_went_whole;
}

struct sampling_stats sampling_stats(const struct sampling *sampling)
{
	struct sampling_stats stats = sampling->stats;

	stats.skipped = sampling->grid.skipped;
	stats.due_ns = sampling->grid.due_ns;
	stats.making = sampling->pending_to | sampling->extra_to;
	return stats;
}

void *sampling_state(struct sampling *sampling, const struct collector *collector)
{
	const struct slot *slot = find_slot(sampling, collector);

	return slot && slot->on && slot->good ? slot->state : NULL;
}

struct collect_ctx sampling_context(struct sampling *sampling, const struct collector *collector)
{
	return context(sampling, find_slot(sampling, collector), &sampling->config.loop->now);
}

void sampling_report(const struct sampling *sampling, struct sink *out)
{
	for (unsigned i = 0; i < sampling->count; i++) {
		const struct slot *slot = &sampling->slots[i];

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

void sampling_each_left_out(const struct sampling *sampling, void (*say)(void *data, const char *name, int error),
			    void *data)
{
	for (unsigned i = 0; i < sampling->count; i++)
		if (sampling->slots[i].on && !sampling->slots[i].good)
			say(data, sampling->slots[i].collector->name, sampling->slots[i].error);
}
