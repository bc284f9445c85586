/* SPDX-License-Identifier: MIT */
/*
 * Where the VMs' sockets are: folders and patterns, looked through when inotify(7) says that something has changed in
 * one of them, and once a minute in any case.
 */
#ifndef HUB_DISCOVER_H
#define HUB_DISCOVER_H

#include <stdbool.h>
#include <stddef.h>

#include <ev.h>

/*
 * Calls `found` for each socket that the words (absolute folders and patterns, spaces between) name: of a folder its
 * sockets, and the channel in each folder below it. Links to sockets do not count.
 */
void discover_look(const char *words, void (*found)(void *arg, const char *path), void *arg);

/* True if there is a socket at `path`. */
bool discover_is_socket(const char *path);

struct discover {
	struct ev_loop *loop;
	const char *words;
	void (*changed)(void *arg);
	void *arg;
	int fd;
	ev_io io;
	ev_timer timer;
};

/* Calls `changed` after changes have been quiet for a moment. The caller looks then. 0 or -errno. */
int discover_start(struct discover *discover, struct ev_loop *loop, const char *words, void (*changed)(void *arg),
		   void *arg);
/* Watches the folders that there are now. */
void discover_watch(struct discover *discover);
void discover_stop(struct discover *discover);

#endif
