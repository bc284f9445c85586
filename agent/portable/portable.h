/* SPDX-License-Identifier: MIT */
/*
 * The portable build: one file that needs only glibc 2.31 or newer; other libraries are linked statically or loaded on
 * demand. main.c combines the two programs into one.
 */
#ifndef AGENT_PORTABLE_PORTABLE_H
#define AGENT_PORTABLE_PORTABLE_H

/* main of agent/executor/main.c, renamed in this build. */
int executor_main(int argc, char **argv);

#endif
