/* SPDX-License-Identifier: MIT */
/*
 * A list of files in order, one of them open. At the end of the list the directory is listed again: names sort in the
 * order of writing, so new segments come after the last one opened.
 */
#include "agent/log/reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/log/guarded.h"
#include "agent/log/names.h"
#include "agent/log/scan.h"
#include "agent/log/source.h"
#include "agent/log/writer.h"

#define POLL_MS 250
/* Most segments of a directory; more than a writer ever leaves. */
#define FILES_MAX 100000

struct entry {
	struct segment_name name; /* of a segment in the directory */
	const char *path;	  /* of a given file, owned by the caller; else NULL */
	int64_t first_ms;	  /* of a given file */
};

struct reader {
	int dir_fd; /* -1: files were given */
	int inotify_fd;
	struct entry *entries;
	size_t count, size;
	size_t at; /* index of the next to open */
	struct source *source;
	char file[NAMES_SIZE];
	const char *path; /* of the open file, for the caller */
	int64_t begin_ms, end_ms;
	bool headers;
	bool past_end; /* the last line was so far behind the end that its file has no more before it */
	struct reader_stats stats;
};

struct reader *reader_free(struct reader *r)
{
	if (!r)
		return NULL;
	source_free(r->source);
	closep(&r->dir_fd);
	closep(&r->inotify_fd);
	free(r->entries);
	free(r);
	return NULL;
}

static void reader_freep(struct reader **r)
{
	reader_free(*r);
}

static struct reader *reader_alloc(void)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->dir_fd = -1;
	r->inotify_fd = -1;
	r->begin_ms = INT64_MIN;
	r->end_ms = INT64_MAX;
	return r;
}

static int entry_add(struct reader *r, const struct entry *entry)
{
	size_t size = r->size ? 2 * r->size : 64;
	struct entry *more;

	if (r->count == FILES_MAX)
		return -E2BIG;
	if (r->count == r->size) {
		more = realloc(r->entries, size * sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->entries = more;
		r->size = size;
	}
	r->entries[r->count++] = *entry;
	return 0;
}

/* -------------------------------------------------------------------------------------------------- directory */

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = names_compare(&x->name, &y->name);

	return order ? order : (int)x->name.compressed - (int)y->name.compressed;
}

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/*
 * Replaces the list by the segments after the last one opened. A segment and its compressed twin (the writer stopped
 * between the two) are read once, from the plain one.
 */
static int list_refresh(struct reader *r)
{
	_cleanup_(closep) int fd = openat(r->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *dir = NULL;
	bool any = r->at > 0;
	struct segment_name last = any ? r->entries[r->at - 1].name : (struct segment_name){ 0 };
	struct dirent *item;
	size_t kept = 0;
	int rc = 0;

	if (fd < 0 || !(dir = fdopendir(fd)))
		return -errno;
	fd = -1;
	r->count = 0;
	r->at = 0;
	if (any)
		rc = entry_add(r, &(struct entry){ .name = last });
	while (!rc && (item = readdir(dir))) {
		struct entry entry = { 0 };

		if (names_parse(item->d_name, &entry.name) && (!any || names_compare(&entry.name, &last) > 0))
			rc = entry_add(r, &entry);
	}
	if (r->count > 1)
		qsort(r->entries, r->count, sizeof(r->entries[0]), by_name);
	for (size_t i = 0; i < r->count; i++)
		if (kept == 0 || names_compare(&r->entries[i].name, &r->entries[kept - 1].name) != 0)
			r->entries[kept++] = r->entries[i];
	r->count = kept;
	r->at = any;
	return rc;
}

int reader_open_dir(const char *dir, struct reader **ret, struct err *err)
{
	_cleanup_(reader_freep) struct reader *r = reader_alloc();
	int rc;

	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	r->dir_fd = guarded_open_dir(dir, err);
	if (r->dir_fd < 0)
		return r->dir_fd;
	rc = list_refresh(r);
	if (rc)
		return err_set(err, rc, "%s: %s", dir, strerror(-rc));
	r->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (r->inotify_fd >= 0 && inotify_add_watch(r->inotify_fd, dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		close_fd(&r->inotify_fd);
	*ret = TAKE_PTR(r);
	return 0;
}

/* ------------------------------------------------------------------------------------------------------ files */

static int by_time(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->first_ms != y->first_ms)
		return x->first_ms < y->first_ms ? -1 : 1;
	return names_compare(&x->name, &y->name);
}

static void unreadable(struct reader *r, int error, const char *words)
{
	if (r->stats.unreadable++ == 0)
		snprintf(r->stats.why, sizeof(r->stats.why), "%s", words);
	r->stats.error = error;
}

int reader_open_files(char *const paths[], size_t count, struct reader **ret, struct err *err)
{
	_cleanup_(reader_freep) struct reader *r = reader_alloc();

	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		const char *slash = strrchr(paths[i], '/');
		struct entry entry = { .path = paths[i], .first_ms = INT64_MAX };
		struct source *source = NULL;
		int rc = source_open(-1, paths[i], &source, err);

		if (rc)
			return rc;
		names_parse(slash ? slash + 1 : paths[i], &entry.name);
		if (source_first_time(source, &entry.first_ms)) {
			rc = entry_add(r, &entry);
		} else {
			err_set(err, -EBADMSG, "%s: is no metric log, or an empty one: it has no line of it", paths[i]);
			unreadable(r, -EBADMSG, err ? err->text : paths[i]);
		}
		source_free(source);
		if (rc)
			return err_set(err, rc, "%s: %s", paths[i], strerror(-rc));
	}
	if (r->count > 1)
		qsort(r->entries, r->count, sizeof(r->entries[0]), by_time);
	*ret = TAKE_PTR(r);
	return 0;
}

void reader_range(struct reader *r, int64_t begin_ms, int64_t end_ms)
{
	r->begin_ms = begin_ms;
	r->end_ms = end_ms;
}

void reader_headers(struct reader *r, bool wanted)
{
	r->headers = wanted;
}

static bool entry_time(struct reader *r, size_t at, bool last, int64_t *ret_ms)
{
	struct source *source = NULL;
	char file[NAMES_SIZE];
	bool found;

	names_format(&r->entries[at].name, file);
	if (source_open(r->dir_fd, file, &source, NULL) < 0)
		return false;
	found = last ? source_last_time(source, ret_ms) : source_first_time(source, ret_ms);
	source_free(source);
	return found;
}

bool reader_times(struct reader *r, int64_t *ret_first_ms, int64_t *ret_last_ms)
{
	size_t first = 0, last = r->count;

	while (first < r->count && !entry_time(r, first, false, ret_first_ms))
		first++;
	while (last > first && !entry_time(r, last - 1, true, ret_last_ms))
		last--;
	return last > first;
}

/* ---------------------------------------------------------------------------------------------------- reading */

/*
 * True if no line of the open file is in the range, judged by its first and last line: within a segment times go back
 * only by LOG_BACKWARDS_MS.
 */
static bool out_of_range(struct reader *r)
{
	int64_t ms;

	if (r->end_ms != INT64_MAX && source_first_time(r->source, &ms) && ms - LOG_BACKWARDS_MS >= r->end_ms)
		return true;
	/* The newest segment of a directory may still grow. */
	if (r->dir_fd >= 0 && r->at == r->count)
		return false;
	return r->begin_ms != INT64_MIN && source_last_time(r->source, &ms) && ms + LOG_BACKWARDS_MS < r->begin_ms;
}

/* Opens the next file. 1, or 0 if there is none. */
static int advance(struct reader *r)
{
	while (r->at < r->count) {
		const struct entry *entry = &r->entries[r->at++];
		struct segment_name name = entry->name;
		struct err err = { 0 };
		int rc;

		r->path = entry->path ? entry->path : r->file;
		names_format(&name, r->file);
		rc = source_open(entry->path ? -1 : r->dir_fd, r->path, &r->source, &err);
		if (rc == -ENOENT && !entry->path) { /* compressed since the directory was listed, */
			name.compressed = !name.compressed;
			names_format(&name, r->file);
			rc = source_open(r->dir_fd, r->file, &r->source, &err);
		}
		if (rc == -ENOENT)
			continue; /* or removed by the writer to keep its bound: no error */
		if (rc) {
			unreadable(r, rc, err.text);
			continue;
		}
		r->stats.files++;
		if (out_of_range(r)) {
			r->source = source_free(r->source);
			continue;
		}
		if (r->begin_ms > INT64_MIN + LOG_BACKWARDS_MS)
			source_seek(r->source, r->begin_ms - LOG_BACKWARDS_MS);
		return 1;
	}
	return 0;
}

static bool take_line(struct reader *r, const char *text, size_t len, struct reader_line *ret)
{
	struct scan scan;
	bool header;

	if (len == 0)
		return false;
	if (!scan_line(text, len, &scan)) {
		r->stats.bad_lines++;
		return false;
	}
	header = !strcmp(scan.type, "log_header");
	r->past_end = r->end_ms < INT64_MAX - LOG_BACKWARDS_MS && scan.wall_ms >= r->end_ms + LOG_BACKWARDS_MS;
	if ((header && !r->headers) || scan.wall_ms < r->begin_ms || scan.wall_ms >= r->end_ms)
		return false;
	*ret = (struct reader_line){
		.text = text,
		.len = len,
		.wall_ms = scan.wall_ms,
		.seq = scan.seq,
		.header = header,
		.sample = !strcmp(scan.type, "metrics"),
		.file = r->path,
	};
	r->stats.lines++;
	return true;
}

/* True if the open file has ended for good, because another follows it. */
static bool finished(struct reader *r)
{
	if (r->dir_fd >= 0 && r->at == r->count)
		list_refresh(r);
	return r->at < r->count || r->dir_fd < 0;
}

static void close_source(struct reader *r)
{
	r->stats.torn_tails += source_torn(r->source);
	r->source = source_free(r->source);
}

int reader_next(struct reader *r, struct reader_line *ret)
{
	char words[sizeof(r->stats.why)];
	bool last_look = false;

	for (;;) {
		const char *text;
		size_t len;
		int rc;

		if (!r->source && !advance(r) && (!finished(r) || !advance(r)))
			return 0;
		rc = source_next(r->source, &text, &len);
		if (rc == SOURCE_LINE) {
			if (take_line(r, text, len, ret))
				return 1;
			if (r->past_end)
				r->source = source_free(r->source);
			last_look &= !r->past_end;
			r->past_end = false;
		} else if (rc == SOURCE_BAD_FRAME) {
			r->stats.bad_frames++;
		} else if (rc == SOURCE_TOO_LONG) {
			r->stats.bad_lines++;
		} else if (rc < 0) {
			if (rc == -ENOMEM)
				return rc;
			if (rc != -EBADMSG) {
				snprintf(words, sizeof(words), "%s: %s", r->path,
					 rc == -EFBIG ? "too long a line, or too much, for a log" : strerror(-rc));
				unreadable(r, rc, words);
			}
			close_source(r);
		} else if (last_look || r->dir_fd < 0) {
			close_source(r);
			last_look = false;
		} else if (finished(r)) {
			/*
			 * A line may have been added between the end of this file and the listing that shows the next
			 * one.
			 */
			last_look = true;
		} else {
			return 0;
		}
	}
}

bool reader_wait(struct reader *r, int timeout_ms)
{
	struct pollfd p = { .fd = r->inotify_fd, .events = POLLIN };
	char events[4096];
	int rc;

	if (r->inotify_fd < 0 && (timeout_ms < 0 || timeout_ms > POLL_MS))
		timeout_ms = POLL_MS;
	rc = poll(&p, 1, timeout_ms);
	while (rc > 0 && read(r->inotify_fd, events, sizeof(events)) > 0)
		;
	return rc != 0 || r->inotify_fd < 0;
}

struct reader_stats reader_stats(const struct reader *r)
{
	struct reader_stats stats = r->stats;

	/* The last file of a live directory stays open. */
	if (r->source)
		stats.torn_tails += source_torn(r->source);
	return stats;
}
