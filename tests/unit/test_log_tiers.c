/* SPDX-License-Identifier: MIT */
#include "agent/log/reader.h"
#include "agent/log/series.h"
#include "agent/log/sums.h"
#include "agent/log/tiers.h"
#include "tests/log_fixture.h"

#define M0 1790000040000LL /* 2026-09-21T14:14:00Z, a whole minute */
#define H1 1790002800000LL /* 2026-09-21T15:00:00Z */

struct tiers_fixture {
	struct log_fixture *log;
	struct writer_config whole;
	struct tiers *tiers;
	uint64_t seq;
};

static void start(struct tiers_fixture *f)
{
	struct writer_config samples, minutes, hours;

	tiers_share(&f->whole, &samples, &minutes, &hours);
	writer_init(&f->log->writer, &samples);
	assert_int_equal(tiers_new(&f->log->writer, &f->whole, &f->tiers), 0);
	assert_int_equal(writer_open(&f->log->writer), 0);
	assert_int_equal(tiers_open(f->tiers, (struct moment){ .mono_ns = 1 }), 0);
}

static int setup(void **state)
{
	struct tiers_fixture *f = calloc(1, sizeof(*f));
	void *log;

	log_setup(&log);
	f->log = log;
	f->whole = f->log->config;
	f->whole.segment_bytes = 1 << 20;
	f->whole.max_total_bytes = 64 << 20;
	f->whole.sync = LOG_SYNC_INTERVAL;
	*state = f;
	start(f);
	return 0;
}

static int teardown(void **state)
{
	struct tiers_fixture *f = *state;
	void *log = f->log;

	tiers_free(f->tiers);
	free(f);
	return log_teardown(&log);
}

/* As by a kill: nothing of what is open is written. */
static void killed(struct tiers_fixture *f)
{
	tiers_free(f->tiers);
	writer_close(&f->log->writer, (struct moment){ .mono_ns = 1 });
	start(f);
}

/* A sample with the values that matter here; `disks` file systems. */
static void put(struct tiers_fixture *f, int64_t wall_ms, double cpu, unsigned disks)
{
	struct moment now = { .wall_ms = wall_ms, .mono_ns = (uint64_t)(wall_ms - T0 + 1000000) * NS_PER_MS };
	char line[8192], time[RFC3339_SIZE];
	int len;

	f->seq++;
	rfc3339_format(wall_ms, time);
	len = snprintf(line, sizeof(line),
		       "{\"type\":\"metrics\",\"timestamp\":\"%s\",\"seq\":%" PRIu64
		       ",\"data\":{\"system\":{\"cpu\":{\"usage_percent\":%g,\"user_percent\":null},\"memory\":{"
		       "\"used_kb\":%" PRIu64 "},\"disk\":{\"usage_stats\":[",
		       time, f->seq, cpu, f->seq * 1000);
	for (unsigned i = 0; i < disks; i++)
		len += snprintf(line + len, sizeof(line) - (size_t)len, "%s{\"mount_point\":\"/%u\",\"used_gb\":%u.5}",
				i ? "," : "", i, i + (unsigned)f->seq);
	len += snprintf(line + len, sizeof(line) - (size_t)len,
			"],\"io_stats\":{\"read_bytes_per_sec\":%" PRIu64 "}}}}}\n", f->seq);
	assert_true(writer_append(&f->log->writer, line, (size_t)len, f->seq, now) >= 0);
	assert_int_equal(tiers_add(f->tiers, line, (size_t)len - 1, f->seq, now), 0);
}

/* The summaries of a tier, each with its newline; the caller frees. */
static char *summaries(struct tiers_fixture *f, const char *tier)
{
	char dir[128], *text = calloc(1, 1 << 20);
	struct reader *reader;
	struct reader_line line;
	size_t len = 0;

	snprintf(dir, sizeof(dir), "%s/%s", f->log->dir, tier);
	assert_int_equal(reader_open_dir(dir, &reader, NULL), 0);
	while (reader_next(reader, &line) == 1)
		len += (size_t)snprintf(text + len, (1 << 20) - len, "%s\n", line.text);
	reader_free(reader);
	return text;
}

static void a_minute_has_least_average_most_and_last_of_what_is_kept(void **state)
{
	struct tiers_fixture *f = *state;
	char *text;

	put(f, M0, 10, 2);
	put(f, M0 + 30000, 40, 2);
	put(f, M0 + 59999, 25.5, 1);
	put(f, M0 + 60000, 99, 1);
	text = summaries(f, "1m");
	assert_string_equal(
		text,
		"{\"type\":\"summary\",\"timestamp\":\"2026-09-21T14:14:00.000Z\",\"span_ms\":60000,\"count\":3,"
		"\"first_seq\":1,\"last_seq\":3,\"data\":{\"system\":{\"cpu\":{\"usage_percent\":[10,25.1666667,40,25."
		"5]},"
		"\"memory\":{\"used_kb\":[1000,2000,3000,3000]},\"disk\":{\"usage_stats\":[{\"mount_point\":\"/0\","
		"\"used_gb\":[1.5,2.5,3.5,3.5]},{\"mount_point\":\"/1\",\"used_gb\":[2.5,3,3.5,3.5]}],\"io_stats\":{"
		"\"read_bytes_per_sec\":[1,2,3,3]}}}}}\n");
	free(text);
}

static void an_hour_is_summed_from_its_minutes(void **state)
{
	struct tiers_fixture *f = *state;
	char *text;

	for (int i = 0; i < 120; i++)
		put(f, H1 + i * 30000, i, 1);
	put(f, H1 + TIER_HOUR_MS, 7, 1);
	text = summaries(f, "1h");
	assert_int_equal(count_lines(text), 1);
	assert_non_null(strstr(text, "\"timestamp\":\"2026-09-21T15:00:00.000Z\",\"span_ms\":3600000,\"count\":120,"
				     "\"first_seq\":1,\"last_seq\":120,\"data\""));
	assert_non_null(strstr(text, "\"usage_percent\":[0,59.5,119,119]"));
	free(text);
	text = summaries(f, "1m");
	assert_int_equal(count_lines(text), 60);
	free(text);
}

static void of_a_list_so_many_items_are_kept_and_no_more(void **state)
{
	struct tiers_fixture *f = *state;
	char *text;

	put(f, M0, 1, 12);
	put(f, M0 + 60000, 1, 0);
	text = summaries(f, "1m");
	assert_non_null(strstr(text, "\"/7\""));
	assert_null(strstr(text, "\"/8\""));
	assert_int_equal(tiers_stats(f->tiers).items_left_out, 4);
	free(text);
}

static void what_was_open_at_a_kill_is_summed_again_from_the_samples(void **state)
{
	struct tiers_fixture *f = *state;
	char *text, *whole;

	for (int i = 0; i < 250; i++) {
		put(f, H1 - 600000 + i * 10000, i, 2);
		if (i % 7 == 3)
			killed(f);
	}
	put(f, H1 + TIER_HOUR_MS, 7, 1);
	text = summaries(f, "1m");
	whole = summaries(f, "1h");
	assert_int_equal(count_lines(text), 42);
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		assert_non_null(strstr(line, end[1] ? "\"count\":6," : "\"count\":4,"));
	}
	assert_int_equal(count_lines(whole), 2);
	assert_non_null(strstr(whole, "\"count\":60,\"first_seq\":1,\"last_seq\":60,"));
	assert_non_null(strstr(whole, "\"count\":190,\"first_seq\":61,\"last_seq\":250,"));
	assert_non_null(strstr(whole, "\"usage_percent\":[60,154.5,249,249]"));
	free(text);
	free(whole);
}

/* A loss of power may take summaries that were not synced: here all of the last minutes. */
static void summaries_that_were_lost_are_made_again(void **state)
{
	struct tiers_fixture *f = *state;
	char *text;

	for (int i = 0; i < 20; i++)
		put(f, M0 + i * 30000, i, 1);
	run(f->log->dir, "head -n 3 1m/*.ndjson >cut && cat cut >$(ls 1m/*.ndjson) && rm cut");
	killed(f);
	put(f, M0 + 20 * 30000, 1, 1);
	text = summaries(f, "1m");
	assert_int_equal(count_lines(text), 10);
	assert_non_null(strstr(text, "\"count\":2,\"first_seq\":19,\"last_seq\":20,"));
	free(text);
}

static void a_clean_stop_writes_what_is_open_as_partial_and_the_whole_follows(void **state)
{
	struct tiers_fixture *f = *state;
	char *text;

	put(f, M0, 10, 1);
	put(f, M0 + 10000, 20, 1);
	assert_int_equal(tiers_close(f->tiers, (struct moment){ .mono_ns = 5 }), 0);
	text = summaries(f, "1m");
	assert_non_null(strstr(text, "\"count\":2,\"first_seq\":1,\"last_seq\":2,\"partial\":true,\"data\""));
	free(text);
	text = summaries(f, "1h");
	assert_non_null(strstr(text, "\"count\":2,\"first_seq\":1,\"last_seq\":2,\"partial\":true,\"data\""));
	free(text);
	killed(f);
	put(f, M0 + 20000, 60, 1);
	put(f, M0 + 60000, 1, 1);
	text = summaries(f, "1m");
	assert_int_equal(count_lines(text), 2);
	assert_non_null(strstr(text, "\"count\":3,\"first_seq\":1,\"last_seq\":3,\"data\""));
	assert_non_null(strstr(text, "[10,30,60,60]"));
	free(text);
}

static void a_summary_says_that_its_samples_were_not_synced(void **state)
{
	struct tiers_fixture *f = *state;
	static const enum log_sync syncs[] = { LOG_SYNC_NONE, LOG_SYNC_INTERVAL, LOG_SYNC_INTERVAL, LOG_SYNC_ALWAYS };

	for (unsigned i = 0; i < 4; i++) {
		char *text;

		f->whole.sync = syncs[i];
		f->whole.sync_interval_ns = i == 1 ? 600 * NS_PER_S : 60 * NS_PER_S;
		killed(f);
		put(f, M0 + i * 120000, 1, 1);
		put(f, M0 + i * 120000 + 60000, 1, 1);
		text = summaries(f, "1m");
		text[strlen(text) - 1] = '\0';
		assert_int_equal(strstr(strrchr(text, '\n') ? strrchr(text, '\n') : text, "\"unsynced\":true,") != NULL,
				 i < 2);
		free(text);
	}
}

static void a_clock_that_goes_back_gives_a_minute_twice_and_no_sample_two_times(void **state)
{
	struct tiers_fixture *f = *state;
	char *text;

	put(f, M0, 1, 1);
	put(f, M0 + 61000, 1, 1);
	put(f, M0 + 1000, 1, 1);
	put(f, M0 + 62000, 1, 1);
	put(f, M0 + 121000, 1, 1);
	text = summaries(f, "1m");
	assert_int_equal(count_lines(text), 4);
	for (unsigned i = 1; i <= 4; i++) {
		char seq[64];

		snprintf(seq, sizeof(seq), "\"count\":1,\"first_seq\":%u,\"last_seq\":%u,", i, i);
		assert_non_null(strstr(text, seq));
	}
	free(text);
}

static void each_tier_keeps_within_its_share(void **state)
{
	struct tiers_fixture *f = *state;
	struct writer_config samples, minutes, hours;

	f->whole.segment_bytes = 64 << 10;
	f->whole.max_total_bytes = 1 << 20;
	tiers_share(&f->whole, &samples, &minutes, &hours);
	assert_true(samples.max_total_bytes + minutes.max_total_bytes + hours.max_total_bytes <= 1 << 20);
	assert_true(samples.max_total_bytes / 2 >= samples.segment_bytes);
	assert_true(minutes.segment_bytes < 64 << 10 && hours.segment_bytes < minutes.segment_bytes);
	assert_string_equal(strrchr(hours.dir, '/'), "/1h");
	killed(f);
	for (int i = 0; i < 1500; i++)
		put(f, M0 + i * 60000, i, 8);
	run(f->log->dir, "test $(cat 1m/* | wc -c) -le 367001 && test $(cat 1m/* | wc -c) -ge 200000");
	run(f->log->dir, "test $(cat 1h/* | wc -c) -le 52428");
}

/* ---------------------------------------------------------------------------------------------------------- series */

struct expected {
	uint64_t rows, samples;
	double first_average, last_max;
};

static struct expected read_series(struct tiers_fixture *f, int64_t begin, int64_t end, int64_t step,
				   uint64_t *ret_lines)
{
	static const char *const paths[] = { "system.cpu.usage_percent", "system.disk.usage_stats[/0].used_gb",
					     "no.such" };
	struct series *series;
	struct series_row row;
	struct expected got = { 0 };
	int64_t last = INT64_MIN;
	uint64_t last_seq = 0;

	assert_int_equal(series_open(f->log->dir, begin, end, step, paths, 3, &series, NULL), 0);
	while (series_next(series, &row) == 1) {
		assert_true(row.time_ms > last);
		assert_true(row.first_seq > last_seq && row.last_seq >= row.first_seq);
		assert_true(row.values[0].known && row.values[1].known && !row.values[2].known);
		last = row.time_ms;
		last_seq = row.last_seq;
		if (!got.rows++)
			got.first_average = row.values[0].average;
		got.samples += row.count;
		got.last_max = row.values[0].max;
	}
	if (ret_lines)
		*ret_lines = series_stats(series).lines;
	series_free(series);
	return got;
}

static void a_series_has_every_sample_once_whatever_it_is_read_from(void **state)
{
	struct tiers_fixture *f = *state;
	const uint64_t all = 2 * 60 * 5 + 7;
	struct expected got;
	uint64_t lines;

	for (uint64_t i = 0; i < all; i++)
		put(f, M0 + (int64_t)i * 30000, (double)i, 1);
	got = read_series(f, INT64_MIN, INT64_MAX, 0, &lines);
	assert_true(got.rows == all && got.samples == all && got.last_max == (double)all - 1 && lines == all);
	got = read_series(f, INT64_MIN, INT64_MAX, 60000, &lines);
	assert_true(got.rows == (all + 1) / 2 && got.samples == all && got.first_average == 0.5);
	assert_true(lines < all / 2 + 4); /* from the minutes */
	got = read_series(f, INT64_MIN, INT64_MAX, TIER_HOUR_MS, &lines);
	assert_true(got.rows == 6 && got.samples == all && got.last_max == (double)all - 1);
	assert_true(lines < 5 + 70); /* from the hours, and the minutes of the open one */
	got = read_series(f, M0 + 300000, M0 + 600000, 60000, NULL);
	assert_true(got.rows == 5 && got.samples == 10 && got.first_average == 10.5);
}

static void where_the_samples_are_gone_the_tiers_answer(void **state)
{
	struct tiers_fixture *f = *state;
	const uint64_t all = 2 * 60 * 5;
	struct expected got;

	for (uint64_t i = 0; i < all; i++)
		put(f, M0 + (int64_t)i * 30000, (double)i, 1);
	/* No samples but the last few, no minutes of the first two hours. */
	run(f->log->dir, "set -- *.ndjson; tail -n 5 $1 >keep; cat keep >$1; rm keep");
	run(f->log->dir, "set -- 1m/*.ndjson; tail -n 180 $1 >keep; cat keep >$1; rm keep");
	got = read_series(f, INT64_MIN, INT64_MAX, 0, NULL);
	assert_true(got.samples == all && got.rows > 130 && got.rows < 150);
	assert_true(got.last_max == (double)all - 1);
}

static void a_partial_summary_gives_way_to_the_whole_one(void **state)
{
	struct tiers_fixture *f = *state;
	struct expected got;

	put(f, M0, 10, 1);
	tiers_close(f->tiers, (struct moment){ .mono_ns = 5 });
	got = read_series(f, INT64_MIN, INT64_MAX, 60000, NULL);
	assert_true(got.rows == 1 && got.samples == 1);
	killed(f);
	put(f, M0 + 20000, 60, 1);
	got = read_series(f, INT64_MIN, INT64_MAX, 60000, NULL);
	assert_true(got.rows == 1 && got.samples == 2 && got.last_max == 60);
	put(f, M0 + 60000, 1, 1);
	put(f, M0 + 120000, 1, 1);
	got = read_series(f, INT64_MIN, INT64_MAX, 60000, NULL);
	assert_true(got.rows == 3 && got.samples == 4 && got.first_average == 35);
}

static void a_series_without_tiers_has_all_samples_and_nothing_else(void **state)
{
	static const char text[] =
		"{\"type\":\"metrics\",\"timestamp\":\"2026-09-21T14:14:00.000Z\",\"seq\":1,\"data\":{\"a\":1}}\n"
		"{\"type\":\"agent_event\",\"timestamp\":\"2026-09-21T14:14:01.000Z\",\"seq\":2,\"data\":{\"a\":9}}\n"
		"{\"type\":\"metrics\",\"timestamp\":\"2026-09-21T14:13:20.000Z\",\"seq\":3,\"data\":{\"a\":2}}\n"
		"{\"type\":\"metrics\",\"timestamp\":\"2026-09-21T14:14:30.000Z\",\"seq\":4,\"data\":{\"a\":3}}\n";
	struct tiers_fixture *f = *state;
	const char *const paths[] = { "a" };
	struct series_cover cover;
	struct series *series;
	struct series_row row;
	double sum = 0;
	char dir[100];

	snprintf(dir, sizeof(dir), "%s/other", f->log->base);
	assert_false(series_look(dir, &cover));
	run(f->log->base, "mkdir other");
	assert_false(series_look(dir, &cover));
	spit(dir, "metrics-20260921T141400.000Z-000001.ndjson", text, sizeof(text) - 1);
	assert_true(series_look(dir, &cover));
	assert_true(cover.first_ms == M0 && cover.last_ms == M0 + 30000 && !cover.minutes && !cover.hours);
	assert_int_equal(series_open(dir, INT64_MIN, INT64_MAX, 0, paths, 1, &series, NULL), 0);
	while (series_next(series, &row) == 1)
		sum += row.values[0].last;
	assert_true(sum == 6);
	series_free(series);
}

static void a_look_at_a_log_tells_how_far_its_folders_go(void **state)
{
	struct tiers_fixture *f = *state;
	struct series_cover cover;
	struct expected got;

	put(f, M0, 10, 1);
	put(f, M0 + 60000, 20, 1);
	put(f, M0 + 90000, 30, 1);
	assert_true(series_look(f->log->dir, &cover));
	assert_true(cover.first_ms == M0 && cover.last_ms == M0 + 90000 && cover.minutes && !cover.hours);
	tiers_close(f->tiers, (struct moment){ .mono_ns = 5 });
	assert_true(series_look(f->log->dir, &cover) && cover.hours && cover.last_ms == M0 + 90000);
	/* Without samples also what was closed as partial. */
	run(f->log->dir, "rm *.ndjson");
	assert_true(series_look(f->log->dir, &cover) && cover.first_ms == M0 && cover.last_ms == M0 + 120000 - 1);
	got = read_series(f, INT64_MIN, INT64_MAX, 0, NULL);
	assert_true(got.rows == 2 && got.samples == 3 && got.last_max == 30);
	run(f->log->dir, "rm 1m/*");
	got = read_series(f, INT64_MIN, INT64_MAX, 0, NULL);
	assert_true(got.rows == 1 && got.samples == 3 && got.last_max == 30);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_minute_has_least_average_most_and_last_of_what_is_kept),
		TEST(an_hour_is_summed_from_its_minutes),
		TEST(of_a_list_so_many_items_are_kept_and_no_more),
		TEST(what_was_open_at_a_kill_is_summed_again_from_the_samples),
		TEST(summaries_that_were_lost_are_made_again),
		TEST(a_clean_stop_writes_what_is_open_as_partial_and_the_whole_follows),
		TEST(a_summary_says_that_its_samples_were_not_synced),
		TEST(a_clock_that_goes_back_gives_a_minute_twice_and_no_sample_two_times),
		TEST(each_tier_keeps_within_its_share),
		TEST(a_series_has_every_sample_once_whatever_it_is_read_from),
		TEST(where_the_samples_are_gone_the_tiers_answer),
		TEST(a_partial_summary_gives_way_to_the_whole_one),
		TEST(a_series_without_tiers_has_all_samples_and_nothing_else),
		TEST(a_look_at_a_log_tells_how_far_its_folders_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
