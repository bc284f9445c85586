/* SPDX-License-Identifier: MIT */
/*
 * infinictl: looks at the metric log and at the agent from inside the guest. Standard output is data, standard error is
 * words. Both go through tools/show/show.h.
 */
#ifndef TOOLS_INFINICTL_CLI_H
#define TOOLS_INFINICTL_CLI_H

#include <stdint.h>

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_RUNNING = 3,
};

/* The program: returns the exit status. */
int infinictl_main(int argc, char **argv);

/* Subcommands; argv[0] is the subcommand's name. */
int log_main(int argc, char **argv);
int status_main(int argc, char **argv);
int ps_main(int argc, char **argv);
int audit_main(int argc, char **argv);
int config_main(int argc, char **argv);
int metrics_main(int argc, char **argv);
int plot_main(int argc, char **argv);
int events_main(int argc, char **argv);
int report_main(int argc, char **argv);
int top_main(int argc, char **argv);
int replay_main(int argc, char **argv);

/* "infinictl: " and the words on standard error. Returns CLI_FAILED. */
__attribute__((format(printf, 1, 2))) int cli_fail(const char *format, ...);

/* The same, with a pointer to --help; returns CLI_USAGE. */
__attribute__((format(printf, 1, 2))) int cli_usage(const char *format, ...);

/* The time that was typed behind --`option`; CLI_OK, or CLI_USAGE after printing the error. */
int cli_time_option(const char *option, const char *text, int64_t *ret_ms);

/* CLI_OK, or CLI_FAILED after saying that nothing lies between the two. */
int cli_time_span(int64_t begin_ms, int64_t end_ms);

/* Prints a help text; CLI_OK. */
int cli_help(const char *words);

/* Prints the error of getopt_long(3) (opterr is 0, the short options begin with ':'); returns CLI_USAGE. */
int cli_wrong_option(int option, char *const argv[]);

/* The value of --color, borrowed in *ret: auto, always or never; CLI_OK, or CLI_USAGE after the error. */
int cli_color_option(const char *value, const char **ret);

#endif
