/* SPDX-License-Identifier: MIT */
#include "discover.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define CHANNEL	  "org.infinibay.agent"
#define QUIET_S	  0.1
#define ANYWAY_S  60.0
#define MATCH_MAX 20000 /* paths looked at of one pattern */

static void globfreep(glob_t *matches)
{
	globfree(matches);
}

static bool is_kind(const char *path, mode_t kind)
{
	struct stat st;

	return lstat(path, &st) == 0 && (st.st_mode & S_IFMT) == kind;
}

bool discover_is_socket(const char *path)
{
	return is_kind(path, S_IFSOCK);
}

static void look_pattern(const char *pattern, void (*found)(void *arg, const char *path), void *arg)
{
	_cleanup_(globfreep) glob_t matches = { 0 };

	if (glob(pattern, GLOB_NOSORT, NULL, &matches) != 0)
		return;
	for (size_t i = 0; i < matches.gl_pathc && i < MATCH_MAX; i++)
		if (is_kind(matches.gl_pathv[i], S_IFSOCK))
			found(arg, matches.gl_pathv[i]);
}

static void look_word(const char *word, void (*found)(void *arg, const char *path), void *arg)
{
	char pattern[4096];

	if (!is_kind(word, S_IFDIR)) {
		look_pattern(word, found, arg);
		return;
	}
	snprintf(pattern, sizeof(pattern), "%s/*", word);
	look_pattern(pattern, found, arg);
	snprintf(pattern, sizeof(pattern), "%s/*/" CHANNEL, word);
	look_pattern(pattern, found, arg);
}

/* Calls `each` with every word. */
static void for_words(const char *words, void (*each)(void *arg, const char *word), void *arg)
{
	char word[2048];

	for (const char *at = words; *at;) {
		size_t len;

		at += strspn(at, " \t");
		len = strcspn(at, " \t");
		if (len > 0 && len < sizeof(word)) {
			memcpy(word, at, len);
			word[len] = '\0';
			each(arg, word);
		}
		at += len;
	}
}

struct looking {
	void (*found)(void *arg, const char *path);
	void *arg;
};

static void look_each(void *arg, const char *word)
{
	const struct looking *looking = arg;

	look_word(word, looking->found, looking->arg);
}

void discover_look(const char *words, void (*found)(void *arg, const char *path), void *arg)
{
	struct looking looking = { found, arg };

	for_words(words, look_each, &looking);
}

/* -------------------------------------------------------------------------------------------------------- changes */

static void watch_folder(int fd, const char *path)
{
	inotify_add_watch(fd, path,
			  IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF |
				  IN_ONLYDIR);
}

/* The folders that match a pattern's first part up to some '/': a change in any of them may be one of its sockets. */
static void watch_each(void *arg, const char *word)
{
	const struct discover *discover = arg;
	char part[2048];

	for (const char *slash = strchr(word + 1, '/');; slash = strchr(slash + 1, '/')) {
		_cleanup_(globfreep) glob_t matches = { 0 };

		snprintf(part, sizeof(part), "%.*s", slash ? (int)(slash - word) : (int)strlen(word), word);
		if (glob(part, GLOB_NOSORT, NULL, &matches) == 0)
			for (size_t i = 0; i < matches.gl_pathc && i < MATCH_MAX; i++)
				watch_folder(discover->fd, matches.gl_pathv[i]);
		if (!slash)
			break;
	}
	snprintf(part, sizeof(part), "%s/*", word);
	if (is_kind(word, S_IFDIR)) {
		_cleanup_(globfreep) glob_t matches = { 0 };

		if (glob(part, GLOB_NOSORT, NULL, &matches) == 0)
			for (size_t i = 0; i < matches.gl_pathc && i < MATCH_MAX; i++)
				watch_folder(discover->fd, matches.gl_pathv[i]);
	}
}

void discover_watch(struct discover *discover)
{
	if (discover->fd >= 0)
		for_words(discover->words, watch_each, discover);
}

static void wait_for(struct discover *discover, double seconds)
{
	ev_timer_stop(discover->loop, &discover->timer);
	ev_timer_set(&discover->timer, seconds, 0);
	ev_timer_start(discover->loop, &discover->timer);
}

static void on_inotify(struct ev_loop *loop, ev_io *io, int events)
{
	struct discover *discover = io->data;
	char buffer[8192];

	(void)loop;
	(void)events;
	while (read(discover->fd, buffer, sizeof(buffer)) > 0)
		;
	/* A crowd of changes is looked at once; the wait is not begun anew, so that no crowd puts it off for ever. */
	if (ev_timer_remaining(loop, &discover->timer) > QUIET_S)
		wait_for(discover, QUIET_S);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct discover *discover = timer->data;

	(void)loop;
	(void)events;
	wait_for(discover, ANYWAY_S);
	discover->changed(discover->arg);
}

int discover_start(struct discover *discover, struct ev_loop *loop, const char *words, void (*changed)(void *arg),
		   void *arg)
{
	*discover = (struct discover){ .loop = loop, .words = words, .changed = changed, .arg = arg };
	discover->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	ev_init(&discover->timer, on_timer);
	discover->timer.data = discover;
	wait_for(discover, ANYWAY_S);
	if (discover->fd < 0)
		return -errno;
	ev_io_init(&discover->io, on_inotify, discover->fd, EV_READ);
	discover->io.data = discover;
	ev_io_start(loop, &discover->io);
	return 0;
}

void discover_stop(struct discover *discover)
{
	ev_timer_stop(discover->loop, &discover->timer);
	if (discover->fd < 0)
		return;
	ev_io_stop(discover->loop, &discover->io);
	close_fd(&discover->fd);
}
