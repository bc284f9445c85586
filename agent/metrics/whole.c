/* SPDX-License-Identifier: MIT */
/* See whole.h. */
#include "agent/metrics/whole.h"

void whole_want(struct whole *whole, unsigned streams)
{
	for (unsigned i = 0; i < WHOLE_STREAMS; i++)
		if (streams & 1U << i)
			whole->streams[i].since = 0;
}

bool whole_take(struct whole *whole, unsigned streams, uint64_t hash)
{
	bool is = false;

	for (unsigned i = 0; i < WHOLE_STREAMS; i++) {
		const struct whole_stream *stream = &whole->streams[i];

		is = is || (streams & 1U << i &&
			    (stream->since == 0 || stream->since >= WHOLE_EVERY || stream->hash != hash));
	}
	for (unsigned i = 0; i < WHOLE_STREAMS; i++) {
		struct whole_stream *stream = &whole->streams[i];

		if (streams & 1U << i)
			*stream = (struct whole_stream){ hash, is ? 1 : stream->since + 1 };
	}
	return is;
}
