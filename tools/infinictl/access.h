/* SPDX-License-Identifier: MIT */
/*
 * "Permission denied" is no help: which group to join is.
 */
#ifndef TOOLS_INFINICTL_ACCESS_H
#define TOOLS_INFINICTL_ACCESS_H

/* Says on standard error how to get at `path`, whose group, if it can be seen, is the one that may. */
void access_hint(const char *path, const char *fallback_group);

#endif
