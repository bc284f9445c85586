/* SPDX-License-Identifier: MIT */
#include <grp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "agent/log/child.h"
#include "tests/log_fixture.h"

static char found[64][NAMES_SIZE];
static const struct log_readers everybody_of_ours = { .kind = LOG_READERS_OWN };

static void begins_a_segment_with_a_header_and_keeps_lines_byte_for_byte(void **state)
{
	struct log_fixture *f = *state;
	char line[200], *text;
	size_t len = sample(line, sizeof(line), T0, 7, 0);
	struct stat st;

	assert_int_equal(append(f, T0, 7, 0), 0);
	assert_int_equal(names(f->dir, found, 64), 1);
	assert_string_equal(found[0], "metrics-20260921T141320.000Z-000001.ndjson");
	text = slurp(f->dir, found[0], NULL);
	assert_ptr_equal(strstr(text,
				"{\"type\":\"log_header\",\"timestamp\":\"2026-09-21T14:13:20.000Z\",\"schema\":1,"
				"\"boot_id\":\"0f0f0f0f-1111-2222-3333-444444444444\",\"first_seq\":7}\n"),
			 text);
	assert_memory_equal(strchr(text, '\n') + 1, line, len + 1);
	free(text);
	assert_int_equal(fstat(f->writer.fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(stat(f->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
}

static void write_of_generation(struct log_fixture *f, int64_t wall_ms, uint64_t seq, const char *generation)
{
	char line[400];
	int len = snprintf(
		line, sizeof(line),
		"{\"type\":\"metrics\",\"timestamp\":\"2026-09-21T14:13:20.000Z\",\"seq\":%d,\"generation\":\"%s\"}\n",
		(int)seq, generation);

	assert_int_equal(writer_append(&f->writer, line, (size_t)len, seq, (struct moment){ .wall_ms = wall_ms }), 0);
}

static void a_new_generation_begins_a_new_segment_and_stands_in_its_header(void **state)
{
	struct log_fixture *f = *state;
	char *text;

	write_of_generation(f, T0, 1, "0123456789abcdef");
	write_of_generation(f, T0 + 1, 2, "0123456789abcdef");
	write_of_generation(f, T0 + 2, 3, "fedcba9876543210");
	write_of_generation(f, T0 + 3, 4, "fedcba9876543210");
	write_of_generation(f, T0 + 4, 5, "no generation!!!");
	assert_int_equal(names(f->dir, found, 64), 2);
	text = slurp(f->dir, found[0], NULL);
	assert_non_null(strstr(text, "\",\"generation\":\"0123456789abcdef\",\"first_seq\":1}\n"));
	free(text);
	text = slurp(f->dir, found[1], NULL);
	assert_non_null(strstr(text, "\",\"generation\":\"fedcba9876543210\",\"first_seq\":3}\n"));
	free(text);
}

static void modes_do_not_depend_on_the_umask(void **state)
{
	struct log_fixture *f = *state;
	mode_t before = umask(077);
	struct stat st;

	assert_int_equal(append(f, T0, 1, 0), 0);
	umask(before);
	assert_int_equal(fstat(f->writer.fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(stat(f->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
}

/* Row 62: exactly full is allowed, one byte more is not. */
static void rotates_exactly_at_the_segment_size(void **state)
{
	struct log_fixture *f = *state;
	uint64_t left;

	assert_int_equal(append(f, T0, 1, 0), 0);
	left = f->config.segment_bytes - f->writer.size;
	assert_int_equal(append(f, T0 + 1, 2, left), 0);
	assert_int_equal(f->writer.size, f->config.segment_bytes);
	assert_int_equal(names(f->dir, found, 64), 1);
	assert_int_equal(append(f, T0 + 2, 3, 0), 0);
	assert_int_equal(names(f->dir, found, 64), 2);
	assert_string_equal(found[1], "metrics-20260921T141320.002Z-000002.ndjson");
	assert_int_equal(f->writer.stats.lines, 3);
}

static void append_padded(struct log_fixture *f, uint64_t seq, bool whole)
{
	char line[1001];
	int len = snprintf(line, sizeof(line),
			   "{\"type\":\"metrics\",\"timestamp\":\"2026-09-21T14:13:20.000Z\",\"seq\":%d%s,\"x\":\"",
			   (int)seq, whole ? ",\"whole\":true" : "");

	memset(line + len, 'x', sizeof(line) - (size_t)len);
	memcpy(line + sizeof(line) - 4, "\"}\n", 3);
	assert_int_equal(writer_append(&f->writer, line, sizeof(line) - 1, seq, at(T0 + (int64_t)seq)), 0);
}

/* The first line of each segment is whole, as long as a whole one comes when it is wanted. */
static void a_segment_begins_with_a_whole_sample(void **state)
{
	struct log_fixture *f = *state;
	unsigned whole = 0, segments;

	f->config.max_total_bytes = 64 * 65536;
	writer_init(&f->writer, &f->config);
	assert_true(writer_wants_whole(&f->writer));
	for (uint64_t seq = 1; seq <= 300; seq++) {
		bool wanted = writer_wants_whole(&f->writer);

		whole += wanted;
		append_padded(f, seq, wanted);
	}
	segments = (unsigned)names(f->dir, found, 64);
	assert_true(segments >= 5);
	assert_int_equal(whole, segments);
	for (unsigned i = 0; i < segments; i++) {
		char *text = slurp(f->dir, found[i], NULL), *line = strchr(text, '\n') + 1;

		assert_true(strstr(line, "\"whole\":true") && strstr(line, "\"whole\":true") < strchr(line, '\n'));
		free(text);
	}
	/* None comes: the segment is used to its end, and the next one wants it still. */
	for (uint64_t seq = 301; seq <= 330; seq++)
		append_padded(f, seq, false);
	assert_true(writer_wants_whole(&f->writer));
	assert_int_equal(names(f->dir, found, 64), segments + 1);
	append_padded(f, 331, true);
	assert_int_equal(names(f->dir, found, 64), segments + 1);
	assert_false(writer_wants_whole(&f->writer));
}

static uint64_t total_bytes(const char *dir)
{
	uint64_t sum = 0;
	int count = names(dir, found, 64);

	for (int i = 0; i < count; i++) {
		char path[256];
		struct stat st;

		snprintf(path, sizeof(path), "%.100s/%.63s", dir, found[i]);
		assert_int_equal(stat(path, &st), 0);
		sum += (uint64_t)st.st_size;
	}
	return sum;
}

static void the_total_never_exceeds_its_bound(void **state)
{
	struct log_fixture *f = *state;

	for (uint64_t i = 1; i <= 300; i++) {
		assert_int_equal(append(f, T0 + (int64_t)i * 1000, i, i % 7 ? 3000 : 40000), 0);
		assert_true(total_bytes(f->dir) <= f->config.max_total_bytes);
	}
	assert_true(f->writer.stats.removed > 10);
	assert_true(total_bytes(f->dir) > f->config.max_total_bytes / 2);
}

static void a_lowered_bound_holds_from_the_next_start(void **state)
{
	struct log_fixture *f = *state;

	for (uint64_t i = 1; i <= 12; i++)
		assert_int_equal(append(f, T0 + (int64_t)i, i, 20000), 0);
	writer_close(&f->writer, at(T0));
	f->config.max_total_bytes = 2 * 65536;
	writer_init(&f->writer, &f->config);
	assert_int_equal(writer_open(&f->writer), 0);
	assert_true(total_bytes(f->dir) <= f->config.max_total_bytes);
	assert_int_equal(f->writer.last_seq, 12);
}

static void a_line_longer_than_a_segment_gets_its_own_within_the_bound(void **state)
{
	struct log_fixture *f = *state;

	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(append(f, T0 + (int64_t)i, i, 100000), 0);
	assert_true(total_bytes(f->dir) <= f->config.max_total_bytes);
	assert_int_equal(append(f, T0 + 10, 6, 4 * 65536), -EFBIG);
	assert_int_equal(append(f, T0 + 11, 7, 0), 0);
}

static void continues_the_last_segment_after_a_restart(void **state)
{
	struct log_fixture *f = *state;
	char *text;

	assert_int_equal(append(f, T0, 1, 0), 0);
	writer_close(&f->writer, at(T0));
	writer_init(&f->writer, &f->config);
	assert_int_equal(append(f, T0 + 5, 2, 0), 0);
	assert_int_equal(names(f->dir, found, 64), 1);
	text = slurp(f->dir, found[0], NULL);
	assert_int_equal(count_lines(text), 3);
	free(text);
}

/* Row 62: unique, sorted names although the clock goes back; times within a segment never fall. */
static void a_clock_that_goes_back_begins_a_segment_that_sorts_behind(void **state)
{
	struct log_fixture *f = *state;

	assert_int_equal(append(f, T0, 1, 0), 0);
	assert_int_equal(append(f, T0 - 900, 2, 0), 0);
	assert_int_equal(names(f->dir, found, 64), 1);
	assert_int_equal(append(f, T0 - 3600000, 3, 0), 0);
	assert_int_equal(append(f, T0 - 7200000, 4, 0), 0);
	assert_int_equal(names(f->dir, found, 64), 3);
	assert_string_equal(found[0], "metrics-20260921T141320.000Z-000001.ndjson");
	assert_string_equal(found[1], "metrics-20260921T141320.000Z-000002.ndjson");
	assert_string_equal(found[2], "metrics-20260921T141320.000Z-000003.ndjson");
}

static void numbers_grow_over_restarts_and_past_names_in_use(void **state)
{
	struct log_fixture *f = *state;

	assert_int_equal(mkdir(f->dir, 0750), 0);
	spit(f->dir, "metrics-20260921T141320.000Z-000041.ndjson.zst", "x", 1);
	spit(f->dir, "metrics-20260921T141320.000Z-000042.ndjson.zst", "x", 1);
	spit(f->dir, "foreign.txt", "x", 1);
	assert_int_equal(append(f, T0, 1, 0), 0);
	assert_int_equal(names(f->dir, found, 64), 4);
	assert_string_equal(found[3], "metrics-20260921T141320.000Z-000043.ndjson");
}

/* Row 57. */
static void a_deleted_segment_is_noticed_and_replaced(void **state)
{
	struct log_fixture *f = *state;
	char path[256];

	assert_int_equal(append(f, T0, 1, 0), 0);
	snprintf(path, sizeof(path), "%s/%s", f->dir, f->writer.file);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(append(f, T0 + 1, 2, 0), 0);
	assert_int_equal(names(f->dir, found, 64), 1);
	assert_string_equal(found[0], "metrics-20260921T141320.001Z-000002.ndjson");
	assert_int_equal(f->writer.stats.abandoned, 1);
}

/* Row 57: no zeros where the file was truncated behind our back. */
static void a_truncated_segment_is_left_and_has_no_zeros(void **state)
{
	struct log_fixture *f = *state;
	char path[256], *text;
	size_t len;

	assert_int_equal(append(f, T0, 1, 0), 0);
	snprintf(path, sizeof(path), "%s/%s", f->dir, f->writer.file);
	assert_int_equal(truncate(path, 30), 0);
	assert_int_equal(append(f, T0 + 1, 2, 0), 0);
	assert_int_equal(names(f->dir, found, 64), 2);
	text = slurp(f->dir, found[0], &len);
	assert_int_equal(len, 30);
	free(text);
	text = slurp(f->dir, found[1], &len);
	assert_int_equal(strlen(text), len);
	free(text);
}

/* Row 58: a link, a second name, a FIFO in the segment's place are never written. */
static void a_replaced_segment_is_never_written(void **state)
{
	static const char *const tricks[] = {
		"ln metrics-*-000001.ndjson ../other",
		"mv metrics-*-000002.ndjson ../x && ln -s ../x metrics-20260921T141320.001Z-000002.ndjson",
		"rm metrics-*-000003.ndjson && mkfifo metrics-20260921T141320.002Z-000003.ndjson",
	};
	struct log_fixture *f = *state;

	assert_int_equal(append(f, T0, 1, 0), 0);
	for (unsigned i = 0; i < 3; i++) {
		char want[NAMES_SIZE];

		run(f->dir, tricks[i]);
		assert_int_equal(append(f, T0 + 1 + i, 2 + i, 0), 0);
		snprintf(want, sizeof(want), "metrics-20260921T141320.00%uZ-00000%u.ndjson", i + 1, i + 2);
		assert_string_equal(f->writer.file, want);
	}
}

/* Row 58 at start: what is not ours is not continued. */
static void an_unsafe_newest_file_is_left_alone_at_start(void **state)
{
	static const char *const tricks[] = {
		"ln metrics-*-000001.ndjson ../other",
		"chmod g+w metrics-*-000002.ndjson",
		"rm metrics-*-000003.ndjson && mkfifo metrics-20260921T141320.002Z-000003.ndjson",
		"mv metrics-*-000004.ndjson ../x && ln -s ../x metrics-20260921T141320.003Z-000004.ndjson",
	};
	struct log_fixture *f = *state;

	assert_int_equal(append(f, T0, 1, 0), 0);
	for (unsigned i = 0; i < 4; i++) {
		writer_close(&f->writer, at(T0));
		run(f->dir, tricks[i]);
		writer_init(&f->writer, &f->config);
		assert_int_equal(append(f, T0 + 1 + i, 2 + i, 0), 0);
		assert_int_equal(f->writer.newest.number, 2 + i);
	}
}

/* Row 56. */
static void the_directory_is_made_again_after_it_was_moved_away(void **state)
{
	struct log_fixture *f = *state;
	char away[128];

	assert_int_equal(append(f, T0, 1, 0), 0);
	snprintf(away, sizeof(away), "%s/away", f->base);
	assert_int_equal(rename(f->dir, away), 0);
	assert_int_equal(append(f, T0 + 1, 2, 0), 0);
	assert_int_equal(names(f->dir, found, 64), 1);
	assert_string_equal(found[0], "metrics-20260921T141320.001Z-000002.ndjson");
	assert_int_equal(names(away, found, 64), 1);
}

/* Row 56: refused while something else is there, and well again afterwards. */
static void a_link_or_file_in_place_of_the_directory_is_refused(void **state)
{
	struct log_fixture *f = *state;
	char away[128];
	int rc;

	assert_int_equal(append(f, T0, 1, 0), 0);
	snprintf(away, sizeof(away), "%s/away", f->base);
	assert_int_equal(rename(f->dir, away), 0);
	assert_int_equal(symlink(away, f->dir), 0);
	rc = append(f, T0 + 1, 2, 0);
	assert_true(rc == -ENOTDIR || rc == -ELOOP);
	assert_int_equal(names(away, found, 64), 1);
	assert_int_equal(unlink(f->dir), 0);
	spit(f->base, "log", "", 0);
	assert_int_equal(append(f, T0 + 2, 3, 0), -ENOTDIR);
	assert_int_equal(unlink(f->dir), 0);
	assert_int_equal(append(f, T0 + 3, 4, 0), 0);
}

static void an_unsafe_directory_or_parent_is_refused(void **state)
{
	struct log_fixture *f = *state;

	assert_int_equal(chmod(f->base, 0777), 0);
	assert_int_equal(append(f, T0, 1, 0), -EPERM);
	assert_int_equal(chmod(f->base, 0700), 0);
	assert_int_equal(mkdir(f->dir, 0700), 0);
	assert_int_equal(chmod(f->dir, 0770), 0);
	assert_int_equal(append(f, T0, 1, 0), -EPERM);
	assert_int_equal(chmod(f->dir, 0750), 0);
	assert_int_equal(append(f, T0, 1, 0), 0);
}

/* Rows 53 and 59: a write cut short by the limit leaves no part of the line, and goes on by itself afterwards. */
static void a_file_size_limit_leaves_whole_lines_only(void **state)
{
	struct log_fixture *f = *state;
	struct rlimit before, limit;
	char *text;
	size_t len;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(append(f, T0, 1, 1000), 0);
	getrlimit(RLIMIT_FSIZE, &before);
	for (rlim_t cut = 1200; cut < 2500; cut += 100) {
		limit = (struct rlimit){ .rlim_cur = cut, .rlim_max = before.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		assert_int_equal(append(f, T0 + 1, 2, 5000), -EFBIG);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(append(f, T0 + 2, 3, 5000), 0);
	assert_true(names(f->dir, found, 64) <= 3);
	for (int i = 0; i < names(f->dir, found, 64); i++) {
		text = slurp(f->dir, found[i], &len);
		assert_true(len > 0 && text[len - 1] == '\n');
		assert_int_equal(strlen(text), len);
		free(text);
	}
	assert_int_equal(f->writer.stats.lines, 2);
}

/* Row 53: a limit for each file, which only the old segment has reached. */
static void a_worn_segment_makes_way_for_a_new_one(void **state)
{
	struct log_fixture *f = *state;
	struct rlimit before, limit;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(append(f, T0, 1, 3000), 0);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = (struct rlimit){ .rlim_cur = 4000, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(append(f, T0 + 1, 2, 2000), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(names(f->dir, found, 64), 2);
}

/* Rows 52 and 55: a full or read-only filesystem needs a mount, which needs root. */
static void a_full_disk_is_survived(void **state)
{
	struct log_fixture *f = *state;
	char command[256];
	uint64_t failed = 0;

	snprintf(command, sizeof(command), "mkdir %s && mount -t tmpfs -o size=256k,mode=0750 none %s 2>/dev/null",
		 f->dir, f->dir);
	if (geteuid() != 0 || system(command) != 0)
		skip(); /* mounting is not allowed here */
	writer_close(&f->writer, at(T0));
	f->config.max_total_bytes = 1 << 20;
	f->config.segment_bytes = 1 << 19;
	writer_init(&f->writer, &f->config);
	for (uint64_t i = 1; i <= 40; i++)
		failed += append(f, T0 + (int64_t)i, i, 10000) == -ENOSPC;
	assert_true(failed > 5 && failed < 40);
	assert_int_equal(f->writer.stats.lines + failed, 40);
	run(f->dir, "mount -o remount,size=4m .");
	assert_int_equal(append(f, T0 + 100, 41, 10000), 0);
	writer_close(&f->writer, at(T0)); /* a file open for writing would forbid the next step */
	run(f->dir, "mount -o remount,ro .");
	assert_int_equal(append(f, T0 + 101, 42, 10000), -EROFS);
	run(f->dir, "mount -o remount,rw .");
	assert_int_equal(append(f, T0 + 102, 43, 10000), 0);
	writer_close(&f->writer, at(T0));
	run(f->dir, "cd / && umount \"$OLDPWD\"");
}

static void interval_sync_happens_at_most_once_in_its_interval(void **state)
{
	struct log_fixture *f = *state;

	f->config.sync = LOG_SYNC_INTERVAL;
	f->config.sync_interval_ns = 5 * NS_PER_S;
	writer_init(&f->writer, &f->config);
	for (int i = 0; i < 100; i++)
		assert_int_equal(append(f, T0 + i * 100, (uint64_t)i + 1, 0), 0);
	assert_int_equal(f->writer.stats.syncs, 2);
	assert_int_equal(writer_close(&f->writer, at(T0 + 10000)), 0);
	assert_int_equal(f->writer.stats.syncs, 3);
}

static void always_syncs_every_line_and_none_never(void **state)
{
	struct log_fixture *f = *state;

	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(append(f, T0, i, 0), 0);
	assert_int_equal(writer_sync(&f->writer, at(T0)), 0);
	assert_int_equal(f->writer.stats.syncs, 0);
	writer_close(&f->writer, at(T0));
	f->config.sync = LOG_SYNC_ALWAYS;
	writer_init(&f->writer, &f->config);
	for (uint64_t i = 4; i <= 6; i++)
		assert_int_equal(append(f, T0, i, 0), 0);
	assert_int_equal(f->writer.stats.syncs, 3);
}

static void latest_is_replaced_whole_and_readable(void **state)
{
	struct log_fixture *f = *state;
	char *text;

	assert_int_equal(latest_write(f->base, &everybody_of_ours, "{\"a\":1}\n", 8), 0);
	spit(f->base, ".latest.json.new", "left over", 9);
	assert_int_equal(latest_write(f->base, &everybody_of_ours, "{}\n", 3), 0);
	text = slurp(f->base, "latest.json", NULL);
	assert_string_equal(text, "{}\n");
	free(text);
	assert_int_equal(latest_write("/nonexistent", &everybody_of_ours, "{}\n", 3), -ENOENT);
}

static mode_t mode_of(const char *dir, const char *name)
{
	char path[300];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

/* A group that is another's: not even root may be taken for it by accident. */
static void what_was_measured_is_readable_by_the_viewing_group_alone(void **state)
{
	static const struct log_readers nobody = { .kind = LOG_READERS_NOBODY };
	struct log_fixture *f = *state;
	struct log_readers ours = { .kind = LOG_READERS_GROUP, .gid = getegid() };
	mode_t before = umask(0);

	assert_int_equal(log_readers_try(getegid()), 0);
	assert_int_equal(latest_write(f->base, &ours, "{}\n", 3), 0);
	assert_int_equal(mode_of(f->base, "latest.json"), 0640);
	assert_int_equal(latest_write(f->base, &nobody, "{}\n", 3), 0);
	assert_int_equal(mode_of(f->base, "latest.json"), 0600);
	f->config.readers = nobody;
	writer_init(&f->writer, &f->config);
	assert_int_equal(append(f, T0, 1, 0), 0);
	umask(before);
	assert_int_equal(names(f->dir, found, 64), 1);
	assert_int_equal(mode_of(f->dir, found[0]), 0600);
	assert_int_equal(mode_of(f->base, strrchr(f->dir, '/') + 1), 0700);
}

/* In a child that has no right to the group: the file stays its owner's. */
static void a_group_that_may_not_be_given_reads_nothing(void **state)
{
	struct log_fixture *f = *state;
	struct log_readers others = { .kind = LOG_READERS_GROUP, .gid = 54321 };
	int status;
	pid_t pid;

	if (geteuid() == 0)
		assert_int_equal(chown(f->base, 65534, 65534), 0);
	pid = fork();
	if (pid == 0) {
		if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0))
			_exit(2);
		_exit(log_readers_try(54321) == -EPERM && latest_write(f->base, &others, "{}\n", 3) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(mode_of(f->base, "latest.json"), 0600);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, log_setup, log_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(begins_a_segment_with_a_header_and_keeps_lines_byte_for_byte),
		TEST(a_new_generation_begins_a_new_segment_and_stands_in_its_header),
		TEST(modes_do_not_depend_on_the_umask),
		TEST(a_segment_begins_with_a_whole_sample),
		TEST(rotates_exactly_at_the_segment_size),
		TEST(the_total_never_exceeds_its_bound),
		TEST(a_lowered_bound_holds_from_the_next_start),
		TEST(a_line_longer_than_a_segment_gets_its_own_within_the_bound),
		TEST(continues_the_last_segment_after_a_restart),
		TEST(a_clock_that_goes_back_begins_a_segment_that_sorts_behind),
		TEST(numbers_grow_over_restarts_and_past_names_in_use),
		TEST(a_deleted_segment_is_noticed_and_replaced),
		TEST(a_truncated_segment_is_left_and_has_no_zeros),
		TEST(a_replaced_segment_is_never_written),
		TEST(an_unsafe_newest_file_is_left_alone_at_start),
		TEST(the_directory_is_made_again_after_it_was_moved_away),
		TEST(a_link_or_file_in_place_of_the_directory_is_refused),
		TEST(an_unsafe_directory_or_parent_is_refused),
		TEST(a_file_size_limit_leaves_whole_lines_only),
		TEST(a_worn_segment_makes_way_for_a_new_one),
		TEST(a_full_disk_is_survived),
		TEST(interval_sync_happens_at_most_once_in_its_interval),
		TEST(always_syncs_every_line_and_none_never),
		TEST(latest_is_replaced_whole_and_readable),
		TEST(what_was_measured_is_readable_by_the_viewing_group_alone),
		TEST(a_group_that_may_not_be_given_reads_nothing),
	};

	return cmocka_run_group_tests_name("log_writer", tests, NULL, NULL);
}
