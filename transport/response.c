/* SPDX-License-Identifier: MIT */
/*
 * Messages that carry a command's output. Their size is decided on the encoded text: binary output grows six times.
 * The small fields come first, so that only streams and data can meet the end of the buffer.
 */
#include "reply.h"

#include "reply_parts.h"

#define FIELDS_RESERVE 256 /* what follows the streams: keys, truncated, totals, closing brackets */

struct shares {
	size_t out, err; /* bytes of each stream to write */
	bool truncated;
};

/* Each stream may have half of `room`, and the room that the other stream leaves. */
static struct shares share_room(const struct reply_stream *out, const struct reply_stream *err, size_t room)
{
	size_t out_len = json_text_encoded_len(out->bytes, out->len);
	size_t err_len = json_text_encoded_len(err->bytes, err->len);
	size_t out_room = out_len, err_room = err_len;
	struct shares shares;

	if (out_len + err_len > room) {
		err_room = err_len < room / 2 ? err_len : room / 2;
		out_room = out_len < room - err_room ? out_len : room - err_room;
		err_room = room - out_room;
	}
	shares.out = json_text_fit(out->bytes, out->len, out_room);
	shares.err = json_text_fit(err->bytes, err->len, err_room);
	shares.truncated =
		shares.out < out->total || shares.err < err->total || shares.out < out->len || shares.err < err->len;
	return shares;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Writes both streams within what the writer has left (`spare` bytes of it set aside); true if they were cut. */
static bool write_streams(struct json_writer *w, const struct reply_stream *out, const struct reply_stream *err,
			  size_t spare)
{
	size_t left = w->limit > w->len ? w->limit - w->len : 0;
	struct shares shares = share_room(out, err, smaller(left > spare ? left - spare : 0, REPLY_STREAMS_MAX));

	sink_text(&w->sink, "stdout", out->bytes, shares.out, shares.out);
	sink_text(&w->sink, "stderr", err->bytes, shares.err, shares.err);
	return shares.truncated;
}

static uint64_t raw_total(const struct reply_stream *stream)
{
	return stream->total > stream->len ? stream->total : stream->len;
}

static void write_totals(struct sink *out, const struct reply_stream *stdout_stream,
			 const struct reply_stream *stderr_stream)
{
	sink_uint(out, "stdout_bytes", raw_total(stdout_stream));
	sink_uint(out, "stderr_bytes", raw_total(stderr_stream));
}

int reply_script_completion(struct json_writer *w, int64_t wall_ms, const struct reply_script *script)
{
	struct sink *out = reply_begin(w, "script_completion", wall_ms);
	bool truncated;

	reply_text(out, "execution_id", script->execution_id, REPLY_TEXT_MAX);
	sink_int(out, "exit_code", script->exit_code);
	sink_null(out, "log_file");
	truncated = write_streams(w, &script->out, &script->err, FIELDS_RESERVE);
	sink_bool(out, "truncated", truncated);
	if (truncated)
		write_totals(out, &script->out, &script->err);
	return reply_end(w);
}

static void write_value(struct sink *out, const struct response *response)
{
	if (response->data)
		response->data(out, "data", response->arg);
	else
		json_write_object(out, "data", response->object);
}

/* True if data had to be left out. */
static bool write_data(struct json_writer *w, const struct response *response)
{
	struct sink *out = &w->sink;
	struct sink_mark mark = sink_mark(out);
	struct json_room before = json_writer_bound(w, REPLY_DATA_MAX);
	size_t end = mark.offset + REPLY_DATA_MAX + sizeof("\"data\":");
	bool fits;

	write_value(out, response);
	fits = !sink_full(out) && w->len <= end;
	if (!fits)
		sink_rewind(out, mark);
	json_writer_restore(w, before);
	if (!fits)
		sink_null(out, "data");
	return !fits;
}

/*
 * A host may read null as 0, and 0 as success. So a failure never has code 0, even if its program exited with 0 (a
 * program stopped at its deadline may catch the signal); a success without a program has code 0.
 */
int reply_exit_code(const struct response *response)
{
	int code = response->has_exit_code ? response->exit_code : 0;

	return response->success || code != 0 ? code : 1;
}

static void write_outcome(struct sink *out, const struct response *response)
{
	const char *error = response->error;

	if (!response->success && !error)
		error = response->code != CODE_NONE ? code_name(response->code) : "the command failed";
	sink_str(out, "id", response->id);
	sink_bool(out, "success", response->success);
	sink_int(out, "exit_code", reply_exit_code(response));
	sink_uint(out, "execution_time_ms", response->execution_time_ms);
	reply_text(out, "command_type", response->command_type, 128);
	reply_text(out, "error", error, REPLY_TEXT_MAX);
	sink_str(out, "error_code", code_name(response->code));
	if (response->reason)
		sink_str(out, "reason", response->reason);
	if (response->streamed) {
		sink_uint(out, "stream_chunks", response->stream_chunks);
		sink_uint(out, "stream_dropped", response->stream_dropped);
	}
	if (response->attempts > 1)
		sink_uint(out, "attempts", response->attempts);
}

/* In a buffer too small for both, data comes first and the streams get the rest; hence data is written before them. */
int reply_response(struct json_writer *w, int64_t wall_ms, const struct response *response)
{
	struct sink *out = reply_begin(w, "response", wall_ms);
	struct json_room whole = { w->limit, w->tail };
	bool truncated, cut;

	write_outcome(out, response);
	if (w->limit > w->len + FIELDS_RESERVE)
		json_writer_bound(w, w->limit - w->len - FIELDS_RESERVE);
	truncated = write_data(w, response) || response->data_truncated;
	json_writer_restore(w, whole);
	if (response->partial)
		sink_bool(out, "partial", true);
	if (response->data_truncated && response->total_count)
		sink_uint(out, "total_count", response->total_count);
	cut = write_streams(w, &response->out, &response->err, FIELDS_RESERVE);
	sink_bool(out, "truncated", truncated || cut);
	if (cut)
		write_totals(out, &response->out, &response->err);
	return reply_end(w);
}
