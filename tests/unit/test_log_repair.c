/* SPDX-License-Identifier: MIT */
#include "agent/log/repair.h"
#include "tests/log_fixture.h"

static char found[64][NAMES_SIZE];

/* A log of three samples in one segment, closed; returns its text. */
static char *three_lines(struct log_fixture *f, size_t *ret_len)
{
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(append(f, T0 + (int64_t)i, 10 + i, 120), 0);
	writer_close(&f->writer, at(T0));
	writer_init(&f->writer, &f->config);
	assert_int_equal(names(f->dir, found, 64), 1);
	return slurp(f->dir, found[0], ret_len);
}

/* Row 60: whatever byte the kill came at, the lines before it are whole and the next one is appended cleanly. */
static void a_kill_at_any_byte_leaves_the_earlier_lines_whole(void **state)
{
	struct log_fixture *f = *state;
	size_t len;
	char *text = three_lines(f, &len), name[NAMES_SIZE];

	strcpy(name, found[0]);
	for (size_t cut = 0; cut <= len; cut++) {
		char saved = text[cut], *after;
		size_t whole;
		uint64_t lines;

		text[cut] = '\0';
		lines = count_lines(text);
		whole = lines ? (size_t)(strrchr(text, '\n') - text) + 1 : 0;
		text[cut] = saved;
		spit(f->dir, name, text, cut);
		writer_init(&f->writer, &f->config);
		assert_int_equal(append(f, T0 + 50, 14, 0), 0);
		assert_int_equal(names(f->dir, found, 64), 1);
		after = slurp(f->dir, found[0], NULL);
		assert_int_equal(count_lines(after), lines ? lines + 1 : 2);
		assert_memory_equal(after, text, whole);
		assert_non_null(strstr(after, "\"seq\":14,"));
		free(after);
		writer_close(&f->writer, at(T0));
		writer_init(&f->writer, &f->config);
		run(f->dir, "rm -f metrics-*");
	}
	free(text);
}

static int repair(const char *dir, struct repair *ret)
{
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = repair_run(dir_fd, ret);

	close(dir_fd);
	return rc;
}

static void a_whole_log_is_not_changed(void **state)
{
	struct log_fixture *f = *state;
	size_t len, after_len;
	char *text = three_lines(f, &len), *after;
	struct repair r;

	assert_int_equal(repair(f->dir, &r), 0);
	close(r.fd);
	after = slurp(f->dir, found[0], &after_len);
	assert_int_equal(after_len, len);
	assert_memory_equal(after, text, len);
	assert_int_equal(r.cut_bytes, 0);
	assert_int_equal(r.last_seq, 13);
	assert_int_equal(r.last_wall_ms, T0 + 3);
	assert_int_equal(r.lines, 1);
	free(text);
	free(after);
}

/* Row 61: after a power cut a filesystem may have the size but not the bytes. */
static void zeros_at_the_end_are_cut_off(void **state)
{
	struct log_fixture *f = *state;
	static const struct {
		const char *tail;
		size_t len;
	} cases[] = {
		{ "\0\0\0\0\0\0", 6 },
		{ "\0\0\0\n", 4 },
		{ "{\"type\":\"metrics\"\0\0\0}\n", 22 },
		{ "\n\n\n", 3 },
		{ "{\"half\":\n\0\0\n", 13 },
		{ "garbage\n", 8 },
	};
	size_t len;
	char *text = three_lines(f, &len);

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct repair r;

		memcpy(text + len, cases[i].tail, cases[i].len);
		spit(f->dir, found[0], text, len + cases[i].len);
		assert_int_equal(repair(f->dir, &r), 0);
		close(r.fd);
		assert_int_equal(r.size, len);
		assert_int_equal(r.cut_bytes, cases[i].len);
		assert_int_equal(r.last_seq, 13);
	}
	free(text);
}

static void a_torn_tail_of_any_length_is_cut_off(void **state)
{
	static const size_t lengths[] = { 1, 65535, 65536, 65537, 200000, 700000 };
	struct log_fixture *f = *state;
	size_t len;
	char *text = three_lines(f, &len);

	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct repair r;
		struct stat st;

		memset(text + len, 'x', lengths[i]);
		spit(f->dir, found[0], text, len + lengths[i]);
		assert_int_equal(repair(f->dir, &r), 0);
		assert_int_equal(fstat(r.fd, &st), 0);
		close(r.fd);
		assert_int_equal(r.size, len);
		assert_int_equal(st.st_size, len);
	}
	free(text);
}

static void a_long_last_line_is_kept(void **state)
{
	struct log_fixture *f = *state;
	struct repair r;

	f->config.segment_bytes = 1 << 20;
	f->config.max_total_bytes = 4 << 20;
	writer_init(&f->writer, &f->config);
	assert_int_equal(append(f, T0, 1, 0), 0);
	assert_int_equal(append(f, T0 + 1, 2, 250000), 0);
	assert_int_equal(repair(f->dir, &r), 0);
	close(r.fd);
	assert_int_equal(r.size, f->writer.size);
	assert_int_equal(r.last_seq, 2);
}

/* A segment cut inside its header goes; the one before is continued and the last seq is still known. */
static void a_segment_without_a_whole_header_makes_way_for_the_one_before(void **state)
{
	struct log_fixture *f = *state;
	struct repair r;

	free(three_lines(f, NULL));
	spit(f->dir, "metrics-20260921T141321.000Z-000002.ndjson", "{\"type\":\"log_he", 15);
	spit(f->dir, "metrics-20260921T141322.000Z-000003.ndjson", "", 0);
	assert_int_equal(repair(f->dir, &r), 0);
	close(r.fd);
	assert_true(r.removed);
	assert_int_equal(names(f->dir, found, 64), 1);
	assert_int_equal(r.newest.number, 1);
	assert_int_equal(r.last_seq, 13);
}

static void the_last_seq_is_read_without_changing_anything(void **state)
{
	struct log_fixture *f = *state;
	size_t len, after_len;
	char *text = three_lines(f, &len);
	uint64_t seq = 99;

	memcpy(text + len, "torn", 4);
	spit(f->dir, found[0], text, len + 4);
	assert_int_equal(repair_last_seq(f->dir, &seq), 0);
	assert_int_equal(seq, 13);
	free(text);
	text = slurp(f->dir, found[0], &after_len);
	assert_int_equal(after_len, len + 4);
	free(text);
	assert_int_equal(repair_last_seq("/nonexistent/dir", &seq), 0);
	assert_int_equal(seq, 0);
}

static void a_header_alone_still_tells_the_seq_before_it(void **state)
{
	struct log_fixture *f = *state;
	uint64_t seq = 0;
	char *text = three_lines(f, NULL);

	spit(f->dir, found[0], text, (size_t)(strchr(text, '\n') - text) + 1);
	assert_int_equal(repair_last_seq(f->dir, &seq), 0);
	assert_int_equal(seq, 10); /* the header says first_seq 11 */
	free(text);
}

static void an_empty_directory_needs_no_repair(void **state)
{
	struct log_fixture *f = *state;
	struct repair r;

	assert_int_equal(repair(f->base, &r), 0);
	assert_false(r.any);
	assert_int_equal(r.fd, -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, log_setup, log_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_kill_at_any_byte_leaves_the_earlier_lines_whole),
		TEST(a_whole_log_is_not_changed),
		TEST(zeros_at_the_end_are_cut_off),
		TEST(a_torn_tail_of_any_length_is_cut_off),
		TEST(a_long_last_line_is_kept),
		TEST(a_segment_without_a_whole_header_makes_way_for_the_one_before),
		TEST(the_last_seq_is_read_without_changing_anything),
		TEST(a_header_alone_still_tells_the_seq_before_it),
		TEST(an_empty_directory_needs_no_repair),
	};

	return cmocka_run_group_tests_name("log_repair", tests, NULL, NULL);
}
