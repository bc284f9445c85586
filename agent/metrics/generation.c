/* SPDX-License-Identifier: MIT */
/* Detects a restored snapshot by signs from outside; see generation.h. */
#include "agent/metrics/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "agent/log/scan.h"
#include "agent/base/clockwatch.h"

/* The real-time clock counts whole seconds: it agrees with the wall clock when it is no further off than this. */
#define AGREES_MS 2000

bool generation_rtc_ran_ahead(struct generation *generation, const struct probe_rtc *now)
{
	struct probe_rtc before = generation->rtc;
	bool known = generation->rtc_known, agreed, agrees;
	int64_t passed_ms, lived_ms, stepped_ms;

	generation->rtc = *now;
	generation->rtc_known = true;
	if (!known)
		return false;
	passed_ms = (now->rtc_s - before.rtc_s) * 1000;
	lived_ms = (int64_t)(now->boot_ns / NS_PER_MS) - (int64_t)(before.boot_ns / NS_PER_MS);
	if (passed_ms - lived_ms <= GENERATION_AHEAD_MS)
		return false;
	stepped_ms = now->wall_ms - before.wall_ms - lived_ms;
	agreed = llabs(before.rtc_s * 1000 - before.wall_ms) <= AGREES_MS;
	agrees = llabs(now->rtc_s * 1000 - now->wall_ms) <= AGREES_MS;
	return !(agrees && !agreed && stepped_ms <= AGREES_MS);
}

bool generation_host_ran_ahead(struct generation *generation, int64_t host_ms, int64_t wall_ms)
{
	int64_t ahead_ms = host_ms - wall_ms, before_ms = generation->host_ahead_ms;
	bool known = generation->host_known;

	generation->host_known = true;
	/*
	 * A later message may have been delayed: the value falls slowly, so that the next message in time is no sign.
	 */
	if (!known || ahead_ms >= before_ms)
		generation->host_ahead_ms = ahead_ms;
	else
		generation->host_ahead_ms -= (before_ms - ahead_ms) / 16;
	return known && ahead_ms - before_ms > GENERATION_AHEAD_MS;
}

/*
 * ---------------------------------------------------------------------------------------------------------- the file
 */

void generation_make(char text[GENERATION_SIZE])
{
	uint64_t number = 0;

	/* Early in a boot there may be no randomness yet: then the clocks are used, which never read the same twice. */
	while (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number) || number == 0)
		number = (clock_ns(CLOCK_REALTIME) ^ clock_ns(CLOCK_MONOTONIC) << 20 ^ (uint64_t)getpid() << 44) | 1;
	snprintf(text, GENERATION_SIZE, "%016" PRIx64, number);
}

/* If writing fails the next agent process of this boot starts another generation, which is harmless. */
static void keep(const struct generation *generation)
{
	const char *dir = generation->config->agent.runtime_dir;
	char path[PATH_MAX], fresh[PATH_MAX], text[256];
	_cleanup_(closep) int fd = -1;
	int len = snprintf(text, sizeof(text), "%s %s %" PRIu64 " %d %" PRId64 " %" PRIu64 " %" PRId64 "\n",
			   generation->id->boot_id, generation->text, generation->first_seq, generation->rtc_known,
			   generation->rtc.rtc_s, generation->rtc.boot_ns, generation->rtc.wall_ms);

	if (snprintf(path, sizeof(path), "%s/" GENERATION_NAME, dir) >= (int)sizeof(path) ||
	    snprintf(fresh, sizeof(fresh), "%s/" GENERATION_NAME ".new", dir) >= (int)sizeof(fresh))
		return;
	unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && write(fd, text, (size_t)len) == len)
		rename(fresh, path);
}

static bool recall(struct generation *generation, uint64_t next_seq)
{
	struct generation kept = *generation;
	char path[PATH_MAX], text[256], boot_id[BOOT_ID_SIZE];
	_cleanup_(closep) int fd = -1;
	int known = 0;
	ssize_t n;

	if (snprintf(path, sizeof(path), "%s/" GENERATION_NAME, generation->config->agent.runtime_dir) >=
	    (int)sizeof(path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	if (sscanf(text, "%32s %16[0-9a-f] %" SCNu64 " %d %" SCNd64 " %" SCNu64 " %" SCNd64, boot_id, kept.text,
		   &kept.first_seq, &known, &kept.rtc.rtc_s, &kept.rtc.boot_ns, &kept.rtc.wall_ms) != 7 ||
	    strlen(kept.text) != GENERATION_SIZE - 1 || strcmp(boot_id, generation->id->boot_id) != 0 ||
	    kept.first_seq > next_seq)
		return false;
	kept.rtc_known = known == 1;
	kept.before_seq = next_seq - 1;
	*generation = kept;
	return true;
}

void generation_open(struct generation *generation)
{
	uint64_t next_seq = sampling_stats(generation->sampling).next_seq;

	if (!recall(generation, next_seq)) {
		generation->first_seq = next_seq;
		generation_make(generation->text);
		keep(generation);
	}
	memcpy(generation->id->generation, generation->text, GENERATION_SIZE);
}

/* --------------------------------------------------------------------------------------------------------- renewing */

static void renew(struct generation *generation, const char *why)
{
	generation_make(generation->text);
	memcpy(generation->id->generation, generation->text, GENERATION_SIZE);
	generation->first_seq = sampling_stats(generation->sampling).next_seq;
	generation->before_seq = 0;
	keep(generation);
	sampling_gap(generation->sampling);
	generation->renewed(generation->data, why);
	sampling_soon(generation->sampling, SAMPLE_TO_ALL);
}

static void on_vmgenid(struct ev_loop *ev, ev_io *io, int events)
{
	struct generation *generation = container_of(io, struct generation, vmgenid);

	(void)ev;
	(void)events;
	if (vmgenid_read(io->fd))
		renew(generation, "the machine has a new generation id");
}

void generation_start(struct generation *generation)
{
	int fd = vmgenid_open();

	generation->running = true;
	/* Without generation ids of the kernel the other signs remain. */
	if (fd < 0)
		return;
	ev_io_init(&generation->vmgenid, on_vmgenid, fd, EV_READ);
	ev_io_start(generation->loop->ev, &generation->vmgenid);
}

void generation_stop(struct generation *generation)
{
	ev_io *io = &generation->vmgenid;

	generation->running = false;
	if (!ev_is_active(io))
		return;
	ev_io_stop(generation->loop->ev, io);
	close(io->fd);
}

static void on_rtc(void *state, const struct probe_result *result)
{
	struct generation *generation = state;
	bool known = generation->rtc_known;
	struct probe_rtc reading;

	if (result->error < 0 || result->data_len != sizeof(reading) || !generation->running)
		return; /* no real-time clock, or no answer: the other signs remain */
	memcpy(&reading, result->data, sizeof(reading));
	if (generation_rtc_ran_ahead(generation, &reading))
		renew(generation, "the real-time clock is ahead");
	else if (!known)
		keep(generation);
}

void generation_look(struct generation *generation)
{
	static const struct probe_request request = { .kind = PROBE_RTC };
	struct prober **prober = &generation->prober;

	if (!*prober && generation->probers) {
		*prober = prober_for(generation->probers, on_rtc, generation);
		if (*prober)
			prober_seldom(*prober);
	}
	if (*prober)
		(*prober)->request(*prober, &request);
}

void generation_clock_set(struct generation *generation, int64_t stepped_ms)
{
	generation->host_ahead_ms -= stepped_ms;
	/* The clock may have been set because the guest stood still. */
	if (stepped_ms > GENERATION_AHEAD_MS)
		generation_look(generation);
}

void generation_late(struct generation *generation)
{
	if (generation->running)
		renew(generation, "nothing ran here for longer than it should");
}

/*
 * Each renewal costs a sample, a segment of the log and a line of the journal, so a host's messages may cause only this
 * many.
 */
#define HOST_WORDS   4
#define HOST_WORD_NS (30 * NS_PER_S)

static void renew_on_word(struct generation *generation, const char *why)
{
	uint64_t now_ns = generation->loop->now.mono_ns, back = (now_ns - generation->word_ns) / HOST_WORD_NS;

	if (back > 0) {
		generation->words -= back < generation->words ? (unsigned)back : generation->words;
		generation->word_ns = now_ns;
	}
	if (generation->words == HOST_WORDS)
		return;
	generation->words++;
	renew(generation, why);
}

void generation_hear(struct generation *generation, struct json_object *value)
{
	bool found;
	int64_t host_ms;

	if (json_object_is_type(value, json_type_string)) {
		found = stamp_parse(json_object_get_string(value), (size_t)json_object_get_string_len(value), &host_ms);
	} else {
		/* Milliseconds of this century: seconds and counters are no times. */
		host_ms = json_object_get_int64(value);
		found = json_object_is_type(value, json_type_int) && host_ms > INT64_C(946684800000) &&
			host_ms < INT64_C(4102444800000);
	}
	if (found && generation_host_ran_ahead(generation, host_ms, generation->loop->now.wall_ms))
		renew_on_word(generation, "the host's clock ran ahead");
}

/*
 * ------------------------------------------------------------------------------------------------------------ numbers
 */

uint64_t generation_ack(struct generation *generation, uint64_t seq, const char *text, uint64_t sent_seq)
{
	bool before = seq <= generation->before_seq, now = sent_seq >= generation->first_seq && seq <= sent_seq;
	bool ours = text ? strcmp(text, generation->text) == 0 : before || now;

	/* A host that names no generation repeats the same Ack after each handshake: it is a sign only once. */
	if (seq >= sampling_stats(generation->sampling).next_seq &&
	    (text ? strcmp(text, generation->text) == 0 : seq > generation->foreign_seq)) {
		if (!text)
			generation->foreign_seq = seq;
		renew_on_word(generation, "a host holds a sample that has not been taken yet");
		ours = false;
	}
	if (ours || seq < generation->first_seq)
		return seq;
	return generation->first_seq - 1;
}
