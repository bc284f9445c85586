/* SPDX-License-Identifier: MIT */
/*
 * Up to 0.1.0 a running script lay in a file that other users could read. The interpreter is given a descriptor now
 * (runner/protocol.h); this removes the files that an agent of that time left.
 */
#ifndef AGENT_ACTIONS_SCRIPT_FILES_H
#define AGENT_ACTIONS_SCRIPT_FILES_H

void script_files_remove(const char *runtime_dir);

#endif
