/* SPDX-License-Identifier: MIT */
#include "look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <infiniservice/moment.h>

#include "tools/hub/routes.h"
#include "tools/hub/tell.h"

#define PART_ROWS 16 /* in one turn of the loop, so that none is long */

/* False: refused, as the browser was sent here by another site, or by a name that is not known to be this hub's. */
static bool is_for_us(struct routes *routes, struct web_request *request)
{
	const char *site = web_header(request, "Sec-Fetch-Site"); /* "" of what is no browser of today */

	web_policy(request, routes->policy);
	if (!page_host_is_ours(web_header(request, "Host"), routes->names)) {
		web_text(request, 421,
			 "this hub does not know that it has this name: ask by its address, or list the name in "
			 "host.conf, [web] names\n");
		return false;
	}
	if (!strcmp(site, "cross-site") && strcmp(web_header(request, "Sec-Fetch-Mode"), "navigate") != 0) {
		web_text(request, 403, "another site asks for this\n");
		return false;
	}
	return true;
}

void look_page(void *arg, struct web_request *request)
{
	if (is_for_us(arg, request))
		web_answer(request, 200, "text/html; charset=utf-8", page_html, strlen(page_html));
}

static const char *json_text(struct json_object *object)
{
	return json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* {"vms":[…]}, in parts: VMs may come and go between them. */
struct rows {
	const struct registry *registry;
	uint64_t after;
	bool begun, ended;
};

static size_t some_rows(void *state, char *buffer, size_t size)
{
	struct rows *rows = state;
	size_t at = 0;

	for (int n = 0; !rows->ended && n < PART_ROWS; n++) {
		const struct vm *vm = registry_next(rows->registry, rows->after);
		struct json_object *row = vm ? tell_row(vm, clock_ns(CLOCK_MONOTONIC)) : NULL;
		size_t len =
			(size_t)snprintf(buffer + at, size - at, "%s%s", rows->begun ? vm ? "," : "" : "{\"vms\":[",
					 row ? json_text(row) : "]}\n");

		json_object_put(row);
		if (len >= size - at)
			break; /* it is written in the next part, which has room: a row has less than 4096 bytes */
		at += len;
		rows->begun = true;
		rows->ended = !vm;
		rows->after = vm ? vm->serial : 0;
	}
	return at;
}

static void end_rows(void *state, bool whole)
{
	(void)whole;
	free(state);
}

void look_vms(void *arg, struct web_request *request)
{
	static const struct web_body body = { some_rows, end_rows };
	struct routes *routes = arg;
	struct rows *rows;

	if (!is_for_us(routes, request))
		return;
	rows = calloc(1, sizeof(*rows));
	if (!rows)
		return;
	rows->registry = routes->registry;
	web_answer_body(request, "application/json", &body, rows);
}

/* The VM that is asked about; NULL: the answer has been made, as there is none. */
static struct vm *asked_vm(struct routes *routes, struct web_request *request)
{
	struct vm *vm;

	if (!is_for_us(routes, request))
		return NULL;
	vm = registry_by_name(routes->registry, web_query(request, "vm"));
	if (!vm)
		web_text(request, 404, "there is no such VM; /api/vms lists those that there are\n");
	return vm;
}

/* Puts the object. */
static void answer_json(struct web_request *request, struct json_object *object)
{
	const char *text = json_text(object);

	if (text)
		web_answer(request, 200, "application/json", text, strlen(text));
	json_object_put(object);
}

void look_vm(void *arg, struct web_request *request)
{
	const struct vm *vm = asked_vm(arg, request);

	if (vm)
		answer_json(request, tell_vm(vm, clock_ns(CLOCK_MONOTONIC)));
}

void look_hour(void *arg, struct web_request *request)
{
	struct routes *routes = arg;
	struct vm *vm = asked_vm(routes, request);

	if (vm)
		answer_json(request, hours_tell(&routes->hours, vm, clock_ns(CLOCK_MONOTONIC)));
}
