/* SPDX-License-Identifier: MIT */
/*
 * Signed envelopes: {"type":"signed","v":1,"ts":ms,"nonce":text,"payload":inner JSON as a string,"sig":64 hex}, where
 * sig is HMAC-SHA256(key, v "\n" ts "\n" nonce "\n" payload). Every check fails closed; a nonce is remembered only when
 * all others have passed, so that a forger cannot fill the memory or burn a nonce.
 */
#ifndef TRANSPORT_ENVELOPE_H
#define TRANSPORT_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#include "codes.h"

struct json_object;
struct json_writer;

#define ENVELOPE_WINDOW_MS  300000
#define ENVELOPE_NONCE_MAX  128	  /* bytes */
#define ENVELOPE_NONCES_MAX 16384 /* valid ones remembered at once: 27 a second over the whole life of a nonce */
#define ENVELOPE_PARKED_MAX 2048  /* and of those that are not valid now, but could be again when the clock is set */
#define ENVELOPE_SIG_SIZE   65	  /* hex and NUL */

enum envelope_verdict {
	ENVELOPE_GOOD,
	ENVELOPE_NO_SECRET,
	ENVELOPE_UNSIGNED, /* a plain message where a signature is required (for the agent: envelope_verify never says
			      it) */
	ENVELOPE_MALFORMED,
	ENVELOPE_BAD_VERSION,
	ENVELOPE_BAD_SIGNATURE,
	ENVELOPE_STALE,
	ENVELOPE_REPLAYED,
	ENVELOPE_NONCES_FULL, /* too many unexpired nonces to tell a replay: refused */
	ENVELOPE_VERDICTS,
};

/* INVALID_MESSAGE, BAD_SIGNATURE, STALE, …; CODE_NONE for ENVELOPE_GOOD. */
enum error_code envelope_code(enum envelope_verdict verdict);

/* The lower-case word for details.reason: "bad_signature", "stale", "nonces_full", … */
const char *envelope_reason(enum envelope_verdict verdict);

struct envelope_nonce {
	uint8_t digest[16]; /* first half of SHA-256 of the nonce */
	int64_t expires_ms; /* 0: free */
};

/*
 * The nonces seen: an open-addressed table that grows as needed up to a fixed bound. The clock may be set back to a
 * time when an expired message was valid, so expired nonces, and nonces ahead of a clock that was set back, are not
 * dropped at once: those nearest to now stay.
 */
struct envelope_guard {
	struct envelope_nonce *slots;
	size_t size; /* a power of two, or 0 */
	size_t used; /* those that are not valid now included */
	size_t full; /* number of used slots at which the table is rebuilt */
	int64_t full_until_ms;
	struct envelope_nonce last; /* the one remembered last */
};

void envelope_guard_init(struct envelope_guard *guard);
void envelope_guard_free(struct envelope_guard *guard);

/* Restores a nonce of an earlier agent process, independent of the clock then and now. */
void envelope_guard_restore(struct envelope_guard *guard, const struct envelope_nonce *nonce, int64_t now_ms);

/*
 * Checks an envelope; `root` is its parsed object (from message_parse, for MESSAGE_SIGNED). ENVELOPE_GOOD:
 * *ret_payload is the inner text, borrowed from `root`. `key` NULL or empty: ENVELOPE_NO_SECRET. `now_ms` is wall time.
 */
enum envelope_verdict envelope_verify(struct envelope_guard *guard, const char *key, size_t key_len,
				      struct json_object *root, int64_t now_ms, const char **ret_payload,
				      size_t *ret_len);

/*
 * The length of the payload that an envelope brings, right or wrong, borrowed from `root`; 0: none, or it is no text.
 */
size_t envelope_payload(struct json_object *root, const char **ret_payload);

/* The signature of an envelope in lower-case hex. */
void envelope_mac(const char *key, size_t key_len, int64_t ts_ms, const char *nonce, size_t nonce_len,
		  const char *payload, size_t payload_len, char ret_hex[ENVELOPE_SIG_SIZE]);

/*
 * Writes a whole signed line into the writer (reset first): 0, -EINVAL (no key, bad nonce or a payload that is not
 * valid UTF-8 without NUL) or -EMSGSIZE.
 */
int envelope_sign(struct json_writer *w, const char *key, size_t key_len, int64_t ts_ms, const char *nonce,
		  const char *payload, size_t payload_len);

#endif
