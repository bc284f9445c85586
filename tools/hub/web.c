/* SPDX-License-Identifier: MIT */
#include "web.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zlib.h>

#include <infiniservice/cleanup.h>

#define PART_SIZE	  32768
#define CONNECTION_MEMORY (64U << 10)
#define IDLE_S		  30U

/* What is kept of a request until its end. */
struct web_request {
	struct web *web;
	struct MHD_Connection *connection;
	struct web_body body;
	void *state;	    /* of a body in parts; NULL: none */
	const char *policy; /* NULL: none */
	bool answered, gzip, ended, flushed;
	z_stream stream;
	char part[PART_SIZE];
	size_t len, at; /* of the part that waits */
};

const char *web_query(const struct web_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name) ?: "";
}

const char *web_header(const struct web_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name) ?: "";
}

void web_policy(struct web_request *request, const char *policy)
{
	request->policy = policy;
}

static void add_policy(struct MHD_Response *response, const char *policy)
{
	MHD_add_response_header(response, "Content-Security-Policy", policy);
	MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
	MHD_add_response_header(response, "X-Frame-Options", "DENY");
	MHD_add_response_header(response, "Cross-Origin-Resource-Policy", "same-origin");
	MHD_add_response_header(response, "Cross-Origin-Opener-Policy", "same-origin");
}

static void queue_response(struct web_request *request, unsigned status, const char *type,
			   struct MHD_Response *response)
{
	request->answered = response != NULL;
	if (!response)
		return;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (request->policy)
		add_policy(response, request->policy);
	if (request->gzip)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	MHD_queue_response(request->connection, status, response);
	MHD_destroy_response(response);
}

void web_answer(struct web_request *request, unsigned status, const char *type, const char *text, size_t len)
{
	queue_response(request, status, type,
		       MHD_create_response_from_buffer(len, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY));
}

static void refill(struct web_request *request)
{
	request->at = 0;
	request->len = request->ended ? 0 : request->body.some(request->state, request->part, sizeof(request->part));
	request->ended |= request->len == 0;
}

static ssize_t read_plain(struct web_request *request, char *to, size_t size)
{
	size_t n;

	if (request->at == request->len)
		refill(request);
	if (request->ended)
		return MHD_CONTENT_READER_END_OF_STREAM;
	n = request->len - request->at < size ? request->len - request->at : size;
	memcpy(to, request->part + request->at, n);
	request->at += n;
	return (ssize_t)n;
}

/* Each part is flushed, so that one part is enough to have something to send. */
static ssize_t read_gzip(struct web_request *request, char *to, size_t size)
{
	z_stream *stream = &request->stream;
	int r;

	if (request->flushed)
		return MHD_CONTENT_READER_END_OF_STREAM;
	stream->next_out = (Bytef *)to;
	stream->avail_out = (uInt)size;
	do {
		if (stream->avail_in == 0) {
			refill(request);
			stream->next_in = (Bytef *)request->part;
			stream->avail_in = (uInt)request->len;
		}
		r = deflate(stream, request->ended ? Z_FINISH : Z_SYNC_FLUSH);
		request->flushed = r == Z_STREAM_END;
		if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
			return MHD_CONTENT_READER_END_WITH_ERROR;
	} while (stream->avail_out == size && !request->flushed);
	return (ssize_t)(size - stream->avail_out);
}

static ssize_t read_body(void *state, uint64_t position, char *to, size_t size)
{
	struct web_request *request = state;

	(void)position;
	return request->gzip ? read_gzip(request, to, size) : read_plain(request, to, size);
}

/* True if the header lists gzip without forbidding it: RFC 9110, 12.5.3. */
static bool takes_gzip(const char *header)
{
	const char *at = strcasestr(header, "gzip"), *q;

	if (!at)
		return false;
	q = at + strlen("gzip");
	q += strspn(q, " \t");
	if (*q != ';')
		return true;
	q = strcasestr(q, "q=");
	return !q || strtod(q + 2, NULL) > 0;
}

void web_answer_body(struct web_request *request, const char *type, const struct web_body *body, void *state)
{
	request->body = *body;
	request->state = state;
	/* 15 + 16: the largest window, in gzip's own format (zlib.h). */
	request->gzip = takes_gzip(web_header(request, MHD_HTTP_HEADER_ACCEPT_ENCODING)) &&
			deflateInit2(&request->stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
	queue_response(request, MHD_HTTP_OK, type,
		       MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PART_SIZE, read_body, request, NULL));
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode how)
{
	struct web_request *request = *state;

	(void)arg;
	(void)connection;
	if (!request)
		return;
	*state = NULL;
	if (request->state)
		request->body.end(request->state, how == MHD_REQUEST_TERMINATED_COMPLETED_OK && request->ended);
	if (request->gzip)
		deflateEnd(&request->stream);
	free(request);
}

void web_text(struct web_request *request, unsigned status, const char *text)
{
	web_answer(request, status, "text/plain; charset=utf-8", text, strlen(text));
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
				  const char *version, const char *upload, size_t *upload_size, void **state)
{
	struct web *web = arg;
	struct web_request *request = *state;

	(void)version;
	(void)upload;
	if (!request) { /* the headers alone; it is called again: libmicrohttpd's manual */
		*state = request = calloc(1, sizeof(*request));
		if (request)
			*request = (struct web_request){ .web = web, .connection = connection };
		return request ? MHD_YES : MHD_NO;
	}
	if (*upload_size > 0) {
		*upload_size = 0;
		return MHD_YES;
	}
	web->requests++;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		web_text(request, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
		return request->answered ? MHD_YES : MHD_NO;
	}
	for (const struct web_route *route = web->routes; route->path; route++)
		if (!strcmp(route->path, url)) {
			route->answer(web->arg, request);
			return request->answered ? MHD_YES : MHD_NO;
		}
	web_text(request, MHD_HTTP_NOT_FOUND,
		 "there is nothing here; /, /metrics, /late, /sd, /hub, /-/healthy, /-/ready\n");
	return request->answered ? MHD_YES : MHD_NO;
}

/* --------------------------------------------------------------------------------------------------------- loop */

static void run(struct web *web)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;

	MHD_run(web->daemon);
	ev_timer_stop(web->loop, &web->timer);
	if (MHD_get_timeout(web->daemon, &wait_ms) != MHD_YES)
		return;
	ev_timer_set(&web->timer, (double)wait_ms / 1000, 0);
	ev_timer_start(web->loop, &web->timer);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	(void)events;
	run(io->data);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	run(timer->data);
}

/* ------------------------------------------------------------------------------------------------------ listening */

union address {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
	struct sockaddr_un local;
};

/* The length of the address, or -EINVAL. */
static int parse_listen(const char *text, union address *out)
{
	const char *colon = strrchr(text, ':');
	char host[64], *end;
	unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
	size_t len = colon ? (size_t)(colon - text) : 0;

	memset(out, 0, sizeof(*out));
	if (!strncmp(text, "unix:/", 6)) {
		out->local.sun_family = AF_UNIX;
		if (strlen(text + 5) >= sizeof(out->local.sun_path))
			return -EINVAL;
		memcpy(out->local.sun_path, text + 5, strlen(text + 5));
		return sizeof(out->local);
	}
	if (!colon || end == colon + 1 || *end || port > 65535 || len == 0 || len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		out->six.sin6_family = AF_INET6;
		out->six.sin6_port = htons((uint16_t)port);
		return inet_pton(AF_INET6, host + 1, &out->six.sin6_addr) == 1 ? (int)sizeof(out->six) : -EINVAL;
	}
	out->four.sin_family = AF_INET;
	out->four.sin_port = htons((uint16_t)port);
	return inet_pton(AF_INET, host, &out->four.sin_addr) == 1 ? (int)sizeof(out->four) : -EINVAL;
}

/* The address that was given, with the port that the kernel chose for port 0. */
static void remember_address(struct web *web, int fd, const char *text)
{
	union address bound;
	socklen_t size = sizeof(bound);

	snprintf(web->address, sizeof(web->address), "%s", text);
	if (getsockname(fd, &bound.any, &size) == 0 && bound.any.sa_family != AF_UNIX)
		snprintf(strrchr(web->address, ':'), 8, ":%u",
			 ntohs(bound.any.sa_family == AF_INET ? bound.four.sin_port : bound.six.sin6_port));
}

static int bind_at(struct web *web, const char *text, int *ret_fd, struct err *e)
{
	union address address;
	int len = parse_listen(text, &address), one = 1, r;
	_cleanup_(closep) int fd = -1;

	if (len < 0)
		return err_set(e, -EINVAL,
			       "web.listen: \"%.100s\" is none of ADDRESS:PORT, [ADDRESS]:PORT, unix:/PATH, none",
			       text);
	fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && address.any.sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd >= 0 && address.any.sa_family == AF_UNIX) {
		r = socket_path_bind(fd, address.local.sun_path, 0117, &web->id, e);
		if (r < 0)
			return r;
		snprintf(web->path, sizeof(web->path), "%s", address.local.sun_path);
	} else if (fd < 0 || bind(fd, &address.any, (socklen_t)len) < 0) {
		return err_set(e, -errno, "%s: %s", text, strerror(errno));
	}
	if (listen(fd, 128) < 0)
		return err_set(e, -errno, "%s: %s", text, strerror(errno));
	remember_address(web, fd, text);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int web_start(struct web *web, struct ev_loop *loop, const char *listen_at, unsigned connections_max,
	      const struct web_route *routes, void *arg, struct err *e)
{
	const union MHD_DaemonInfo *info;
	int fd = -1, r;

	*web = (struct web){ .loop = loop, .routes = routes, .arg = arg };
	r = bind_at(web, listen_at, &fd, e);
	if (r < 0)
		return r;
	web->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, web, MHD_OPTION_LISTEN_SOCKET, fd,
				       MHD_OPTION_NOTIFY_COMPLETED, on_completed, web, MHD_OPTION_CONNECTION_LIMIT,
				       connections_max, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
				       MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
	if (!web->daemon) {
		close(fd);
		return err_set(e, -EIO, "%s: the HTTP server does not start", listen_at);
	}
	info = MHD_get_daemon_info(web->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	ev_io_init(&web->io, on_io, info->epoll_fd, EV_READ);
	ev_init(&web->timer, on_timer);
	web->io.data = web->timer.data = web;
	ev_io_start(loop, &web->io);
	run(web);
	return 0;
}

void web_stop(struct web *web)
{
	if (!web->daemon)
		return;
	ev_io_stop(web->loop, &web->io);
	ev_timer_stop(web->loop, &web->timer);
	MHD_stop_daemon(web->daemon);
	web->daemon = NULL;
	if (*web->path)
		socket_path_remove(web->path, &web->id);
}
