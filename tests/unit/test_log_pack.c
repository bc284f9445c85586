/* SPDX-License-Identifier: MIT */
#include <zstd.h>

#include "agent/log/frames.h"
#include "agent/log/pack.h"
#include "agent/log/reader.h"
#include "tests/log_fixture.h"

static char found[64][NAMES_SIZE];

static int setup(void **state)
{
	struct log_fixture *f;

	log_setup(state);
	f = *state;
	f->config.compress = true;
	f->config.segment_bytes = 1 << 20;
	f->config.max_total_bytes = 16 << 20;
	writer_init(&f->writer, &f->config);
	return 0;
}

/* Samples that differ as real ones do, of about `len` bytes. */
static void put(struct log_fixture *f, int64_t wall_ms, uint64_t seq, size_t len)
{
	static char line[400000];
	char time[RFC3339_SIZE];
	int at;

	rfc3339_format(wall_ms, time);
	at = snprintf(line, sizeof(line),
		      "{\"type\":\"metrics\",\"timestamp\":\"%s\",\"seq\":%" PRIu64 ",\"data\":{\"n\":[", time, seq);
	for (uint64_t i = 0; (size_t)at + 24 < len; i++)
		at += snprintf(line + at, sizeof(line) - (size_t)at, "%" PRIu64 ",", seq * 7919 % 1000 + i);
	at += snprintf(line + at, sizeof(line) - (size_t)at, "0]}}\n");
	assert_int_equal(
		writer_append(&f->writer, line, (size_t)at, seq, (struct moment){ .wall_ms = wall_ms, .mono_ns = 1 }),
		0);
}

/* Several segments, all closed ones of which are compressed. Returns the last seq. */
static uint64_t fill(struct log_fixture *f, unsigned segments)
{
	uint64_t seq = 0;

	while (f->writer.stats.segments < segments) {
		seq++;
		put(f, T0 + (int64_t)seq * 1000, seq, 3000);
	}
	return seq;
}

static void work(struct log_fixture *f)
{
	while (writer_work(&f->writer))
		;
}

/* The text of a compressed segment as any tool sees it: frame after frame, those without text included. */
static char *unpack(const char *dir, const char *name, size_t *ret_len)
{
	size_t size = 0, room = 4 << 20, rc = 1;
	char *packed = slurp(dir, name, &size), *text = malloc(room);
	ZSTD_DStream *zstd = ZSTD_createDStream();
	ZSTD_inBuffer in = { packed, size, 0 };
	ZSTD_outBuffer out = { text, room, 0 };

	while (in.pos < in.size) {
		rc = ZSTD_decompressStream(zstd, &out, &in);
		assert_false(ZSTD_isError(rc));
	}
	assert_int_equal(rc, 0);
	ZSTD_freeDStream(zstd);
	free(packed);
	*ret_len = out.pos;
	return text;
}

static struct frames index_of(const char *dir, const char *name)
{
	struct frames frames;
	size_t size, tail;
	char *packed = slurp(dir, name, &size);

	tail = frames_tail_find((unsigned char *)packed + size - FRAMES_FOOTER_LEN);
	assert_true(tail > 0 && tail < size);
	assert_int_equal(frames_tail_parse((unsigned char *)packed + size - tail, tail, size, &frames), 0);
	free(packed);
	return frames;
}

static void closed_segments_are_compressed_and_have_the_same_bytes(void **state)
{
	struct log_fixture *f = *state;
	size_t len, packed_len;
	char *plain, *text;
	struct stat st;

	fill(f, 3);
	assert_int_equal(names(f->dir, found, 64), 3);
	plain = slurp(f->dir, found[0], &len);
	work(f);
	assert_int_equal(f->writer.stats.packed, 2);
	assert_int_equal(names(f->dir, found, 64), 3);
	assert_string_equal(strrchr(found[0], '.'), ".zst");
	assert_string_equal(strrchr(found[1], '.'), ".zst");
	assert_string_equal(strrchr(found[2], '.'), ".ndjson");
	text = unpack(f->dir, found[0], &packed_len);
	assert_int_equal(packed_len, len);
	assert_memory_equal(text, plain, len);
	free(text);
	free(plain);
	plain = slurp(f->dir, found[0], &packed_len);
	assert_true(packed_len * 8 < len);
	free(plain);
	run(f->dir, "test $(stat -c %a *1.ndjson.zst) = 640");
	assert_int_equal(fstatat(f->writer.dir_fd, PACK_TEMPORARY, &st, 0), -1);
}

static void each_frame_can_be_read_alone_and_is_found_by_its_time(void **state)
{
	struct log_fixture *f = *state;
	size_t size;
	static char text[FRAME_PLAIN_MAX + 1];
	char *packed;
	struct frames frames;

	fill(f, 2);
	work(f);
	names(f->dir, found, 64);
	frames = index_of(f->dir, found[0]);
	packed = slurp(f->dir, found[0], &size);
	assert_true(frames.count >= 4);
	for (size_t i = 0; i < frames.count; i++) {
		const struct frame_row *row = &frames.rows[i];
		size_t len = ZSTD_decompress(text, sizeof(text), packed + row->offset,
					     frames.rows[i + 1].offset - row->offset);
		char seq[64], time[RFC3339_SIZE];

		assert_int_equal(len, row->plain);
		assert_true(len <= FRAME_PLAIN_MAX && text[len - 1] == '\n');
		text[len - 1] = '\0';
		snprintf(seq, sizeof(seq), "\"seq\":%" PRIu64 ",", row->first_seq);
		rfc3339_format(row->first_ms, time);
		assert_non_null(strstr(text, seq));
		assert_non_null(strstr(text, time));
		assert_true(strstr(text, time) < strchr(text, '\n') && row->first_ms < frames.rows[i + 1].first_ms);
	}
	assert_int_equal(frames.rows[frames.count].first_ms, T0 + 1000 * (int64_t)frames.rows[frames.count].first_seq);
	frames_free(&frames);
	free(packed);
}

static void a_step_back_of_the_clock_begins_a_frame_and_a_long_line_has_its_own(void **state)
{
	struct log_fixture *f = *state;
	struct frames frames;

	put(f, T0, 1, 3000);
	put(f, T0 + 500, 2, 3000);
	put(f, T0 + 100, 3, 3000); /* less than a new segment is begun for */
	put(f, T0 + 200, 4, 300000);
	put(f, T0 + 300, 5, 3000);
	put(f, T0 - 5000, 6, 3000);
	work(f);
	names(f->dir, found, 64);
	frames = index_of(f->dir, found[0]);
	assert_int_equal(frames.count, 4);
	assert_int_equal(frames.rows[1].first_ms, T0 + 100);
	assert_int_equal(frames.rows[1].first_seq, 3);
	assert_int_equal(frames.rows[2].first_seq, 4);
	assert_true(frames.rows[2].plain > FRAME_PLAIN_MAX);
	assert_int_equal(frames.rows[3].first_seq, 5);
	assert_int_equal(frames.rows[4].first_ms, T0 + 300);
	frames_free(&frames);
}

static struct reader_stats read_span(struct log_fixture *f, int64_t begin, int64_t end, uint64_t first, uint64_t count)
{
	struct reader *reader;
	struct reader_line line;
	struct reader_stats stats;

	assert_int_equal(reader_open_dir(f->dir, &reader, NULL), 0);
	reader_range(reader, begin, end);
	for (uint64_t i = 0; i < count; i++) {
		assert_int_equal(reader_next(reader, &line), 1);
		assert_int_equal(line.seq, first + i);
	}
	assert_int_equal(reader_next(reader, &line), 0);
	stats = reader_stats(reader);
	reader_free(reader);
	return stats;
}

static void a_mixed_folder_is_read_whole_and_by_spans(void **state)
{
	struct log_fixture *f = *state;
	uint64_t last = fill(f, 4);
	struct reader_stats stats;

	work(f);
	stats = read_span(f, INT64_MIN, INT64_MAX, 1, last);
	assert_int_equal(stats.bad_lines + stats.torn_tails + stats.unreadable + stats.bad_frames, 0);
	for (uint64_t first = 1; first + 10 < last; first += 41)
		read_span(f, T0 + (int64_t)first * 1000, T0 + (int64_t)(first + 10) * 1000, first, 10);
}

/* All frames but one are destroyed: reading within that one must not notice. */
static void frames_outside_the_span_are_not_opened(void **state)
{
	struct log_fixture *f = *state;
	struct frames frames;
	struct reader_stats stats;
	uint64_t first;
	size_t size;
	char *packed;

	fill(f, 2);
	work(f);
	names(f->dir, found, 64);
	frames = index_of(f->dir, found[0]);
	packed = slurp(f->dir, found[0], &size);
	memset(packed, 0xee, frames.rows[2].offset);
	memset(packed + frames.rows[3].offset, 0xee, frames.rows[frames.count].offset - frames.rows[3].offset);
	spit(f->dir, found[0], packed, size);
	first = frames.rows[2].first_seq + 3;
	stats = read_span(f, T0 + (int64_t)first * 1000, T0 + (int64_t)(first + 20) * 1000, first, 20);
	assert_int_equal(stats.bad_frames + stats.torn_tails + stats.unreadable, 0);
	frames_free(&frames);
	free(packed);
}

static void a_damaged_frame_costs_itself_alone(void **state)
{
	struct log_fixture *f = *state;
	struct frames frames;
	struct reader *reader;
	struct reader_line line;
	uint64_t last = fill(f, 2), lines = 0;
	size_t size;
	char *packed;

	work(f);
	names(f->dir, found, 64);
	frames = index_of(f->dir, found[0]);
	packed = slurp(f->dir, found[0], &size);
	memset(packed + frames.rows[1].offset, 0xee, 64);
	spit(f->dir, found[0], packed, size);
	assert_int_equal(reader_open_dir(f->dir, &reader, NULL), 0);
	while (reader_next(reader, &line) == 1)
		lines++;
	assert_int_equal(reader_stats(reader).bad_frames, 1);
	assert_int_equal(lines, last - (frames.rows[2].first_seq - frames.rows[1].first_seq));
	reader_free(reader);
	frames_free(&frames);
	free(packed);
}

/* At whatever step the writer stops, the next one finds each line once, and finishes the work. */
static void work_that_was_interrupted_is_finished_by_the_next_writer(void **state)
{
	struct log_fixture *f = *state;
	uint64_t last = fill(f, 3);

	for (unsigned steps = 1; steps < 8; steps++) {
		struct stat st;

		for (unsigned i = 0; i < steps; i++)
			assert_true(writer_work(&f->writer));
		/* As by a kill: what pack_free would remove stays. */
		if (f->writer.pack) {
			char copy[200];

			snprintf(copy, sizeof(copy), "cp %s left", PACK_TEMPORARY);
			run(f->dir, copy);
			writer_close(&f->writer, at(T0));
			snprintf(copy, sizeof(copy), "mv left %s", PACK_TEMPORARY);
			run(f->dir, copy);
		}
		read_span(f, INT64_MIN, INT64_MAX, 1, last);
		writer_init(&f->writer, &f->config);
		assert_int_equal(writer_open(&f->writer), 0);
		assert_int_equal(fstatat(f->writer.dir_fd, PACK_TEMPORARY, &st, 0), -1);
		assert_int_equal(f->writer.last_seq, last);
	}
	work(f);
	run(f->dir, "test $(ls *.zst | wc -l) = 2 && test $(ls *.ndjson | wc -l) = 1");
	read_span(f, INT64_MIN, INT64_MAX, 1, last);
}

static void of_a_segment_and_its_whole_twin_the_twin_stays(void **state)
{
	struct log_fixture *f = *state;
	uint64_t last = fill(f, 3);

	run(f->dir, "cp *1.ndjson ../plain; cp *2.ndjson ../other");
	work(f);
	writer_close(&f->writer, at(T0));
	/* The first as after a kill between rename and removal; the second's plain file has more than its twin. */
	run(f->dir,
	    "set -- *1.ndjson.zst; mv ../plain ${1%.zst}; set -- *2.ndjson.zst; (cat ../other; echo more) >${1%.zst}; "
	    "chmod 640 *.ndjson");
	writer_init(&f->writer, &f->config);
	assert_int_equal(writer_open(&f->writer), 0);
	run(f->dir, "test ! -e *1.ndjson && test -e *1.ndjson.zst && test -e *2.ndjson && test -e *2.ndjson.zst");
	read_span(f, INT64_MIN, INT64_MAX, 1, last);
}

static uint64_t bytes_of(const char *dir)
{
	char command[200];
	uint64_t sum = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "cd %s && cat $(ls -A) | wc -c", dir);
	pipe = popen(command, "re");
	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "%" SCNu64, &sum), 1);
	pclose(pipe);
	return sum;
}

static void the_bound_holds_while_segments_are_compressed(void **state)
{
	struct log_fixture *f = *state;
	bool more = false;

	f->config.segment_bytes = 65536;
	f->config.max_total_bytes = 3 * 65536;
	writer_init(&f->writer, &f->config);
	for (uint64_t seq = 1; seq < 600; seq++) {
		put(f, T0 + (int64_t)seq * 1000, seq, 3000);
		more = writer_work(&f->writer);
		if (seq % 10 == 0)
			assert_true(bytes_of(f->dir) <= f->config.max_total_bytes);
	}
	(void)more;
	assert_true(f->writer.stats.packed > 10 && f->writer.stats.removed > 0);
	work(f);
	assert_true(names(f->dir, found, 64) > 6); /* twice what plain ones would leave */
}

static void what_does_not_shrink_stays_plain(void **state)
{
	struct log_fixture *f = *state;
	static char line[200000];
	uint64_t state_of_noise = 88172645463325252ULL;

	for (uint64_t seq = 1; seq <= 12; seq++) {
		size_t len = sample(line, sizeof(line), T0 + (int64_t)seq, seq, 150000);

		for (size_t i = 100; i + 8 < len; i++) {
			state_of_noise ^= state_of_noise << 13;
			state_of_noise ^= state_of_noise >> 7;
			state_of_noise ^= state_of_noise << 17;
			line[i] = (char)('0' + (state_of_noise >> 8) % 75);
		}
		for (size_t i = 100; i + 8 < len; i++)
			line[i] = line[i] == '"' || line[i] == '\\' ? 'x' : line[i];
		assert_int_equal(writer_append(&f->writer, line, len, seq, at(T0 + (int64_t)seq)), 0);
	}
	work(f);
	assert_int_equal(f->writer.stats.packed, 0);
	assert_int_equal(f->writer.stats.pack_errors, 0);
	names(f->dir, found, 64);
	assert_string_equal(strrchr(found[0], '.'), ".ndjson");
	assert_int_equal(fstatat(f->writer.dir_fd, PACK_TEMPORARY, &(struct stat){ 0 }, 0), -1);
}

static void the_next_writer_goes_on_behind_a_log_whose_newest_file_is_compressed(void **state)
{
	struct log_fixture *f = *state;

	fill(f, 3);
	work(f);
	writer_close(&f->writer, at(T0));
	names(f->dir, found, 64);
	run(f->dir, "rm *3.ndjson");
	writer_init(&f->writer, &f->config);
	assert_int_equal(writer_open(&f->writer), 0);
	assert_true(f->writer.last_seq > 300);
	put(f, T0 + 9000000, f->writer.last_seq + 1, 3000);
	assert_int_equal(names(f->dir, found, 64), 3);
}

static void tables_that_lie_are_refused(void **state)
{
	struct log_fixture *f = *state;
	size_t size, len;
	unsigned char *packed;
	struct frames frames;

	fill(f, 2);
	work(f);
	names(f->dir, found, 64);
	packed = (unsigned char *)slurp(f->dir, found[0], &size);
	len = frames_tail_find(packed + size - FRAMES_FOOTER_LEN);
	assert_int_equal(frames_tail_parse(packed + size - len, len, size + 1, &frames), -EBADMSG);
	for (size_t i = 0; i < len; i++) {
		unsigned char *byte = packed + size - len + i;
		int rc;

		*byte ^= 0x5a;
		rc = frames_tail_parse(packed + size - len, len, size, &frames);
		/* Times, sequence numbers and sizes of text may be anything; what places a frame may not. */
		assert_true(rc == 0 || rc == -EBADMSG);
		if (rc == 0) {
			assert_int_equal(frames.rows[frames.count].offset, size - len);
			frames_free(&frames);
		}
		*byte ^= 0x5a;
	}
	free(packed);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, log_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(closed_segments_are_compressed_and_have_the_same_bytes),
		TEST(each_frame_can_be_read_alone_and_is_found_by_its_time),
		TEST(a_step_back_of_the_clock_begins_a_frame_and_a_long_line_has_its_own),
		TEST(a_mixed_folder_is_read_whole_and_by_spans),
		TEST(frames_outside_the_span_are_not_opened),
		TEST(a_damaged_frame_costs_itself_alone),
		TEST(work_that_was_interrupted_is_finished_by_the_next_writer),
		TEST(of_a_segment_and_its_whole_twin_the_twin_stays),
		TEST(the_bound_holds_while_segments_are_compressed),
		TEST(what_does_not_shrink_stays_plain),
		TEST(the_next_writer_goes_on_behind_a_log_whose_newest_file_is_compressed),
		TEST(tables_that_lie_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
