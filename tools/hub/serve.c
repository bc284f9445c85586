/* SPDX-License-Identifier: MIT */
#include "serve.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include <infiniservice/cleanup.h>

#include "tools/hub/clients.h"
#include "tools/hub/hub.h"
#include "tools/hub/hubconf.h"
#include "tools/show/show.h"

#define USAGE                                                                                                          \
	"usage: infinihost serve [--config FILE] [--vms 'PATH...'] [--listen ADDRESS:PORT|unix:PATH] [--socket PATH] " \
	"[--state DIR] [--check | --example]\n"

struct serving {
	const char *config, *vms, *listen, *socket, *state;
	bool check, example;
};

static int parse(int argc, char **argv, struct serving *out)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'f' }, { "vms", required_argument, NULL, 'v' },
		{ "listen", required_argument, NULL, 'L' }, { "socket", required_argument, NULL, 'S' },
		{ "state", required_argument, NULL, 'd' },  { "check", no_argument, NULL, 'k' },
		{ "example", no_argument, NULL, 'e' },	    { 0 }
	};
	int option;

	while ((option = getopt_long(argc, argv, ":f:", longs, NULL)) != -1) {
		switch (option) {
		case 'f':
			out->config = optarg;
			break;
		case 'v':
			out->vms = optarg;
			break;
		case 'L':
			out->listen = optarg;
			break;
		case 'S':
			out->socket = optarg;
			break;
		case 'd':
			out->state = optarg;
			break;
		case 'k':
			out->check = true;
			break;
		case 'e':
			out->example = true;
			break;
		default:
			return -EINVAL;
		}
	}
	return optind == argc ? 0 : -EINVAL;
}

void serve_default_socket(char *out, size_t size)
{
	const char *folder = getenv("RUNTIME_DIRECTORY");

	if (!folder || *folder != '/')
		folder = HUB_RUN_FOLDER;
	/* systemd separates several directories with ':' (systemd.exec(5)); the first is ours. */
	snprintf(out, size, "%.*s/" CONTROL_SOCKET, (int)strcspn(folder, ":"), folder);
}

/* The default file may be missing: then the command line says all. */
static int load(struct hubconf *conf, const struct serving *serving, struct err *e)
{
	int r = hubconf_load(conf, serving->config ?: HUBCONF_FILE, e);

	if (r == -ENOENT && !serving->config)
		r = 0;
	if (r == 0 && serving->vms)
		r = hubconf_set(conf, "vms", "sockets", serving->vms, e);
	if (r == 0 && serving->listen)
		r = hubconf_set(conf, "web", "listen", serving->listen, e);
	if (r == 0 && !*conf->vms_sockets && conf->list_len == 0)
		r = err_set(e, -EINVAL, "no VMs: say where their sockets are, vms.sockets in %s or --vms",
			    serving->config ?: HUBCONF_FILE);
	return r;
}

static int serve(const struct hubconf *conf, const struct serving *serving)
{
	char control[CHANNEL_PATH_SIZE], view[CHANNEL_PATH_SIZE];
	const char *state = serving->state ?: getenv("STATE_DIRECTORY") ?: "", *slash;
	struct hub_options options = { .control = control, .view = view, .state = state };
	struct err e = { 0 };

	if (serving->socket)
		snprintf(control, sizeof(control), "%s", serving->socket);
	else
		serve_default_socket(control, sizeof(control));
	slash = strrchr(control, '/');
	if ((size_t)snprintf(view, sizeof(view), "%.*s" VIEW_SOCKET, slash ? (int)(slash + 1 - control) : 0, control) >=
		    sizeof(view) ||
	    !strcmp(view, control)) {
		show(stderr, "infinihost: %s: too long, or the name of the socket for looking\n", control);
		return SERVE_USAGE;
	}
	/* Secrets are in no dump, and no other process of this user traces this one. */
	prctl(PR_SET_DUMPABLE, 0);
	if (hub_run(conf, &options, &e) == 0)
		return SERVE_OK;
	show(stderr, "infinihost: %s\n", e.text);
	return SERVE_FAILED;
}

static void print_example(void)
{
	char text[8192];

	hubconf_example(text, sizeof(text));
	show_words(stdout, text);
}

int serve_main(int argc, char **argv)
{
	struct serving serving = { 0 };
	struct hubconf conf;
	struct err e = { 0 };
	int status;

	if (parse(argc, argv, &serving) < 0) {
		show_words(stderr, USAGE);
		return SERVE_USAGE;
	}
	if (serving.example) {
		print_example();
		return SERVE_OK;
	}
	if (hubconf_init(&conf) < 0)
		return SERVE_FAILED;
	if (load(&conf, &serving, &e) < 0) {
		show(stderr, "infinihost: %s\n", e.text);
		status = SERVE_USAGE;
	} else {
		status = serving.check ? SERVE_OK : serve(&conf, &serving);
	}
	hubconf_free(&conf);
	return status;
}
