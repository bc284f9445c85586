/* SPDX-License-Identifier: MIT */
#include "dial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/hub/clients.h"
#include "tools/hub/discover.h"
#include "tools/hub/parse.h"
#include "tools/hub/serve.h"
#include "tools/hub/vmname.h"

#define HUB_WAIT_NS (5 * NS_PER_S)

/* Connects to a hub's control socket, or where that is not allowed to the one for looking beside it. */
static int connect_hub(struct link *link, const char *path, struct err *e)
{
	char view[CHANNEL_PATH_SIZE];
	const char *slash = strrchr(path, '/');
	struct err other = { 0 };
	int r = link_connect(link, path, e);

	if (r != -EACCES || !slash ||
	    (size_t)snprintf(view, sizeof(view), "%.*s" VIEW_SOCKET, (int)(slash + 1 - path), path) >= sizeof(view))
		return r;
	return link_connect(link, view, &other) < 0 ? r : 0;
}

/*
 * 1 when connected to a hub, 0 when none runs and none was named, or -errno with a text.
 */
static int reach_hub(struct link *link, const struct host_options *options, struct err *e)
{
	const char *named = options->socket ?: getenv(DIAL_SOCKET_VARIABLE);
	char path[CHANNEL_PATH_SIZE];
	int r;

	if (named && !*named)
		return 0;
	if (!named)
		serve_default_socket(path, sizeof(path));
	r = connect_hub(link, named ?: path, e);
	if (r == 0)
		return 1;
	return named || (r != -ENOENT && r != -ECONNREFUSED && r != -EACCES) ? r : 0;
}

/* Sends the hub one line and waits for its answer; NULL with a text. To be put. */
static struct json_object *ask_hub(struct link *link, struct json_object *question, struct err *e)
{
	uint64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + HUB_WAIT_NS;
	const char *text =
		json_object_to_json_string_ext(question, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	struct json_object *answer = NULL;
	char *line;
	size_t len;
	int r = link_send(link, text, strlen(text), deadline_ns);

	if (r >= 0)
		r = link_send(link, "\n", 1, deadline_ns);
	if (r >= 0)
		r = link_next(link, -1, deadline_ns, &line, &len);
	if (r == LINK_LINE)
		answer = line_parse(line, len);
	if (!answer)
		err_set(e, r < 0 ? r : -EPROTO, "the hub does not answer%s", r == -ETIMEDOUT ? " in time" : "");
	return answer;
}

static struct json_object *question(const char *type, const char *key, const char *value)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "type", json_object_new_string(type));
	if (key)
		json_object_object_add(object, key, json_object_new_string(value));
	return object;
}

/* Opens the VM at the hub. 1; 0: the hub has no such VM; or -errno with a text. */
static int open_at_hub(struct link *link, const struct host_options *options, struct err *e)
{
	struct json_object *asked = question("hub_open", options->vm ? "vm" : "path", options->vm ?: options->path);
	struct json_object *answer = ask_hub(link, asked, e);
	const char *type = json_text_at(answer, "type"), *code = json_text_at(answer, "details.code");
	int r = e->code ? e->code : -ENOTCONN;

	json_object_put(asked);
	if (!strcmp(type, "hub_opened"))
		r = 1;
	else if (!strcmp(code, "NOT_FOUND"))
		r = 0;
	else if (answer)
		err_set(e, -ENOTCONN, "%.300s", json_text_at(answer, "error"));
	json_object_put(answer);
	return r;
}

/* ------------------------------------------------------------------------------------------------------ by itself */

struct by_name {
	const char *wanted; /* NULL: all */
	char path[CHANNEL_PATH_SIZE];
	struct json_object *all;
};

static void on_socket(void *arg, const char *path)
{
	struct by_name *by = arg;
	char name[VMNAME_SIZE];

	if (strlen(path) >= sizeof(by->path) || vmname_of_path(path, name) < 0)
		return;
	if (by->wanted && !*by->path && !strcmp(name, by->wanted))
		memcpy(by->path, path, strlen(path) + 1);
	if (by->all) {
		struct json_object *row = json_object_new_object();

		json_object_object_add(row, "vm", json_object_new_string(name));
		json_object_object_add(row, "path", json_object_new_string(path));
		json_object_array_add(by->all, row);
	}
}

static int dial_directly(struct link *link, const struct host_options *options, struct err *e)
{
	const char *words = getenv(DIAL_SOCKETS_VARIABLE) ?: "";
	struct by_name by = { .wanted = options->vm };

	if (!options->vm)
		return link_connect(link, options->path, e);
	discover_look(words, on_socket, &by);
	if (*by.path)
		return link_connect(link, by.path, e);
	return err_set(e, -ENOENT,
		       *words ? "%s: no socket of " DIAL_SOCKETS_VARIABLE " is that of this VM, and no hub runs"
			      : "%s: no hub runs (infinihost serve), and " DIAL_SOCKETS_VARIABLE
				" does not say where the "
				"sockets are",
		       options->vm);
}

int dial(struct link *link, const struct host_options *options, struct err *e)
{
	bool named = options->socket != NULL;
	int r = reach_hub(link, options, e);

	if (r < 0)
		return r;
	if (r > 0) {
		r = open_at_hub(link, options, e);
		if (r > 0)
			return 1;
		link_close(link);
		if (r < 0)
			return r;
		if (options->vm || named)
			return err_set(e, -ENOENT,
				       "%s: the hub has no such VM (infinihost vms lists those that there are)",
				       options->vm ?: options->path);
	}
	*e = (struct err){ 0 };
	return dial_directly(link, options, e);
}

struct json_object *dial_vms(const struct host_options *options, struct err *e)
{
	struct link link = { .fd = -1, .listen_fd = -1 };
	struct by_name by = { 0 };
	struct json_object *asked, *answer, *vms = NULL;
	int r = reach_hub(&link, options, e);

	if (r < 0)
		return NULL;
	if (r == 0) {
		const char *words = getenv(DIAL_SOCKETS_VARIABLE) ?: "";

		if (!*words) {
			err_set(e, -ENOENT,
				"no hub runs (infinihost serve), and " DIAL_SOCKETS_VARIABLE
				" does not say where the sockets are");
			return NULL;
		}
		by.all = json_object_new_array();
		discover_look(words, on_socket, &by);
		return by.all;
	}
	asked = question("hub_vms", NULL, NULL);
	answer = ask_hub(&link, asked, e);
	vms = json_object_get(json_at(answer, "vms"));
	if (answer && !json_object_is_type(vms, json_type_array))
		err_set(e, -EPROTO, "the hub's answer is no list of VMs");
	json_object_put(asked);
	json_object_put(answer);
	link_close(&link);
	return vms;
}
