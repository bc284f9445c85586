/* SPDX-License-Identifier: MIT */
/*
 * Until 0.1.0 a script lay in a file while it ran, which others could read. An interpreter is given a descriptor now
 * (runner/input.h); what an agent of that time has left behind is removed.
 */
#ifndef AGENT_ACTIONS_SCRIPT_FILES_H
#define AGENT_ACTIONS_SCRIPT_FILES_H

void script_files_remove(const char *runtime_dir);

#endif
