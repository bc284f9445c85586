/* SPDX-License-Identifier: MIT */
/* The helpers that read the log for a history and for a trend, over a log that was written before. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/log_fixture.h"

#include <ev.h>

#include <infiniservice/cleanup.h>

#include "agent/metrics/history_reader.h"
#include "agent/metrics/trend.h"

/* What the helper of a history says of the log: the numbers, and its last line. */
static const char *history_of(struct log_fixture *f, const struct history_wanted *asked)
{
	static char said[4096];
	static struct history_wanted wanted;
	int pair[2], status;
	size_t len = 0;
	char *line, *next;
	static char text[65536];
	ssize_t got;
	FILE *out = fmemopen(said, sizeof(said), "w");

	wanted = *asked;
	snprintf(wanted.dir, sizeof(wanted.dir), "%s", f->dir);
	wanted.to_seq = wanted.to_seq ? wanted.to_seq : UINT64_MAX;
	wanted.end_ms = wanted.end_ms ? wanted.end_ms : INT64_MAX;
	wanted.limit = wanted.limit ? wanted.limit : 1000;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	status = history_child(pair[1], &wanted);
	close(pair[1]);
	while ((got = read(pair[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)got;
	text[len] = '\0';
	close(pair[0]);
	for (line = text; (next = strchr(line, '\n')); line = next + 1) {
		*next = '\0';
		if (strchr(line, '{'))
			*strchr(line, '{') = '\0';
		fprintf(out, "%s", line);
	}
	fprintf(out, "%d", status);
	fclose(out);
	return said;
}

static void write_log(struct log_fixture *f)
{
	static const char *const bad[] = {
		"{\"type\":\"metrics\",\"timestamp\":\"2026-09-21T14:14:00Z\",\"seq\":90",
		"{\"type\":\"other\",\"timestamp\":\"2026-09-21T14:14:00Z\",\"seq\":91}\n",
		"\n",
	};
	char name[1][NAMES_SIZE], path[256];
	FILE *file;

	for (uint64_t seq = 1; seq <= 5; seq++)
		assert_int_equal(append(f, T0 + (int64_t)seq * 1000, seq, 0), 0);
	writer_close(&f->writer, at(T0));
	assert_int_equal(names(f->dir, name, 1), 1);
	snprintf(path, sizeof(path), "%s/%s", f->dir, name[0]);
	file = fopen(path, "ae");
	/* Damaged inside: a line's facts are found, but it is no JSON; then another type, and a blank byte. */
	fprintf(file, "%s,\"data\":{]}\n%s%s", bad[0], bad[1], bad[2]);
	fprintf(file, "%s,\"data\":\"\t\"}\n", bad[0]);
	fclose(file);
	writer_init(&f->writer, &f->config);
	assert_int_equal(append(f, T0 + 60000, 100, 0), 0);
}

static void a_history_has_the_samples_that_were_asked_for_and_how_it_ended(void **state)
{
	static const struct {
		uint64_t from_seq, to_seq, limit;
		int64_t begin_ms, end_ms;
		uint64_t interval_ms;
		const char *said;
	} cases[] = {
		{ .said = "1 2 3 4 5 100 .0" },
		{ .from_seq = 2, .to_seq = 4, .said = "2 3 4 .0" },
		{ .limit = 2, .said = "1 2 +0" },
		{ .from_seq = 4, .limit = 3, .said = "4 5 100 .0" },
		{ .begin_ms = T0 + 2000, .end_ms = T0 + 4000, .said = "2 3 .0" },
		{ .interval_ms = 2000, .said = "1 3 5 100 .0" },
	};
	static struct history_wanted wanted;
	struct log_fixture *f = *state;

	write_log(f);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		wanted.from_seq = cases[i].from_seq;
		wanted.to_seq = cases[i].to_seq;
		wanted.limit = cases[i].limit;
		wanted.begin_ms = cases[i].begin_ms;
		wanted.end_ms = cases[i].end_ms;
		wanted.interval_ms = cases[i].interval_ms;
		assert_string_equal(history_of(f, &wanted), cases[i].said);
	}
}

static void append_text(struct log_fixture *f, uint64_t seq, int64_t wall_ms, const char *rest)
{
	char line[600], time[RFC3339_SIZE];
	int len;

	rfc3339_format(wall_ms, time);
	len = snprintf(line, sizeof(line), "{\"type\":\"metrics\",\"timestamp\":\"%s\",\"seq\":%d,%s}\n", time,
		       (int)seq, rest);
	assert_int_equal(writer_append(&f->writer, line, (size_t)len, seq, at(wall_ms)), 0);
}

/* As it is in the log, and before that with what the whole one before it has; nothing that is not marked so is put in.
 */
static void a_sample_is_filled_in_from_the_whole_one_before_it(void **state)
{
	static struct history_wanted wanted;
	struct log_fixture *f = *state;
	char text[8192], *second, *third;
	size_t len = 0;
	int pair[2];
	ssize_t got;

	append_text(f, 1, T0,
		    "\"whole\":true,\"data\":{\"system\":{\"network\":{\"lines_skipped\":4,\"interfaces\":["
		    "{\"name\":\"eth0\",\"mac\":\"02\",\"mtu\":1500},{\"name\":\"eth1\",\"mac\":\"03\"}]}}}");
	append_text(f, 2, T0 + 1000,
		    "\"data\":{\"system\":{\"network\":{\"interfaces\":[{\"name\":\"eth1\",\"x\":1.5},"
		    "{\"name\":\"eth0\",\"mtu\":9}]}}}");
	append_text(f, 3, T0 + 2000, "\"data\":{\"system\":{\"network\":{\"interfaces\":[{\"name\":\"eth2\"}]}}}");
	wanted = (struct history_wanted){
		.begin_ms = T0 + 500, .end_ms = INT64_MAX, .to_seq = UINT64_MAX, .limit = 1000
	};
	snprintf(wanted.dir, sizeof(wanted.dir), "%s", f->dir);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(history_child(pair[1], &wanted), 0);
	close(pair[1]);
	while ((got = read(pair[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)got;
	close(pair[0]);
	text[len] = '\0';
	second = strstr(text, "\n2 {");
	third = strstr(text, "\n=");
	assert_true(second && third && *text == '=');
	*second = '\0';
	assert_non_null(strstr(text, "{\"name\":\"eth1\",\"x\":1.5,\"mac\":\"03\"}"));
	assert_non_null(strstr(text, "{\"name\":\"eth0\",\"mtu\":9,\"mac\":\"02\"}"));
	assert_non_null(strstr(text, "\"filled\":true}"));
	assert_null(strstr(text, "lines_skipped"));
	assert_non_null(strstr(second + 1, "[{\"name\":\"eth1\",\"x\":1.5},{\"name\":\"eth0\",\"mtu\":9}]}}}}\n"));
	assert_non_null(strstr(third, "[{\"name\":\"eth2\"}]}}},\"filled\":true}\n3 {"));
}

static void a_log_that_cannot_be_read_is_said_in_words(void **state)
{
	struct log_fixture *f = *state;
	char wanted[200];

	snprintf(wanted, sizeof(wanted), "!%s: No such file or directory1", f->dir);
	assert_string_equal(history_of(f, &(struct history_wanted){ 0 }), wanted);
}

static void a_history_ends_when_the_agent_is_gone(void **state)
{
	struct log_fixture *f = *state;
	struct history_wanted wanted = { .to_seq = 0, .end_ms = INT64_MAX, .limit = 1 };
	int pair[2];

	for (uint64_t seq = 1; seq <= 600; seq++)
		assert_int_equal(append(f, T0 + (int64_t)seq, seq, 0), 0);
	snprintf(wanted.dir, sizeof(wanted.dir), "%s", f->dir);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	close(pair[0]);
	assert_int_equal(history_child(pair[1], &wanted), 0); /* among lines that are not wanted */
	wanted.to_seq = 600;
	assert_int_equal(history_child(pair[1], &wanted), 0); /* at the first that is */
	close(pair[1]);
}

/* ----------------------------------------------------------------------------------------------------------- trend */

static struct trend found;
static unsigned done, died;

static void on_done(void *data, const struct trend *trend)
{
	ev_break(data, EVBREAK_ALL);
	done++;
	died += !trend;
	if (trend)
		found = *trend;
}

static void read_trend(const char *dir, int64_t begin_ms, uint64_t limit_ms)
{
	struct trend_request request = { .begin_ms = begin_ms, .end_ms = INT64_MAX, .limit_ms = limit_ms };
	struct ev_loop *loop = ev_default_loop(0);
	struct trend_job *job = NULL;

	snprintf(request.dir, sizeof(request.dir), "%s", dir);
	memset(&found, 0, sizeof(found));
	done = died = 0;
	assert_int_equal(trend_start(loop, &request, on_done, loop, &job), 0);
	assert_int_equal(done, 0);
	ev_run(loop, 0);
	assert_int_equal(done, 1);
}

static void append_use(struct log_fixture *f, int64_t wall_ms, uint64_t seq, int cpu)
{
	char line[512], time[RFC3339_SIZE];

	rfc3339_format(wall_ms, time);
	snprintf(line, sizeof(line),
		 "{\"type\":\"metrics\",\"timestamp\":\"%s\",\"seq\":%llu,\"data\":{\"system\":{\"cpu\":"
		 "{\"usage_percent\":%d}}}}\n",
		 time, (unsigned long long)seq, cpu);
	assert_int_equal(writer_append(&f->writer, line, strlen(line), seq, at(wall_ms)), 0);
}

static void a_trend_is_summed_by_a_helper_over_one_sample_a_minute(void **state)
{
	struct log_fixture *f = *state;

	for (int i = 0; i < 10; i++)
		append_use(f, T0 + i * 30000, (uint64_t)i + 1, i % 2 ? 90 : 10);
	assert_int_equal(append(f, T0 + 600000, 20, 0), 0); /* a sample without any of it */
	read_trend(f->dir, T0, 5000);
	assert_int_equal(died, 0);
	assert_int_equal(found.error, 0);
	assert_false(found.partial);
	assert_int_equal(found.samples, 5);
	assert_int_equal(found.bad_lines, 1);
	assert_int_equal(found.first_ms, T0);
	assert_int_equal(found.last_ms, T0 + 240000);
	assert_true(found.cpu.max > 9.9 && found.cpu.max < 10.1);
	read_trend(f->dir, T0 + 120000, 5000);
	assert_int_equal(found.samples, 3);
}

static void a_trend_without_time_is_partial_and_without_a_log_an_error(void **state)
{
	struct log_fixture *f = *state;

	read_trend(f->dir, T0, 5000);
	assert_int_equal(found.error, -ENOENT);
	for (int i = 0; i < 200; i++)
		append_use(f, T0 + i * 60000, (uint64_t)i + 1, 50);
	read_trend(f->dir, T0, 0);
	assert_true(found.partial);
	assert_int_equal(found.samples, 63);
}

static void a_trend_that_is_given_up_is_not_told(void **state)
{
	struct trend_request request = { .end_ms = INT64_MAX, .limit_ms = 5000 };
	struct ev_loop *loop = ev_default_loop(0);
	struct log_fixture *f = *state;
	struct trend_job *job = NULL;

	done = 0;
	snprintf(request.dir, sizeof(request.dir), "%s", f->dir);
	assert_int_equal(trend_start(loop, &request, on_done, loop, &job), 0);
	assert_null(trend_cancel(job));
	assert_null(trend_cancel(NULL));
	ev_run(loop, EVRUN_NOWAIT);
	assert_int_equal(done, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, log_setup, log_teardown)
	const struct CMUnitTest tests[] = {
		T(a_history_has_the_samples_that_were_asked_for_and_how_it_ended),
		T(a_sample_is_filled_in_from_the_whole_one_before_it),
		T(a_log_that_cannot_be_read_is_said_in_words),
		T(a_history_ends_when_the_agent_is_gone),
		T(a_trend_is_summed_by_a_helper_over_one_sample_a_minute),
		T(a_trend_without_time_is_partial_and_without_a_log_an_error),
		T(a_trend_that_is_given_up_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
