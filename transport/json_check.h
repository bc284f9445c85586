/* SPDX-License-Identifier: MIT */
/*
 * The gate in front of json-c, which takes NaN, duplicate keys, keys cut at a NUL and clamped integers, and turns a
 * hostile megabyte into 260: one line is one JSON object by RFC 8259, in exact UTF-8, within limits. Allocates nothing,
 * recurses nowhere.
 */
#ifndef TRANSPORT_JSON_CHECK_H
#define TRANSPORT_JSON_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define JSON_DEPTH_MAX	16   /* levels of objects and arrays, the outermost counted */
#define JSON_TOKENS_MAX 4096 /* values and keys of a line */
#define JSON_ID_MAX	128  /* bytes of an id */
#define JSON_KEYS_FEW	64   /* table that ordinary lines use */
#define JSON_KEYS_MANY	4096 /* twice the keys that JSON_TOKENS_MAX allows */

enum json_reason {
	JSON_OK,
	JSON_BAD_JSON,
	JSON_BAD_UTF8,
	JSON_TOO_DEEP,
	JSON_TOO_MANY_TOKENS,
	JSON_DUPLICATE_KEY,
	JSON_NUL_IN_KEY,
	JSON_OUT_OF_RANGE,  /* an integer outside int64 and uint64, a number beyond a double */
	JSON_NOT_OBJECT,    /* valid JSON, but an array or a scalar */
	JSON_LINE_TOO_LONG, /* more than UINT32_MAX bytes; framing refuses far earlier */
};

struct json_fault {
	enum json_reason reason;
	size_t offset; /* of the first byte that cannot be accepted */
};

/* Larger values than JSON_DEPTH_MAX and JSON_TOKENS_MAX are cut to these. */
struct json_limits {
	unsigned depth;
	unsigned tokens;
};

struct json_key_slot {
	uint32_t round;	 /* the line it was written for */
	uint32_t object; /* which object of that line */
	uint32_t offset; /* of the key's text, behind its quote */
	uint32_t hash;
};

/* Scratch space, reused from line to line; pages of `many` stay untouched by ordinary lines. */
struct json_check {
	uint32_t round;
	uint32_t seed;
	struct json_key_slot few[JSON_KEYS_FEW];
	struct json_key_slot many[JSON_KEYS_MANY];
};

/* `seed`: anything hard to guess for the peer (it keeps keys from being made to collide). */
void json_check_init(struct json_check *check, uint32_t seed);

/* 0, or -EBADMSG with *fault filled. `limits` NULL: the maxima. `fault` may be NULL. */
int json_check_line(struct json_check *check, const char *line, size_t len, const struct json_limits *limits,
		    struct json_fault *fault);

/*
 * "bad_json", "bad_utf8", "too_deep", "too_many_tokens", "duplicate_key", "nul_in_key", "out_of_range", "not_object", …
 */
const char *json_fault_reason(enum json_reason reason);

/*
 * The text of the top-level "id" of a line that may be faulty, if it can be read without guessing: decoded and
 * NUL-terminated in `out`. Returns its length (1 to JSON_ID_MAX), or 0: none, no string, empty, too long, not valid
 * text, given twice, behind damage at the top level, or right before it.
 */
size_t json_scan_id(const char *line, size_t len, char out[JSON_ID_MAX + 1]);

/* The same for the top-level "type". */
size_t json_scan_type(const char *line, size_t len, char out[JSON_ID_MAX + 1]);

#endif
