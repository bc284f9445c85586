/* SPDX-License-Identifier: MIT */
/*
 * Chunks of output; see command.h. The bytes of an incomplete character are held for its rest, at most three bytes per
 * stream.
 */
#include "agent/command/command.h"

#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/peer/session.h"
#include "transport/addition.h"

struct stream {
	uint64_t chunks, dropped;
	struct held {
		char bytes[4];
		size_t len;
	} held[2];
};

static const char *const names[] = { [EXEC_STDOUT] = "stdout", [EXEC_STDERR] = "stderr" };

void stream_begin(struct command *command)
{
	if (!command->stream)
		command->stream = calloc(1, sizeof(*command->stream));
}

static void send_chunk(struct command *command, enum exec_stream from, const char *bytes, size_t len)
{
	struct stream *stream = command->stream;
	struct commands *commands = command->commands;
	uint64_t seq = stream->chunks++;

	if (!command->session || session_crowded(command->session) ||
	    addition_output(commands->peers->writer, commands->loop->now.wall_ms, command->message.id, names[from], seq,
			    bytes, len) < 0)
		stream->dropped++;
	else
		session_answer(command->session, LINE_BULK);
}

/* Sends the whole characters of a chunk. Returns how many bytes those are. */
static size_t send_whole(struct command *command, enum exec_stream from, const char *bytes, size_t len)
{
	size_t whole = addition_whole_characters(bytes, len);

	if (whole)
		send_chunk(command, from, bytes, whole);
	return whole;
}

void stream_put(struct command *command, enum exec_stream from, const char *bytes, size_t len)
{
	struct stream *stream = command->stream;
	struct held *held = &stream->held[from];
	size_t at = 0;

	if (!bytes && len) {
		/* Half a character before dropped output is dropped, too. */
		held->len = 0;
		stream->chunks += (len + ADDITION_CHUNK_MAX - 1) / ADDITION_CHUNK_MAX;
		stream->dropped += (len + ADDITION_CHUNK_MAX - 1) / ADDITION_CHUNK_MAX;
	}
	if (!bytes)
		return;
	/* The held bytes and the first new ones become a chunk of their own. */
	while (held->len && at < len) {
		size_t whole;

		held->bytes[held->len++] = bytes[at++];
		whole = send_whole(command, from, held->bytes, held->len);
		held->len -= whole;
		memmove(held->bytes, held->bytes + whole, held->len);
	}
	while (at < len) {
		size_t size = len - at < ADDITION_CHUNK_MAX ? len - at : ADDITION_CHUNK_MAX;
		size_t sent = send_whole(command, from, bytes + at, size);

		at += sent;
		if (sent < size && at - sent + size == len) {
			memcpy(held->bytes, bytes + at, len - at);
			held->len = len - at;
			break;
		}
	}
}

void stream_end(struct command *command, struct response *response)
{
	struct stream *stream = command->stream;

	for (unsigned from = 0; from < ARRAY_SIZE(stream->held); from++)
		if (stream->held[from].len)
			send_chunk(command, (enum exec_stream)from, stream->held[from].bytes, stream->held[from].len);
	response->streamed = true;
	response->stream_chunks = stream->chunks;
	response->stream_dropped = stream->dropped;
}
