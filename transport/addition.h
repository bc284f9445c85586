/* SPDX-License-Identifier: MIT */
/*
 * Messages beyond what every host knows: they go only to a session that asked for them (Subscribe, GetHistory, Ack,
 * "stream": true). As in reply.h each function leaves one whole line in the writer: 0 or -EMSGSIZE.
 */
#ifndef TRANSPORT_ADDITION_H
#define TRANSPORT_ADDITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json_write.h"

/* Bytes of output, as the program wrote them, that one `output` message carries at most. */
#define ADDITION_CHUNK_MAX 8192
/* Encoded samples that one `metrics_batch` carries at most, in bytes (a single larger sample is its own batch). */
#define ADDITION_BATCH_MAX (256 * 1024)
/* A sample longer than this fits into no batch. */
#define ADDITION_SAMPLE_MAX (1024 * 1024 - 4096)

/* `seq` counts the chunks of the command from 0, dropped ones included; `stream` is "stdout" or "stderr". */
int addition_output(struct json_writer *w, int64_t wall_ms, const char *id, const char *stream, uint64_t seq,
		    const char *bytes, size_t len);

/* The bytes of `bytes` that may leave now: all but a character begun and not ended, which is at most 3 bytes long. */
size_t addition_whole_characters(const char *bytes, size_t len);

int addition_lagged(struct json_writer *w, int64_t wall_ms, const char *topic, uint64_t from_seq, uint64_t count);

/* `samples`: encoded metrics messages with commas between them, without the brackets. `id` NULL: asked for by Ack. */
int addition_metrics_batch(struct json_writer *w, int64_t wall_ms, const char *id, const char *samples, size_t len,
			   bool last);

struct addition_command {
	const char *id, *action, *origin;
	const char *state; /* "accepted", "started", "finished", "refused" */
	bool done;	   /* the fields below are known */
	bool success;
	const char *error_code; /* NULL: null */
	uint64_t duration_ms;
};
int addition_command(struct json_writer *w, int64_t wall_ms, const struct addition_command *command);

#endif
