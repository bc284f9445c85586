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

/*
 * Starts streaming the output of a command whose sender asked for it, unless it is streamed already. Out of memory: it
 * is not streamed. The stream is freed with the command, by free.
 */
void stream_begin(struct command *command);

/* Sends output of a program of a streamed command. `bytes` NULL: `len` bytes were dropped unread, and are counted. */
void stream_put(struct command *command, enum exec_stream from, const char *bytes, size_t len);

/* Sends the bytes held back (half a character) and fills in the stream's part of the response. */
void stream_end(struct command *command, struct response *response);

#endif
