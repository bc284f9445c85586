/* SPDX-License-Identifier: MIT */
#include "vm.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/hub/parse.h"
#include "tools/hub/secrets.h"
#include "tools/show/show.h"
#include "transport/envelope.h"
#include "transport/json_write.h"

#define NONCE_SIZE	   33
#define LATE_TIMEOUT_S	   20
#define LATE_AGAIN_NS	   (5 * NS_PER_S)
#define LATE_UNANSWERED_NS (40 * NS_PER_S)

void vm_random_hex(char *hex, size_t size)
{
	unsigned char bytes[NONCE_SIZE / 2] = { 0 };

	/* Up to 256 bytes are given whole and without a signal's interruption, getrandom(2). */
	if (getrandom(bytes, size / 2, 0) < 0)
		memcpy(bytes, &(uint64_t){ clock_ns(CLOCK_REALTIME) }, sizeof(uint64_t));
	for (size_t i = 0; i + 1 < size; i += 2)
		snprintf(hex + i, 3, "%02x", bytes[i / 2]);
}

void vm_new_id(char out[VM_ID_SIZE])
{
	vm_random_hex(out, VM_ID_SIZE);
}

static int64_t wall_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_MS);
}

static int send_signed(struct vm *vm, const char *text, size_t len)
{
	size_t size = 6 * len + 4096; /* each byte of the payload may become \uXXXX */
	_cleanup_(freep) char *buffer = malloc(size);
	struct json_writer writer;
	char nonce[NONCE_SIZE];
	int r;

	if (!buffer)
		return -ENOMEM;
	json_writer_init(&writer, buffer, size);
	vm_random_hex(nonce, sizeof(nonce));
	r = envelope_sign(&writer, vm->secret, strlen(vm->secret), wall_ms() + vm->clock_offset_ms, nonce, text, len);
	return r < 0 ? r : channel_send(&vm->channel, writer.buf, writer.len - 1);
}

int vm_send(struct vm *vm, const char *text, size_t len)
{
	if (*vm->fault)
		return -EKEYREJECTED;
	return vm->secret ? send_signed(vm, text, len) : channel_send(&vm->channel, text, len);
}

/* ---------------------------------------------------------------------------------------------------- messages */

static void learn_clock(struct vm *vm, struct json_object *message)
{
	int64_t ms;

	if (rfc3339_parse(json_text_at(message, "timestamp"), &ms) < 0)
		return;
	vm->clock_offset_ms = ms - wall_ms();
	vm->clock_known = true;
}

static size_t add_info(char *out, size_t at, const char *label, const char *text)
{
	at += (size_t)sprintf(out + at, "%s%s=\"", at ? "," : "", label);
	at += label_escape(out + at, text, strlen(text), 128);
	out[at++] = '"';
	out[at] = '\0';
	return at;
}

static void take_handshake(struct vm *vm, struct json_object *message)
{
	size_t at = add_info(vm->info, 0, "version", json_text_at(message, "version"));

	snprintf(vm->version, sizeof(vm->version), "%s", json_text_at(message, "version"));
	add_info(vm->info, at, "claimed_vm_id", json_text_at(message, "vm_id"));
	snprintf(vm->generation, sizeof(vm->generation), "%s", json_text_at(message, "generation"));
	vm->sessions += !vm->greeted;
	vm->greeted = true;
}

double vm_pressure_of(struct json_object *message)
{
	static const char *const paths[] = {
		"data.system.pressure.cpu.some.avg10_percent",
		"data.system.pressure.memory.some.avg10_percent",
		"data.system.pressure.io.some.avg10_percent",
	};
	double worst = NAN;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct json_object *value = json_at(message, paths[i]);

		if (json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int))
			worst = fmax(worst, json_object_get_double(value));
	}
	return worst;
}

static void take_sample(struct vm *vm, struct json_object *message)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	struct series_set *set;

	if (json_object_get_boolean(json_at(message, "whole"))) {
		json_object_put(vm->whole);
		vm->whole = series_keep_whole(message);
	}
	if (series_of_sample(message, vm->whole, &vm->bounds, &set) < 0) {
		vm->invalid++;
		return;
	}
	snprintf(vm->generation, sizeof(vm->generation), "%s", json_text_at(message, "generation"));
	snprintf(vm->boot_id, sizeof(vm->boot_id), "%s", json_text_at(message, "boot_id"));
	vm->sessions += !vm->greeted;
	vm->greeted = true;
	vm->samples++;
	vm->series_dropped += set->dropped;
	vm->silent = false;
	gaps_sample(&vm->gaps, set->time_ms, vm->pace.expected_ns / NS_PER_MS);
	pace_sample(&vm->pace, now_ns);
	vm->sample_ns = now_ns;
	vm->sample_ms = set->time_ms;
	vm->pressure_percent = vm_pressure_of(message);
	free(vm->live);
	vm->live = set;
}

static void take_late(struct vm *vm, struct json_object *message)
{
	struct json_object *samples = json_at(message, "samples");
	size_t count = json_object_is_type(samples, json_type_array) ? json_object_array_length(samples) : 0;

	for (size_t i = 0; i < count; i++) {
		struct series_set *set;

		if (series_of_sample(json_object_array_get_idx(samples, i), vm->whole, &vm->bounds, &set) < 0) {
			vm->late_dropped++;
			continue;
		}
		/* Outside of what was asked for, or not after the one before: a guest that makes its samples up. */
		if (vm->late_len == VM_LATE_MAX || vm->gaps.len == 0 || set->time_ms <= vm->late_until_ms ||
		    set->time_ms >= vm->gaps.open[0].to_ms) {
			free(set);
			vm->late_dropped++;
			continue;
		}
		vm->late_until_ms = set->time_ms;
		vm->late[vm->late_len++] = set;
	}
}

static void late_answered(struct vm *vm, struct json_object *message)
{
	bool good = json_object_get_boolean(json_at(message, "success"));
	const char *code = json_text_at(message, "error_code");

	vm->late_id[0] = '\0';
	vm->ask_again_ns = clock_ns(CLOCK_MONOTONIC) + LATE_AGAIN_NS;
	if (good) {
		gaps_told(&vm->gaps, vm->late_until_ms, json_object_get_boolean(json_at(message, "data.more")));
		vm->ask_again_ns = 0;
	} else if (strcmp(code, "QUEUE_FULL") != 0) {
		show(stderr, "<4>%s: its log does not tell the samples of a gap: %s\n", vm->name,
		     *code ? code : "refused");
		gaps_told(&vm->gaps, 0, false);
		vm->late_dropped++;
	}
}

static bool is_own(const struct vm *vm, struct json_object *message)
{
	const char *id = json_text_at(message, "id");

	if (!*id)
		id = json_text_at(message, "details.id");
	return *vm->late_id && !strcmp(id, vm->late_id);
}

static void on_line(void *arg, const char *line, size_t len)
{
	struct vm *vm = arg;
	struct json_object *message = line_parse(line, len);
	const char *type = json_text_at(message, "type");

	if (!*type) {
		vm->invalid++;
		json_object_put(message);
		return;
	}
	learn_clock(vm, message);
	if (!strcmp(type, "metrics"))
		take_sample(vm, message);
	else if (!strcmp(type, "handshake"))
		take_handshake(vm, message);
	else if (!strcmp(type, "agent_event"))
		recent_take_event(&vm->recent, message, wall_ms());
	else if (!strcmp(type, "lagged")) {
		vm->lost += json_object_get_uint64(json_at(message, "count"));
		vm->gaps.lagged = true;
	}
	if (!is_own(vm, message))
		vm->events->message(vm->arg, vm, line, len, message, type);
	else if (!strcmp(type, "metrics_batch"))
		take_late(vm, message);
	else
		late_answered(vm, message);
	json_object_put(message);
}

static void on_changed(void *arg, enum channel_state before)
{
	struct vm *vm = arg;

	vm->since_ns = clock_ns(CLOCK_MONOTONIC);
	if (vm->channel.fd < 0) {
		vm->greeted = vm->acked = false;
		vm->late_id[0] = '\0';
		recent_end_session(&vm->recent);
		pace_break(&vm->pace);
	}
	vm->events->changed(vm->arg, vm, before);
}

/* ------------------------------------------------------------------------------------------------- time and gaps */

static void ask_late(struct vm *vm, uint64_t now_ns)
{
	const struct gap *gap = &vm->gaps.open[0];
	char text[256];
	int len;

	if (*vm->late_id && now_ns > vm->ask_again_ns)
		vm->late_id[0] = '\0'; /* never answered */
	if (vm->gaps.len == 0 || vm->late_len > 0 || *vm->late_id || !vm->greeted || now_ns < vm->ask_again_ns)
		return;
	vm_new_id(vm->late_id);
	vm->late_until_ms = gap->from_ms;
	vm->ask_again_ns = now_ns + LATE_UNANSWERED_NS;
	len = snprintf(
		text, sizeof(text),
		"{\"type\":\"GetHistory\",\"id\":\"%s\",\"begin\":%lld,\"end\":%lld,\"limit\":%d,\"timeout\":%d}",
		vm->late_id, (long long)gap->from_ms + 1, (long long)gap->to_ms - 1, VM_LATE_MAX, LATE_TIMEOUT_S);
	if (vm_send(vm, text, (size_t)len) < 0)
		vm->late_id[0] = '\0';
}

bool vm_tick(struct vm *vm, uint64_t now_ns)
{
	bool silent = pace_silent(&vm->pace, vm->since_ns, now_ns) && vm->channel.state == CHANNEL_LIVE, newly;
	uint64_t since_ns = vm->sample_ns ? now_ns - vm->sample_ns : 0;

	/* Old values are served for three intervals, also when the channel is away meanwhile; then they are gone. */
	if (vm->live && since_ns > 3 * pace_interval_ns(&vm->pace)) {
		free(vm->live);
		vm->live = NULL;
	}
	newly = silent && !vm->silent;
	vm->silent = silent;
	if (vm->channel.state == CHANNEL_LIVE)
		ask_late(vm, now_ns);
	return newly;
}

const char *vm_state(const struct vm *vm)
{
	switch (vm->channel.state) {
	case CHANNEL_AWAY:
		return "away";
	case CHANNEL_TAKEN:
		return "taken";
	case CHANNEL_QUIET:
		return "waiting";
	default:
		return vm->silent ? "silent" : vm->live ? "up" : "waiting";
	}
}

/* ------------------------------------------------------------------------------------------------------ to scrapes */

void vm_expose(const struct vm *vm, bool late, uint64_t now_ns, struct expose_vm *ret)
{
	double *figures = ret->figures;
	bool connected = vm->channel.fd >= 0;

	*ret = (struct expose_vm){ .serial = vm->serial, .labels = vm->labels, .info = *vm->info ? vm->info : NULL };
	if (late) {
		ret->sets = (const struct series_set *const *)vm->late;
		ret->sets_len = vm->late_offered;
	} else if (vm->live) {
		ret->sets = (const struct series_set *const *)&vm->live;
		ret->sets_len = 1;
	}
	figures[FIGURE_UP] = connected && vm->live && !vm->silent;
	figures[FIGURE_CONNECTED] = connected;
	figures[FIGURE_AGE_S] = vm->sample_ns ? (double)(now_ns - vm->sample_ns) / (double)NS_PER_S : NAN;
	figures[FIGURE_TIME_S] = vm->sample_ns ? (double)vm->sample_ms / 1000 : NAN;
	figures[FIGURE_INTERVAL_S] = (double)pace_interval_ns(&vm->pace) / (double)NS_PER_S;
	figures[FIGURE_CLOCK_OFFSET_S] = vm->clock_known ? (double)vm->clock_offset_ms / 1000 : NAN;
	figures[FIGURE_SESSIONS] = (double)vm->sessions;
	figures[FIGURE_SAMPLES] = (double)vm->samples;
	figures[FIGURE_BYTES] = (double)vm->channel.bytes;
	figures[FIGURE_INVALID] = (double)(vm->invalid + vm->channel.invalid);
	figures[FIGURE_SERIES_DROPPED] = (double)vm->series_dropped;
	figures[FIGURE_LOST] = (double)vm->lost;
	figures[FIGURE_THROTTLED] = (double)vm->channel.throttled;
	figures[FIGURE_LATE_WAITING] = (double)vm->late_len;
	figures[FIGURE_LATE_DROPPED] = (double)vm->late_dropped;
}

void vm_offer(struct vm *vm, bool late)
{
	if (late) {
		vm->late_offered = *vm->late_id ? 0 : vm->late_len; /* all of an answer, or nothing of it */
		return;
	}
	vm->offered = vm->live != NULL;
	vm->offered_seq = vm->live ? vm->live->seq : 0;
}

static void acknowledge(struct vm *vm)
{
	char text[160];
	int len;

	/* With a gap it would say that this is held too. */
	if (vm->gaps.len > 0 || vm->late_len > 0 || !vm->greeted || (vm->acked && vm->acked_seq == vm->taken_seq))
		return;
	len = snprintf(text, sizeof(text), "{\"type\":\"Ack\",\"seq\":%llu%s%s%s}", (unsigned long long)vm->taken_seq,
		       *vm->generation ? ",\"generation\":\"" : "", vm->generation, *vm->generation ? "\"" : "");
	if (strspn(vm->generation, "0123456789abcdef") != strlen(vm->generation) || vm_send(vm, text, (size_t)len) < 0)
		return;
	vm->acked = true;
	vm->acked_seq = vm->taken_seq;
}

void vm_taken(struct vm *vm, bool late, uint64_t now_ns)
{
	if (late) {
		for (size_t i = 0; i < vm->late_offered; i++)
			free(vm->late[i]);
		vm->late_len -= vm->late_offered;
		memmove(vm->late, vm->late + vm->late_offered, vm->late_len * sizeof(vm->late[0]));
		vm->late_offered = 0;
		ask_late(vm, now_ns);
	} else if (vm->offered) {
		vm->taken = true;
		vm->taken_seq = vm->offered_seq;
		acknowledge(vm);
	}
}

/* --------------------------------------------------------------------------------------------------------- life */

static const struct channel_events channel_events = { on_line, on_changed };

static void make_labels(struct vm *vm)
{
	size_t at = (size_t)sprintf(vm->labels, "vm=\"");

	at += label_escape(vm->labels + at, vm->name, strlen(vm->name), VMNAME_SIZE);
	if (*vm->uuid)
		sprintf(vm->labels + at, "\",uuid=\"%s\"", vm->uuid);
	else
		memcpy(vm->labels + at, "\"", 2);
}

struct vm *vm_new(struct ev_loop *loop, const struct hubconf *conf, uint64_t serial, const char *name, const char *path,
		  struct owned *owned, const struct vm_events *events, void *arg)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	struct err e = { 0 };

	if (!vm)
		return NULL;
	vm->serial = serial;
	vm->events = events;
	vm->arg = arg;
	vm->since_ns = clock_ns(CLOCK_MONOTONIC);
	vm->pressure_percent = NAN;
	snprintf(vm->name, sizeof(vm->name), "%s", name);
	vmname_uuid(vm->name, vm->uuid);
	make_labels(vm);
	vm->bounds = (struct series_bounds){ conf->limits_series_max, conf->limits_labels_max_bytes };
	pace_init(&vm->pace, conf->vms_interval_s * NS_PER_S);
	if (secret_of_vm(conf->secrets_folder, conf->secrets_master, vm->name, &vm->secret, &e) < 0)
		snprintf(vm->fault, sizeof(vm->fault), "%.159s", e.text);
	channel_init(&vm->channel, loop, path, conf->limits_bytes_per_s, conf->limits_burst_bytes, owned,
		     &channel_events, vm);
	return vm;
}

void vm_move(struct vm *vm, const char *path)
{
	const struct channel before = vm->channel;
	struct channel *channel = &vm->channel;

	channel_free(channel);
	channel_init(channel, before.loop, path, before.allowance.per_s, before.allowance.burst, before.owned,
		     &channel_events, vm);
	channel->bytes = before.bytes;
	channel->invalid = before.invalid;
	channel->throttled = before.throttled;
	vm->greeted = false;
	vm->late_id[0] = '\0';
	recent_end_session(&vm->recent);
	pace_break(&vm->pace);
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	channel_free(&vm->channel);
	for (size_t i = 0; i < vm->late_len; i++)
		free(vm->late[i]);
	free(vm->live);
	json_object_put(vm->whole);
	secret_free_text(vm->secret);
	recent_free(&vm->recent);
	free(vm);
}

size_t vm_memory(const struct vm *vm)
{
	size_t bytes = sizeof(*vm) + channel_memory(&vm->channel) - sizeof(vm->channel) + recent_memory(&vm->recent);

	for (size_t i = 0; i < vm->late_len; i++)
		bytes += series_size(vm->late[i]);
	return bytes + (vm->live ? series_size(vm->live) : 0);
}
