/* SPDX-License-Identifier: MIT */
/* A hint beside "Permission denied": the group to join. */
#ifndef TOOLS_INFINICTL_ACCESS_H
#define TOOLS_INFINICTL_ACCESS_H

/*
 * Prints on standard error how to get access to `path`: by joining its group, or `fallback_group` if that cannot be
 * read.
 */
void access_hint(const char *path, const char *fallback_group);

#endif
