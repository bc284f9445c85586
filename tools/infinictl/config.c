/* SPDX-License-Identifier: MIT */
/* infinictl config: the configuration as the agent would read it. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/config/config.h"
#include "agent/config/keys.h"
#include "tools/infinictl/cli.h"
#include "tools/show/show.h"

static const char help[] =
	"infinictl config check [FILE]    check FILE alone, or the installed configuration: all errors are told\n"
	"infinictl config show [FILE]     print every setting with its value, and where that was set\n"
	"infinictl config example         print the commented default file\n"
	"\n"
	"Exit status: 0 no errors, 1 a file cannot be read, 2 wrong use or configuration. A name that is none but near "
	"one is\n"
	"an error here; the agent itself passes over unknown names with a warning.\n";

/* config/ writes to a stream of its caller. */
static int print_whole(const struct config *config, const struct config_origins *origins)
{
	_cleanup_(freep) char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return cli_fail("out of memory");
	if (config)
		config_print(config, origins, stream);
	else
		config_print_example(stream);
	if (fclose(stream) != 0)
		return cli_fail("out of memory");
	show_stream(stdout, text, size);
	return CLI_OK;
}

struct looking {
	bool print;
	unsigned errors; /* errors that would keep the agent from starting */
};

static void tell(void *data, enum config_finding finding, const char *text)
{
	struct looking *looking = data;

	looking->errors += finding == CONFIG_ERROR;
	cli_fail("%s%s", finding == CONFIG_WARNING || (looking->print && finding == CONFIG_MISTAKE) ? "warning: " : "",
		 text);
}

/* Values from systemd's environment are no defaults either. */
static int note_environment(const struct config *config, struct config_origins *origins)
{
	static const struct {
		const char *section, *name, *variable;
	} from[] = { { "agent", "state_dir", "$STATE_DIRECTORY" }, { "agent", "runtime_dir", "$RUNTIME_DIRECTORY" } };

	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		const struct config_key *key = config_key_find(from[i].section, from[i].name);
		char value[CONFIG_VALUE_MAX];

		config_key_format(config, key, value);
		if (strcmp(value, key->fallback) != 0 && !(origins->of[key - config_keys] = strdup(from[i].variable)))
			return cli_fail("out of memory");
	}
	return CLI_OK;
}

/* Exit code: 2 for wrong contents, 1 for a file that cannot be read. */
static int exit_of(int rc)
{
	return rc == 0 ? CLI_OK : rc == -EINVAL || rc == -EPERM || rc == -EFBIG ? CLI_USAGE : CLI_FAILED;
}

static int look(const char *path, bool print)
{
	static struct config_origins origins;
	struct looking looking = { .print = print };
	struct config config;
	int rc;

	if (config_init(&config))
		return cli_fail("out of memory");
	rc = note_environment(&config, &origins);
	if (!rc)
		rc = exit_of(config_inspect(&config, path, tell, &looking, &origins));
	if (print && (!rc || (rc == CLI_USAGE && !looking.errors)))
		rc = print_whole(&config, &origins);
	else if (!rc)
		show(stdout, "%s: no errors\n", path ? path : SYSCONFDIR "/infiniservice/infiniservice.conf");
	config_origins_free(&origins);
	config_free(&config);
	return rc;
}

int config_main(int argc, char **argv)
{
	const char *path = argc > 2 ? argv[2] : NULL;

	if (argc < 2)
		return cli_usage("expected config check [FILE], config show [FILE] or config example");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return cli_help(help);
	if (!strcmp(argv[1], "example") && argc == 2)
		return print_whole(NULL, NULL);
	if ((strcmp(argv[1], "check") && strcmp(argv[1], "show")) || argc > 3 || (path && path[0] == '-'))
		return cli_usage("expected config check [FILE], config show [FILE] or config example");
	return look(path, !strcmp(argv[1], "show"));
}
