/* SPDX-License-Identifier: MIT */
/* `infinihost serve`: the command line of the hub. */
#ifndef HUB_SERVE_H
#define HUB_SERVE_H

#include <stddef.h>

#define HUB_RUN_FOLDER "/run/infinihost"

enum serve_exit { SERVE_OK = 0, SERVE_FAILED = 1, SERVE_USAGE = 2 };

/* argv[0] is the verb. Returns the exit status. */
int serve_main(int argc, char **argv);

/* The control socket where none is named: $RUNTIME_DIRECTORY/control.sock, else /run/infinihost/control.sock. */
void serve_default_socket(char *out, size_t size);

#endif
