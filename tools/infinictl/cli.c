/* SPDX-License-Identifier: MIT */
/* The command line's first level: which subcommand, --help and --version. */
#include "tools/infinictl/cli.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/show/show.h"

static const char help[] =
	"infinictl - look at the metric log and at the agent of this machine\n"
	"\n"
	"  infinictl log [OPTION]... [FILE]...   print the metric log (the agent need not run)\n"
	"  infinictl top [OPTION]...             the machine on a live screen: processors, disks, processes ...\n"
	"  infinictl replay [OPTION]... [FILE]...  the same screen over the log\n"
	"  infinictl plot [OPTION]... METRIC...  draw metrics of the log over time\n"
	"  infinictl events [OPTION]...          list what happened: gaps, reboots, faults, alerts, commands\n"
	"  infinictl report --html FILE          write a page with charts and tables\n"
	"  infinictl metrics [PATTERN]           list the metrics there are, with unit and meaning\n"
	"  infinictl status [OPTION]...          ask the running agent how it is\n"
	"  infinictl ps [OPTION]...              show the commands that run or wait\n"
	"  infinictl audit [OPTION]...           print what hosts asked of this machine (the agent need not run)\n"
	"  infinictl config check [FILE]         check the configuration\n"
	"  infinictl config show [FILE]          print every setting with its value\n"
	"  infinictl config example              print the commented default file\n"
	"\n"
	"  --help       this text, or after a subcommand that of the subcommand\n"
	"  --version    the version\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong use or configuration, 3 the agent does not run.\n";

/* The output must have been written: a full disk behind `>` is a failure. */
static int finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	cli_fail("cannot write the output");
	return status ? status : CLI_FAILED;
}

int infinictl_main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*main)(int argc, char **argv);
	} commands[] = {
		{ "log", log_main },	   { "plot", plot_main },	{ "events", events_main },
		{ "report", report_main }, { "metrics", metrics_main }, { "status", status_main },
		{ "ps", ps_main },	   { "audit", audit_main },	{ "config", config_main },
		{ "top", top_main },	   { "replay", replay_main },
	};

	opterr = 0; /* cli_wrong_option prints the errors of getopt */
	if (argc < 2)
		return cli_usage("a subcommand is missing");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return finish(cli_help(help));
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		show(stdout, "infinictl " INFINISERVICE_VERSION "\n");
		return finish(CLI_OK);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return finish(commands[i].main(argc - 1, argv + 1));
	return cli_usage("there is no subcommand \"%.50s\"", argv[1]);
}

int cli_color_option(const char *value, const char **ret)
{
	*ret = value;
	if (!strcmp(value, "auto") || !strcmp(value, "always") || !strcmp(value, "never"))
		return CLI_OK;
	return cli_usage("--color: \"%.40s\" is none of auto, always and never", value);
}
