/* SPDX-License-Identifier: MIT */
/*
 * infinictl config: the configuration as the agent would read it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/config/config.h"
#include "tools/infinictl/cli.h"
#include "tools/show/show.h"

static const char help[] = "infinictl config check [FILE]    check FILE alone, or the installed configuration\n"
			   "infinictl config show [FILE]     print every setting with its value\n"
			   "infinictl config example         print the commented default file\n";

/* Printed by config/, which writes to a stream of its caller's. */
static int print_whole(const struct config *config)
{
	_cleanup_(freep) char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return cli_fail("out of memory");
	if (config)
		config_print(config, stream);
	else
		config_print_example(stream);
	if (fclose(stream) != 0)
		return cli_fail("out of memory");
	show_stream(stdout, text, size);
	return CLI_OK;
}

static void warn(void *data, const char *text)
{
	(void)data;
	cli_fail("warning: %s", text);
}

static int load(const char *path, struct config *config)
{
	struct err err = { 0 };
	int rc;

	if (config_init(config))
		return cli_fail("out of memory");
	rc = config_load(config, path, warn, NULL, &err);
	if (!rc)
		rc = config_check(config, warn, NULL, &err);
	if (!rc)
		return CLI_OK;
	config_free(config);
	cli_fail("%s", err.text);
	return rc == -EACCES || rc == -ENOENT ? CLI_FAILED : CLI_USAGE;
}

int config_main(int argc, char **argv)
{
	const char *path = argc > 2 ? argv[2] : NULL;
	struct config config;
	int rc;

	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		show_words(argc < 2 ? stderr : stdout, help);
		return argc < 2 ? CLI_USAGE : CLI_OK;
	}
	if (!strcmp(argv[1], "example") && argc == 2)
		return print_whole(NULL);
	if ((strcmp(argv[1], "check") && strcmp(argv[1], "show")) || argc > 3 || (path && path[0] == '-'))
		return cli_usage("expected config check [FILE], config show [FILE] or config example");
	rc = load(path, &config);
	if (rc)
		return rc;
	if (!strcmp(argv[1], "show"))
		rc = print_whole(&config);
	else
		show(stdout, "%s: no errors\n", path ? path : SYSCONFDIR "/infiniservice/infiniservice.conf");
	config_free(&config);
	return rc;
}
