/* SPDX-License-Identifier: MIT */
/* The commands of infinihost; each takes its own argv (argv[0] is its name) and returns the exit code. */
#ifndef INFINIHOST_COMMANDS_H
#define INFINIHOST_COMMANDS_H

#include <stdint.h>

#include "tools/infinihost/talk.h"

int command_watch(const struct host_options *options, int argc, char **argv);
int command_run(const struct host_options *options, int argc, char **argv);
int command_exec(const struct host_options *options, int argc, char **argv);
int command_raw(const struct host_options *options, int argc, char **argv);
int command_actions(const struct host_options *options, int argc, char **argv);
int command_history(const struct host_options *options, int argc, char **argv);
int command_vms(const struct host_options *options, int argc, char **argv);
int command_serve(const struct host_options *options, int argc, char **argv);
int command_ping(const struct host_options *options, int argc, char **argv);

/* Prints the usage of the command on stderr. Returns HOST_USAGE. */
int command_usage(const char *text);

/*
 * Opens the port and waits for the session to start. 0, or -errno after printing why; *ret_exit is then the exit code.
 * talk_close may be called in either case.
 */
int talk_begin(struct talk *talk, const struct host_options *options, uint64_t deadline_ns, int *ret_exit);

/* Reads a non-negative number of seconds. 0 or -EINVAL. */
int command_seconds(const char *text, double *ret_s);

/* The moment `seconds` from now, TIME_NEVER when negative. */
uint64_t command_deadline(double seconds);

#endif
