/* SPDX-License-Identifier: MIT */
/* Parses the options and runs one of the three modes: the service, --once, --check-config. */
#include "agent/agent.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/metrics/once.h"
#include "transport/printable.h"

enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

enum mode {
	MODE_RUN,
	MODE_ONCE,
	MODE_CHECK,
	MODE_HELP,
	MODE_VERSION,
	MODE_WRONG,
};

static const char help[] =
	"Usage: infiniservice [OPTION]...\n"
	"Monitors this virtual machine, reports to its host over a virtio-serial port and runs the host's commands.\n"
	"\n"
	"  -c, --config FILE             read FILE alone instead of " SYSCONFDIR
	"/infiniservice/infiniservice.conf and conf.d/\n"
	"  -p, --port SPEC               virtio:NAME, a path (virtio port, pty, serial line), unix:PATH,\n"
	"                                listen:PATH, stdio or none\n"
	"                                (default virtio:org.infinibay.agent)\n"
	"  -s, --set SECTION.KEY=VALUE   set a key of the configuration; may be given again\n"
	"      --check-config            check the configuration and exit\n"
	"      --once                    print one full metrics message and exit\n"
	"  -v, --verbose                 log debug messages too\n"
	"      --version                 print the version\n"
	"  -h, --help                    print this help\n"
	"\n"
	"Exit status: 0 done, 1 failed at run time, 2 wrong usage or configuration.\n";

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "port", required_argument, NULL, 'p' },
	{ "set", required_argument, NULL, 's' },
	{ "check-config", no_argument, NULL, 'C' },
	{ "once", no_argument, NULL, 'O' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* Prints "infiniservice: " and the text on standard error, with characters replaced that are unsafe for a terminal. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "infiniservice: %.*s\n", (int)printable_clean(text, strlen(text)), text);
}

static enum mode parse(int argc, char *argv[], struct agent_options *options)
{
	enum mode mode = MODE_RUN;
	const char *wrong;
	int option;

	opterr = 0; /* said below */
	while ((option = getopt_long(argc, argv, ":c:p:s:vh", long_options, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->config_path = optarg;
			break;
		case 'p':
			options->port_spec = optarg;
			break;
		case 's':
			if (options->setting_count == AGENT_SETTINGS_MAX) {
				say("more than %d times --set", AGENT_SETTINGS_MAX);
				return MODE_WRONG;
			}
			options->settings[options->setting_count++] = optarg;
			break;
		case 'v':
			options->verbose = true;
			break;
		case 'C':
			mode = MODE_CHECK;
			break;
		case 'O':
			mode = MODE_ONCE;
			break;
		case 'V':
			return MODE_VERSION;
		case 'h':
			return MODE_HELP;
		default:
			wrong = option == ':' ? "a value is missing"
					      : "no such option, or with a value it does not take";
			if (optopt > ' ' && optopt < 0x7f && strncmp(argv[optind - 1], "--", 2) != 0)
				say("-%c: %s", optopt, wrong);
			else
				say("%s: %s", argv[optind - 1], wrong);
			return MODE_WRONG;
		}
	}
	if (optind < argc) {
		say("'%s': no arguments are expected", argv[optind]);
		return MODE_WRONG;
	}
	return mode;
}

static void say_finding(void *data, enum config_finding finding, const char *text)
{
	(void)data;
	say("%s%s", finding == CONFIG_WARNING ? "warning: " : "", text);
}

static int check_config(const struct agent_options *options)
{
	static const struct port_events none;
	struct port *port = NULL;
	struct config config;
	struct err e;
	int r;

	if (agent_inspect_config(&config, options, say_finding, NULL) < 0) {
		config_free(&config);
		return EXIT_USAGE;
	}
	/* The port judges its own spec; nothing is opened before the first dispatch. */
	r = port_new(&(struct port_config){ .spec = config.port.spec }, &none, NULL, 0, &port, &e);
	port_free(port);
	config_free(&config);
	if (r < 0) {
		say("port.spec: %s", e.text);
		return EXIT_USAGE;
	}
	puts("configuration is valid");
	return EXIT_DONE;
}

static void say_left_out(void *data, const char *name, int error)
{
	(void)data;
	if (error < 0)
		say("left out: %s: %s", name, strerror(-error));
	else
		say("left out: %s: no answer in time", name);
}

static int print_once(const struct agent_options *options)
{
	struct config config;
	struct err e;
	int r;

	if (agent_load_config(&config, options, &e) < 0) {
		say("%s", e.text);
		return EXIT_USAGE;
	}
	r = once_print(&config, stdout, say_left_out, NULL);
	config_free(&config);
	if (r < 0)
		say("no sample could be taken: %s", strerror(-r));
	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int serve(const struct agent_options *options)
{
	static struct agent agent;
	struct err e = { 0 };
	int r = agent_init(&agent, options, &e);

	if (r < 0) {
		report(LOG_ERR, "%s", e.text);
		/* An error in the configuration is exit code 2, an error of the system is 1. */
		r = r == -EINVAL || r == -EPERM || r == -EMEDIUMTYPE || r == -EFBIG || r == -ENAMETOOLONG ? EXIT_USAGE
													  : EXIT_FAILED;
	} else {
		r = agent_run(&agent);
	}
	agent_done(&agent);
	return r;
}

int service_main(int argc, char *argv[])
{
	static struct agent_options options;

	switch (parse(argc, argv, &options)) {
	case MODE_HELP:
		fputs(help, stdout);
		return EXIT_DONE;
	case MODE_VERSION:
		puts("infiniservice " INFINISERVICE_VERSION);
		return EXIT_DONE;
	case MODE_CHECK:
		return check_config(&options);
	case MODE_ONCE:
		return print_once(&options);
	case MODE_RUN:
		return serve(&options);
	case MODE_WRONG:
		break;
	}
	fputs("Try 'infiniservice --help'.\n", stderr);
	return EXIT_USAGE;
}
