/* SPDX-License-Identifier: MIT */
/*
 * The hub's two sockets, for the verbs of infinihost and other local programs. The hub signs what passes through them,
 * so they are walls: who may connect is a matter of the socket's group, what each may ask of which socket it is, and
 * each command is told to the journal with the uid, the VM, the action and its end, without any parameter.
 *
 * A connection begins with one line, and its answer:
 *
 *	{"type":"hub_vms"}                        {"type":"hub_vms","vms":[…]}, and the end
 *	{"type":"hub_open","vm":"web1"}           {"type":"hub_opened","vm":"web1",…}, or {"type":"error",…} and the end
 *	{"type":"hub_open","path":"/run/a.sock"}  the same, by the socket of the channel
 *
 * After hub_opened the lines are those of transport/PROTOCOL.md, both ways: answers go to the client that asked, what
 * the guest says unasked goes to all. When the VM's connection ends, so does the client's.
 */
#ifndef HUB_CLIENTS_H
#define HUB_CLIENTS_H

#include <json-c/json.h>

#include <infiniservice/err.h>

#include "tools/hub/asks.h"
#include "tools/hub/registry.h"

#define CLIENTS_MAX	256
#define CLIENTS_UID_MAX 128
#define VIEW_SOCKET	"view.sock"
#define CONTROL_SOCKET	"control.sock"

struct client;
struct clients_listener;
struct clients {
	struct ev_loop *loop;
	struct registry *registry;
	struct clients_listener *listeners[2];
	struct client *first;
	size_t count;
	uint64_t last_serial;
	struct asks asks;
};

void clients_init(struct clients *clients, struct ev_loop *loop, struct registry *registry);

/*
 * Listens at `path`, for the members of `group` ("": for the owner alone). `control`: commands are let through. A group
 * that does not exist, or that the socket cannot be given to, is said on standard error and left away. 0 or -errno.
 */
int clients_listen(struct clients *clients, const char *path, bool control, const char *group, struct err *e);

/* A message of the VM, for those whom it concerns. */
void clients_message(struct clients *clients, struct vm *vm, const char *line, size_t len, struct json_object *message,
		     const char *type);

/* The VM's connection has ended, or the VM is about to go: so have its clients. */
void clients_vm_gone(struct clients *clients, const struct vm *vm);

void clients_free(struct clients *clients);

#endif
