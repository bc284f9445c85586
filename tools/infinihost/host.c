/* SPDX-License-Identifier: MIT */
/* The command line: general options, then a command that reads the rest for itself. */
#include "host.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/infinihost/commands.h"
#include "tools/infinihost/demo.h"
#include "tools/show/show.h"

static const char help[] =
	"Usage: infinihost [OPTION...] COMMAND [ARGUMENT...]\n"
	"Talk to an InfiniService agent from the host of its VM.\n"
	"\n"
	"Where the port is:\n"
	"  -c, --connect PATH   connect to a socket: QEMU's or libvirt's chardev (the usual way)\n"
	"  -l, --listen PATH    listen on a socket for an agent started with --port unix:PATH\n"
	"Options:\n"
	"  -s, --secret FILE    sign what is sent with the secret in FILE\n"
	"  -t, --timeout S      seconds a command may take, or to wait (30 for run, exec and ping, 2 for raw, for ever "
	"for watch)\n"
	"  -j, --json           print the messages as they came, one JSON object a line\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n"
	"Commands:\n"
	"  watch [--count N] [--types]       print what arrives, a line each; --types: only each type\n"
	"  run ACTION [key=value...]         send a SafeCommand, print its output and data\n"
	"  actions [ACTION]                  list the actions, or the parameters of one\n"
	"  exec [--shell S] [--timeout S] [--cwd DIR] -- COMMAND...\n"
	"                                    run a command in the guest; its exit code is ours\n"
	"  raw [LINE]                        send a line (or those of standard input), print the answers\n"
	"  ping                              time a keep-alive\n"
	"  demo [--duration S] -- AGENT [ARGUMENT...]\n"
	"                                    start AGENT in a private directory and show the conversation\n"
	"Exit status:\n"
	"  0    done\n"
	"  1    failed on this side\n"
	"  2    wrong use, or a secret's file that cannot be used\n"
	"  4    not connected: no such socket, nobody listens, or the connection was closed\n"
	"  5    no answer in time, or the command was ended at its time limit\n"
	"  6    the agent refused, or answered with an error\n"
	"  7    done, but the output was cut, or standard input was not passed\n"
	"  130  interrupted; a command was cancelled in the guest\n"
	"exec: the exit code of the command that ended by itself, whatever it is.\n";

static const struct {
	const char *name;
	int (*main)(const struct host_options *options, int argc, char **argv);
} commands[] = {
	{ "watch", command_watch }, { "run", command_run },   { "exec", command_exec }, { "actions", command_actions },
	{ "raw", command_raw },	    { "ping", command_ping }, { "demo", demo_main },
};

static const struct option long_options[] = {
	{ "connect", required_argument, NULL, 'c' }, { "listen", required_argument, NULL, 'l' },
	{ "secret", required_argument, NULL, 's' },  { "timeout", required_argument, NULL, 't' },
	{ "json", no_argument, NULL, 'j' },	     { "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },	     { 0 },
};

/* One option; -1 to go on, or an exit code. */
static int take_option(int option, char **argv, struct host_options *out)
{
	switch (option) {
	case 'c':
	case 'l':
		if (out->path)
			return command_usage("--connect and --listen: one of them, once");
		out->path = optarg;
		out->listening = option == 'l';
		return -1;
	case 's':
		out->secret_file = optarg;
		return -1;
	case 't':
		return command_seconds(optarg, &out->timeout_s) < 0 ? command_usage("--timeout takes seconds") : -1;
	case 'j':
		out->json = true;
		return -1;
	case 'h':
		show_words(stdout, help);
		return HOST_OK;
	case 'V':
		show(stdout, "infinihost " INFINISERVICE_VERSION "\n");
		return HOST_OK;
	default:
		show_wrong_option("infinihost", option, argv);
		return command_usage("see the options");
	}
}

/* The output must have been written: a full disk behind `>` is a failure. */
static int finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	show(stderr, "infinihost: cannot write the output\n");
	return status == HOST_OK ? HOST_FAILED : status;
}

int host_main(int argc, char **argv)
{
	struct host_options options = { .timeout_s = -1 };
	int option, status;

	opterr = 0; /* errors of getopt are printed by tools/show/show.h */
	while ((option = getopt_long(argc, argv, "+:c:l:s:t:jhV", long_options, NULL)) != -1) {
		status = take_option(option, argv, &options);
		if (status >= 0)
			return status;
	}
	if (optind == argc)
		return command_usage("which command?");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[optind], commands[i].name) != 0)
			continue;
		argc -= optind;
		argv += optind;
		optind = 0; /* getopt(3): 0 starts anew, with the command's own argv */
		link_catch_signals();
		return finish(commands[i].main(&options, argc, argv));
	}
	show(stderr, "infinihost: %s: no such command\n", argv[optind]);
	return command_usage("commands are watch, run, actions, exec, raw, ping and demo");
}
