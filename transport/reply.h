/* SPDX-License-Identifier: MIT */
/*
 * The messages of the guest, except metrics: each function resets the writer and leaves one whole line in it, '\n'
 * included (text w->buf, length w->len). They return 0, or -EMSGSIZE when the writer's buffer is too small for it.
 */
#ifndef TRANSPORT_REPLY_H
#define TRANSPORT_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codes.h"
#include "json_write.h"

struct json_object;

#define REPLY_LINE_MAX	  (1024 * 1024) /* no line is longer */
#define REPLY_STREAMS_MAX (512 * 1024)	/* stdout and stderr together, encoded */
#define REPLY_DATA_MAX	  (512 * 1024)	/* data, encoded */
#define REPLY_TEXT_MAX	  2048		/* error texts and the like, bytes of the source */
#define REPLY_SMALL_SIZE  65536		/* buffer that fits every message here but response and script_completion */

/* `capabilities` ends with NULL. */
int reply_handshake(struct json_writer *w, int64_t wall_ms, const char *vm_id, const char *version,
		    const char *generation, const char *const *capabilities);

int reply_keep_alive(struct json_writer *w, int64_t wall_ms, uint64_t sequence_number);

struct reply_error {
	const char *text;
	const char *component;				     /* "transport", "commands", … */
	enum error_code code;				     /* CODE_NONE: null */
	const char *reason;				     /* NULL: null */
	const char *id;					     /* NULL: null */
	void (*details)(struct sink *sink, const void *arg); /* more keys of details, or NULL */
	const void *arg;
};
int reply_error(struct json_writer *w, int64_t wall_ms, const struct reply_error *error);

/* Never Fatal: the host would cut the guest off. */
enum reply_severity { REPLY_TEMPORARY, REPLY_RECOVERABLE, REPLY_UNKNOWN };

struct reply_error_report {
	const char *error_type;
	enum reply_severity severity;
	unsigned retry_attempt, max_retries;
	const char *recovery_suggestion;
	const char *vm_id;
};
int reply_error_report(struct json_writer *w, int64_t wall_ms, const struct reply_error_report *report);

enum reply_breaker { REPLY_BREAKER_CLOSED, REPLY_BREAKER_OPEN, REPLY_BREAKER_HALF_OPEN };

struct reply_breaker_state {
	enum reply_breaker state;
	unsigned failure_count;
	int64_t last_failure_ms; /* wall time; negative: never (null) */
	int64_t recovery_eta_s;	 /* negative: null */
};
int reply_circuit_breaker_state(struct json_writer *w, int64_t wall_ms, const struct reply_breaker_state *breaker);

enum reply_level { REPLY_DEBUG, REPLY_INFO, REPLY_WARN, REPLY_ERROR };

struct reply_event {
	enum reply_level severity;
	const char *source; /* cut at 64 bytes */
	const char *message;
	const char *execution_id;			     /* NULL: null */
	void (*context)(struct sink *sink, const void *arg); /* keys of context, or NULL: an empty object */
	const void *arg;
};
int reply_agent_event(struct json_writer *w, int64_t wall_ms, const struct reply_event *event);

int reply_request_pending_scripts(struct json_writer *w, int64_t wall_ms, const char *vm_id);

/* Captured output of a child: the bytes kept, and the number of bytes written. */
struct reply_stream {
	const char *bytes;
	size_t len;
	uint64_t total;
};

struct reply_script {
	const char *execution_id;
	int exit_code; /* -1 if not run */
	struct reply_stream out, err;
};
int reply_script_completion(struct json_writer *w, int64_t wall_ms, const struct reply_script *script);

struct response {
	const char *id;
	const char *command_type; /* the action's name, or "unsafe" */
	bool success;
	bool has_exit_code; /* a program ran and ended, */
	int exit_code;	    /* its exit code, or 128 + signal; see reply_exit_code */
	struct reply_stream out, err;
	uint64_t execution_time_ms;
	/*
	 * Writes exactly one value under `key`; NULL: `object` is written, null when that is NULL too. Lists cut by
	 * mark and rewind in here see the room that data may take.
	 */
	void (*data)(struct sink *sink, const char *key, const void *arg);
	const void *arg;
	struct json_object *object;
	bool data_truncated;  /* the action has cut the data; the function `data` may still set this, */
	bool partial;	      /* data has only the values known by the deadline; written when true */
	uint64_t total_count; /* number of all items, when data is a cut list (0: not written) */
	enum error_code code; /* CODE_NONE on success */
	const char *error;    /* NULL on failure: the code's name stands in */
	const char *reason;   /* lower-case word, written beside error when there is one */
	bool streamed;	      /* output was sent as it came: stream_chunks and stream_dropped are written */
	uint64_t stream_chunks, stream_dropped;
	unsigned attempts; /* over 1: written */
};

/*
 * The `exit_code` of the message: that of the program; without a program 0 on success and 1 on failure; never 0 on
 * failure.
 */
int reply_exit_code(const struct response *response);

/*
 * Streams are cut to REPLY_STREAMS_MAX together (half for each; one stream gets the room that the other does not need),
 * data that does not fit is null; either sets `truncated`. A writer over REPLY_LINE_MAX bytes always suffices; in a
 * smaller one the streams get the rest.
 */
int reply_response(struct json_writer *w, int64_t wall_ms, const struct response *response);

#endif
