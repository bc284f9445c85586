/* SPDX-License-Identifier: MIT */
#include "clients.h"

#include <errno.h>
#include <grp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/hub/parse.h"
#include "tools/hub/tell.h"
#include "tools/show/show.h"
#include "transport/frame.h"
#include "transport/socket_path.h"

#define LINE_MAX_BYTES (1U << 20)
#define QUEUE_MAX      (8U << 20)
#define BACKLOG	       128

struct clients_listener {
	struct clients *clients;
	ev_io io;
	char path[CHANNEL_PATH_SIZE];
	struct socket_id id;
	bool control;
};

struct client {
	struct client *next;
	struct clients *clients;
	uint64_t serial, vm; /* vm: of the one that it is open on; 0 before */
	uid_t uid;
	bool control, ending; /* ending: closed when what is queued has been written */
	int fd;
	ev_io io;
	struct frame_reader frame;
	char *out;
	size_t out_len, out_size;
};

/* ------------------------------------------------------------------------------------------------ one connection */

static void client_free(struct client *client)
{
	struct clients *clients = client->clients;

	for (struct client **at = &clients->first; *at; at = &(*at)->next)
		if (*at == client) {
			*at = client->next;
			break;
		}
	clients->count--;
	asks_forget(&clients->asks, client->serial);
	ev_io_stop(clients->loop, &client->io);
	close_fd(&client->fd);
	frame_free(&client->frame);
	free(client->out);
	free(client);
}

static void listen_as_needed(struct client *client)
{
	ev_io_stop(client->clients->loop, &client->io);
	ev_io_set(&client->io, client->fd, (client->ending ? 0 : EV_READ) | (client->out_len > 0 ? EV_WRITE : 0));
	if (client->io.events)
		ev_io_start(client->clients->loop, &client->io);
	else
		ev_feed_event(client->clients->loop, &client->io, EV_CUSTOM);
}

/* Queues a line and its newline; a client that does not read is ended. */
static void client_say(struct client *client, const char *line, size_t len)
{
	size_t size = client->out_size;
	char *out;

	if (client->ending)
		return;
	while (size < client->out_len + len + 1)
		size = size ? 2 * size : 1024;
	out = client->out_len + len + 1 > QUEUE_MAX ? NULL
	      : size == client->out_size	    ? client->out
						    : realloc(client->out, size);
	if (!out) {
		client->out_len = 0;
		client->ending = true;
	} else {
		client->out = out;
		client->out_size = size;
		memcpy(out + client->out_len, line, len);
		out[client->out_len + len] = '\n';
		client->out_len += len + 1;
	}
	listen_as_needed(client);
}

static void client_end(struct client *client)
{
	client->ending = true;
	listen_as_needed(client);
}

static void client_say_object(struct client *client, struct json_object *object)
{
	const char *text =
		object ? json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
		       : NULL;

	if (text)
		client_say(client, text, strlen(text));
	json_object_put(object);
}

static void client_refuse(struct client *client, const char *id, const char *code, const char *text)
{
	struct json_object *error = json_object_new_object(), *details = json_object_new_object();

	tell_text(error, "type", "error");
	tell_text(error, "error", text);
	tell_text(error, "component", "hub");
	tell_text(details, "code", code);
	tell_text(details, "id", id && *id ? id : NULL);
	json_object_object_add(error, "details", details);
	client_say_object(client, error);
}

/* ------------------------------------------------------------------------------------------------------- opening */

/* What is for who is on this host goes beyond what the page tells. */
static struct json_object *row_of(const struct vm *vm, uint64_t now_ns)
{
	struct json_object *row = tell_row(vm, now_ns);

	tell_text(row, "path", vm->channel.path);
	json_object_object_add(row, "signed", json_object_new_boolean(vm->secret != NULL));
	tell_number(row, "clock_offset_s", vm->clock_known ? (double)vm->clock_offset_ms / 1000 : NAN);
	json_object_object_add(row, "samples", json_object_new_uint64(vm->samples));
	json_object_object_add(row, "memory_bytes", json_object_new_uint64(vm_memory(vm)));
	return row;
}

static void say_vms(struct client *client)
{
	struct json_object *answer = json_object_new_object(), *list = json_object_new_array();
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	tell_text(answer, "type", "hub_vms");
	for (size_t i = 0; i < client->clients->registry->len; i++)
		json_object_array_add(list, row_of(client->clients->registry->vms[i], now_ns));
	json_object_object_add(answer, "vms", list);
	client_say_object(client, answer);
	client_end(client);
}

static void open_vm(struct client *client, struct json_object *message)
{
	const char *name = json_text_at(message, "vm"), *path = json_text_at(message, "path");
	struct vm *vm = *name ? registry_by_name(client->clients->registry, name)
			      : registry_by_path(client->clients->registry, path);
	struct json_object *answer;
	char text[512];

	if (!vm) {
		client_refuse(client, NULL, "NOT_FOUND",
			      "there is no such VM (infinihost vms lists those that there are)");
		client_end(client);
		return;
	}
	if (vm->channel.fd < 0 || *vm->fault) {
		snprintf(text, sizeof(text), "%s is %s: %s", vm->name, vm_state(vm),
			 *vm->fault ? vm->fault : vm->channel.reason);
		client_refuse(client, NULL, "NOT_CONNECTED", text);
		client_end(client);
		return;
	}
	client->vm = vm->serial;
	answer = json_object_new_object();
	tell_text(answer, "type", "hub_opened");
	tell_text(answer, "vm", vm->name);
	tell_text(answer, "state", vm_state(vm));
	json_object_object_add(answer, "control", json_object_new_boolean(client->control));
	client_say_object(client, answer);
}

/* ------------------------------------------------------------------------------------------------------ requests */

/* What may be asked through the socket that is for looking. */
static bool only_looks(const char *type)
{
	static const char *const types[] = { "keep_alive_request", "GetHistory", "Status" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(type, types[i]))
			return true;
	return false;
}

/* The id under which the answer comes: of a keep-alive its number. */
static void ask_of(struct client *client, struct json_object *message, const char *type, struct ask *ret)
{
	const char *action = json_text_at(message, "command_type.action");

	*ret = (struct ask){ .vm = client->vm, .client = client->serial, .sent_ns = clock_ns(CLOCK_MONOTONIC) };
	snprintf(ret->action, sizeof(ret->action), "%s", *action ? action : type);
	if (!strcmp(type, "keep_alive_request"))
		snprintf(ret->id, sizeof(ret->id), "#%s",
			 json_object_get_string(json_at(message, "sequence_number")) ?: "");
	else
		snprintf(ret->id, sizeof(ret->id), "%s", json_text_at(message, "id"));
}

/*
 * The hub has one session with the guest, in which it acknowledges by itself, and hands on all that comes: a
 * subscription of one client would thin out the samples of all.
 */
static bool is_hubs_own(const char *type)
{
	return !strcmp(type, "Ack") || !strcmp(type, "signed") || !strcmp(type, "Subscribe") ||
	       !strcmp(type, "Unsubscribe") || !strncmp(type, "hub_", 4);
}

static void pass_on(struct client *client, struct vm *vm, struct json_object *message, const char *line, size_t len)
{
	const char *type = json_text_at(message, "type");
	struct ask ask;
	int r = 0;

	ask_of(client, message, type, &ask);
	if (strlen(json_text_at(message, "id")) >= ASK_ID_SIZE) {
		client_refuse(client, NULL, "INVALID_MESSAGE", "the id is longer than 128 bytes");
		return;
	}
	if (is_hubs_own(type)) {
		client_refuse(client, ask.id, "POLICY_DENIED", "the hub does this by itself");
		return;
	}
	if (!client->control && !only_looks(type)) {
		client_refuse(client, ask.id, "POLICY_DENIED",
			      "this socket is for looking alone; commands go through control.sock");
		return;
	}
	if (*ask.id)
		r = asks_add(&client->clients->asks, &ask);
	if (r < 0) {
		client_refuse(client, ask.id, r == -EEXIST ? "DUPLICATE_ID" : "QUEUE_FULL",
			      r == -EEXIST ? "a command with this id is under way" : "too many commands are under way");
		return;
	}
	if (client->control)
		show(stderr, "<5>uid %u: %s: %s %s\n", (unsigned)client->uid, vm->name, ask.action, ask.id);
	r = vm_send(vm, line, len);
	if (r < 0) {
		struct ask *added = asks_find(&client->clients->asks, vm->serial, ask.id);

		if (*ask.id && added)
			asks_remove(&client->clients->asks, added);
		client_refuse(client, ask.id, "QUEUE_FULL",
			      r == -ENOBUFS ? "the guest does not read" : "the message could not be sent");
	}
}

static void take_line(struct client *client, const char *line, size_t len)
{
	struct vm *vm = registry_by_serial(client->clients->registry, client->vm);
	struct json_object *message = line_parse(line, len);
	const char *type = json_text_at(message, "type");

	if (!*type)
		client_refuse(client, NULL, "INVALID_MESSAGE", "the line is no message");
	else if (vm)
		pass_on(client, vm, message, line, len);
	else if (!strcmp(type, "hub_vms"))
		say_vms(client);
	else if (!strcmp(type, "hub_open"))
		open_vm(client, message);
	else
		client_refuse(client, json_text_at(message, "id"), "INVALID_MESSAGE", "say first which VM: hub_open");
	json_object_put(message);
}

static bool client_read(struct client *client)
{
	const char *line = NULL;
	char *buffer;
	size_t room, len = 0;
	ssize_t n;
	int what;

	if (frame_reserve(&client->frame, &buffer, &room) < 0)
		return false;
	n = recv(client->fd, buffer, room, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	frame_commit(&client->frame, (size_t)n);
	while (!client->ending && (what = frame_next(&client->frame, &line, &len)) != FRAME_MORE) {
		if (what == FRAME_LINE)
			take_line(client, line, len);
		else if (what == FRAME_TOO_LONG)
			client_refuse(client, NULL, "TOO_LARGE", "a line of more than 1 MiB");
	}
	return true;
}

static bool client_write(struct client *client)
{
	ssize_t n = send(client->fd, client->out, client->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	client->out_len -= (size_t)n;
	memmove(client->out, client->out + n, client->out_len);
	return true;
}

static void on_client(struct ev_loop *loop, ev_io *io, int events)
{
	struct client *client = io->data;
	bool good = true;

	(void)loop;
	if (events & EV_WRITE)
		good = client_write(client);
	if (good && (events & EV_READ))
		good = client_read(client);
	if (!good || (client->ending && client->out_len == 0))
		client_free(client);
	else
		listen_as_needed(client);
}

/* --------------------------------------------------------------------------------------------------- from the VMs */

static struct client *client_of(struct clients *clients, uint64_t serial)
{
	struct client *client = clients->first;

	while (client && client->serial != serial)
		client = client->next;
	return client;
}

static void tell_end(const struct client *client, struct vm *vm, const struct ask *ask, struct json_object *message,
		     const char *type)
{
	const char *code = json_text_at(message, !strcmp(type, "response") ? "error_code" : "details.code");
	bool good = !strcmp(type, "response") && json_object_get_boolean(json_at(message, "success"));
	const char *result = good ? "success" : *code ? code : "failure";
	uint64_t took_ms = (clock_ns(CLOCK_MONOTONIC) - ask->sent_ns) / NS_PER_MS;

	if (!client->control || !strcmp(type, "keep_alive"))
		return;
	recent_take_command(&vm->recent, ask->action, result, took_ms, (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_MS));
	show(stderr, "<5>uid %u: %s: %s %s: %s in %llu ms\n", (unsigned)client->uid, vm->name, ask->action, ask->id,
	     result, (unsigned long long)took_ms);
}

/* The codes of errors that refuse an envelope, whose id may not have been read. */
static bool refuses_envelope(const char *code)
{
	static const char *const codes[] = { "UNSIGNED", "BAD_SIGNATURE", "STALE", "REPLAYED" };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (!strcmp(codes[i], code))
			return true;
	return false;
}

/* What was asked and this message belongs to; NULL: it was asked by nobody. */
static struct ask *ask_answered(struct clients *clients, const struct vm *vm, struct json_object *message,
				const char *type)
{
	char id[ASK_ID_SIZE + 1];

	if (!strcmp(type, "keep_alive"))
		snprintf(id, sizeof(id), "#%s", json_object_get_string(json_at(message, "sequence_number")) ?: "");
	else if (!strcmp(type, "error"))
		snprintf(id, sizeof(id), "%s", json_text_at(message, "details.id"));
	else
		snprintf(id, sizeof(id), "%s", json_text_at(message, "id"));
	if (!*id && (strcmp(type, "error") != 0 || !refuses_envelope(json_text_at(message, "details.code"))))
		return NULL;
	return asks_find(&clients->asks, vm->serial, id);
}

static bool ends_ask(const char *type)
{
	return !strcmp(type, "response") || !strcmp(type, "error") || !strcmp(type, "keep_alive");
}

/* Answers are for who asked alone. */
static bool is_answer(const char *type)
{
	return ends_ask(type) || !strcmp(type, "output") || !strcmp(type, "metrics_batch");
}

void clients_message(struct clients *clients, struct vm *vm, const char *line, size_t len, struct json_object *message,
		     const char *type)
{
	struct ask *ask = is_answer(type) ? ask_answered(clients, vm, message, type) : NULL;
	struct client *client = ask ? client_of(clients, ask->client) : NULL;

	if (client) {
		if (ends_ask(type))
			tell_end(client, vm, ask, message, type);
		client_say(client, line, len);
		if (ends_ask(type))
			asks_remove(&clients->asks, ask);
	} else if (!is_answer(type) || (!strcmp(type, "error") && !*json_text_at(message, "details.id"))) {
		for (client = clients->first; client; client = client->next)
			if (client->vm == vm->serial)
				client_say(client, line, len);
	}
}

void clients_vm_gone(struct clients *clients, const struct vm *vm)
{
	for (struct client *client = clients->first; client; client = client->next)
		if (client->vm == vm->serial)
			client_end(client);
}

/* ------------------------------------------------------------------------------------------------------ listening */

static size_t count_of_uid(const struct clients *clients, uid_t uid)
{
	size_t count = 0;

	for (const struct client *client = clients->first; client; client = client->next)
		count += client->uid == uid;
	return count;
}

static void on_listener(struct ev_loop *loop, ev_io *io, int events)
{
	struct clients_listener *listener = io->data;
	struct clients *clients = listener->clients;
	_cleanup_(closep) int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t size = sizeof(peer);
	struct client *client;

	(void)events;
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return;
	if (clients->count >= CLIENTS_MAX || count_of_uid(clients, peer.uid) >= CLIENTS_UID_MAX)
		return;
	client = calloc(1, sizeof(*client));
	if (!client)
		return;
	client->clients = clients;
	client->serial = ++clients->last_serial;
	client->uid = peer.uid;
	client->control = listener->control;
	client->fd = TAKE_FD(fd);
	frame_init(&client->frame, LINE_MAX_BYTES);
	ev_io_init(&client->io, on_client, client->fd, EV_READ);
	client->io.data = client;
	client->next = clients->first;
	clients->first = client;
	clients->count++;
	ev_io_start(loop, &client->io);
}

void clients_init(struct clients *clients, struct ev_loop *loop, struct registry *registry)
{
	*clients = (struct clients){ .loop = loop, .registry = registry };
}

/* Opens the socket to a group. At the start alone: nothing waits for a name service yet. */
static void open_to(const char *path, const char *group)
{
	struct group *found = *group ? getgrnam(group) : NULL;

	if (!*group)
		return;
	if (!found || chown(path, (uid_t)-1, found->gr_gid) < 0 || chmod(path, 0660) < 0)
		show(stderr, "<4>%s: cannot be given to the group %s (%s): it is for its owner and root alone\n", path,
		     group, found ? strerror(errno) : "there is none");
}

int clients_listen(struct clients *clients, const char *path, bool control, const char *group, struct err *e)
{
	struct clients_listener *listener = calloc(1, sizeof(*listener));
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (!listener || fd < 0) {
		free(listener);
		return err_set(e, -ENOMEM, "%s: no socket", path);
	}
	r = socket_path_bind(fd, path, 0177, &listener->id, e);
	if (r == 0 && listen(fd, BACKLOG) < 0)
		r = err_set(e, -errno, "%s: %s", path, strerror(errno));
	if (r < 0) {
		free(listener);
		return r;
	}
	open_to(path, group);
	snprintf(listener->path, sizeof(listener->path), "%s", path);
	listener->clients = clients;
	listener->control = control;
	ev_io_init(&listener->io, on_listener, TAKE_FD(fd), EV_READ);
	listener->io.data = listener;
	ev_io_start(clients->loop, &listener->io);
	clients->listeners[control] = listener;
	return 0;
}

void clients_free(struct clients *clients)
{
	while (clients->first)
		client_free(clients->first);
	for (size_t i = 0; i < ARRAY_SIZE(clients->listeners); i++) {
		struct clients_listener *listener = clients->listeners[i];

		if (!listener)
			continue;
		ev_io_stop(clients->loop, &listener->io);
		close(listener->io.fd);
		socket_path_remove(listener->path, &listener->id);
		free(listener);
	}
	asks_free(&clients->asks);
}
