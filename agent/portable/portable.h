/* SPDX-License-Identifier: MIT */
/*
 * The portable build: one static file that needs nothing of the system it comes to. The files of this folder take the
 * place of libsystemd (systemd.c, bus.c) and of the name service (users.c), and make the two programs one (main.c).
 */
#ifndef AGENT_PORTABLE_PORTABLE_H
#define AGENT_PORTABLE_PORTABLE_H

/* main of agent/executor/main.c under the name it has in this build. */
int executor_main(int argc, char **argv);

#endif
