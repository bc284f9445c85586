/* SPDX-License-Identifier: MIT */
/* The wiring: the one place of the hub that knows all parts. */
#include "hub.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <ev.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/hub/clients.h"
#include "tools/hub/discover.h"
#include "tools/hub/keep.h"
#include "tools/hub/registry.h"
#include "tools/hub/routes.h"
#include "tools/hub/web.h"
#include "tools/show/show.h"

#define KEEP_EVERY_TICKS 5
/* A VM whose socket is gone is told as away for so long, so that somebody can be alarmed; then it is gone. */
#define GONE_NS (15 * 60 * NS_PER_S)

struct hub {
	struct ev_loop *loop;
	const struct hubconf *conf;
	struct registry registry;
	struct owned owned;
	struct clients clients;
	struct routes routes;
	struct web web;
	struct discover discover;
	struct keep keep;
	ev_timer tick;
	ev_signal signals[3];
	unsigned ticks;
	int keep_failed;
};

/* ---------------------------------------------------------------------------------------------------------- VMs */

static void on_message(void *arg, struct vm *vm, const char *line, size_t len, struct json_object *message,
		       const char *type)
{
	struct hub *hub = arg;

	if (!hours_take(&hub->routes.hours, vm, message, type))
		clients_message(&hub->clients, vm, line, len, message, type);
}

static void on_changed(void *arg, struct vm *vm, enum channel_state before)
{
	struct hub *hub = arg;

	if (vm->channel.fd < 0)
		clients_vm_gone(&hub->clients, vm);
	if (vm->channel.state == before)
		return;
	if (vm->channel.state == CHANNEL_LIVE)
		show(stderr, "<6>%s: connected\n", vm->name);
	else if (vm->channel.fd < 0)
		show(stderr, "<5>%s: %s: %s\n", vm->name, vm_state(vm), vm->channel.reason);
}

static const struct vm_events vm_events = { on_message, on_changed };

static void add_vm(struct hub *hub, const char *name, const char *path, bool listed)
{
	struct vm *vm =
		vm_new(hub->loop, hub->conf, registry_serial(&hub->registry), name, path, &hub->owned, &vm_events, hub);
	int r = vm ? registry_add(&hub->registry, vm) : -ENOMEM;

	if (r < 0) {
		show(stderr, "<3>%s: left out: %s\n", path, r == -ENOSPC ? "there are too many VMs" : "out of memory");
		vm_free(vm);
		return;
	}
	vm->seen = true;
	vm->listed = listed;
	keep_restore(&hub->keep, vm);
	if (*vm->fault)
		show(stderr, "<3>%s: nothing is sent to it: %s\n", vm->name, vm->fault);
}

/* A machine that was started anew may have another socket (libvirt's path has the domain's number): same name, same VM.
 */
static bool moved(struct hub *hub, struct vm *vm, const char *path)
{
	if (vm->seen || vm->listed)
		return false;
	clients_vm_gone(&hub->clients, vm);
	vm_move(vm, path);
	vm->seen = true;
	return true;
}

static void on_found(void *arg, const char *path)
{
	struct hub *hub = arg;
	struct vm *vm = registry_by_path(&hub->registry, path);
	char name[VMNAME_SIZE];

	if (vm) {
		vm->seen = true;
		channel_wake(&vm->channel);
		return;
	}
	if (strlen(path) >= CHANNEL_PATH_SIZE || vmname_of_path(path, name) < 0) {
		show(stderr, "<4>%s: left out: path or name is too long\n", path);
		return;
	}
	vm = registry_by_name(&hub->registry, name);
	if (!vm)
		add_vm(hub, name, path, false);
	else if (!moved(hub, vm, path))
		show(stderr, "<4>%s: left out: %s has the name %s already (name it in [list])\n", path,
		     vm->channel.path, name);
}

static void forget_gone(struct hub *hub)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	for (size_t i = hub->registry.len; i > 0; i--) {
		struct vm *vm = hub->registry.vms[i - 1];

		if (vm->seen || vm->listed || vm->channel.fd >= 0 || now_ns - vm->since_ns < GONE_NS)
			continue;
		show(stderr, "<6>%s: its socket is gone\n", vm->name);
		clients_vm_gone(&hub->clients, vm);
		registry_remove(&hub->registry, vm);
	}
}

static void look(void *arg)
{
	struct hub *hub = arg;

	/* Watched first, so that nothing comes between looking and watching unseen. */
	discover_watch(&hub->discover);
	/* Before any path is looked at: a name is free for another socket only when its own one is gone. */
	for (size_t i = 0; i < hub->registry.len; i++)
		hub->registry.vms[i]->seen = discover_is_socket(hub->registry.vms[i]->channel.path);
	discover_look(hub->conf->vms_sockets, on_found, hub);
	forget_gone(hub);
	hub->routes.ready = true;
}

/* --------------------------------------------------------------------------------------------------------- time */

static void write_kept(struct hub *hub)
{
	int r = keep_write(&hub->keep, &hub->registry);

	if (r < 0 && r != hub->keep_failed)
		show(stderr, "<3>%s: cannot be written: %s\n", hub->keep.path, strerror(-r));
	hub->keep_failed = r;
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct hub *hub = timer->data;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	(void)loop;
	(void)events;
	for (size_t i = 0; i < hub->registry.len; i++)
		if (vm_tick(hub->registry.vms[i], now_ns))
			show(stderr, "<4>%s: silent: no sample for three intervals\n", hub->registry.vms[i]->name);
	hours_tick(&hub->routes.hours, now_ns);
	if (++hub->ticks % KEEP_EVERY_TICKS == 0)
		write_kept(hub);
}

static void on_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
	struct hub *hub = signal->data;

	(void)events;
	if (signal->signum == SIGHUP)
		look(hub);
	else
		ev_break(loop, EVBREAK_ALL);
}

/* --------------------------------------------------------------------------------------------------------- start */

static void watch_signals(struct hub *hub)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		ev_signal_init(&hub->signals[i], on_signal, numbers[i]);
		hub->signals[i].data = hub;
		ev_signal_start(hub->loop, &hub->signals[i]);
	}
}

static int start(struct hub *hub, const struct hub_options *options, struct err *e)
{
	struct err kept = { 0 };
	int r = clients_listen(&hub->clients, options->control, true, hub->conf->access_control_group, e);

	if (r == 0)
		r = clients_listen(&hub->clients, options->view, false, hub->conf->access_view_group, e);
	if (r == 0 && page_policy(page_html, hub->routes.policy) < 0)
		r = err_set(e, -EINVAL, "the page of this program is broken");
	if (r == 0 && strcmp(hub->conf->web_listen, "none") != 0)
		r = web_start(&hub->web, hub->loop, hub->conf->web_listen, (unsigned)hub->conf->web_connections_max,
			      routes_table, &hub->routes, e);
	if (r < 0)
		return r;
	if (*options->state && keep_open(&hub->keep, options->state, &kept) < 0)
		show(stderr, "<3>nothing is kept over a restart: %s\n", kept.text);
	for (size_t i = 0; i < hub->conf->list_len; i++)
		add_vm(hub, hub->conf->list[i].name, hub->conf->list[i].path, true);
	if (discover_start(&hub->discover, hub->loop, hub->conf->vms_sockets, look, hub) < 0)
		show(stderr, "<4>without inotify new sockets are noticed once a minute\n");
	look(hub);
	ev_timer_init(&hub->tick, on_tick, 1, 1);
	hub->tick.data = hub;
	ev_timer_start(hub->loop, &hub->tick);
	return 0;
}

static void stop(struct hub *hub)
{
	web_stop(&hub->web);
	hours_free(&hub->routes.hours);
	if (hub->discover.loop)
		discover_stop(&hub->discover);
	if (hub->registry.len > 0)
		write_kept(hub);
	clients_free(&hub->clients);
	registry_free(&hub->registry);
	owned_free(&hub->owned);
	keep_close(&hub->keep);
}

int hub_run(const struct hubconf *conf, const struct hub_options *options, struct err *e)
{
	struct hub *hub = calloc(1, sizeof(*hub));
	int r;

	if (!hub)
		return err_set(e, -ENOMEM, "out of memory");
	hub->loop = ev_loop_new(EVFLAG_AUTO);
	if (!hub->loop) {
		free(hub);
		return err_set(e, -ENOMEM, "no event loop");
	}
	hub->conf = conf;
	hub->routes = (struct routes){ .registry = &hub->registry,
				       .web = &hub->web,
				       .names = conf->web_names,
				       .started_ms = clock_ns(CLOCK_REALTIME) / NS_PER_MS };
	clients_init(&hub->clients, hub->loop, &hub->registry);
	watch_signals(hub);
	r = start(hub, options, e);
	if (r == 0) {
		show(stderr, "<6>%zu VMs; metrics at %s; commands at %s\n", hub->registry.len,
		     hub->web.daemon ? hub->web.address : "none", options->control);
		ev_run(hub->loop, 0);
	}
	stop(hub);
	ev_loop_destroy(hub->loop);
	free(hub);
	return r;
}
