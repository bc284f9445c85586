/* SPDX-License-Identifier: MIT */
/* What the hub serves over HTTP, for Prometheus, for those that look whether it lives, and for people. */
#ifndef HUB_ROUTES_H
#define HUB_ROUTES_H

#include "tools/hub/hour.h"
#include "tools/hub/page.h"
#include "tools/hub/registry.h"
#include "tools/hub/web.h"

struct routes {
	struct registry *registry;
	struct web *web;
	const char *names; /* under which browsers may ask for the page */
	char policy[PAGE_POLICY_SIZE];
	struct hours hours;
	uint64_t started_ms, scrapes, scrapes_cut;
	bool ready; /* the sockets have been looked for once */
};

/* For web_start, whose `arg` is a struct routes. */
extern const struct web_route routes_table[];

#endif
