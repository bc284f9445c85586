/* SPDX-License-Identifier: MIT */
#include <zstd.h>

#include "agent/log/reader.h"
#include "agent/log/scan.h"
#include "tests/log_fixture.h"

static char found[64][NAMES_SIZE];

struct result {
	unsigned count;
	uint64_t first, last;
	bool ordered;
	struct reader_stats stats;
};

static struct result drain(struct reader *reader)
{
	struct result r = { .ordered = true };
	struct reader_line line;

	while (reader_next(reader, &line) == 1) {
		assert_int_equal(strlen(line.text), line.len);
		r.first = r.count++ ? r.first : line.seq;
		r.ordered &= line.seq > r.last;
		r.last = line.seq;
	}
	r.stats = reader_stats(reader);
	return r;
}

static struct result read_dir(const char *dir, int64_t begin, int64_t end)
{
	struct reader *reader;
	struct result r;

	assert_int_equal(reader_open_dir(dir, &reader, NULL), 0);
	reader_range(reader, begin, end);
	r = drain(reader);
	reader_free(reader);
	return r;
}

static void fill(struct log_fixture *f, uint64_t from, uint64_t to, size_t len)
{
	for (uint64_t i = from; i <= to; i++)
		assert_int_equal(append(f, T0 + (int64_t)i * 1000, i, len), 0);
}

static void gives_every_line_of_all_segments_in_order(void **state)
{
	struct log_fixture *f = *state;
	struct result r;

	fill(f, 1, 100, 2000);
	assert_true(names(f->dir, found, 64) >= 3);
	r = read_dir(f->dir, INT64_MIN, INT64_MAX);
	assert_int_equal(r.count, 100);
	assert_true(r.ordered);
	assert_int_equal(r.stats.bad_lines + r.stats.torn_tails + r.stats.unreadable, 0);
}

static void begin_and_end_choose_the_same_lines_as_a_plain_filter(void **state)
{
	struct log_fixture *f = *state;

	f->config.segment_bytes = 1 << 20;
	f->config.max_total_bytes = 4 << 20;
	writer_init(&f->writer, &f->config);
	fill(f, 1, 1000, 700); /* most of one segment: the begin is found by bisection */
	for (int64_t begin = -2; begin < 1003; begin += 37) {
		struct result r = read_dir(f->dir, T0 + begin * 1000, T0 + (begin + 10) * 1000);
		int64_t low = begin < 1 ? 1 : begin, high = begin + 10 > 1001 ? 1001 : begin + 10;

		assert_int_equal(r.count, high > low ? high - low : 0);
		if (r.count)
			assert_int_equal(r.first, low);
	}
}

static void a_torn_tail_and_bad_lines_are_counted_and_passed_over(void **state)
{
	struct log_fixture *f = *state;
	char line[200], text[2000] = "";
	struct result r;

	assert_int_equal(mkdir(f->dir, 0750), 0);
	for (unsigned i = 1; i <= 3; i++) {
		sample(line, sizeof(line), T0 + i, i, 0);
		strcat(text, line);
		strcat(text, i == 1 ? "not json\n\n{\"type\":\"metrics\"}\n" : "");
	}
	strcat(text, "{\"type\":\"metr");
	spit(f->dir, "metrics-20260921T141320.000Z-000001.ndjson", text, strlen(text));
	r = read_dir(f->dir, INT64_MIN, INT64_MAX);
	assert_int_equal(r.count, 3);
	assert_int_equal(r.stats.bad_lines, 2);
	assert_int_equal(r.stats.torn_tails, 1);
}

static void a_line_beyond_the_limit_is_passed_over(void **state)
{
	struct log_fixture *f = *state;
	size_t size = READER_LINE_MAX + 200000;
	char *text = malloc(size), line[200];
	size_t len = sample(line, sizeof(line), T0, 1, 0);
	struct result r;

	assert_int_equal(mkdir(f->dir, 0750), 0);
	memset(text, 'x', size);
	text[size - len - 1] = '\n';
	memcpy(text + size - len, line, len);
	spit(f->dir, "metrics-20260921T141320.000Z-000001.ndjson", text, size);
	free(text);
	r = read_dir(f->dir, INT64_MIN, INT64_MAX);
	assert_int_equal(r.count, 1);
	assert_int_equal(r.stats.bad_lines, 1);
}

/* Compresses a file of the log to NAME.zst, cut to `keep` parts of 4, and removes the plain one. */
static void compress_file(struct log_fixture *f, const char *name, unsigned keep)
{
	size_t len, size;
	char *text = slurp(f->dir, name, &len), *out = malloc(ZSTD_compressBound(len)), to[NAMES_SIZE + 8];

	size = ZSTD_compress(out, ZSTD_compressBound(len), text, len, 1);
	assert_false(ZSTD_isError(size));
	snprintf(to, sizeof(to), "%s.zst", name);
	spit(f->dir, to, out, size * keep / 4);
	snprintf(to, sizeof(to), "rm %.63s", name);
	run(f->dir, to);
	free(text);
	free(out);
}

static void compressed_segments_are_read_like_plain_ones(void **state)
{
	struct log_fixture *f = *state;
	struct result r;

	fill(f, 1, 100, 2000);
	names(f->dir, found, 64);
	compress_file(f, found[0], 4);
	compress_file(f, found[1], 4);
	r = read_dir(f->dir, INT64_MIN, INT64_MAX);
	assert_int_equal(r.count, 100);
	assert_true(r.ordered);
	r = read_dir(f->dir, T0 + 5000, T0 + 8000);
	assert_int_equal(r.count, 3);
	assert_int_equal(r.first, 5);
}

static void a_torn_or_damaged_compressed_file_gives_what_it_can(void **state)
{
	struct log_fixture *f = *state;
	struct result r;

	fill(f, 1, 60, 2000);
	names(f->dir, found, 64);
	compress_file(f, found[0], 3);
	spit(f->dir, "metrics-20260921T141319.000Z-000001.ndjson.zst", "\x28\xb5\x2f\xfd garbage and more of it", 28);
	r = read_dir(f->dir, INT64_MIN, INT64_MAX);
	assert_true(r.count >= 60 - 33 && r.count < 100);
	assert_int_equal(r.last, 60);
	assert_int_equal(r.stats.torn_tails, 2);
}

static void a_segment_beside_its_compressed_twin_is_read_once(void **state)
{
	struct log_fixture *f = *state;
	char copy[2 * NAMES_SIZE + 40];

	fill(f, 1, 10, 200);
	names(f->dir, found, 64);
	snprintf(copy, sizeof(copy), "cp %.63s keep", found[0]);
	run(f->dir, copy);
	compress_file(f, found[0], 4);
	snprintf(copy, sizeof(copy), "mv keep %.63s", found[0]);
	run(f->dir, copy);
	assert_int_equal(read_dir(f->dir, INT64_MIN, INT64_MAX).count, 10);
}

static void given_files_are_sorted_by_their_time(void **state)
{
	struct log_fixture *f = *state;
	char a[128], b[128], *paths[] = { a, b };
	struct reader *reader;
	struct result r;

	fill(f, 1, 50, 2000);
	assert_true(names(f->dir, found, 64) >= 2);
	snprintf(a, sizeof(a), "%s/a", f->dir);
	snprintf(b, sizeof(b), "%s/b", f->dir);
	run(f->dir, "mv metrics-*-000002.ndjson a && mv metrics-*-000001.ndjson b");
	assert_int_equal(reader_open_files(paths, 2, &reader, NULL), 0);
	r = drain(reader);
	reader_free(reader);
	assert_int_equal(r.count, 50);
	assert_true(r.ordered);
}

static void a_missing_directory_or_file_is_an_error_with_its_name(void **state)
{
	char *paths[] = { (char[]){ "/nonexistent/file" } };
	struct reader *reader = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(reader_open_dir("/nonexistent/dir", &reader, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/dir"));
	assert_int_equal(reader_open_files(paths, 1, &reader, &err), -ENOENT);
	assert_null(reader);
}

static void follows_a_growing_log_through_rotation_and_torn_writes(void **state)
{
	struct log_fixture *f = *state;
	struct reader *reader;
	struct reader_line line;
	int fd;

	fill(f, 1, 3, 200);
	assert_int_equal(reader_open_dir(f->dir, &reader, NULL), 0);
	assert_int_equal(drain(reader).count, 3);
	for (uint64_t i = 4; i < 100; i++) {
		fill(f, i, i, 2000);
		assert_true(reader_wait(reader, 1000));
		assert_int_equal(reader_next(reader, &line), 1);
		assert_int_equal(line.seq, i);
		assert_int_equal(reader_next(reader, &line), 0);
	}
	assert_true(f->writer.stats.segments >= 3);
	/* Half a line is not given out, and may be cut off and written anew. */
	fd = dup(f->writer.fd);
	assert_int_equal(write(fd, "{\"type\":\"torn", 13), 13);
	assert_int_equal(reader_next(reader, &line), 0);
	assert_int_equal(ftruncate(fd, (off_t)f->writer.size), 0);
	close(fd);
	fill(f, 100, 100, 300);
	assert_int_equal(reader_next(reader, &line), 1);
	assert_int_equal(line.seq, 100);
	reader_free(reader);
}

static void waiting_without_news_ends_with_the_timeout(void **state)
{
	struct log_fixture *f = *state;
	struct reader *reader;

	fill(f, 1, 1, 0);
	assert_int_equal(reader_open_dir(f->dir, &reader, NULL), 0);
	drain(reader);
	assert_false(reader_wait(reader, 5));
	reader_free(reader);
}

static void headers_are_given_only_when_wanted(void **state)
{
	struct log_fixture *f = *state;
	struct reader *reader;
	struct reader_line line;

	fill(f, 1, 1, 0);
	assert_int_equal(reader_open_dir(f->dir, &reader, NULL), 0);
	reader_headers(reader, true);
	assert_int_equal(reader_next(reader, &line), 1);
	assert_true(line.header);
	assert_int_equal(reader_next(reader, &line), 1);
	assert_false(line.header);
	reader_free(reader);
}

static void scan_finds_the_facts_of_a_line_and_refuses_what_is_none(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t seq;
	} cases[] = {
		{ "{\"type\":\"metrics\",\"timestamp\":\"2026-09-21T14:13:20.000Z\",\"seq\":5}", true, 5 },
		{ "{ \"a\": {\"type\":1,\"seq\":9}, \"seq\" : 6 , \"b\":[1,\"}\\\"{\"], "
		  "\"timestamp\":\"2026-09-21T14:13:20Z\","
		  "\"type\":\"x\" }",
		  true, 6 },
		{ "{\"timestamp\":\"2026-09-21T14:13:20.000Z\",\"type\":\"t\"}\r", true, 0 },
		{ "{\"type\":\"metrics\",\"seq\":5}", false, 0 },
		{ "{\"timestamp\":\"2026-09-21T14:13:20.000Z\"}", false, 0 },
		{ "{\"type\":\"metrics\",\"timestamp\":\"yesterday\"}", false, 0 },
		{ "{\"type\":\"metrics\",\"timestamp\":\"2026-09-21T14:13:20.000Z\"", false, 0 },
		{ "{\"type", false, 0 },
		{ "{}", false, 0 },
		{ "[1]", false, 0 },
		{ "", false, 0 },
		{ "{\"a\":]}", false, 0 },
		{ "{\"a\\\"}", false, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].text);
		char *exact = malloc(len ? len : 1);
		struct scan scan = { .seq = 77 };

		memcpy(exact, cases[i].text, len); /* no NUL behind it */
		assert_int_equal(scan_line(exact, len, &scan), cases[i].ok);
		assert_int_equal(scan.seq, cases[i].ok ? cases[i].seq : 77);
		if (cases[i].ok)
			assert_int_equal(scan.wall_ms, T0);
		free(exact);
	}
}

static void names_and_stamps_survive_the_round_trip(void **state)
{
	static const char *const bad[] = {
		"metrics-20260921T141320.000Z-1.ndjson",	 "metrics-20261321T141320.000Z-000001.ndjson",
		"metrics-20260921T141320.000Z-000001.ndjson.gz", "metrics-20260921T141320.000Z-000001.ndjsonx",
		".metrics-20260921T141320.000Z-000001.ndjson",	 "metrics-",
		"metrics-20260921T141320.000Z-+00001.ndjson",	 "",
	};
	struct segment_name name, again;
	char text[NAMES_SIZE], stamp[RFC3339_SIZE];

	(void)state;
	for (int64_t ms = 1; ms < 4000000000000; ms = ms * 3 + 12345) {
		int64_t back = -1;

		name = (struct segment_name){ ms, (uint64_t)ms % 2000000, ms % 2 };
		names_format(&name, text);
		assert_true(names_parse(text, &again));
		assert_int_equal(names_compare(&name, &again), 0);
		assert_int_equal(name.compressed, again.compressed);
		assert_true(stamp_parse(stamp, rfc3339_format(ms, stamp), &back));
		assert_int_equal(back, ms);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(names_parse(bad[i], &again));
}

static void stamps_are_checked_strictly(void **state)
{
	static const char *const bad[] = {
		"2026-02-29T00:00:00Z",	 "2026-01-01T24:00:00Z", "2026-01-01T00:00:00",	      "2026-01-01T00:00:00.Z",
		"2026-01-01T00:00:00Zx", "1969-12-31T23:59:59Z", "2026-01-01T00:00:00+25:00", "2026-1-01T00:00:00Z",
	};
	int64_t ms = 0;

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(stamp_parse(bad[i], strlen(bad[i]), &ms));
	assert_true(stamp_parse("2024-02-29T01:00:00.1239+01:00", 30, &ms));
	assert_int_equal(ms, 1709164800123);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, log_setup, log_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gives_every_line_of_all_segments_in_order),
		TEST(begin_and_end_choose_the_same_lines_as_a_plain_filter),
		TEST(a_torn_tail_and_bad_lines_are_counted_and_passed_over),
		TEST(a_line_beyond_the_limit_is_passed_over),
		TEST(compressed_segments_are_read_like_plain_ones),
		TEST(a_torn_or_damaged_compressed_file_gives_what_it_can),
		TEST(a_segment_beside_its_compressed_twin_is_read_once),
		TEST(given_files_are_sorted_by_their_time),
		TEST(a_missing_directory_or_file_is_an_error_with_its_name),
		TEST(follows_a_growing_log_through_rotation_and_torn_writes),
		TEST(waiting_without_news_ends_with_the_timeout),
		TEST(headers_are_given_only_when_wanted),
		TEST(scan_finds_the_facts_of_a_line_and_refuses_what_is_none),
		TEST(names_and_stamps_survive_the_round_trip),
		TEST(stamps_are_checked_strictly),
	};

	return cmocka_run_group_tests_name("log_reader", tests, NULL, NULL);
}
