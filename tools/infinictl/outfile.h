/* SPDX-License-Identifier: MIT */
/* A file that a verb was told to write: new, or an ordinary one of one name that is replaced. */
#ifndef TOOLS_INFINICTL_OUTFILE_H
#define TOOLS_INFINICTL_OUTFILE_H

#include <stdio.h>

#include <infiniservice/err.h>

/*
 * Opens it for writing, "-" for stdout; what was in it is gone. A link, a device, a pipe, a directory and a file with
 * several names are refused. 0, or -errno with words.
 */
int outfile_open(const char *path, FILE **ret, struct err *err);
/* 0, or -errno with words when not all could be written. */
int outfile_close(FILE *file, const char *path, struct err *err);

#endif
