/* SPDX-License-Identifier: MIT */
/* Messages that are sent only on request; see addition.h. */
#include "addition.h"

#include "reply.h"
#include "reply_parts.h"

int addition_output(struct json_writer *w, int64_t wall_ms, const char *id, const char *stream, uint64_t seq,
		    const char *bytes, size_t len)
{
	struct sink *out = reply_begin(w, "output", wall_ms);

	sink_str(out, "id", id);
	sink_str(out, "stream", stream);
	sink_uint(out, "seq", seq);
	sink_text(out, "data", bytes, len, len);
	return reply_end(w);
}

/* Length in bytes of the character that a lead byte announces; 1 for a byte that is no lead byte. */
static size_t announced(unsigned char lead)
{
	return lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xC2 && lead < 0xE0 ? 2 : 1;
}

size_t addition_whole_characters(const char *bytes, size_t len)
{
	for (size_t back = 1; back <= 3 && back <= len; back++) {
		unsigned char byte = (unsigned char)bytes[len - back];

		if ((byte & 0xC0) != 0x80)
			return announced(byte) > back ? len - back : len;
	}
	return len;
}

int addition_lagged(struct json_writer *w, int64_t wall_ms, const char *topic, uint64_t from_seq, uint64_t count)
{
	struct sink *out = reply_begin(w, "lagged", wall_ms);

	sink_str(out, "topic", topic);
	sink_uint(out, "from_seq", from_seq);
	sink_uint(out, "count", count);
	return reply_end(w);
}

int addition_metrics_batch(struct json_writer *w, int64_t wall_ms, const char *id, const char *samples, size_t len,
			   bool last)
{
	struct sink *out = reply_begin(w, "metrics_batch", wall_ms);

	reply_text(out, "id", id, REPLY_TEXT_MAX);
	sink_bool(out, "last", last);
	sink_array_begin(out, "samples");
	json_write_encoded(out, samples, len);
	sink_array_end(out);
	return reply_end(w);
}

int addition_command(struct json_writer *w, int64_t wall_ms, const struct addition_command *command)
{
	struct sink *out = reply_begin(w, "command_event", wall_ms);

	reply_text(out, "id", command->id, REPLY_TEXT_MAX);
	reply_text(out, "action", command->action, REPLY_TEXT_MAX);
	reply_text(out, "origin", command->origin, REPLY_TEXT_MAX);
	sink_str(out, "state", command->state);
	if (command->done) {
		sink_bool(out, "success", command->success);
		sink_str(out, "error_code", command->error_code);
		sink_uint(out, "duration_ms", command->duration_ms);
	}
	return reply_end(w);
}
