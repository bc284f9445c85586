/* SPDX-License-Identifier: MIT */
/* A question to the running agent over its local socket, and the command line that status and ps share. */
#include "tools/infinictl/ask.h"

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/config/config.h"
#include "agent/log/guarded.h"
#include "agent/log/child.h"
#include "tools/infinictl/access.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/text.h"

#define ANSWER_MS 5000
/* Limits, in bytes: of all messages before the answer, and of one line. */
#define ANSWER_BYTES_MAX (8u << 20)

/* The socket is in a directory that the agent's uid can write: it is checked first, then reached by its descriptor. */
int ask_connect(const char *path, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_(closep) int found = guarded_find_socket(path, err);
	int fd, error;

	if (found < 0)
		return found;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", found);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	error = err_set(err, -errno, "%s: %s", path, strerror(errno));
	close(fd);
	return error;
}

static bool is_answer(struct json_object *message, const char *id)
{
	struct json_object *type = text_member(message, "type", NULL), *theirs = text_member(message, "id", NULL);

	return json_object_is_type(type, json_type_string) && !strcmp(json_object_get_string(type), "response") &&
	       json_object_is_type(theirs, json_type_string) && !strcmp(json_object_get_string(theirs), id);
}

/* Takes the whole lines out of the buffer; the answer, or NULL when it is not among them. */
static struct json_object *find_answer(char *buffer, size_t *len, const char *id)
{
	char *newline;

	while ((newline = memchr(buffer, '\n', *len))) {
		size_t line = (size_t)(newline - buffer);
		struct json_object *message = text_parse(buffer, line);

		*len -= line + 1;
		memmove(buffer, newline + 1, *len);
		if (is_answer(message, id))
			return message;
		json_object_put(message);
	}
	return NULL;
}

static int receive_answer(int fd, const char *id, struct json_object **ret)
{
	_cleanup_(freep) char *buffer = malloc(ANSWER_BYTES_MAX);
	uint64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + ANSWER_MS * NS_PER_MS, now_ns;
	size_t len = 0, total = 0;

	if (!buffer)
		return -ENOMEM;
	while ((now_ns = clock_ns(CLOCK_MONOTONIC)) < deadline_ns && total < ANSWER_BYTES_MAX) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t got;

		if (poll(&p, 1, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1) <= 0)
			continue;
		got = recv(fd, buffer + len, ANSWER_BYTES_MAX - total, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -ECONNRESET;
		len += (size_t)got;
		total += (size_t)got;
		*ret = find_answer(buffer, &len, id);
		if (*ret)
			return 0;
	}
	return total < ANSWER_BYTES_MAX ? -ETIMEDOUT : -EMSGSIZE;
}

static int ask(const char *path, struct json_object **ret, struct err *err)
{
	_cleanup_(closep) int fd = ask_connect(path, err);
	char id[40], request[100];
	int len, r;

	if (fd < 0)
		return fd;
	snprintf(id, sizeof(id), "infinictl-%d", (int)getpid());
	len = snprintf(request, sizeof(request), "\n{\"type\":\"Status\",\"id\":\"%s\"}\n", id);
	r = send(fd, request, (size_t)len, MSG_NOSIGNAL) == len ? receive_answer(fd, id, ret) : -EPIPE;
	return r ? err_set(err, r, "%s: %s", path, r == -ETIMEDOUT ? "no answer within 5 s" : strerror(-r)) : 0;
}

static void print_latest_age(const char *runtime_dir)
{
	char path[4096];
	struct stat st;

	snprintf(path, sizeof(path), "%s/" LATEST_NAME, runtime_dir);
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode))
		cli_fail("its last sample is %lld s old (%s)",
			 (long long)(moment_now().wall_ms / 1000 - (int64_t)st.st_mtim.tv_sec), path);
	else
		cli_fail("there is no last sample in %s; `infinictl log` shows the metric log", runtime_dir);
}

struct asked_for {
	const struct ask_way *way;
	bool json, flagged;
};

static int give_data(struct json_object *answer, const struct asked_for *asked)
{
	struct json_object *error = text_member(answer, "error", NULL);

	if (json_object_get_boolean(text_member(answer, "success", NULL)))
		return asked->way->print(text_member(answer, "data", NULL), asked->json, asked->flagged);
	return cli_fail("the agent refused: %s",
			json_object_is_type(error, json_type_string) ? json_object_get_string(error) : "no reason");
}

static int run(const char *path, const struct config *config, const struct asked_for *asked)
{
	_cleanup_(text_putp) struct json_object *answer = NULL;
	struct err err = { 0 };
	int rc = ask(path, &answer, &err);

	if (rc == 0)
		return give_data(answer, asked);
	if (rc == -ENOENT || rc == -ECONNREFUSED || rc == -ENOTDIR) {
		cli_fail("the agent does not run: %s", err.text);
		print_latest_age(config->agent.runtime_dir);
		return CLI_NOT_RUNNING;
	}
	cli_fail("%s", err.text);
	if (rc == -EACCES)
		access_hint(path, config->socket.group[0] ? config->socket.group : "infiniservice");
	return CLI_FAILED;
}

int ask_main(int argc, char **argv, const struct ask_way *way)
{
	const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ way->flag, no_argument, NULL, 'f' }, /* a name of NULL ends the list */
		{ NULL, 0, NULL, 0 },
	};
	struct asked_for asked = { .way = way };
	const char *path = NULL;
	struct config config;
	int option, rc;

	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (option == 'h')
			return cli_help(way->help);
		if (option != 's' && option != 'j' && option != 'f')
			return cli_wrong_option(option, argv);
		asked.json |= option == 'j';
		asked.flagged |= option == 'f';
		path = option == 's' ? optarg : path;
	}
	if (optind < argc)
		return cli_usage("%s takes no \"%.50s\"", argv[0], argv[optind]);
	if (config_init(&config))
		return cli_fail("out of memory");
	config_load(&config, NULL, NULL, NULL, NULL); /* as far as it may be read; else the defaults stay */
	rc = run(path ? path : config.socket.path, &config, &asked);
	config_free(&config);
	return rc;
}
