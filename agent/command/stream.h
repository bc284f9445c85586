/* SPDX-License-Identifier: MIT */
/*
 * Output of a command sent as it arrives (`"stream": true`): chunks of at most 8 KiB, cut between characters, numbered.
 * A peer that does not keep up loses chunks, not the command: they are counted, and the response says how many.
 */
#ifndef AGENT_COMMAND_STREAM_H
#define AGENT_COMMAND_STREAM_H

#include <stddef.h>

#include "agent/run/exec.h"

struct command;
struct response;

/* Makes the command's output go out, if its sender asked for that. Out of memory: it is not streamed. */
void stream_begin(struct command *command);

/* What a program of the command wrote. Nothing for a command that is not streamed. */
void stream_put(struct command *command, enum exec_stream from, const char *bytes, size_t len);

/* What it wrote and nobody has read: chunks that were dropped. */
void stream_skip(struct command *command, enum exec_stream from, size_t len);

/* Sends what was kept back (half a character) and fills in what the response says of the stream. */
void stream_end(struct command *command, struct response *response);

void stream_free(struct command *command);

#endif
