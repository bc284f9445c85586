/* SPDX-License-Identifier: MIT */
/*
 *	/                            the page for people
 *	/api/vms, /api/vm?vm=NAME, /api/hour?vm=NAME
 *	                             what it shows
 *	/metrics, /metrics?vm=NAME   what is known now
 *	/late, /late?vm=NAME         samples of gaps with their own times, each until it was scraped
 *	/hub                         the hub about itself
 *	/sd                          the VMs for Prometheus' http_sd_configs
 *	/-/healthy, /-/ready
 */
#include "routes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <json-c/json.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/hub/look.h"

#define TYPE_TEXT	 "text/plain; version=0.0.4; charset=utf-8"
#define TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define TYPE_JSON	 "application/json"

/* --------------------------------------------------------------------------------------------------------- scrapes */

struct scrape {
	struct routes *routes;
	struct expose expose;
	uint64_t vm; /* serial of the only one; 0: all */
	uint64_t now_ns;
	bool late;
};

static bool next_vm(void *arg, uint64_t after, struct expose_vm *ret)
{
	struct scrape *scrape = arg;
	const struct vm *vm = scrape->vm && after < scrape->vm
				      ? registry_by_serial(scrape->routes->registry, scrape->vm)
			      : scrape->vm ? NULL
					   : registry_next(scrape->routes->registry, after);

	if (!vm)
		return false;
	vm_expose(vm, scrape->late, scrape->now_ns, ret);
	return true;
}

static size_t some(void *state, char *buffer, size_t size)
{
	struct scrape *scrape = state;

	return expose_some(&scrape->expose, buffer, size);
}

static void end(void *state, bool whole)
{
	struct scrape *scrape = state;
	struct registry *registry = scrape->routes->registry;

	scrape->routes->scrapes += whole;
	scrape->routes->scrapes_cut += !whole;
	for (size_t i = 0; whole && i < registry->len; i++)
		if (!scrape->vm || registry->vms[i]->serial == scrape->vm)
			vm_taken(registry->vms[i], scrape->late, clock_ns(CLOCK_MONOTONIC));
	free(scrape);
}

static void answer_scrape(struct routes *routes, struct web_request *request, bool late)
{
	static const struct web_body body = { some, end };
	bool open = !late && strstr(web_header(request, "Accept"), "application/openmetrics-text");
	const char *name = web_query(request, "vm");
	struct vm *vm = *name ? registry_by_name(routes->registry, name) : NULL;
	struct scrape *scrape;

	if (*name && !vm) {
		web_text(request, 404, "there is no such VM; /sd lists those that there are\n");
		return;
	}
	scrape = calloc(1, sizeof(*scrape));
	if (!scrape)
		return;
	*scrape = (struct scrape){
		.routes = routes, .vm = vm ? vm->serial : 0, .now_ns = clock_ns(CLOCK_MONOTONIC), .late = late
	};
	expose_init(&scrape->expose, (struct expose_source){ next_vm, scrape }, open ? EXPOSE_OPENMETRICS : EXPOSE_TEXT,
		    late);
	for (size_t i = 0; i < routes->registry->len; i++)
		if (!vm || routes->registry->vms[i] == vm)
			vm_offer(routes->registry->vms[i], late);
	web_answer_body(request, open ? TYPE_OPENMETRICS : TYPE_TEXT, &body, scrape);
}

static void answer_metrics(void *arg, struct web_request *request)
{
	answer_scrape(arg, request, false);
}

static void answer_late(void *arg, struct web_request *request)
{
	answer_scrape(arg, request, true);
}

/* --------------------------------------------------------------------------------------------------------- the hub */

static size_t put(char *out, size_t size, size_t at, const char *name, const char *type, const char *help, double value)
{
	int n = at < size ? snprintf(out + at, size - at, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name,
				     type, name, value)
			  : 0;

	return at + (n > 0 ? (size_t)n : 0);
}

/* Processor seconds of this process, getrusage(2). */
static double cpu_seconds(void)
{
	struct rusage usage = { 0 };

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Resident pages, the second number of /proc/self/statm, proc(5). */
static double resident_bytes(void)
{
	_cleanup_(closep) int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[128];
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	unsigned long pages = 0;

	text[len > 0 ? len : 0] = '\0';
	return sscanf(text, "%*u %lu", &pages) == 1 ? (double)pages * (double)sysconf(_SC_PAGESIZE) : 0;
}

static void answer_hub(void *arg, struct web_request *request)
{
	static const char *const states[] = { "up", "silent", "waiting", "away", "taken" };
	struct routes *routes = arg;
	size_t size = 8192, at = 0, memory = 0;
	char text[8192];

	at = put(text, size, at, "infinihost_start_time_seconds", "gauge", "When the hub was started, in unixtime.",
		 (double)routes->started_ms / 1000);
	at = put(text, size, at, "infinihost_cpu_seconds_total", "counter", "Processor time of the hub.",
		 cpu_seconds());
	at = put(text, size, at, "infinihost_resident_memory_bytes", "gauge", "Resident memory of the hub.",
		 resident_bytes());
	at = put(text, size, at, "infinihost_http_requests_total", "counter", "HTTP requests.",
		 (double)routes->web->requests);
	at = put(text, size, at, "infinihost_scrapes_total", "counter", "Scrapes that were sent whole.",
		 (double)routes->scrapes);
	at = put(text, size, at, "infinihost_scrapes_cut_total", "counter", "Scrapes that were broken off.",
		 (double)routes->scrapes_cut);
	for (size_t i = 0; i < routes->registry->len; i++)
		memory += vm_memory(routes->registry->vms[i]);
	at = put(text, size, at, "infinihost_vm_memory_bytes", "gauge", "What is held for all VMs.", (double)memory);
	at += (size_t)snprintf(text + at, size - at,
			       "# HELP infinihost_vms VMs by state.\n# TYPE infinihost_vms gauge\n");
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		size_t count = 0;

		for (size_t j = 0; j < routes->registry->len; j++)
			count += !strcmp(vm_state(routes->registry->vms[j]), states[i]);
		at += (size_t)snprintf(text + at, size - at, "infinihost_vms{state=\"%s\"} %zu\n", states[i], count);
	}
	web_answer(request, 200, TYPE_TEXT, text, at);
}

static void add_text(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

static void answer_sd(void *arg, struct web_request *request)
{
	const struct routes *routes = arg;
	struct json_object *groups = json_object_new_array();
	const char *text;

	for (size_t i = 0; i < routes->registry->len; i++) {
		const struct vm *vm = routes->registry->vms[i];
		struct json_object *group = json_object_new_object(), *targets = json_object_new_array(),
				   *labels = json_object_new_object();

		json_object_array_add(targets, json_object_new_string(routes->web->address));
		json_object_object_add(group, "targets", targets);
		add_text(labels, "__metrics_path__", "/metrics");
		add_text(labels, "__param_vm", vm->name);
		add_text(labels, "instance", vm->name);
		json_object_object_add(group, "labels", labels);
		json_object_array_add(groups, group);
	}
	text = json_object_to_json_string_ext(groups, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text)
		web_answer(request, 200, TYPE_JSON, text, strlen(text));
	json_object_put(groups);
}

static void answer_healthy(void *arg, struct web_request *request)
{
	(void)arg;
	web_text(request, 200, "healthy\n");
}

static void answer_ready(void *arg, struct web_request *request)
{
	const struct routes *routes = arg;

	if (routes->ready)
		web_text(request, 200, "ready\n");
	else
		web_text(request, 503, "not ready: the VMs have not been looked for yet\n");
}

const struct web_route routes_table[] = {
	{ "/", look_page },
	{ "/api/vms", look_vms },
	{ "/api/vm", look_vm },
	{ "/api/hour", look_hour },
	{ "/metrics", answer_metrics },
	{ "/late", answer_late },
	{ "/hub", answer_hub },
	{ "/sd", answer_sd },
	{ "/-/healthy", answer_healthy },
	{ "/-/ready", answer_ready },
	{ NULL, NULL },
};
