/* SPDX-License-Identifier: MIT */
/* What the hub serves over HTTP, for Prometheus and for those that look whether it lives. */
#ifndef HUB_ROUTES_H
#define HUB_ROUTES_H

#include "tools/hub/registry.h"
#include "tools/hub/web.h"

struct routes {
	struct registry *registry;
	struct web *web;
	uint64_t started_ms, scrapes, scrapes_cut;
	bool ready; /* the sockets have been looked for once */
};

/* For web_start, whose `arg` is a struct routes. */
extern const struct web_route routes_table[];

#endif
