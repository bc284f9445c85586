/* SPDX-License-Identifier: MIT */
/* The command line: general options, then a command that reads the rest for itself. */
#include "host.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/infinihost/commands.h"
#include "tools/infinihost/demo.h"
#include "tools/infinihost/fleet.h"
#include "tools/show/show.h"

static const char help[] =
	"Usage: infinihost [OPTION...] COMMAND [ARGUMENT...]\n"
	"Talk to an InfiniService agent from the host of its VM.\n"
	"\n"
	"Where the port is:\n"
	"  -c, --connect PATH   connect to a socket: QEMU's or libvirt's chardev (the usual way)\n"
	"  -m, --vm NAME        a VM of the hub (infinihost serve), by its name; without a hub one of "
	"$INFINIHOST_SOCKETS\n"
	"                       a pattern ('web*') means all whose names match\n"
	"  -a, --all            all VMs of the hub\n"
	"  -l, --listen PATH    listen on a socket for an agent started with --port unix:PATH\n"
	"Options:\n"
	"  -P, --parallel N     with several VMs: so many at once (8)\n"
	"      --fail-fast      with several VMs: begin no more after the first that failed\n"
	"  -S, --socket PATH    the hub's socket ($INFINIHOST_SOCKET, else /run/infinihost/control.sock); empty: no "
	"hub\n"
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
	"  history [--begin TIME] [--end TIME] [--limit N] [--openmetrics]\n"
	"                                    samples of the guest's log; a TIME is 2026-01-02T03:04:05Z or 26h (ago)\n"
	"  vms                               the hub's VMs and how they are, a table\n"
	"  serve [--config FILE] [--vms 'PATH...'] [--listen ADDRESS:PORT] [--socket PATH] [--state DIR]\n"
	"        [--check | --example]       be the hub: own the sockets of all VMs, serve metrics and the other "
	"verbs\n"
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
	{ "watch", command_watch },	{ "run", command_run }, { "exec", command_exec },
	{ "actions", command_actions }, { "raw", command_raw }, { "ping", command_ping },
	{ "demo", demo_main },		{ "vms", command_vms }, { "serve", command_serve },
	{ "history", command_history },
};

static const struct option long_options[] = {
	{ "connect", required_argument, NULL, 'c' },
	{ "listen", required_argument, NULL, 'l' },
	{ "secret", required_argument, NULL, 's' },
	{ "timeout", required_argument, NULL, 't' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ "vm", required_argument, NULL, 'm' },
	{ "socket", required_argument, NULL, 'S' },
	{ "all", no_argument, NULL, 'a' },
	{ "parallel", required_argument, NULL, 'P' },
	{ "fail-fast", no_argument, NULL, 'F' },
	{ 0 },
};

/* One option; -1 to go on, or an exit code. */
static int take_option(int option, char **argv, struct host_options *out, struct fleet_options *fleet)
{
	double number;

	switch (option) {
	case 'c':
	case 'l':
		if (out->path || out->vm)
			return command_usage("--connect, --listen and --vm: one of them, once");
		out->path = optarg;
		out->listening = option == 'l';
		return -1;
	case 'm':
		if (out->path || out->vm || !optarg || !*optarg)
			return command_usage("--connect, --listen and --vm: one of them, once");
		out->vm = optarg;
		return -1;
	case 'S':
		out->socket = optarg;
		return -1;
	case 'a':
		fleet->all = true;
		return -1;
	case 'F':
		fleet->fail_fast = true;
		return -1;
	case 'P':
		if (command_seconds(optarg, &number) < 0 || number < 1 || number > FLEET_PARALLEL_MAX)
			return command_usage("--parallel takes a number from 1 to 64");
		fleet->parallel = (unsigned)number;
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
	struct fleet_options fleet = { 0 };
	int option, status;

	opterr = 0; /* errors of getopt are printed by tools/show/show.h */
	while ((option = getopt_long(argc, argv, "+:c:l:m:S:aP:s:t:jhV", long_options, NULL)) != -1) {
		status = take_option(option, argv, &options, &fleet);
		if (status >= 0)
			return status;
	}
	if (optind == argc)
		return command_usage("which command?");
	if (fleet.all && (options.path || options.vm))
		return command_usage("--all, --vm and --connect: one of them");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[optind], commands[i].name) != 0)
			continue;
		argc -= optind;
		argv += optind;
		optind = 0; /* getopt(3): 0 starts anew, with the command's own argv */
		link_catch_signals();
		if (fleet_is_meant(&options, &fleet))
			return finish(fleet_run(&options, &fleet, commands[i].main, argc, argv));
		return finish(commands[i].main(&options, argc, argv));
	}
	show(stderr, "infinihost: %s: no such command\n", argv[optind]);
	return command_usage("commands are watch, run, actions, exec, raw, ping, history, vms, serve and demo");
}
