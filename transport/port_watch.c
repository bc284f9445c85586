/* SPDX-License-Identifier: MIT */
/*
 * While the port is not open, inotify tells of its node: made (plugged), renamed, or given to another owner (EACCES
 * ends with a chown). Best effort: without it the back-off alone finds the port, later. sysfs has no inotify; a node
 * under /dev appears right after its entry there. Nothing is watched while the port is open, so that an idle agent is
 * not woken by what goes on in /dev.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

#include "port_private.h"

#define DIR_MASK (IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR)
/* IN_CLOSE: another process that had the port open has closed it. */
#define NODE_MASK (IN_ATTRIB | IN_CLOSE)

static int watch_add(struct port *port, const char *path, uint32_t mask, const char *filter, bool prefix)
{
	struct port_watch *watch = &port->watch;
	int wd = inotify_add_watch(watch->fd, path, mask);

	if (wd < 0)
		return -errno;
	if (watch->count == PORT_WATCHES)
		return -ENOSPC;
	watch->entries[watch->count].wd = wd;
	watch->entries[watch->count].prefix = prefix;
	snprintf(watch->entries[watch->count].filter, sizeof(watch->entries[0].filter), "%.*s", NAME_MAX, filter);
	watch->count++;
	return 0;
}

/*
 * Watches the folder of `path` for its last component; of a folder that is missing, the nearest one above that
 * exists.
 */
static void watch_path(struct port *port, const char *path)
{
	char folder[PATH_MAX], name[NAME_MAX + 1];

	if (snprintf(folder, sizeof(folder), "%s", path) >= (int)sizeof(folder))
		return;
	for (;;) {
		char *slash = strrchr(folder, '/');

		snprintf(name, sizeof(name), "%.*s", NAME_MAX, slash ? slash + 1 : folder);
		if (!slash)
			memcpy(folder, ".", 2);
		else
			slash[slash == folder] = '\0';
		if (watch_add(port, folder, DIR_MASK, name, false) != -ENOENT || !slash || slash == folder)
			return;
	}
}

/* The node itself, where a link leads to it. */
static void watch_node(struct port *port, const char *path)
{
	_cleanup_(freep) char *real = realpath(path, NULL);

	if (!real)
		return;
	if (strcmp(real, path) != 0)
		watch_path(port, real);
	watch_add(port, real, NODE_MASK, "", false);
}

static int watch_open(struct port *port)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = PORT_TAG_WATCH };

	if (port->watch.fd >= 0)
		return 0;
	port->watch.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (port->watch.fd < 0)
		return -errno;
	if (epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, port->watch.fd, &event) < 0) {
		close_fd(&port->watch.fd);
		return -errno;
	}
	return 0;
}

static void watch_all(struct port *port)
{
	char links[PATH_MAX];

	if (port->kind != PORT_KIND_VIRTIO) {
		watch_path(port, port->target);
		watch_node(port, port->target);
		return;
	}
	watch_add(port, port->dev_dir, DIR_MASK, "v", true); /* vportNpM, virtio-ports */
	if (snprintf(links, sizeof(links), "%s/virtio-ports", port->dev_dir) < (int)sizeof(links))
		watch_add(port, links, DIR_MASK, port->target, false);
	if (port->where[0] == '/' || port->where[0] == '.')
		watch_node(port, port->where);
}

static bool is_watched(const struct port_watch *watch, int wd)
{
	for (unsigned i = 0; i < watch->count; i++)
		if (watch->entries[i].wd == wd)
			return true;
	return false;
}

void port_watch_arm(struct port *port)
{
	int before[PORT_WATCHES];
	unsigned count = port->watch.count;

	if (watch_open(port) < 0)
		return;
	for (unsigned i = 0; i < count; i++)
		before[i] = port->watch.entries[i].wd;
	/* Adding a watch again gives the same wd: folders that have appeared since are found this way. */
	port->watch.count = 0;
	watch_all(port);
	for (unsigned i = 0; i < count; i++)
		if (!is_watched(&port->watch, before[i]))
			inotify_rm_watch(port->watch.fd, before[i]);
}

static bool interesting(const struct port *port, const struct inotify_event *event)
{
	if (event->mask & IN_Q_OVERFLOW)
		return true;
	/* An attempt of our own that failed after open(2) closes the node too: that must not bring the next one. */
	if ((event->mask & IN_CLOSE) && port->open_error != -EBUSY)
		return false;
	for (unsigned i = 0; i < port->watch.count; i++) {
		const char *filter = port->watch.entries[i].filter;
		const char *name = event->len ? event->name : "";

		if (event->wd != port->watch.entries[i].wd)
			continue;
		if (!filter[0] || (port->watch.entries[i].prefix ? strncmp(name, filter, strlen(filter)) == 0
								 : strcmp(name, filter) == 0))
			return true;
	}
	return false;
}

bool port_watch_drain(struct port *port)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool found = false;
	ssize_t n;

	while ((n = read(port->watch.fd, buffer, sizeof(buffer))) > 0)
		for (char *at = buffer; at < buffer + n;) {
			const struct inotify_event *event = (const struct inotify_event *)(const void *)at;

			found |= interesting(port, event);
			at += sizeof(*event) + event->len;
		}
	return found;
}

/* The fd stays: closing it with watches on it waits milliseconds for a grace period (fsnotify_destroy_group). */
void port_watch_disarm(struct port *port)
{
	for (unsigned i = 0; i < port->watch.count; i++)
		inotify_rm_watch(port->watch.fd, port->watch.entries[i].wd);
	if (port->watch.count > 0)
		port_watch_drain(port); /* the IN_IGNORED of each, which would cost a turn */
	port->watch.count = 0;
}

void port_watch_close(struct port *port)
{
	port->watch.count = 0;
	close_fd(&port->watch.fd);
}
