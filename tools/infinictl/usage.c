/* SPDX-License-Identifier: MIT */
/* What all subcommands say in the same way: failures, wrong use, help, and what is wrong with a time. */
#include <stdarg.h>
#include <stdio.h>

#include <infiniservice/moment.h>

#include "tools/infinictl/cli.h"
#include "tools/infinictl/text.h"
#include "tools/infinictl/timespec.h"
#include "tools/show/show.h"

int cli_fail(const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	show(stderr, "infinictl: %s\n", text);
	return CLI_FAILED;
}

int cli_usage(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	cli_fail("%s; `infinictl --help` tells more", text);
	return CLI_USAGE;
}

int cli_time_option(const char *option, const char *text, int64_t *ret_ms)
{
	struct err err = { 0 };

	if (timespec_parse(text, moment_now().wall_ms, ret_ms, &err))
		return cli_usage("--%s: %s", option, err.text);
	return CLI_OK;
}

int cli_time_span(int64_t begin_ms, int64_t end_ms)
{
	char begin[TEXT_TIME_SIZE], end[TEXT_TIME_SIZE];

	if (begin_ms < end_ms)
		return CLI_OK;
	text_time(begin_ms, false, false, begin);
	text_time(end_ms, false, false, end);
	return cli_fail("--begin (%s) is not before --end (%s): nothing lies between them", begin, end);
}

int cli_help(const char *words)
{
	show_words(stdout, words);
	return CLI_OK;
}

int cli_wrong_option(int option, char *const argv[])
{
	show_wrong_option("infinictl", option, argv);
	return CLI_USAGE;
}
