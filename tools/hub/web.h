/* SPDX-License-Identifier: MIT */
/*
 * HTTP, read only, in the hub's loop: libmicrohttpd with its epoll descriptor as one watcher. What is served where is a
 * table of routes that is handed in; a body is made a part at a time.
 */
#ifndef HUB_WEB_H
#define HUB_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ev.h>

#include <infiniservice/err.h>

#include "transport/socket_path.h"

struct MHD_Connection;
struct MHD_Daemon;
struct web;
struct web_request;

/* Makes the answer of a request by one of the functions below, once. */
struct web_route {
	const char *path;
	void (*answer)(void *arg, struct web_request *request);
};

struct web {
	struct ev_loop *loop;
	struct MHD_Daemon *daemon;
	ev_io io;
	ev_timer timer;
	const struct web_route *routes; /* ends with a NULL path */
	void *arg;
	char address[128]; /* as it is listened on, for those who are told where to scrape */
	char path[108];	   /* of a unix socket; "" */
	struct socket_id id;
	uint64_t requests;
};

/* A body in parts. */
struct web_body {
	/* Writes the next part, at most `size` bytes, at least 8192 of which are offered. 0: it was all. */
	size_t (*some)(void *state, char *buffer, size_t size);
	/* The end of the request; `whole`: all of it has been sent. Frees `state`. */
	void (*end)(void *state, bool whole);
};

/*
 * Listens at ADDRESS:PORT, [ADDRESS]:PORT (numeric) or unix:PATH. Names are not looked up. 0 or -errno with a text.
 */
int web_start(struct web *web, struct ev_loop *loop, const char *listen, unsigned connections_max,
	      const struct web_route *routes, void *arg, struct err *e);
void web_stop(struct web *web);

/* A parameter of the query, "" when absent; a header, "" when absent. Valid as long as the request. */
const char *web_query(const struct web_request *request, const char *name);
const char *web_header(const struct web_request *request, const char *name);

/*
 * The answer is for the browser page of this hub alone: it goes out with this Content-Security-Policy, in no frame, for
 * no other site, and without a Referer on the way out. Valid until it is answered.
 */
void web_policy(struct web_request *request, const char *policy);

/* A whole answer; the text is copied. */
void web_answer(struct web_request *request, unsigned status, const char *type, const char *text, size_t len);
/* The same, of plain text: a word to whom it goes, or why it is refused. */
void web_text(struct web_request *request, unsigned status, const char *text);
/* An answer in parts, compressed where the client takes gzip. */
void web_answer_body(struct web_request *request, const char *type, const struct web_body *body, void *state);

#endif
