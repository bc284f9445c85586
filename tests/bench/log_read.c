/* SPDX-License-Identifier: MIT */
/*
 * What it costs to read the log: a month of samples 30 s apart is made from one real sample of `infiniservice --once`
 *on standard input, and read back.
 *
 *	build/infiniservice --once | build/tests/bench/log_read [DAYS]
 *
 * Prints the CPU of one metric over two days of plain and of compressed segments, and that of `jq` and `zstdcat | jq`
 *on the same files with the same result; and how long a plot of all days and the last hour take. Needs jq and zstd.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/moment.h>

#include "agent/log/series.h"
#include "agent/log/tiers.h"
#include "agent/log/writer.h"
#include "tests/bench/measure.h"

#define STEP_MS	  30000
#define PLOT_ROWS 240
#define ROUNDS	  5

static const char metric[] = "system.cpu.usage_percent";

static void need(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "log_read: %s\n", what);
	exit(1);
}

static double cpu_ms(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

/* The sample in three parts: in front of the timestamp and between it and seq, and all behind; numbers in the last
 * change. */
struct sample {
	char text[1 << 20];
	size_t len;
	uint64_t noise;
};

static unsigned chance(struct sample *sample)
{
	sample->noise ^= sample->noise << 13;
	sample->noise ^= sample->noise >> 7;
	sample->noise ^= sample->noise << 17;
	return (unsigned)(sample->noise >> 33);
}

/* The line of a later moment: some digits behind `data` are others, as between real samples. */
static size_t sample_line(struct sample *sample, int64_t wall_ms, uint64_t seq, char *out, size_t room)
{
	const char *stamp = strstr(sample->text, "\"timestamp\":\""), *data = strstr(sample->text, ",\"boot_id\"");
	char time[RFC3339_SIZE];
	size_t len;

	need(stamp && data, "standard input is no sample");
	rfc3339_format(wall_ms, time);
	len = (size_t)snprintf(out, room, "{\"type\":\"metrics\",\"timestamp\":\"%s\",\"seq\":%" PRIu64 "%s", time, seq,
			       data);
	need(len < room, "a sample too large");
	for (size_t i = 300; i + 4 < len; i++)
		if (out[i] >= '1' && out[i] <= '9' && out[i - 1] >= '0' && out[i - 1] <= '9' && chance(sample) % 4 == 0)
			out[i] = (char)('1' + chance(sample) % 9);
	return len;
}

/* Writes `count` samples, with compression or without. */
static void write_log(const char *dir, struct sample *sample, uint64_t count, int64_t begin_ms, bool compress,
		      uint64_t total)
{
	static char line[1 << 20];
	static struct writer_config samples, minutes, hours;
	static struct writer writer;
	struct writer_config whole = {
		.segment_bytes = 8 << 20, .max_total_bytes = total, .compress = compress, .boot_id = "bench"
	};
	struct moment now = { 0 };
	struct tiers *tiers;

	snprintf(whole.dir, sizeof(whole.dir), "%s", dir);
	tiers_share(&whole, &samples, &minutes, &hours);
	writer_init(&writer, &samples);
	need(tiers_new(&writer, &whole, &tiers) == 0 && writer_open(&writer) == 0, "the log cannot be made");
	for (uint64_t i = 0; i < count; i++) {
		size_t len;

		now = (struct moment){ .mono_ns = (i + 1) * STEP_MS * NS_PER_MS,
				       .wall_ms = begin_ms + (int64_t)i * STEP_MS };
		len = sample_line(sample, now.wall_ms, i + 1, line, sizeof(line));
		need(writer_append(&writer, line, len, i + 1, now) >= 0, "a sample cannot be written");
		tiers_add(tiers, line, len - 1, i + 1, now);
		while (compress && (writer_work(&writer) || tiers_work(tiers)))
			;
	}
	tiers_close(tiers, now);
	tiers_free(tiers);
	writer_close(&writer, now);
}

static double read_once(const char *dir, int64_t begin_ms, int64_t end_ms, int64_t step_ms, uint64_t *ret_rows)
{
	static const char *const paths[] = { metric };
	struct series *series;
	struct series_row row;
	double sum = 0;

	*ret_rows = 0;
	need(series_open(dir, begin_ms, end_ms, step_ms, paths, 1, &series, NULL) == 0, "the log cannot be read");
	while (series_next(series, &row) > 0) {
		sum += row.values[0].known ? row.values[0].average : 0;
		++*ret_rows;
	}
	series_free(series);
	return sum;
}

/* One metric of all samples: CPU of ours and of jq. */
static void against_jq(const char *dir, const char *name, const char *cat)
{
	double ours[ROUNDS], theirs[ROUNDS], sum = 0, jq_sum = 0;
	uint64_t rows = 0;
	char command[512];

	snprintf(command, sizeof(command),
		 "%s %s/metrics-* | jq -r 'select(.type == \"metrics\") | .data.system.cpu.usage_percent // empty'",
		 cat, dir);
	for (unsigned i = 0; i < ROUNDS; i++) {
		double before = cpu_ms(RUSAGE_SELF), before_jq;
		FILE *pipe;
		char text[64];

		sum = read_once(dir, INT64_MIN, INT64_MAX, 0, &rows);
		ours[i] = cpu_ms(RUSAGE_SELF) - before;
		before_jq = cpu_ms(RUSAGE_CHILDREN);
		pipe = popen(command, "re");
		need(pipe != NULL, "no shell");
		jq_sum = 0;
		while (fgets(text, sizeof(text), pipe))
			jq_sum += strtod(text, NULL);
		need(pclose(pipe) == 0, "jq or zstd failed (are they installed?)");
		theirs[i] = cpu_ms(RUSAGE_CHILDREN) - before_jq;
	}
	need(fabs(sum - jq_sum) < 1e-6 * fabs(sum) + 1e-3, "jq says something else");
	printf("%-34s %8.1f ms   jq %8.1f ms   ratio %6.1f   (%" PRIu64 " samples)\n", name, median(ours, ROUNDS),
	       median(theirs, ROUNDS), median(theirs, ROUNDS) / median(ours, ROUNDS), rows);
}

static void timed(const char *dir, const char *name, int64_t begin_ms, int64_t end_ms, int64_t step_ms)
{
	double took[ROUNDS], cpu[ROUNDS];
	uint64_t rows = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t before = clock_ns(CLOCK_MONOTONIC);
		double cpu_before = cpu_ms(RUSAGE_SELF);

		read_once(dir, begin_ms, end_ms, step_ms, &rows);
		took[i] = (double)(clock_ns(CLOCK_MONOTONIC) - before) / 1e6;
		cpu[i] = cpu_ms(RUSAGE_SELF) - cpu_before;
	}
	printf("%-34s %8.1f ms   (of CPU %.1f ms, %" PRIu64 " rows)\n", name, median(took, ROUNDS), median(cpu, ROUNDS),
	       rows);
}

static uint64_t bytes_of(const char *dir)
{
	char command[512];
	uint64_t sum = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "cat %s/metrics-* | wc -c", dir);
	pipe = popen(command, "re");
	need(pipe && fscanf(pipe, "%" SCNu64, &sum) == 1, "no shell");
	pclose(pipe);
	return sum;
}

int main(int argc, char **argv)
{
	static struct sample sample = { .noise = 88172645463325252ULL };
	unsigned days = argument(argc, argv, 1, 30, 366);
	uint64_t count = (uint64_t)days * 86400000 / STEP_MS;
	char base[] = "/tmp/infini-bench-XXXXXX", plain[64], packed[64], month[64], command[128];
	int64_t begin_ms = 1790000000000, end_ms = begin_ms + (int64_t)count * STEP_MS;

	sample.len = fread(sample.text, 1, sizeof(sample.text) - 1, stdin);
	need(sample.len > 0 && mkdtemp(base), "no sample on standard input, or no /tmp");
	snprintf(plain, sizeof(plain), "%s/plain", base);
	snprintf(packed, sizeof(packed), "%s/packed", base);
	snprintf(month, sizeof(month), "%s/month", base);
	write_log(plain, &sample, 5760, begin_ms, false, 1 << 30);
	write_log(packed, &sample, 5760, begin_ms, true, 1 << 30);
	write_log(month, &sample, count, begin_ms, true, 256 << 20);
	printf("two days at 30 s: plain %.1f MB, compressed %.1f MB (with what is open)\n",
	       (double)bytes_of(plain) / 1e6, (double)bytes_of(packed) / 1e6);
	against_jq(plain, "one metric, plain", "cat");
	against_jq(packed, "one metric, compressed", "zstd -dcfq");
	timed(month, "all days, by the hour", begin_ms, end_ms,
	      (int64_t)days * 86400000 / PLOT_ROWS > TIER_HOUR_MS ? (int64_t)days * 86400000 / PLOT_ROWS
								  : TIER_HOUR_MS);
	timed(month, "all days, by the minute", begin_ms, end_ms, TIER_MINUTE_MS);
	timed(month, "last hour, every sample", end_ms - TIER_HOUR_MS, end_ms, 0);
	if (getenv("LOG_READ_KEEP"))
		return 0;
	snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command) != 0;
}
